"""Zero-shot classification: no video is learnt from; classes are written as names, in templates, or as knowledge descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import KNOWLEDGE, TEXT, Adapter, BenchError, Classes, Features, LabelledFeatures
from bench.prompting import flatten, mean_by_class

NEEDS = frozenset({TEXT, KNOWLEDGE})
TRAINABLE = "none"
VERSION = 1
TEXTS = {"class_names": "class names", "templates": "templates", "descriptions": "descriptions"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """`text`: "class_names" (the bare name), "templates" (the data set's templates, features averaged as CLIP's authors do), or
    "descriptions" (the bank's statements, their logits averaged as Menon & Vondrick do).
    """

    text: str = "class_names"

    def __post_init__(self) -> None:
        if self.text not in TEXTS:
            raise BenchError(f"zero_shot: text is one of {', '.join(TEXTS)}, not {self.text!r}")


def reads_knowledge(config: Config) -> bool:
    """Only descriptions come from the bank; the other rows keep their run id when it changes."""
    return config.text == "descriptions"


@dataclass(frozen=True)
class ZeroShot:
    """Nothing fitted: texts are embedded for whatever classes are asked for."""

    text: str
    adapter: Adapter

    def __call__(self, features: Features, classes: Classes) -> Tensor:
        if self.text == "class_names":
            return self.adapter.similarity(features, self.adapter.encode_text(classes.names))
        if self.text == "templates":
            return self.adapter.similarity(features, self._ensemble(classes))
        if not classes.statements:
            raise BenchError("zero_shot by descriptions needs a knowledge bank; the classes came without statements")
        texts, owner = flatten(classes.statements)
        logits = self.adapter.similarity(features, self.adapter.encode_text(texts))
        return mean_by_class(logits, owner.to(logits.device), len(classes))

    def _ensemble(self, classes: Classes) -> Tensor:
        """Mean of the L2-normalised template embeddings of each class `(C, D)` (Radford et al., 2021, section 3.1.4), at the mean
        length that they had: a cosine does not see it, a text that is conditioned on the video does.
        """
        means = []
        for name in classes.names:
            text = self.adapter.encode_text([t.format(name) for t in classes.templates])
            means.append(F.normalize(text, dim=-1).mean(dim=0) * text.norm(dim=-1).mean())
        return torch.stack(means)


def fit(
    config: Config,
    adapter: Adapter,
    train: LabelledFeatures | None,
    val: LabelledFeatures | None,
    classes: Classes,
    seed: int,
) -> ZeroShot:
    """Nothing is learnt; the views are not looked at."""
    return ZeroShot(config.text, adapter)


def suggest(trial: Any) -> dict[str, Any]:
    """Nothing to tune."""
    return {}


def describe(config: Config) -> str:
    """The row's name in a table."""
    return f"zero-shot, {TEXTS[config.text]}"
