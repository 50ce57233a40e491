"""What the open_clip families share: building, strict loading, the library's own transform, and the text tower in two halves.

Shape legend: N videos, T frames, P texts, L tokens, W text width, D joint embedding size, M context tokens.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from PIL import Image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from adapters._text import Tokenizer, put_in, tokenize
from bench.contracts import (
    PROMPTS,
    TEXT,
    BackboneFacts,
    BenchError,
    CausalText,
    Features,
    TextLayer,
    Tokens,
    digest,
)
from bench.packing import plain_attention

if TYPE_CHECKING:
    import numpy as np

Model: TypeAlias = CLIP | CustomTextCLIP | CoCa

RANDOM_FILLS = {Tensor.normal_, Tensor.uniform_, Tensor.erfinv_}  # what the initialisers of torch and timm come down to
ENCODE_TEXTS = 256  # texts a text-tower call without gradients


@dataclass(frozen=True)
class FrameTransform:
    """uint8 `(T, H, W, 3)` -> float32 `(T, 3, h, w)` by open_clip's own evaluation transform, frame by frame."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    @cached_property
    def compose(self) -> Callable[[Image.Image], Tensor]:
        return image_transform_v2(PreprocessCfg(**self._fields()), is_train=False)

    def __call__(self, frames: np.ndarray) -> Tensor:
        return torch.stack([self.compose(Image.fromarray(frame)) for frame in frames])

    @property
    def name(self) -> str:
        """A readable id of everything that the transform does to a pixel."""
        fields = self._fields()
        height, width = self.size
        return f"open_clip-{self.resize_mode}-{height}x{width}-{self.interpolation}-{digest({k: str(v) for k, v in fields.items()}, 8)}"

    def _fields(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.interpolation,
            "resize_mode": self.resize_mode,
        }


class OpenClipVideo:
    """A frozen open_clip model without its text side: frame embeddings, the library's own transform, scale and bias."""

    def __init__(self, model: Model, transform: FrameTransform, facts: Mapping[str, Any], device: str) -> None:
        self._model = model.to(device).float().eval().requires_grad_(False)
        self._transform = transform
        bias = getattr(model, "logit_bias", None)
        self._facts = BackboneFacts(
            embed_dim=_embed_dim(model),
            transform=transform.name,
            dtype="float32",
            logit_scale=float(model.logit_scale.detach().exp()),
            logit_bias=float(bias.detach()) if bias is not None else 0.0,
            num_parameters=sum(p.numel() for p in model.parameters()),
            **facts,
        )

    @property
    def facts(self) -> BackboneFacts:
        return self._facts

    @property
    def module(self) -> nn.Module:
        return self._model

    @property
    def transform(self) -> FrameTransform:
        return self._transform

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> frame embeddings float32 `(N, T, D)`, not normalised."""
        num, num_frames = video.shape[:2]
        with torch.no_grad():
            frames = self._model.encode_image(video.flatten(0, 1).to(self._device), normalize=False)
        return Features(frames.float().unflatten(0, (num, num_frames)))

    def similarity(self, features: Features, text: Tensor) -> Tensor:
        """Scaled cosine of the mean frame embedding with each text, plus bias -> float32 `(N, P)`."""
        video = F.normalize(features.pooled.to(text.device), dim=-1)
        return self._facts.logit_scale * video @ F.normalize(text, dim=-1).T + self._facts.logit_bias

    @property
    def _device(self) -> torch.device:
        return self._model.logit_scale.device


class OpenClipAdapter(OpenClipVideo):
    """A frozen open_clip model with a CLIP text tower (causal, pooled at end-of-text) or a SigLIP one (padded, pooled last)."""

    def __init__(
        self,
        model: Model,
        transform: FrameTransform,
        tokenizer: Tokenizer | Callable[[], Tokenizer],
        facts: Mapping[str, Any],
        device: str,
    ) -> None:
        if problem := why_no_prompts(model):
            raise BenchError(f"{facts['name']}: {problem}; prompts cannot be put into this text tower")
        super().__init__(model, transform, facts, device)
        self._tokenizer = tokenizer
        self._text: Any = _text_tower(model)
        self._causal = self._text.attn_mask is not None
        self._facts = dataclasses.replace(
            self._facts,
            context_length=int(self._text.context_length),
            padding=self._facts.padding
            or (
                "cut or padded behind end-of-text, pooled there"
                if self._causal
                else "padded to full length, pooled at the last position"
            ),
            causal_text=self._causal,
            capabilities=frozenset({TEXT, PROMPTS}),
        )

    @property
    def tokenizer(self) -> Tokenizer:
        if callable(self._tokenizer):
            self._tokenizer = self._tokenizer()  # only now: real ones may need files that a feature extraction does not
        return self._tokenizer

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """P sentences -> float32 `(P, D)`, not normalised."""
        with torch.no_grad():
            parts = []
            for start in range(0, len(texts), ENCODE_TEXTS):
                tokens = self.tokenize(texts[start : start + ENCODE_TEXTS])
                parts.append(self.encode_embedded(self.embed_tokens(tokens), tokens))
            return torch.cat(parts)

    def tokenize(self, texts: Sequence[str], num_context_tokens: int = 0) -> Tokens:
        """See PromptableText. A text that does not fit loses its tail, never its end token; `num_cut` counts such texts."""
        return tokenize(self.tokenizer, texts, num_context_tokens, self._facts, self._device)

    def embed_tokens(self, tokens: Tokens) -> Tensor:
        """Token embeddings float32 `(P, L, W)`, without positions."""
        return self._text.token_embedding(tokens.ids).float()

    def encode_embedded(self, embeddings: Tensor, tokens: Tokens, inject: Mapping[int, Tensor] | None = None) -> Tensor:
        """The text tower from embeddings on; equal to the library's own forward where nothing was put in."""
        length, inject = embeddings.shape[1], inject or {}
        if not self._causal and length != self._facts.context_length:
            raise ValueError(
                f"this tower attends to its padding: it takes {self._facts.context_length} tokens, not {length}"
            )
        mask = self._text.attn_mask[:length, :length] if self._causal else None
        rows = torch.arange(len(embeddings), device=embeddings.device)
        x = embeddings + self._text.positional_embedding[:length]
        with plain_attention(x.device):
            for layer, block in enumerate(self._text.transformer.resblocks):
                x = put_in(x, tokens, inject.get(layer))
                x = block(x, attn_mask=mask)
        return self._head(x[rows, tokens.pool])

    def text_layers(self) -> CausalText:
        """See LayeredText."""
        blocks = self._text.transformer.resblocks
        return CausalText(self._text.positional_embedding, [_layer(block) for block in blocks], self._head)

    def _head(self, pooled: Tensor) -> Tensor:
        pooled, projection = self._text.ln_final(pooled), self._text.text_projection
        if projection is None:
            return pooled
        return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection


