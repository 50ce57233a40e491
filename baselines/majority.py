"""The most frequent class of the training videos, whatever is shown: the floor that a number has to clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.contracts import TRAIN, Adapter, Classes, Features, LabelledFeatures, NotApplicable

NEEDS = frozenset({TRAIN})
TRAINABLE = "none"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing to choose."""


@dataclass(frozen=True)
class Frequencies:
    """Log frequency of each training class; every video gets the same logits."""

    log_frequency: dict[str, float]

    def __call__(self, features: Features, classes: Classes) -> Tensor:
        unseen = [c for c in classes.names if c not in self.log_frequency]
        if unseen:
            raise NotApplicable(f"majority knows nothing of classes without training videos: {', '.join(unseen[:5])}")
        row = torch.tensor([self.log_frequency[c] for c in classes.names], dtype=torch.float32)
        return row.expand(len(features), -1).clone()


def fit(
    config: Config, adapter: Adapter, train: LabelledFeatures, val: LabelledFeatures | None, classes: Classes, seed: int
) -> Frequencies:
    """Count the training labels; a class without a video counts half a one."""
    counts = torch.bincount(train.labels, minlength=len(classes)).double().clamp(min=0.5)
    log_frequency = (counts / counts.sum()).log().tolist()
    return Frequencies(dict(zip(classes.names, log_frequency, strict=True)))


def suggest(trial: Any) -> dict[str, Any]:
    """Nothing to tune."""
    return {}


def describe(config: Config) -> str:
    """The row's name in a table."""
    return "majority class"
