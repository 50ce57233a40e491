"""What the checks of adapters and methods share: how a violation is told, and made-up videos and sentences to probe with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from bench.contracts import Adapter

TOLERANCE = 1e-5  # float32, relative to the largest value
TEXTS = (
    "a person waves with one hand",
    "someone sits down on a chair slowly",
    "legs move fast",
    "both arms go up and down again",
)
NAMES = ("sit down", "wave", "walk")


class Violation(AssertionError):
    """A promise of the contract that does not hold, and what was seen instead."""


@dataclass(frozen=True)
class Result:
    """One check: its name, and the violation in words; "" where it holds."""

    name: str
    problem: str
    applies: bool = True  # False where the plug-in does not claim what the check is about


def result(name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except Violation as violation:
        return Result(name, str(violation))
    except Exception as error:  # a plug-in that raises breaks the contract too
        return Result(name, f"raised {type(error).__name__}: {error}")
    return Result(name, "")


def require(condition: bool, problem: str) -> None:
    if not condition:
        raise Violation(problem)


def close(a: Tensor, b: Tensor, what: str) -> None:
    require(a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)}")
    worst = float((a - b).abs().max()) / max(1.0, float(b.abs().max())) if a.numel() else 0.0
    require(worst <= TOLERANCE, f"{what}: differ by {worst:.2g} of the largest value")


def frames(num: int) -> np.ndarray:
    """uint8 `(N, T=4, 60, 80, 3)`: moving bright squares, another in each video."""
    rng = np.random.default_rng(7)
    video = rng.integers(0, 60, (num, 4, 60, 80, 3), dtype=np.uint8)
    for n in range(num):
        for t in range(4):
            y, x = 5 + 10 * n, 8 + 12 * t
            video[n, t, y : y + 18, x : x + 14, n % 3] = 230
    return video


def videos(adapter: Adapter, num: int, num_frames: int | None = None) -> Tensor:
    """float32 `(N, T, 3, h, w)`: such videos through the adapter's transform, T its own number unless given."""
    given = frames(num)
    count = num_frames or adapter.facts.num_frames
    repeated = given[:, np.arange(count) % given.shape[1]]
    return torch.stack([adapter.transform(video) for video in repeated])
