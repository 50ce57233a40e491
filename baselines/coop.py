"""CoOp (Zhou et al., 2022): learnable context vectors in front of the class name, everything else frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.contracts import (
    PROMPTS,
    TEXT,
    TRAIN,
    BenchError,
    Classes,
    Features,
    LabelledFeatures,
    NotApplicable,
    PromptableAdapter,
)
from bench.interpretation import Interpretation, frame_logits
from bench.prompting import Prompts, encode, initial_context, prepare
from bench.training import TrainConfig
from bench.training import train as run_training

NEEDS = frozenset({TEXT, PROMPTS, TRAIN})
TRAINABLE = "prompt"
VERSION = 1
PUBLISHED_EPOCHS = {1: 50, 2: 100, 4: 100}  # shots -> epochs; 200 for more (CoOp's configs)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The published settings: 16 shared context vectors from N(0, .02^2), SGD .002, batches of 32.

    `epochs` None is the published number for the shots at hand: 50 for 1, 100 for 2 and 4, 200 for more.
    """

    num_context_tokens: int = 16
    class_specific_context: bool = False
    learning_rate: float = 0.002
    batch_size: int = 32
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.num_context_tokens < 1:
            raise BenchError(
                f"coop: num_context_tokens is {self.num_context_tokens}; without context there is nothing to learn"
            )


@dataclass(frozen=True)
class CoOp:
    """The learnt context: `(M, W)` shared, or by class name."""

    adapter: PromptableAdapter
    shared: Tensor | None
    by_class: dict[str, Tensor]

    @property
    def num_trainable(self) -> int:
        return sum(t.numel() for t in (self.shared, *self.by_class.values()) if t is not None)

    def __call__(self, features: Features, classes: Classes) -> Tensor:
        prompts, context = self._prompts(classes)
        return self.adapter.similarity(features, encode(self.adapter, prompts, context))

    def _prompts(self, classes: Classes) -> tuple[Prompts, Tensor]:
        if self.shared is not None:
            context = self.shared
        else:
            unseen = [c for c in classes.names if c not in self.by_class]
            if unseen:
                raise NotApplicable(
                    f"coop with class-specific context knows only its training classes, not {', '.join(unseen[:5])}"
                )
            context = torch.stack([self.by_class[c] for c in classes.names])
        own = None if self.shared is not None else range(len(classes))
        return prepare(self.adapter, texts(classes.names), context.shape[-2], own), context

    def interpret(self, features: Features, classes: Classes) -> Interpretation:
        """The learnt context, and how each class name fits each frame."""
        prompts, context = self._prompts(classes)
        text = encode(self.adapter, prompts, context)
        named = {"": context} if self.shared is not None else dict(self.by_class)
        fits = frame_logits(self.adapter, features.to(text.device), text).cpu()
        return Interpretation(named, texts(classes.names), range(len(classes)), fits)


def texts(class_names: Sequence[str]) -> list[str]:
    """What stands behind the context: the name with spaces and a full stop."""
    return [f"{name.replace('_', ' ')}." for name in class_names]


def fit(
    config: Config,
    adapter: PromptableAdapter,
    train: LabelledFeatures,
    val: LabelledFeatures | None,
    classes: Classes,
    seed: int,
) -> CoOp:
    """Cross-entropy on the training view, last step kept; no choice is made on the validation view."""
    generator = torch.Generator().manual_seed(seed)
    own = range(len(classes)) if config.class_specific_context else None
    prompts = prepare(adapter, texts(classes.names), config.num_context_tokens, own)
    context = torch.nn.Parameter(_initial(config, adapter, len(classes), generator))
    labels = train.labels.to(context.device)

    def loss(rows: Tensor) -> Tensor:
        logits = adapter.similarity(train.features.select(rows), encode(adapter, prompts, context))
        return torch.nn.functional.cross_entropy(logits, labels[rows])

    schedule = TrainConfig(
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs or published_epochs(train, len(classes)),
    )
    run_training([context], loss, len(train), schedule, generator, mean_over_rows=True)
    learnt = context.detach()
    if config.class_specific_context:
        return CoOp(adapter, None, dict(zip(classes.names, learnt, strict=True)))
    return CoOp(adapter, learnt, {})


def _initial(config: Config, adapter: PromptableAdapter, num_classes: int, generator: torch.Generator) -> Tensor:
    if not config.class_specific_context:
        return initial_context(adapter, config.num_context_tokens, generator)
    parts = [initial_context(adapter, config.num_context_tokens, generator) for _ in range(num_classes)]
    return torch.stack(parts)


def published_epochs(train: LabelledFeatures, num_classes: int) -> int:
    """CoOp's schedule by the number of videos a class."""
    return PUBLISHED_EPOCHS.get(round(len(train) / num_classes), 200)


def suggest(trial: Any) -> dict[str, Any]:
    """What a study may choose."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "num_context_tokens": trial.suggest_categorical("num_context_tokens", [4, 8, 16]),
        "class_specific_context": trial.suggest_categorical("class_specific_context", [False, True]),
    }


def describe(config: Config) -> str:
    """The row's name in a table."""
    kind = "class-specific " if config.class_specific_context else ""
    return f"CoOp, {config.num_context_tokens} {kind}tokens"
