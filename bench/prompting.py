"""Prompts as tensors: context vectors among the tokens of texts, through the frozen text tower, with gradients into the context only.

Every prompt method shares this path. A causal tower that an adapter takes apart (`text_layers`) goes by the tree of `packing`: texts
end at their own end, what several begin with is computed once, and what stands in front of the context is never computed again.
Any other causal tower is cut at the longest text's end. A tower that attends to its padding takes no cut: there padding is part of
the result. Where a step would keep more than MEMORY_BYTES for its gradient, the prompts go through in chunks that are computed again
in the backward pass.

Shape legend: P texts, L tokens, W text width, M context tokens, G contexts, D joint size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bench import packing
from bench.contracts import PROMPTS, BenchError, NotApplicable, PromptableAdapter, Tokens, layered_text
from bench.replay import MOST_TOKENS, Replayed

MEMORY_BYTES = 3 * 2**30  # kept for the gradient of one step; two such steps fit a laptop's memory side by side
KEPT_FLOATS = 26  # a token, a layer and a unit of width; measured on CLIP's tower with QuickGELU, the most of any
UNSEEN_LAYERS = 12  # of a tower that says nothing of its layers, to estimate what it keeps
PLACES = ("before", "around", "middle", "after")


@dataclass(frozen=True)
class Prompts:
    """P texts with M free positions each, tokenised once; only the contexts change from step to step.

    `own` int64 `(P,)` is the context that each text takes, or None where all take one. `num_cut` texts did not fit and lost their
    tail. `tokens_a_step` counts the tokens that the tower computes in a step, `tokens_whole` those of the plain forward; `why_whole`
    says why there is no saving, where there is none.
    """

    num: int
    num_context_tokens: int
    own: Tensor | None
    num_contexts: int  # that `own` asks for; 1 where all texts take one
    chunks: tuple[_Chunk, ...]
    order: Tensor  # int64 (P,): where among the chunks' results each text's is
    num_cut: int
    tokens_a_step: int
    tokens_whole: int
    why_whole: str = ""
    step: Replayed | None = field(default=None, compare=False, repr=False)  # where one tree of few tokens is all of it

    def __len__(self) -> int:
        return self.num


@dataclass(frozen=True)
class _Chunk:
    """Some of the texts: their rows, and a tree of them, or their tokens and frozen embeddings float32 `(p, L, W)`."""

    rows: Tensor
    tree: packing.Tree | None
    tokens: Tokens | None = None
    embeddings: Tensor | None = None


def prepare(
    adapter: PromptableAdapter,
    texts: Sequence[str],
    num_context_tokens: int,
    own: Sequence[int] | None = None,
    place: str = "before",
) -> Prompts:
    """Tokenise texts with room for the context and look their embeddings up; this is done once a fit.

    Args:
        own: for each text which of several contexts it takes; None: all take the same one.
        place: where in a text the context stands: "before" it, half on each side "around" it, in the "middle" between the halves of
            its tokens, or "after" it.

    Raises:
        NotApplicable: gradients cannot flow through the text tower.
        BenchError: an unknown place, or a tower that does not say where its texts end and a place that needs it.
        ValueError: `own` is not one context for each text.
    """
    if PROMPTS not in adapter.facts.capabilities:
        raise NotApplicable(f"{adapter.facts.name} has no text tower that gradients can flow through")
    tokens = moved(adapter.tokenize(texts, num_context_tokens), place)
    if own is not None and (len(own) != len(texts) or min(own, default=0) < 0):
        raise ValueError(f"{len(own)} contexts of their own for {len(texts)} texts, or a negative one among them")
    which = None if own is None else torch.as_tensor(own, dtype=torch.long, device=tokens.ids.device)
    num_contexts = 1 if own is None else max(own, default=-1) + 1
    whole, why = tokens.ids.numel(), ""
    if not adapter.facts.causal_text:
        why = f"{adapter.facts.name} attends to its padding: every text is computed at its full {tokens.ids.shape[1]} tokens"
    with torch.no_grad():
        if adapter.facts.causal_text and layered_text(adapter) is not None and num_context_tokens:
            chunks = tuple(_trees(adapter, tokens, which))
            computed = sum(len(c.tree.live) for c in chunks if c.tree)
        else:
            chunks = tuple(_plain(adapter, tokens))
            computed = sum(c.tokens.ids.numel() for c in chunks if c.tokens)
    order = torch.argsort(torch.cat([chunk.rows for chunk in chunks]))
    tree = chunks[0].tree if len(chunks) == 1 and computed <= MOST_TOKENS else None
    return Prompts(
        num=len(texts),
        num_context_tokens=num_context_tokens,
        own=which,
        num_contexts=num_contexts,
        chunks=chunks,
        order=order,
        num_cut=tokens.num_cut,
        tokens_a_step=computed,
        tokens_whole=whole,
        why_whole=why,
        step=None if tree is None else Replayed(tree.encode),
    )


def encode(adapter: PromptableAdapter, prompts: Prompts, context: Tensor) -> Tensor:
    """Text features `(P, D)`, not normalised, of the prompts with one context `(M, W)`, or with contexts `(G, M, W)` where the prompts
    have their own; gradients reach `context`.

    Raises:
        ValueError: a context of another shape, or fewer contexts than the prompts take.
    """
    wanted = 2 if prompts.own is None else 3
    if context.dim() != wanted or context.shape[-2] != prompts.num_context_tokens:
        raise ValueError(
            f"a context of shape {tuple(context.shape)} for prompts with {prompts.num_context_tokens} free positions"
            f"{'' if prompts.own is None else ' and contexts of their own'}"
        )
    contexts = context if context.dim() == 3 else context[None]
    if len(contexts) < prompts.num_contexts:
        raise ValueError(f"{len(contexts)} contexts for prompts that take {prompts.num_contexts}")
    again = len(prompts.chunks) > 1 and contexts.requires_grad and torch.is_grad_enabled()
    parts = []
    for chunk in prompts.chunks:
        if again:
            parts.append(checkpoint(_encode, adapter, chunk, contexts, prompts.own, use_reentrant=False))
        elif prompts.step is not None:
            parts.append(prompts.step(contexts))
        else:
            parts.append(_encode(adapter, chunk, contexts, prompts.own))
    return packing.gathered(torch.cat(parts), prompts.order)


def _encode(adapter: PromptableAdapter, chunk: _Chunk, contexts: Tensor, own: Tensor | None) -> Tensor:
    if chunk.tree is not None:
        return chunk.tree.encode(contexts)
    assert chunk.tokens is not None and chunk.embeddings is not None
    values = contexts.expand(len(chunk.rows), -1, -1) if own is None else contexts[own[chunk.rows]]
    rows = torch.arange(len(chunk.rows), device=contexts.device)[:, None]
    return adapter.encode_embedded(chunk.embeddings.index_put((rows, chunk.tokens.context), values), chunk.tokens)


# --- where the context stands ------------------------------------------------------------------------------------


def moved(tokens: Tokens, place: str) -> Tokens:
    """Tokens whose free positions stand in front of each text, with these moved to another place; nothing else changes."""
    if place not in PLACES:
        raise BenchError(f"unknown place {place!r} of a context; it is one of {', '.join(PLACES)}")
    num = tokens.context.shape[1]
    if place == "before" or not num:
        return tokens
    if tokens.num_text is None:
        raise BenchError(
            "this adapter's tokens do not say how long their texts are (num_text); leave the context before them"
        )
    ids, context = tokens.ids.clone(), tokens.context.clone()
    for row, length in enumerate(tokens.num_text.tolist()):
        head = int(tokens.context[row, 0])
        free, text = ids[row, head : head + num].clone(), ids[row, head + num : head + num + length].clone()
        first = num // 2 if place == "around" else 0  # free positions that stay in front
        cut = length // 2 if place == "middle" else length  # tokens in front of the other free positions
        ids[row, head : head + num + length] = torch.cat([free[:first], text[:cut], free[first:], text[cut:]])
        at = torch.arange(num, device=context.device)
        context[row] = head + at + torch.where(at < first, 0, cut)
    return replace(tokens, ids=ids, context=context)


# --- what a step computes ----------------------------------------------------------------------------------------


def _bytes_a_token(width: int, num_layers: int) -> int:
    return 4 * KEPT_FLOATS * width * num_layers


def _trees(adapter: Any, tokens: Tokens, own: Tensor | None) -> Iterator[_Chunk]:
    """Texts that begin alike side by side, in as many trees as memory asks for."""
    tower, num = adapter.text_layers(), tokens.context.shape[1]
    ids = tokens.ids.unique()
    embed = embed_ids(adapter, ids)
    most = max(1, MEMORY_BYTES // _bytes_a_token(embed.shape[1], len(tower.layers)))
    values = []
    for row, (line, end, context) in enumerate(
        zip(tokens.ids.tolist(), tokens.pool.tolist(), tokens.context.tolist(), strict=True)
    ):
        start = 0 if own is None else int(own[row]) * num
        for vector, position in enumerate(context):
            line[position] = -1 - start - vector
        values.append(line[: end + 1])
    rows: list[int] = []
    nodes = packing.Nodes()
    for row in sorted(range(len(values)), key=lambda row: values[row]):
        nodes.add(values[row])
        rows.append(row)
        if nodes.num_kept >= most:
            yield _Chunk(torch.tensor(rows, device=ids.device), packing.build(tower, nodes, embed, ids))
            rows, nodes = [], packing.Nodes()
    if rows:
        yield _Chunk(torch.tensor(rows, device=ids.device), packing.build(tower, nodes, embed, ids))


def _plain(adapter: PromptableAdapter, tokens: Tokens) -> Iterator[_Chunk]:
    """Texts as they come; cut at the longest one's end where the tower is causal: what stands behind it cannot change the result."""
    length = int(tokens.pool.max()) + 1 if adapter.facts.causal_text and len(tokens.pool) else tokens.ids.shape[1]
    width = adapter.embed_tokens(tokens.select(slice(0, 1))).shape[-1]
    layered = layered_text(adapter)
    layers = UNSEEN_LAYERS if layered is None else len(layered.text_layers().layers)
    most = max(1, MEMORY_BYTES // (_bytes_a_token(width, layers) * length))
    for start in range(0, len(tokens.ids), most):
        part = tokens.select(slice(start, start + most))
        part = replace(part, ids=part.ids[:, :length])
        rows = torch.arange(start, start + len(part.ids), device=tokens.ids.device)
        yield _Chunk(rows, None, part, adapter.embed_tokens(part))


def embed_ids(adapter: Any, ids: Tensor) -> Tensor:
    """Embeddings float32 `(V, W)` of token ids int64 `(V,)`, without positions."""
    nowhere = ids.new_zeros(1)
    return adapter.embed_tokens(Tokens(ids[None], nowhere, nowhere[:, None]))[0]  # type: ignore[no-any-return]


# --- contexts and classes ----------------------------------------------------------------------------------------


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
