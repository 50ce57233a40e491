"""What text towers share: byte pairs, tokens with room for a context, what is put into a middle layer.

Shape legend: P texts, L tokens, W text width, M context tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

import torch
from torch import Tensor

from bench.contracts import BackboneFacts, BenchError, Features, NotApplicable, Tokens

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer


class Tokenizer(Protocol):
    """Text to ids, without special tokens, and what the tower puts around them."""

    @property
    def start(self) -> int | None:
        """Id in front of every text; None where the tower has none."""
        ...

    @property
    def end(self) -> int: ...

    @property
    def pad(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class BytePairs:
    """CLIP's byte-pair tokenizer, which open_clip ships; an end token behind every text, a start token in front where the tower has one."""

    inner: SimpleTokenizer
    with_start: bool = True
    pad: int = 0

    @property
    def start(self) -> int | None:
        return int(self.inner.sot_token_id) if self.with_start else None

    @property
    def end(self) -> int:
        return int(self.inner.eot_token_id)

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text))


class NoText:
    """The text side of a backbone that has none; mixed into its adapter, which says what it encodes."""

    ENCODES = "pictures"

    @property
    def facts(self) -> BackboneFacts:
        """The adapter's own."""
        raise NotImplementedError

    def encode_text(self, texts: Sequence[str]) -> NoReturn:
        """Raises NotApplicable."""
        raise NotApplicable(
            f"{self.facts.name} encodes {self.ENCODES} only: it has no text side, so it cannot embed sentences"
        )

    def similarity(self, features: Features, text: Tensor) -> NoReturn:
        """Raises NotApplicable."""
        raise NotApplicable(
            f"{self.facts.name} encodes {self.ENCODES} only: it has no text side to compare videos with"
        )


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], num_context_tokens: int, facts: BackboneFacts, device: torch.device
) -> Tokens:
    """Texts -> tokens with free positions in front of each text, `facts.context_length` long, pooled at the end token where causal,
    else at the last position. A text that does not fit loses its tail, never its end token; `num_cut` counts such texts.

    Raises:
        BenchError: the context leaves no room for text.
    """
    length = facts.context_length
    head = [] if tokenizer.start is None else [tokenizer.start]
    room = length - len(head) - num_context_tokens - 1
    if room < 1:
        raise BenchError(
            f"{num_context_tokens} context tokens leave no room for text: {facts.name} takes {length} tokens in all"
        )
    ids = torch.full((len(texts), length), tokenizer.pad, dtype=torch.long)
    pool = torch.full((len(texts),), length - 1, dtype=torch.long)
    num_text = torch.zeros(len(texts), dtype=torch.long)
    num_cut = 0
    for row, text in enumerate(texts):
        body = tokenizer.encode(text)
        num_cut += len(body) > room
        num_text[row] = min(len(body), room)
        sequence = [*head, *[tokenizer.pad] * num_context_tokens, *body[:room], tokenizer.end]
        ids[row, : len(sequence)] = torch.tensor(sequence)
        if facts.causal_text:
            pool[row] = len(sequence) - 1
    context = torch.arange(len(head), len(head) + num_context_tokens).expand(len(texts), -1)
    return Tokens(ids.to(device), pool.to(device), context.to(device), num_cut, num_text.to(device))


def put_in(hidden: Tensor, tokens: Tokens, values: Tensor | None) -> Tensor:
    """Hidden states `(P, L, W)` with `values`, `(M, W)` or `(P, M, W)`, at the context positions; None leaves them."""
    if values is None:
        return hidden
    values = values if values.dim() == 3 else values.expand(len(hidden), -1, -1)
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden.index_put((rows[:, None], tokens.context), values)
