"""What a file in `adapters/` gives: the facts of a frozen backbone, its two sides, and its text tower taken apart.

Shape legend: N videos, T frames, D joint embedding size, P texts, L tokens, W text-tower width, M context tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench.contracts._basics import digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from bench.contracts._views import Features


TEXT = "text"  # the adapter can embed sentences
PROMPTS = "prompts"  # gradients can flow through its text tower into given embeddings
RECOGNIZER = "recognizer"  # the adapter gives a copy of its recogniser that can be trained, and says how it was trained
UNTRAINED = "none (random weights)"  # the pretraining of a backbone whose weights are drawn
SEGMENT_CENTRE = "segment_centre"  # the frames in the middle of equal parts of a video (see bench.clips)


def shown_name(name: str, pretraining: object) -> str:
    """What a backbone is called wherever it is shown: a config's name says what others trained it on, so random weights are told."""
    return f"{name}, random weights" if pretraining == UNTRAINED else name


@dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """What is known of a frozen backbone.

    Every field that can change a feature is in `fingerprint`, and what else can change a run is in `identity`. `name` is the
    name a user gives, or for a model from a folder the folder's own; never a path. `num_frames` is what the backbone is shown
    unless a run says otherwise, and `sampling` says which frames (see `bench.clips.indices`); with `fixed_num_frames` it takes no
    other number. `precisions` are the number formats that a forward pass may run in. `logit_scale` is the multiplier itself (about
    100 for CLIP), not its logarithm. `padding` says in words how texts are padded and pooled, `tokenizer` tells one from another, by
    a digest of its files where it has some; without the capability `text` the text fields keep their defaults. `extra_floats` is
    how many numbers a video `Features.extra` holds. `gflops` counts 10^9 floating-point operations (a multiply-add is two) of the
    visual side a frame; `gflops_source` says in words who counted them where torch's counter did not, or why nobody did.
    """

    name: str
    family: str
    architecture: str
    weights: str
    weights_sha256: str
    embed_dim: int
    num_frames: int
    transform: str
    dtype: str
    pretraining: str
    licence: str
    version: int
    num_parameters: int
    capabilities: frozenset[str] = frozenset()
    logit_scale: float = 1.0
    logit_bias: float = 0.0
    context_length: int = 0
    padding: str = ""
    causal_text: bool = False
    tokenizer: str = ""
    fixed_num_frames: bool = False
    sampling: str = SEGMENT_CENTRE
    extra_floats: int = 0
    precisions: tuple[str, ...] = ("float32",)
    gflops: float | None = None
    gflops_source: str = ""
    toy_scale: bool = False

    @property
    def fingerprint(self) -> str:
        """16 hex characters over what a stored feature depends on."""
        return digest(
            [
                self.family,
                self.architecture,
                self.weights_sha256,
                self.transform,
                self.dtype,
                self.version,
                self.embed_dim,
            ]
        )

    @property
    def identity(self) -> str:
        """16 hex characters over what a run depends on: the features, the text side, and how the two are compared."""
        text = [self.context_length, self.padding, self.causal_text, self.tokenizer, sorted(self.capabilities)]
        return digest([self.fingerprint, text, self.logit_scale, self.logit_bias])


@dataclass(frozen=True)
class Tokens:
    """Token ids ready for the text tower; the adapter alone knows what they mean.

    `ids` int64 `(P, L)`; `pool` int64 `(P,)` is the position the tower pools at; `context` int64 `(P, M)` holds the positions
    kept free for context vectors (M may be 0), in front of the text; `num_cut` counts texts that did not fit and lost their tail;
    `num_text` int64 `(P,)` is how many tokens each text itself has, where the adapter tells.
    """

    ids: Tensor
    pool: Tensor
    context: Tensor
    num_cut: int = 0
    num_text: Tensor | None = None

    def select(self, rows: slice) -> Tokens:
        """Some of the texts."""
        num_text = None if self.num_text is None else self.num_text[rows]
        return Tokens(self.ids[rows], self.pool[rows], self.context[rows], 0, num_text)


