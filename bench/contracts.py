"""What a plug-in author reads: the shapes and promises between the core and its plug-ins.

Shape legend: N videos, T frames, D joint embedding size, P texts, L tokens, W text-tower width, C classes, M context tokens.
Torch is only needed by those who hold tensors, so this module does not import it at run time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import Tensor

    from bench.trials import Record

TEXT = "text"  # the adapter can embed sentences
PROMPTS = "prompts"  # gradients can flow through its text tower into given embeddings
RECOGNIZER = "recognizer"  # the adapter gives a copy of its recogniser that can be trained, and says how it was trained
UNTRAINED = "none (random weights)"  # the pretraining of a backbone whose weights are drawn
SEGMENT_CENTRE = "segment_centre"  # the frames in the middle of equal parts of a video (see bench.clips)


class BenchError(ValueError):
    """Bad input: says what is wrong, where, and what to do about it. Never a bug of ours."""


class NotApplicable(BenchError):
    """This method cannot run on this backbone or these classes; tables show n/a and why."""


def digest(value: object, length: int = 16) -> str:
    """Hex sha256 of canonical JSON (sorted keys, no spaces), cut to `length` characters."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


# --- backbones -------------------------------------------------------------------------------------------------


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
class Features:
    """Frozen video features.

    `frames` is float32 `(N, T, D)`, not normalised, with T = 1 of an encoder that looks at a whole clip; `extra` holds, row by row,
    whatever else the adapter's own `similarity` needs (X-CLIP: the time-averaged patch map).
    """

    frames: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def pooled(self) -> Tensor:
        """float32 `(N, D)`: the mean over frames, not normalised."""
        return self.frames.mean(dim=1)

    def select(self, rows: Sequence[int] | Tensor | np.ndarray) -> Features:
        """The given rows, in the given order."""
        import torch

        index = torch.as_tensor(rows, dtype=torch.long, device=self.frames.device)
        return Features(self.frames[index], {k: v[index] for k, v in self.extra.items()})

    def to(self, device: torch.device | str) -> Features:
        return Features(self.frames.to(device), {k: v.to(device) for k, v in self.extra.items()})

    def labelled(self, labels: Tensor, numeric: Mapping[str, Tensor]) -> LabelledFeatures:
        """A view of them."""
        return LabelledFeatures(self, labels, numeric)


@dataclass(frozen=True)
class Video:
    """A video in its file, which decodes whole: the part of it that is meant, and what that part holds.

    `num_frames` is how many frames the part has, `fps` the file's frames a second (0 where it does not tell). `start_s` and `end_s`
    are seconds or NaN for the file's own ends; `box` is (x0, y0, x1, y1) in [0, 1], or None for the whole picture.
    """

    path: Path
    num_frames: int
    fps: float
    start_s: float = math.nan
    end_s: float = math.nan
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Videos:
    """N videos, for a method that reads frames instead of features."""

    rows: tuple[Video, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: Sequence[int] | Tensor | np.ndarray) -> Videos:
        """The given rows, in the given order."""
        return Videos(tuple(self.rows[int(i)] for i in rows))

    def labelled(self, labels: Tensor, numeric: Mapping[str, Tensor]) -> LabelledVideos:
        """A view of them."""
        return LabelledVideos(self, labels, numeric)


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


# --- classes and knowledge -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """C classes: their names, the templates of the data set ("a video of a person {}."), and each class's statements."""

    names: tuple[str, ...]
    templates: tuple[str, ...] = ("{}",)
    statements: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise BenchError(f"class names are not distinct: {self.names}")
        if self.statements and len(self.statements) != len(self.names):
            raise BenchError(f"{len(self.names)} classes but statements for {len(self.statements)}")

    def __len__(self) -> int:
        return len(self.names)

    def select(self, order: Sequence[int]) -> Classes:
        """The classes at these positions, in this order."""
        statements = tuple(self.statements[i] for i in order) if self.statements else ()
        return Classes(tuple(self.names[i] for i in order), self.templates, statements)


# --- methods ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelledFeatures:
    """A training or validation view: features, int64 labels `(N,)` into the classes, and the rows' numeric columns."""

    features: Features
    labels: Tensor
    numeric: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class LabelledVideos:
    """A training or validation view of a method that reads frames: videos, and the rest as in `LabelledFeatures`."""

    videos: Videos
    labels: Tensor
    numeric: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.videos)


class Predictor(Protocol):
    """A fitted method. Each video is judged by itself; the classes may be ones that `fit` never saw (or NotApplicable).

    That of a method that reads frames takes Videos where others take Features, and has `num_parameters`, those of what it runs.

    Where TRAINABLE is not "none" it also has `num_trainable`: how many numbers were learnt, for the table of costs. It may have
    `interpret(features, classes)`, which gives a `bench.interpretation.Interpretation` of some videos; that is kept beside the run.
    """

    def __call__(self, features: Features | Videos, classes: Classes) -> Tensor:
        """Logits float32 `(N, C)`, columns in the order of `classes`."""
        ...


class Method(Protocol):
    """The names that a file in `baselines/` defines. A method never receives the test view.

    With FRAMES in NEEDS its views are LabelledVideos and no features are computed for it. It may define `columns(config, adapter)`:
    what of `num_frames`, `num_views` and the other facts of a run's row is not the backbone's own.
    """

    Config: type  # a frozen dataclass; every field reaches the run id
    NEEDS: frozenset[str]  # capabilities of the adapter, and KNOWLEDGE, TRAIN, FRAMES
    TRAINABLE: str  # what is learnt, for the tables: "none", "prompt", "head", "all"
    VERSION: int

    def fit(
        self,
        config: Any,
        adapter: Adapter,
        train: LabelledFeatures | None,
        val: LabelledFeatures | None,
        classes: Classes,
        seed: int,
    ) -> Predictor:
        """Learn from the training view; choose, if at all, on the validation view. A view that the protocol does not give is None."""
        ...

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Config fields drawn from an Optuna trial; {} where there is nothing to tune."""
        ...

    def describe(self, config: Any) -> str:
        """The row's name in a table."""
        ...


