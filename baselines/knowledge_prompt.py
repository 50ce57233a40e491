"""The knowledge-prompt method: learnable context in front of several descriptions a class, their logits averaged.

After GaVA-CLIP (the ICube group's gait-analysis line, 2024): "[context] description class name", several descriptions a class, mean of
logits. Knowledge enters as text at training and at test time; only the context is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.contracts import (
    KNOWLEDGE,
    PROMPTS,
    TEXT,
    TRAIN,
    BenchError,
    Classes,
    Features,
    LabelledFeatures,
    PromptableAdapter,
)
from bench.prompting import encode, flatten, initial_context, mean_by_class, prepare
from bench.training import TrainConfig
from bench.training import train as run_training

NEEDS = frozenset({TEXT, PROMPTS, KNOWLEDGE, TRAIN})
TRAINABLE = "prompt"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """`num_context_tokens` vectors from N(0, .02^2), shared by all classes; `with_class_name` puts the name behind each description.

    AdamW with weight decay .2 is GaVA-CLIP's. A step costs the text tower's pass over all statements, whatever the batch, so
    batches are large and steps few, in place of its 1e-4 over 2,000 steps of batch 4. The learning rate for that is the best of
    four (.002, .005, .01, .02) on the toy set's validation view, one seed, one backbone.
    """

    num_context_tokens: int = 8
    with_class_name: bool = True
    learning_rate: float = 0.01
    weight_decay: float = 0.2
    batch_size: int = 256
    epochs: int = 60

    def __post_init__(self) -> None:
        if self.num_context_tokens < 1:
            raise BenchError(
                f"knowledge_prompt: num_context_tokens is {self.num_context_tokens}; without context there is nothing to learn"
            )


@dataclass(frozen=True)
class KnowledgePrompt:
    """The learnt context `(M, W)`; it goes in front of the statements of whatever classes are asked for."""

    adapter: PromptableAdapter
    context: Tensor
    with_class_name: bool

    @property
    def num_trainable(self) -> int:
        return self.context.numel()

    def __call__(self, features: Features, classes: Classes) -> Tensor:
        texts, owner = flatten(_texts(classes, self.with_class_name))
        prompts = prepare(self.adapter, texts, self.context.shape[0])
        logits = self.adapter.similarity(features, encode(self.adapter, prompts, self.context))
        return mean_by_class(logits, owner.to(logits.device), len(classes))


def _texts(classes: Classes, with_class_name: bool) -> list[list[str]]:
    if not classes.statements:
        raise BenchError("knowledge_prompt needs a knowledge bank; the classes came without statements")
    tail = [f" {name.replace('_', ' ')}" if with_class_name else "" for name in classes.names]
    return [
        [f"{text.rstrip('.')}.{end}" for text in of_class]
        for of_class, end in zip(classes.statements, tail, strict=True)
    ]


def fit(
    config: Config,
    adapter: PromptableAdapter,
    train: LabelledFeatures,
    val: LabelledFeatures | None,
    classes: Classes,
    seed: int,
) -> KnowledgePrompt:
    """Cross-entropy on the class logits of the training view, last step kept; no choice is made on the validation view."""
    generator = torch.Generator().manual_seed(seed)
    texts, owner = flatten(_texts(classes, config.with_class_name))
    prompts = prepare(adapter, texts, config.num_context_tokens)
    context = torch.nn.Parameter(initial_context(adapter, config.num_context_tokens, generator))
    labels, owner = train.labels.to(context.device), owner.to(context.device)

    def loss(rows: Tensor) -> Tensor:
        logits = adapter.similarity(train.features.select(rows), encode(adapter, prompts, context))
        return torch.nn.functional.cross_entropy(mean_by_class(logits, owner, len(classes)), labels[rows])

    schedule = TrainConfig(
        optimizer="adamw",
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        batch_size=config.batch_size,
        epochs=config.epochs,
    )
    run_training([context], loss, len(train), schedule, generator)
    return KnowledgePrompt(adapter, context.detach(), config.with_class_name)


def suggest(trial: Any) -> dict[str, Any]:
    """What a study may choose."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "num_context_tokens": trial.suggest_categorical("num_context_tokens", [4, 8, 16]),
        "with_class_name": trial.suggest_categorical("with_class_name", [False, True]),
    }


def describe(config: Config) -> str:
    """The row's name in a table."""
    return f"knowledge prompt, {config.num_context_tokens} tokens"
