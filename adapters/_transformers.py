"""Adapters of transformers' models: the library's own preprocessing, the text tower in two halves, image and video encoders.

Shape legend: N videos, T frames, P texts, L tokens, W text width, D joint embedding size, M context tokens.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from adapters._open_clip import ENCODE_TEXTS
from adapters._text import NoText, Tokenizer, put_in, tokenize
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

CAUSAL_TEXT = "cut or padded behind end-of-text, pooled there"
PADDED_TEXT = "padded to full length, pooled at the last position"


@dataclass(frozen=True)
class FrameTransform:
    """uint8 `(T, H, W, 3)` -> float32 `(T, 3, h, w)` by one of the library's image processors, given by class and settings.

    `settings` is the processor's own account of itself, as JSON; `backend` is what it computes with, which for one and the same
    class name has changed between versions of the library (PIL before 5, torchvision since).
    """

    processor: str
    backend: str
    settings: str

    @classmethod
    def of(cls, processor: Any) -> FrameTransform:
        """The transform that an image processor of the library is."""
        return cls(type(processor).__name__, processor.backend, json.dumps(processor.to_dict(), sort_keys=True))

    def __call__(self, frames: np.ndarray) -> Tensor:
        # As a copy: the library warns of arrays that may not be written to, such as memory-mapped ones.
        images = list(torch.tensor(frames).permute(0, 3, 1, 2))
        pixels = _processor(self)(images, return_tensors="pt", input_data_format="channels_first")["pixel_values"]
        return pixels.reshape(len(frames), *pixels.shape[-3:])  # a video processor adds a dimension in front

    @property
    def name(self) -> str:
        """A readable id of everything that the transform does to a pixel."""
        return (
            f"transformers-{self.processor}-{self.backend}-{digest([self.processor, self.backend, self.settings], 8)}"
        )


@functools.lru_cache(maxsize=8)
def _processor(transform: FrameTransform) -> Any:
    """Beside the dataclass, so that only its three texts travel to a worker.

    Raises:
        BenchError: this version of the library computes otherwise than the one that named the transform.
    """
    processor = getattr(transformers, transform.processor)(**json.loads(transform.settings))
    if processor.backend != transform.backend:
        raise BenchError(
            f"{transform.processor} computes with {processor.backend} here, not with {transform.backend}; install the same everywhere"
        )
    return processor


class TextAdapter:
    """The half of an adapter that CLIP, X-CLIP and SigLIP have in common; a family adds `encode_video` and `similarity`.

    Their text towers differ in the mask, in where they pool and in the projection, and in nothing else.
    """

    def __init__(
        self,
        model: Any,
        transform: Any,
        tokenizer: Tokenizer | Callable[[], Tokenizer],
        facts: Mapping[str, Any],
        device: str,
        *,
        causal: bool,
        project: nn.Linear,
    ) -> None:
        """`project` takes what the text tower pooled to the joint embedding; `transform` is a picklable callable with a `name`."""
        self._model = model.to(device).float().eval().requires_grad_(False)
        self._transform, self._tokenizer, self._project = transform, tokenizer, project
        bias = getattr(model, "logit_bias", None)
        self._facts = BackboneFacts(
            embed_dim=project.out_features,
            transform=transform.name,
            dtype="float32",
            logit_scale=float(model.logit_scale.detach().exp()),
            logit_bias=0.0 if bias is None else float(bias.detach()),
            context_length=int(model.config.text_config.max_position_embeddings),
            causal_text=causal,
            capabilities=frozenset({TEXT, PROMPTS}),
            num_parameters=sum(p.numel() for p in model.parameters()),
            **{"padding": CAUSAL_TEXT if causal else PADDED_TEXT, **facts},
        )

    @property
    def facts(self) -> BackboneFacts:
        return self._facts

    @property
    def module(self) -> nn.Module:
        return self._model

    @property
    def transform(self) -> Callable[[np.ndarray], Tensor]:
        return self._transform

    @property
    def tokenizer(self) -> Tokenizer:
        if callable(self._tokenizer):
            self._tokenizer = self._tokenizer()  # only now: its files are not needed for a feature extraction
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
        return self._model.text_model.embeddings.token_embedding(tokens.ids).float()

    def encode_embedded(self, embeddings: Tensor, tokens: Tokens, inject: Mapping[int, Tensor] | None = None) -> Tensor:
        """The text tower from embeddings on; equal to the library's own forward where nothing was put in.

        Raises:
            BenchError: fewer tokens than its full length, for a tower that attends to its padding.
        """
        text, inject, length = self._model.text_model, inject or {}, embeddings.shape[1]
        if not self._facts.causal_text and length != self._facts.context_length:
            raise BenchError(
                f"{self._facts.name} attends to its padding: it takes {self._facts.context_length} tokens, not {length}"
            )
        mask = None
        if self._facts.causal_text:  # given as numbers, so that every attention kernel of the library sees the same one
            mask = embeddings.new_full((length, length), float("-inf")).triu(1)[None, None]
        x = text.embeddings(inputs_embeds=embeddings)
        with plain_attention(x.device):
            for layer, block in enumerate(text.encoder.layers):
                x = block(put_in(x, tokens, inject.get(layer)), mask)
        rows = torch.arange(len(x), device=x.device)
        # Not the library's rule, which looks for the highest id: a context moves the end, and ids may be cut.
        return self._head(x[rows, tokens.pool])

    def text_layers(self) -> CausalText:
        """See LayeredText."""
        text = self._model.text_model
        positions = text.embeddings.position_embedding.weight
        return CausalText(positions, [_layer(block) for block in text.encoder.layers], self._head)

    def _head(self, pooled: Tensor) -> Tensor:
        return self._project(self._model.text_model.final_layer_norm(pooled))

    @property
    def _device(self) -> torch.device:
        return self._model.logit_scale.device


def _layer(block: Any) -> TextLayer:
    """A block's own modules, in the order of its forward."""
    attn = block.self_attn

    def project(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = block.layer_norm1(x)
        return attn.q_proj(x), attn.k_proj(x), attn.v_proj(x)

    def finish(x: Tensor, attended: Tensor) -> Tensor:
        x = x + attn.out_proj(attended)
        return x + block.mlp(block.layer_norm2(x))

    return TextLayer(project, finish, attn.num_heads)


class ImageTextAdapter(TextAdapter):
    """A frozen CLIPModel or SiglipModel: frames one by one, texts as they are."""

    def __init__(
        self,
        model: Any,
        transform: Any,
        tokenizer: Tokenizer | Callable[[], Tokenizer],
        facts: Mapping[str, Any],
        device: str,
    ) -> None:
        """`facts` holds the fields of BackboneFacts that the model itself does not tell: name, weights, licence and the like."""
        causal = isinstance(model, transformers.CLIPModel)
        project = model.text_projection if causal else model.text_model.head
        super().__init__(model, transform, tokenizer, facts, device, causal=causal, project=project)

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> frame embeddings float32 `(N, T, D)`, not normalised."""
        with torch.no_grad():
            frames = self._model.get_image_features(pixel_values=video.flatten(0, 1).to(self._device)).pooler_output
        return Features(frames.float().unflatten(0, video.shape[:2]))

    def similarity(self, features: Features, text: Tensor) -> Tensor:
        """Scaled cosine of the mean frame embedding with each text, plus bias -> float32 `(N, P)`."""
        video = F.normalize(features.pooled.to(text.device), dim=-1)
        return self._facts.logit_scale * video @ F.normalize(text, dim=-1).T + self._facts.logit_bias


class EncoderAdapter(NoText):
    """A frozen image or video encoder without a text side."""

    def __init__(
        self,
        model: Any,
        transform: FrameTransform,
        facts: Mapping[str, Any],
        device: str,
        norm: nn.Module | None = None,
    ) -> None:
        """`model` is the library's encoder without any head; what kind it is says its `config.model_type`.

        `norm` is the last norm of a classifier that has it in its head, behind the mean over the whole video (VideoMAE).
        """
        self._model = model.to(device).float().eval().requires_grad_(False)
        self._norm = None if norm is None else norm.to(device).float().eval().requires_grad_(False)
        self._transform, self._device, config = transform, device, model.config
        self._encode = _ENCODERS[config.model_type]
        fixed = (
            {"num_frames": int(config.num_frames), "fixed_num_frames": True} if hasattr(config, "num_frames") else {}
        )
        self._facts = BackboneFacts(
            embed_dim=int(config.hidden_size),
            transform=transform.name,
            dtype="float32",
            num_parameters=sum(p.numel() for p in model.parameters()),
            **{**facts, **fixed},
        )

    @property
    def facts(self) -> BackboneFacts:
        return self._facts

    @property
    def module(self) -> nn.Module:
        return self._model if self._norm is None else nn.ModuleList([self._model, self._norm]).eval()

    @property
    def transform(self) -> FrameTransform:
        return self._transform

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> float32 `(N, T, D)`, not normalised.

        An image encoder gives each frame's class token. A video encoder gives each frame what its part of the video came to.

        Raises:
            BenchError: T is not the number of frames that a video encoder was made for.
        """
        if self._facts.fixed_num_frames and video.shape[1] != self._facts.num_frames:
            raise frames_refused(self._facts, video.shape[1])
        with torch.no_grad():
            frames = self._encode(self._model, video.to(self._device))
            if self._norm is not None:
                frames = self._norm(frames.mean(dim=1, keepdim=True)).expand_as(frames)
            return Features(frames.float())


def frames_refused(facts: BackboneFacts, num_frames: int) -> BenchError:
    """The error for a number of frames that a backbone was not made for."""
    return BenchError(
        f"{facts.name} was made for {facts.num_frames} frames a video and takes no other number, not {num_frames}; "
        f"leave the number of frames open or set it to {facts.num_frames}"
    )


def _class_token(model: Any, video: Tensor) -> Tensor:
    return model(pixel_values=video.flatten(0, 1)).last_hidden_state[:, 0].unflatten(0, video.shape[:2])


def _mean_of_tubelets(model: Any, video: Tensor) -> Tensor:
    """Frames that one tubelet covers share its embedding, so that the mean over frames is the mean over all patches."""
    hidden, size = model(pixel_values=video).last_hidden_state, int(model.config.tubelet_size)
    return hidden.unflatten(1, (video.shape[1] // size, -1)).mean(dim=2).repeat_interleave(size, dim=1)


def _class_token_of_video(model: Any, video: Tensor) -> Tensor:
    """The one class token of a whole video, for each of its frames."""
    return model(pixel_values=video).last_hidden_state[:, :1].expand(-1, video.shape[1], -1)


_ENCODERS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "vit": _class_token,
    "dinov2": _class_token,
    "dinov2_with_registers": _class_token,
    "videomae": _mean_of_tubelets,
    "timesformer": _class_token_of_video,
}
