"""Where statements stand in a backbone's text space: what refinement ranks and judges them by.

Shape legend: S statements, C classes, D joint embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.knowledge.leaks import spoken

if TYPE_CHECKING:
    from bench.contracts import Adapter

BATCH = 256  # texts at a time


@dataclass(frozen=True)
class Space:
    """Unit vectors, float64 on the CPU: of the statements `(S, D)`, and of each class's name in templates `(C, D)`, the "global
    text"; `owner` int64 `(S,)` is each statement's class.
    """

    statements: Tensor
    names: Tensor
    owner: Tensor


@dataclass(frozen=True)
class Measures:
    """Of each statement, float64 `(S,)`, among the statements that are still there.

    `own` is the cosine with the mean of its class's other statements and `other` that with the nearest other class's mean, `nearest`
    int64; `margin` is their difference, NaN where either is missing. `discriminability` is the cosine with the class's global text,
    `diversity` one minus the mean cosine with the class's other statements (0 for a lone one), `tpp` their sum.
    """

    own: Tensor
    other: Tensor
    nearest: Tensor
    margin: Tensor
    discriminability: Tensor
    diversity: Tensor
    tpp: Tensor

    def scores(self, row: int) -> dict[str, float]:
        """What a bank keeps of it."""
        told = {name: float(getattr(self, name)[row]) for name in SCORES}
        return {name: value for name, value in told.items() if value == value}


SCORES = ("margin", "discriminability", "diversity", "tpp")


def space(
    adapter: Adapter, texts: Sequence[str], owner: Sequence[int], names: Sequence[str], templates: Sequence[str]
) -> Space:
    """Embed statements, and class names in templates: the mean of a class's unit embeddings over the templates, of length one."""
    named = embed(adapter, [template.format(spoken(name)) for name in names for template in templates])
    means = named.reshape(len(names), len(templates), -1).mean(dim=1)
    return Space(embed(adapter, texts), F.normalize(means, dim=-1), torch.tensor(owner, dtype=torch.long))


def embed(adapter: Adapter, texts: Sequence[str]) -> Tensor:
    """Unit vectors float64 `(P, D)` of texts."""
    parts = [adapter.encode_text(texts[i : i + BATCH]).detach().cpu().double() for i in range(0, len(texts), BATCH)]
    return F.normalize(torch.cat(parts), dim=-1) if parts else torch.zeros(0, adapter.facts.embed_dim).double()


def measure(space: Space, there: Tensor) -> Measures:
    """The measures among the statements with `there` bool `(S,)`; for the others they say where these would stand."""
    unit, owner = space.statements, space.owner
    sums, counts = _sums(space, there)
    mine = torch.where(there[:, None], unit, 0)
    left, num = sums[owner] - mine, counts[owner] - there.long()
    dots = (unit * left).sum(dim=1)
    own = torch.where(num > 0, dots / left.norm(dim=1).clamp_min(1e-12), torch.nan)
    cosines = unit @ F.normalize(sums, dim=-1).T
    cosines[:, counts == 0] = -torch.inf
    cosines[torch.arange(len(unit)), owner] = -torch.inf
    other, nearest = cosines.max(dim=1)
    other = torch.where(other.isinf(), torch.nan, other)
    discriminability = (unit * space.names[owner]).sum(dim=1)
    diversity = torch.where(num > 0, 1 - dots / num.clamp_min(1), 0)
    return Measures(own, other, nearest, own - other, discriminability, diversity, discriminability + diversity)


def class_cosines(space: Space, there: Tensor) -> Tensor:
    """Cosines of the classes' mean statements, float64 `(C, C)`; -inf on the diagonal and where a class has no statement."""
    sums, counts = _sums(space, there)
    unit = F.normalize(sums, dim=-1)
    cosines = unit @ unit.T
    cosines[counts == 0] = -torch.inf
    cosines[:, counts == 0] = -torch.inf
    return cosines.fill_diagonal_(-torch.inf)


def _sums(space: Space, there: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of each class's statements `(C, D)`, and how many they are `(C,)`."""
    num = len(space.names)
    sums = torch.zeros(num, space.statements.shape[1], dtype=torch.float64)
    sums.index_add_(0, space.owner[there], space.statements[there])
    return sums, torch.bincount(space.owner[there], minlength=num)