def _layer(block: ResidualAttentionBlock) -> TextLayer:
    """A block's own modules, in the order of its forward."""
    attn = block.attn

    def project(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = F.linear(block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
        return q, k, v

    def finish(x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.ls_1(attn.out_proj(attended))
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    return TextLayer(project, finish, attn.num_heads)


class OpenClipTextAdapter(OpenClipVideo):
    """A frozen open_clip model whose text tower runs as a whole, by the library's own forward: sentences, but no prompts."""

    def __init__(
        self,
        model: Model,
        transform: FrameTransform,
        tokenize: Callable[[], Any],
        facts: Mapping[str, Any],
        device: str,
    ) -> None:
        super().__init__(model, transform, facts, device)
        self._tokenize = tokenize
        self._tokens: Callable[[list[str]], Tensor] | None = None
        self._facts = dataclasses.replace(
            self._facts,
            context_length=int(model.context_length),
            capabilities=frozenset({TEXT}),
            padding="as open_clip's own tokenizer and text tower have it",
        )

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """P sentences -> float32 `(P, D)`, not normalised."""
        if self._tokens is None:
            self._tokens = self._tokenize()
        with torch.no_grad(), plain_attention(self._device):
            parts = [
                self._model.encode_text(
                    self._tokens(list(texts[i : i + ENCODE_TEXTS])).to(self._device), normalize=False
                )
                for i in range(0, len(texts), ENCODE_TEXTS)
            ]
        return torch.cat(parts).float()


def why_no_prompts(model: Model) -> str | None:
    """Why `embed_tokens` and `encode_embedded` would not be this text tower's own forward; None where they are."""
    text = _text_tower(model)
    if isinstance(model, CoCa):
        return "CoCa's text tower appends a class embedding and masks the padding in front of it"
    if not isinstance(text, CLIP | TextTransformer):
        return f"its text tower is a {type(text).__name__}, not open_clip's own"
    if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
        return "its text tower has a class embedding or masks its padding"
    pool = text.text_pool_type if isinstance(text, CLIP) else text.pool_type
    causal = text.attn_mask is not None
    if (pool, causal) not in (("argmax", True), ("last", False)):
        return f"its text tower is {'' if causal else 'not '}causal and pools by {pool!r}"
    return None


def _text_tower(model: Model) -> Any:
    return model if isinstance(model, CLIP) else model.text


def _embed_dim(model: Model) -> int:
    """Features are as long as what the visual side gives; asked of the text side, where every kind of model says it."""
    text = _text_tower(model)
    projection = getattr(text, "text_projection", None)
    if projection is None:
        return int(text.output_dim if hasattr(text, "output_dim") else text.ln_final.normalized_shape[0])
    return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])


def build(model_cfg: Mapping[str, Any]) -> Model:
    """A model of open_clip's own classes from its own config format; its weights are random until `load_strict`.

    Raises:
        BenchError: a text tower of the transformers library, whose configuration lies on the network.
    """
    cfg = copy.deepcopy(dict(model_cfg))
    hf_name = cfg["text_cfg"].get("hf_model_name")
    if hf_name:
        raise BenchError(
            f"this architecture's text tower is transformers' {hf_name}, which open_clip can only build with network; "
            f"take one with a text tower of open_clip's own"
        )
    if cfg["vision_cfg"].get("timm_model_name"):
        cfg["vision_cfg"]["timm_model_pretrained"] = False  # or timm would look for ImageNet's on the network
    custom = cfg.pop("custom_text", False)
    kind = CoCa if "multimodal_cfg" in cfg else CustomTextCLIP if custom else CLIP
    try:
        return kind(**cfg)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise BenchError(f"open_clip cannot build a model of this config ({type(error).__name__}: {error})") from error


class Unfilled(TorchFunctionMode):
    """While it is on, no tensor is filled with random numbers: for a model that `load_strict` fills, every key or none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in RANDOM_FILLS else func(*args, **(kwargs or {}))
