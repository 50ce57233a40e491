"""What a method is given: features or videos, their labels, the classes.

Shape legend: N videos, T frames, D joint embedding size, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts._basics import BenchError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


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
