"""What the open_clip families share: building, strict loading, the library's own transform, and the text tower in two halves.

Shape legend: N videos, T frames, P texts, L tokens, W text width, D joint embedding size, M context tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.contracts import PROMPTS, TEXT, BackboneFacts, BenchError, Features, Tokens, digest

if TYPE_CHECKING:
    import numpy as np
    from open_clip.tokenizer import SimpleTokenizer

ENCODE_TEXTS = 256  # texts a text-tower call without gradients


class Tokenizer(Protocol):
    """Text to ids, without special tokens, and what the tower puts around them."""

    @property
    def start(self) -> int | None:
        """Id in front of every text; None where the tower has none."""
        ...

    @property
    def end(self) -> int: ...

    @property
    def pad(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class BytePairs:
    """CLIP's byte-pair tokenizer, which open_clip ships; an end token behind every text, a start token in front where the tower has one."""

    inner: SimpleTokenizer
    with_start: bool = True
    pad: int = 0

    @property
    def start(self) -> int | None:
        return int(self.inner.sot_token_id) if self.with_start else None

    @property
    def end(self) -> int:
        return int(self.inner.eot_token_id)

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text))


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


class OpenClipAdapter:
    """A frozen open_clip model with a CLIP text tower (causal, pooled at end-of-text) or a SigLIP one (padded, pooled last)."""

    def __init__(
        self,
        model: CLIP | CustomTextCLIP,
        transform: FrameTransform,
        tokenizer: Tokenizer | Callable[[], Tokenizer],
        facts: Mapping[str, Any],
        device: str,
    ) -> None:
        self._model = model.to(device).float().eval().requires_grad_(False)
        self._transform = transform
        self._tokenizer = tokenizer
        text = model.text if isinstance(model, CustomTextCLIP) else model
        self._text: Any = text
        self._causal = text.attn_mask is not None
        self._facts = BackboneFacts(
            embed_dim=_embed_dim(text),
            transform=transform.name,
            dtype="float32",
            logit_scale=float(model.logit_scale.detach().exp()),
            logit_bias=float(model.logit_bias.detach()) if model.logit_bias is not None else 0.0,
            context_length=int(text.context_length),
            padding="cut or padded behind end-of-text, pooled there"
            if self._causal
            else "padded to full length, pooled at the last position",
            causal_text=self._causal,
            capabilities=frozenset({TEXT, PROMPTS}),
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

    @property
    def tokenizer(self) -> Tokenizer:
        if callable(self._tokenizer):
            self._tokenizer = self._tokenizer()  # only now: real ones may need files that a feature extraction does not
        return self._tokenizer

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> frame embeddings float32 `(N, T, D)`, not normalised."""
        num, num_frames = video.shape[:2]
        with torch.no_grad():
            frames = self._model.encode_image(video.flatten(0, 1).to(self._device))
        return Features(frames.float().unflatten(0, (num, num_frames)))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """P sentences -> float32 `(P, D)`, not normalised."""
        with torch.no_grad():
            parts = []
            for start in range(0, len(texts), ENCODE_TEXTS):
                tokens = self.tokenize(texts[start : start + ENCODE_TEXTS])
                parts.append(self.encode_embedded(self.embed_tokens(tokens), tokens))
            return torch.cat(parts)

    def similarity(self, features: Features, text: Tensor) -> Tensor:
        """Scaled cosine of the mean frame embedding with each text, plus bias -> float32 `(N, P)`."""
        video = F.normalize(features.pooled.to(text.device), dim=-1)
        return self._facts.logit_scale * video @ F.normalize(text, dim=-1).T + self._facts.logit_bias

    def tokenize(self, texts: Sequence[str], num_context_tokens: int = 0) -> Tokens:
        """See PromptableText. A text that does not fit loses its tail, never its end token; `num_cut` counts such texts."""
        t, length = self.tokenizer, self._facts.context_length
        head = [] if t.start is None else [t.start]
        room = length - len(head) - num_context_tokens - 1
        if room < 1:
            raise BenchError(
                f"{num_context_tokens} context tokens leave no room for text: {self._facts.name} takes {length} tokens in all"
            )
        ids = torch.full((len(texts), length), t.pad, dtype=torch.long)
        pool = torch.full((len(texts),), length - 1, dtype=torch.long)
        num_cut = 0
        for row, text in enumerate(texts):
            body = t.encode(text)
            num_cut += len(body) > room
            sequence = [*head, *[t.pad] * num_context_tokens, *body[:room], t.end]
            ids[row, : len(sequence)] = torch.tensor(sequence)
            if self._causal:
                pool[row] = len(sequence) - 1
        context = torch.arange(len(head), len(head) + num_context_tokens).expand(len(texts), -1)
        return Tokens(ids.to(self._device), pool.to(self._device), context.to(self._device), num_cut)

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
        with _attention(x.device):
            for layer, block in enumerate(self._text.transformer.resblocks):
                if layer in inject:
                    values = inject[layer]
                    values = values if values.dim() == 3 else values.expand(len(x), -1, -1)
                    x = x.index_put((rows[:, None], tokens.context), values)
                x = block(x, attn_mask=mask)
        pooled = self._text.ln_final(x[rows, tokens.pool])
        projection = self._text.text_projection
        if projection is None:
            return pooled
        return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection

    @property
    def _device(self) -> torch.device:
        return self._model.logit_scale.device


@contextlib.contextmanager
def _attention(device: torch.device) -> Iterator[None]:
    """On the CPU the plain kernel: flash attention's backward takes most of a step at these lengths."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


def _embed_dim(text: Any) -> int:
    projection = text.text_projection
    if projection is None:
        return int(text.ln_final.normalized_shape[0])
    return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])


def build(model_cfg: Mapping[str, Any]) -> CLIP | CustomTextCLIP:
    """A model of open_clip's own classes from its own config format; its weights are random until `load_strict`."""
    cfg = dict(model_cfg)
    custom = cfg.pop("custom_text", False)
    return CustomTextCLIP(**cfg) if custom else CLIP(**cfg)


def load_strict(model: nn.Module, path: Path) -> None:
    """Load a state dict from a local file, every key or nothing.

    Raises:
        BenchError: a damaged file, a pickle that holds more than tensors, missing or unexpected keys, another shape.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
    except Exception as error:
        raise BenchError(
            f"{path}: not readable as weights ({type(error).__name__}: {error}); get the file again"
        ) from error
    own = model.state_dict()
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unexpected:
        raise BenchError(
            f"{path} does not fit this architecture: {len(missing)} keys missing ({', '.join(missing[:3]) or 'none'}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:3]) or 'none'}); nothing is loaded in part"
        )
    wrong = [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        raise BenchError(
            f"{path}: {wrong[0]} is {tuple(state[wrong[0]].shape)}, this architecture has {tuple(own[wrong[0]].shape)}"
        )
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=True)


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
