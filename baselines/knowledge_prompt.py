"""The knowledge-prompt method: learnable context among several descriptions a class, every part a switch.

After GaVA-CLIP (the ICube group's gait-analysis line, 2024): "[context] description class name", several descriptions a class, mean of
logits. The backbone stays frozen; what is learnt is the context and, where they are switched on, the small parts in
`baselines/_knowledge`. docs/method.md has every switch with its formula and source.

Shape legend: N videos, P statements, D joint size, C classes, M context tokens, W text width.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines._knowledge import aggregation, continuous, initial, losses, numeric, pooling
from baselines._knowledge.as_released import early_pooled
from baselines._knowledge.config import Config, describe, refuse_idle, refuse_one_frame, suggest
from bench.contracts import (
    KNOWLEDGE,
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
from bench.prompting import Prompts, encode, flatten, prepare
from bench.training import TrainConfig
from bench.training import train as run_training

__all__ = ["NEEDS", "TRAINABLE", "VERSION", "Config", "describe", "fit", "suggest"]

NEEDS = frozenset({TEXT, PROMPTS, KNOWLEDGE, TRAIN})
TRAINABLE = "prompt"
VERSION = 1
PARTS = 0x9A27  # drawn apart from context and batches, which so stay the same whichever parts are on


class Learnt(nn.Module):
    """Everything that is learnt: the context `(M, W)` or `(C, M, W)`, and the parts that are on."""

    def __init__(
        self,
        config: Config,
        adapter: PromptableAdapter,
        train: LabelledFeatures,
        context: Tensor,
        size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim = adapter.facts.embed_dim
        self.context = nn.Parameter(context)
        self.pooling = pooling.pooling(
            config.temporal_pooling, train.features.frames, config.transformer_layers, generator
        )
        dead = config.has_defect("continuous")
        width = context.shape[-1]
        self.projector = continuous.Projector(size, width, generator, dead) if config.continuous else None
        self.query = nn.Parameter(torch.zeros(dim)) if config.aggregation == "attention" else None
        self.memory = numeric.Memory(dim, generator) if config.numeric else None
        self.to(context.device)


@dataclass(frozen=True)
class Statements:
    """The statements of some classes made ready: tokens, the class of each `(P,)`, its row among class-specific contexts, its embedding."""

    texts: list[str]
    prompts: Prompts
    owner: Tensor
    context_of: Tensor | None
    embedding: Tensor | None
    num_classes: int


@dataclass(frozen=True)
class KnowledgePrompt:
    """A fitted method: asks for the statements of whatever classes are given, and puts what it learnt around them."""

    config: Config
    adapter: PromptableAdapter
    embed: Callable[[Sequence[str]], Tensor] | None
    class_names: tuple[str, ...]  # of training: whose contexts `learnt` holds where they are class-specific
    learnt: Learnt

    @property
    def num_trainable(self) -> int:
        return sum(p.numel() for p in self.learnt.parameters())

    def __call__(self, features: Features, classes: Classes) -> Tensor:
        statements = self.statements(classes)
        return self.logits(features, self.text_features(statements), statements)

    def interpret(self, features: Features, classes: Classes) -> Interpretation:
        """The learnt context, and which statement fits which frame."""
        statements = self.statements(classes)
        text, context = self.text_features(statements), self.learnt.context
        named = {"": context} if context.dim() == 2 else dict(zip(self.class_names, context, strict=True))
        fits = frame_logits(self.adapter, features.to(text.device), text).cpu()
        return Interpretation(named, statements.texts, statements.owner.tolist(), fits)

    def statements(self, classes: Classes) -> Statements:
        """Raises NotApplicable on classes that were not trained, where each has a context of its own."""
        config = self.config
        texts, owner = flatten(_texts(classes, config.with_class_name))
        row = {name: i for i, name in enumerate(self.class_names)}
        context_of = None
        if config.class_specific_context:
            if unseen := [c for c in classes.names if c not in row]:
                raise NotApplicable(
                    f"with class_specific_context only training classes have a context, not {', '.join(unseen[:5])}"
                )
            context_of = torch.tensor([row[classes.names[c]] for c in owner.tolist()])
        embedding = None
        if self.embed is not None:
            embedding = self.embed([s for of_class in classes.statements for s in of_class])
        # With the continuous channel every statement has a context of its own.
        own = range(len(texts)) if embedding is not None else None if context_of is None else context_of.tolist()
        tower = early_pooled(self.adapter) if config.has_defect("pooling") else self.adapter
        prompts = prepare(tower, texts, config.num_context_tokens, own, config.context_place)
        device = self.learnt.context.device
        context_of = None if context_of is None else context_of.to(device)
        return Statements(texts, prompts, owner.to(device), context_of, embedding, len(classes))

    def text_features(self, statements: Statements) -> Tensor:
        """Features of the prompts `(P, D)`, not normalised; gradients reach what is learnt."""
        context = self.learnt.context
        if self.learnt.projector is not None and statements.embedding is not None:
            of_statement = context if statements.context_of is None else context[statements.context_of]
            context = of_statement + self.learnt.projector(statements.embedding)[:, None]
        return encode(self.adapter, statements.prompts, context)

    def logits(self, features: Features, text: Tensor, statements: Statements) -> Tensor:
        """Class logits float32 `(N, C)` of videos, by what pools frames and what gathers statements."""
        if self.learnt.pooling is not None or self.config.aggregation == "transport":
            features = features.to(text.device)
        if self.learnt.pooling is not None:
            features = self.learnt.pooling(features)
        return aggregation.class_logits(
            self.config.aggregation,
            self.adapter,
            features,
            text,
            statements.owner,
            statements.num_classes,
            self.learnt.query,
        )


def _texts(classes: Classes, with_class_name: bool) -> list[list[str]]:
    if not classes.statements:
        raise BenchError("knowledge_prompt needs a knowledge bank; the classes came without statements")
    for name, of_class in zip(classes.names, classes.statements, strict=True):
        if not of_class:
            raise BenchError(f"knowledge_prompt: the class {name!r} came without a statement; add one to the bank")
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
    """The weighted losses on the training view, last step kept; no choice is made on the validation view."""
    refuse_idle(config)
    refuse_one_frame(config, train.features.frames.shape[1])
    _texts(classes, config.with_class_name)
    generator = torch.Generator().manual_seed(seed)
    parts = torch.Generator().manual_seed((seed << 16) + PARTS)
    embed = continuous.embedder(adapter, config.sentence_encoder) if config.continuous else None
    size = embed([classes.statements[0][0]]).shape[1] if embed else 0
    context = initial.context(config, adapter, classes, generator)
    learnt = Learnt(config, adapter, train, context, size, parts)
    predictor = KnowledgePrompt(config, adapter, embed, classes.names, learnt)
    schedule = TrainConfig(
        optimizer="adamw",
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        batch_size=config.batch_size,
        epochs=config.epochs,
    )
    loss, is_mean = _loss(predictor, train, classes)
    run_training(list(learnt.parameters()), loss, len(train), schedule, generator, is_mean)
    learnt.requires_grad_(False)
    return predictor


def _loss(
    predictor: KnowledgePrompt, train: LabelledFeatures, classes: Classes
) -> tuple[Callable[[Tensor], Tensor], bool]:
    """What a step minimises over rows of the training view, and whether that is a mean over them; all that does not change from step
    to step is made here.
    """
    config, adapter, learnt = predictor.config, predictor.adapter, predictor.learnt
    statements = predictor.statements(classes)
    if cut := statements.prompts.num_cut:
        print(
            f"knowledge_prompt: {cut} of {len(statements.texts)} statements lose their end: with {config.num_context_tokens} context "
            f"tokens {adapter.facts.name} has no room for more; shorten them, or take fewer context tokens",
            file=sys.stderr,
        )
    labels = train.labels.to(learnt.context.device)
    weights = losses.balance(labels, len(classes)) if config.class_balancing else None
    frozen = adapter.encode_text(statements.texts) if config.consistency_weight else None
    numbers, known = None, None
    if learnt.memory is not None:
        one = config.has_defect("antonym")
        numbers, known = numeric.embeddings(adapter, train.numeric, config.antonyms, one)

    def loss(rows: Tensor) -> Tensor:
        text = predictor.text_features(statements)
        logits, own = predictor.logits(train.features.select(rows), text, statements), labels[rows]
        each = losses.cross_entropy(logits, own, config.label_smoothing)
        factor: Tensor | float = config.cross_entropy_weight
        if config.focal_ordinal_weight:
            factor = factor + config.focal_ordinal_weight * losses.focal_ordinal_weights(logits, own)
        each = each * factor
        total = (each if weights is None else each * weights[own]).mean()
        if frozen is not None:
            total = total + config.consistency_weight * losses.consistency(text, frozen)
        if learnt.memory is not None and numbers is not None and known is not None and known[rows].any():
            there = rows.to(known.device)[known[rows]]
            means = aggregation.mean_features(F.normalize(text, dim=-1), statements.owner, len(classes))
            guess = learnt.memory(means, numbers[there])
            total = total + config.memory_weight * F.cross_entropy(guess, labels[there])
        return total

    # The memory's term is a mean over the rows that have a number: one over all of them only where all have.
    return loss, known is None or bool(known.all())
