"""Prompts as tensors: context vectors in front of texts, through the frozen text tower, with gradients into the context only.

Every prompt method shares this path. Shape legend: P texts, L tokens, W text width, M context tokens, D joint size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contracts import PROMPTS, NotApplicable, PromptableAdapter, Tokens

CHUNK_TEXTS = 512  # texts a text-tower call; bounds memory for many classes


@dataclass(frozen=True)
class Prompts:
    """P texts tokenised and embedded once, with M free positions each; only the context changes from step to step."""

    tokens: Tokens
    embeddings: Tensor  # float32 (P, L, W), frozen

    def __len__(self) -> int:
        return int(self.embeddings.shape[0])


def prepare(adapter: PromptableAdapter, texts: Sequence[str], num_context_tokens: int) -> Prompts:
    """Tokenise texts with room for the context and look their embeddings up; this is done once a fit.

    In a causal tower what stands behind the end-of-text token cannot change the result, so the sequences are cut at the
    longest one's end. A tower that is not causal is left whole: there padding takes part in attention.
    """
    if PROMPTS not in adapter.facts.capabilities:
        raise NotApplicable(f"{adapter.facts.name} has no text tower that gradients can flow through")
    tokens = adapter.tokenize(texts, num_context_tokens)
    if adapter.facts.causal_text:
        end = int(tokens.pool.max()) + 1
        tokens = Tokens(tokens.ids[:, :end], tokens.pool, tokens.context, tokens.num_cut)
    with torch.no_grad():
        return Prompts(tokens, adapter.embed_tokens(tokens))


def with_context(prompts: Prompts, context: Tensor) -> Tensor:
    """Put context vectors float32 `(M, W)` (shared) or `(P, M, W)` (a prompt's own) into the free positions -> `(P, L, W)`."""
    num, places = len(prompts), prompts.tokens.context
    if context.shape[-2] != places.shape[1]:
        raise ValueError(f"{context.shape[-2]} context vectors for {places.shape[1]} free positions")
    rows = torch.arange(num, device=context.device)[:, None]
    values = context if context.dim() == 3 else context.expand(num, -1, -1)
    return prompts.embeddings.index_put((rows, places), values)


def encode(adapter: PromptableAdapter, prompts: Prompts, context: Tensor) -> Tensor:
    """Text features `(P, D)`, not normalised, of the prompts with this context; gradients reach `context`."""
    embeddings = with_context(prompts, context)
    if len(prompts) <= CHUNK_TEXTS:
        return adapter.encode_embedded(embeddings, prompts.tokens)
    parts = []
    for start in range(0, len(prompts), CHUNK_TEXTS):
        at, t = slice(start, start + CHUNK_TEXTS), prompts.tokens
        parts.append(adapter.encode_embedded(embeddings[at], Tokens(t.ids[at], t.pool[at], t.context[at])))
    return torch.cat(parts)


def initial_context(
    adapter: PromptableAdapter, num_tokens: int, generator: torch.Generator, std: float = 0.02
) -> Tensor:
    """Random context float32 `(M, W)`, N(0, std^2) as in CoOp (Zhou et al., 2022)."""
    probe = adapter.embed_tokens(adapter.tokenize(["a"], 0))
    return (torch.randn(num_tokens, probe.shape[-1], generator=generator) * std).to(probe.device)


def flatten(statements: Sequence[Sequence[str]]) -> tuple[list[str], Tensor]:
    """Per-class lists -> all texts in one list and int64 `(P,)`, the class of each."""
    texts = [text for of_class in statements for text in of_class]
    owner = [c for c, of_class in enumerate(statements) for _ in of_class]
    return texts, torch.tensor(owner, dtype=torch.long)


def mean_by_class(logits: Tensor, owner: Tensor, num_classes: int) -> Tensor:
    """Logits of statements `(N, P)` -> mean logit of each class `(N, C)`."""
    sums = logits.new_zeros(logits.shape[0], num_classes).index_add(1, owner, logits)
    return sums / torch.bincount(owner, minlength=num_classes)
