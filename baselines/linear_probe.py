"""Logistic regression on the mean frame embedding: what the frozen features hold without any text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from bench.contracts import TRAIN, Adapter, BenchError, Classes, Features, LabelledFeatures, NotApplicable

NEEDS = frozenset({TRAIN})
TRAINABLE = "head"
VERSION = 1
NORM = 10.0  # length the features are scaled to, about that of CLIP's own, for which C was published


@dataclass(frozen=True, kw_only=True)
class Config:
    """`c`: inverse L2 strength; .316 is what CLIP's authors use for ImageNet (their repository's README)."""

    c: float = 0.316
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if self.c <= 0:
            raise BenchError(f"linear_probe: c is {self.c}; it is positive")


@dataclass(frozen=True)
class Probe:
    """One weight row and bias a training class, by name."""

    weight: dict[str, Tensor]
    bias: dict[str, float]

    @property
    def num_trainable(self) -> int:
        return sum(row.numel() + 1 for row in self.weight.values())

    def __call__(self, features: Features, classes: Classes) -> Tensor:
        unseen = [c for c in classes.names if c not in self.weight]
        if unseen:
            raise NotApplicable(f"a linear probe knows only its training classes, not {', '.join(unseen[:5])}")
        weight = torch.stack([self.weight[c] for c in classes.names])
        bias = torch.tensor([self.bias[c] for c in classes.names])
        return _inputs(features) @ weight.T + bias


def _inputs(features: Features) -> Tensor:
    return NORM * F.normalize(features.pooled.cpu().float(), dim=-1)


def fit(
    config: Config, adapter: Adapter, train: LabelledFeatures, val: LabelledFeatures | None, classes: Classes, seed: int
) -> Probe:
    """L-BFGS to convergence on the training view; deterministic, so the seed only drew the shots."""
    labels = train.labels.numpy()
    present = np.unique(labels)
    if len(present) != len(classes):
        raise BenchError(
            f"linear_probe: {len(classes) - len(present)} of {len(classes)} classes have no decodable training video"
        )
    model = LogisticRegression(C=config.c, max_iter=config.max_iterations).fit(
        _inputs(train.features).double().numpy(), labels
    )
    weight, bias = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
    if len(classes) == 2:  # scikit-learn keeps one row for two classes
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return Probe(dict(zip(classes.names, weight, strict=True)), dict(zip(classes.names, bias.tolist(), strict=True)))


def suggest(trial: Any) -> dict[str, Any]:
    """What a study may choose."""
    return {"c": trial.suggest_float("c", 1e-3, 1e3, log=True)}


def describe(config: Config) -> str:
    """The row's name in a table."""
    return "linear probe"