class Adapter(Protocol):
    """One frozen backbone. In eval mode, no parameter requires a gradient, nothing it does changes a parameter.

    A backbone without a text side (no capability `text`) raises NotApplicable in `encode_text` and `similarity`.
    """

    @property
    def facts(self) -> BackboneFacts: ...

    @property
    def module(self) -> torch.nn.Module:
        """Everything that has parameters, so that the core can check that they stay as they are."""
        ...

    @property
    def transform(self) -> Callable[[np.ndarray], Tensor]:
        """uint8 `(T, H, W, 3)` RGB in [0, 255] -> float32 `(T, 3, h, w)`, normalised.

        A picklable callable that does not hold the model: it runs in worker processes. `facts.transform` names it.
        """
        ...

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> features of N videos, each independent of its batch neighbours.

        Raises:
            BenchError: T is not a number of frames that it takes.
        """
        ...

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """P sentences -> float32 `(P, D)`, not normalised. Needs the capability `text`."""
        ...

    def similarity(self, features: Features, text: Tensor) -> Tensor:
        """Features of N videos and text float32 `(P, D)` -> logits float32 `(N, P)` with the backbone's own scale and bias."""
        ...


class PromptableText(Protocol):
    """What prompt learning needs of an adapter with the capability `prompts`: embeddings in, features out."""

    def tokenize(self, texts: Sequence[str], num_context_tokens: int = 0) -> Tokens:
        """Texts -> tokens with `num_context_tokens` free positions in front of each text; positions and pooling are right."""
        ...

    def embed_tokens(self, tokens: Tokens) -> Tensor:
        """Token embeddings float32 `(P, L, W)`, before positions are added."""
        ...

    def encode_embedded(self, embeddings: Tensor, tokens: Tokens, inject: Mapping[int, Tensor] | None = None) -> Tensor:
        """float32 `(P, L, W)` -> text features `(P, D)`, not normalised, with gradients into `embeddings` and `inject`.

        L may be shorter than the tokens' where the tower is causal. `inject[layer]`, `(M, W)` or `(P, M, W)`, replaces the
        hidden states at `tokens.context` on entry to that layer (0 = the first).
        """
        ...


@dataclass(frozen=True)
class TextLayer:
    """One layer of a causal text tower, cut where tokens look at each other; each token by itself otherwise.

    `project` takes hidden states float32 `(n, W)` to queries, keys and values, each `(n, W)` with the heads side by side;
    `finish` takes the hidden states and what was attended, both `(n, W)`, to the hidden states behind the layer. Attention is the
    usual one: softmax of the dot products over the square root of a head's width.
    """

    project: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    finish: Callable[[Tensor, Tensor], Tensor]
    num_heads: int


@dataclass(frozen=True)
class CausalText:
    """A causal text tower taken apart, so that what several prompts begin with is computed once.

    `positions` float32 `(L, W)` is added to the embeddings; `head` takes the pooled states `(P, W)` to text features `(P, D)`.
    """

    positions: Tensor
    layers: Sequence[TextLayer]
    head: Callable[[Tensor], Tensor]


class LayeredText(Protocol):
    """What an adapter with a causal text tower may offer beside PromptableText, for speed alone: the checks hold it to the same numbers."""

    def text_layers(self) -> CausalText:
        """The tower in its parts."""
        ...


def layered_text(adapter: object) -> LayeredText | None:
    """The adapter where it offers `text_layers`, by itself or by what it wraps.

    No protocol here can be asked for by `isinstance`: from Python 3.12 on that misses what an object passes on.
    """
    return adapter if callable(getattr(adapter, "text_layers", None)) else None  # type: ignore[return-value]


class PromptableAdapter(Adapter, PromptableText, Protocol):
    """An adapter that also lets prompts be learnt."""


class RecognizerAdapter(Adapter, Protocol):
    """An adapter with the capability `recognizer`: a supervised recogniser of MMAction2, frozen as a backbone, or a copy to train."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recogniser's config: its pipelines, its schedule, its optimiser (see `bench.compat.mmaction2.read_config`)."""
        ...

    def recognizer(self, num_classes: int | None = None, num_frames: int | None = None) -> torch.nn.Module:
        """A fresh copy with the checkpoint's values on the CPU, in train mode.

        With `num_classes` its last layer is drawn from torch's global generator, to tell apart other classes than its own; where
        there is no checkpoint all of it is. `num_frames` a view in place of its own number.

        Raises:
            BenchError: it cannot be built for so many frames.
        """
        ...