KNOWLEDGE = "knowledge"  # in NEEDS: the method may read the statements, so the bank is part of the run id
TRAIN = "train"  # in NEEDS: the method learns from the training view
FRAMES = "frames"  # in NEEDS: the method reads frames instead of features, for it trains or runs the visual side itself


# --- data sets -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What is known of a data set before its files are seen.

    `shots` and `replicates` say which few-shot sizes and seeds a default sweep asks for; with `split_per_seed` the replicate
    r is seed r on published split r. `bank` names the knowledge bank. `options` maps each option it understands to a help text.
    `beware` is what every table of what is learnt on it must say, "" where nothing is known against its splits.
    """

    name: str
    summary: str
    licence: str
    needs_root: bool
    templates: tuple[str, ...]
    bank: str | None = None
    shots: tuple[int, ...] = (1, 4, 16)
    replicates: tuple[int, ...] = (1, 2, 3)
    split_per_seed: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    beware: str = ""
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What a data set gets to build its manifest: the user's `root` (or None), a folder that it may write to, its options."""

    root: Path | None
    workspace: Path
    options: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[str, int, int], None] = lambda what, done, total: None


# --- sweeps and results ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the user narrows or widens a sweep by; None leaves the sweep's own default."""

    dataset: DatasetFacts
    backbones: tuple[str, ...]
    methods: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    shots: tuple[int, ...] | None = None
    root: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    bank: str | None = None  # a bank's name or file in place of the data set's own
    num_frames: int | None = None  # frames a video in place of each backbone's own number
    precision: str = "float32"  # what the backbones' forward passes run in
    compile: bool = False  # through torch.compile
    config: tuple[
        tuple[str, str, Any], ...
    ] = ()  # (method, field of its Config, value): what goes before a sweep's own
    named: bool = True  # whether somebody named the backbones; otherwise they are those that ship with the project

    @property
    def has_knowledge(self) -> bool:
        """Whether there are descriptions to put into prompts."""
        return (self.bank or self.dataset.bank) is not None


@dataclass(frozen=True)
class Artifact:
    """One file of the report: a plain file name with its extension, and its content, or a function that makes the content."""

    name: str
    source: str | bytes | Callable[[], str | bytes]
    title: str = ""

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name.startswith("."):
            raise BenchError(f"an artifact's name is a plain file name, not {self.name!r}")

    @cached_property
    def content(self) -> str | bytes:
        """What the file holds; made only when somebody wants it, for a picture takes longer than all tables."""
        return self.source() if callable(self.source) else self.source


class VideoList(Protocol):
    """The N test videos that a run was scored on: `labels` int64 `(N,)` into `class_names`; equal lists have one digest.

    `parts` tells of each whether it is "base" or "novel", and is empty under protocols without such parts.
    """

    @property
    def digest(self) -> str: ...

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def groups(self) -> Sequence[str]: ...

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def parts(self) -> Sequence[str]: ...


class ResultsView(Protocol):
    """What `render(results)` in `results/` receives; `bench.store.Results` says more of each."""

    @property
    def runs(self) -> pd.DataFrame:
        """One row a run, with a column for each of `metrics`."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]: ...

    @property
    def scores(self) -> pd.DataFrame:
        """One row a run and metric."""
        ...

    def tested(self, run_id: str) -> tuple[VideoList, np.ndarray]:
        """The test videos of a complete run, and which it was right on, bool `(N,)`."""
        ...

    def predictions(self, run_id: str) -> pd.DataFrame:
        """video_id, group, label, predicted, correct: one row a test video."""
        ...

    def logits(self, run_id: str) -> np.ndarray:
        """float32 `(N, C)`, rows in the order of `predictions`."""
        ...

    @property
    def studies(self) -> Sequence[Record]:
        """What was tuned, and what came of each trial; trials are in no other table."""
        ...

    def interpretation(self, run_id: str) -> dict[str, Any] | None:
        """What `bench.interpretation.told` kept of a complete run; None where its method tells nothing of itself."""
        ...


class Renderer(Protocol):
    """A file in `results/`."""

    def render(self, results: ResultsView) -> Iterator[Artifact]: ...


def config_fields(config_type: type) -> tuple[str, ...]:
    """The field names of a frozen config dataclass."""
    return tuple(f.name for f in dataclasses.fields(config_type))


def make_config(config_type: type, values: Mapping[str, Any], where: str) -> Any:
    """Build a config, with ONE error that lists every unknown field and the valid ones, or the first value of another type."""
    valid = config_fields(config_type)
    unknown = sorted(set(values) - set(valid))
    if unknown:
        raise BenchError(f"{where}: unknown config {', '.join(unknown)}; it takes {', '.join(valid) or 'nothing'}")
    hints = typing.get_type_hints(config_type)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise BenchError(f"{where}: {name} is {value!r}; it is {_type_name(hints[name])}")
    return config_type(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type, of those that a config is written in; others are left to the config itself."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, (tuple, list))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (bool, str, type(None)) else True


def _type_name(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        str: "text",
        type(None): "None",
        tuple: "a list",
    }
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(names.get(typing.get_origin(part) or part, str(part)) for part in parts)
