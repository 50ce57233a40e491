"""What a file in `sweeps/` is asked, and what a file in `results/` receives and gives.

Shape legend: N videos, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.contracts._basics import BenchError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bench.contracts._datasets import DatasetFacts
    from bench.trials import Record


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
    """What `render(results)` in `results/` receives; `bench.stored_results.Results` says more of each."""

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
