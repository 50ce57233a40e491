"""Prompts as a tree of their beginnings: in a causal tower, what several prompts begin with is computed once, and padding never.

A node is a token behind a given beginning, so that prompts which begin alike share nodes. Nodes in front of the first context vector
are frozen: their keys and values are computed once, when the tree is made. The others are live: computed anew in each step.
The result is that of the plain forward, because in a causal tower a token's state depends on the tokens in front of it alone.

Shape legend: P prompts, L tokens, W text width, D joint size, G contexts of M vectors each, n live nodes, f frozen nodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:
    from bench.contracts import CausalText, TextLayer

GATHERED = 4  # gathered keys and values that keep as much as a live node; measured, as prompting.KEPT_FLOATS
STEP = 8  # prompts whose lengths agree up to this many tokens are attended together; padding inside attention is cheap


@dataclass(frozen=True)
class _Bucket:
    """What is attended together: `queries` int64 `(B, S)` nodes, `keys` int64 `(B, L)` nodes, `mask` bool `(B, 1, S, L)`."""

    queries: Tensor
    keys: Tensor
    mask: Tensor


@dataclass(frozen=True)
class _Attention:
    """Buckets that cover some nodes, and int64 the row of each of these nodes among the buckets' outputs."""

    buckets: tuple[_Bucket, ...]
    rows: Tensor


@dataclass(frozen=True)
class Tree:
    """P prompts packed. See the module; `Tree.encode` is the tower from a context on."""

    tower: CausalText
    live: Tensor  # float32 (n, W): embedding and position; the position alone where a context vector is added
    places: Tensor  # int64: the live nodes that are context vectors
    vectors: Tensor  # int64: which row of the contexts (G * M, W) each of them takes
    frozen: tuple[tuple[Tensor, Tensor], ...]  # keys and values (f, W) of each layer
    inner: _Attention
    last: _Attention  # of the pooled nodes alone: nothing else of the last layer is read
    pool: Tensor  # int64 (P,): live nodes

    def encode(self, context: Tensor) -> Tensor:
        """Contexts float32 `(G, M, W)` -> text features `(P, D)`, not normalised; gradients reach the contexts."""
        given = gathered(context.reshape(-1, context.shape[-1]), self.vectors)
        x = self.live.index_add(0, self.places, given)
        *layers, last = self.tower.layers
        for layer, past in zip(layers, self.frozen, strict=False):
            x, _ = _layer(layer, x, past, self.inner)
        x, _ = _layer(last, x, self.frozen[-1], self.last, self.pool)
        return self.tower.head(x)


def _layer(
    layer: TextLayer, x: Tensor, past: tuple[Tensor, Tensor], attention: _Attention, only: Tensor | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """A layer over nodes `(n, W)` behind the keys and values of `past`; `only`: only these nodes go on. Also all keys and values."""
    q, k, v = layer.project(x)
    keys, values = torch.cat([past[0], k]), torch.cat([past[1], v])
    heads = layer.num_heads
    parts = []
    with plain_attention(x.device):
        for b in attention.buckets:
            taken = [gathered(of, rows) for rows, of in ((b.queries, q), (b.keys, keys), (b.keys, values))]
            q_heads, k_heads, v_heads = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in taken)
            seen = F.scaled_dot_product_attention(q_heads, k_heads, v_heads, attn_mask=b.mask)
            parts.append(seen.transpose(1, 2).reshape(b.queries.numel(), -1))
    attended = gathered(torch.cat(parts), attention.rows)
    return layer.finish(x if only is None else gathered(x, only), attended), (keys, values)


def gathered(values: Tensor, rows: Tensor) -> Tensor:
    """Rows int64 of any shape out of `values (n, W)`, by the call whose backward pass is the faster one: several times, on either side."""
    if values.device.type == "cpu":
        return F.embedding(rows, values)
    return torch.index_select(values, 0, rows.flatten()).view(*rows.shape, values.shape[1])


@contextlib.contextmanager
def plain_attention(device: torch.device) -> Iterator[None]:
    """On the CPU the plain kernel: flash attention's backward takes most of a step at the lengths of texts."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


# --- building ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    """A path from the root, as node numbers, and where on it the nodes begin that this item computes."""

    path: list[int]
    start: int


class Nodes:
    """The tree while prompts are put in. A text node's value is its token's id; a context vector's is its row, negative."""

    def __init__(self) -> None:
        self.children: dict[tuple[int, int], int] = {}
        self.values: list[int] = []
        self.depths: list[int] = []
        self.frozen: list[bool] = []
        self.items: list[_Item] = []
        self.num_live = 0  # nodes that each step computes
        self.num_keys = 0  # what attention gathers: all nodes of each prompt, frozen ones too

    def add(self, values: Sequence[int]) -> None:
        """A prompt, as its tokens' ids and, for context vectors, -1 - row."""
        node, path, start = -1, [], len(values)
        for depth, value in enumerate(values):
            child = self.children.get((node, value))
            if child is None:
                start = min(start, depth)
                child = self.children[node, value] = len(self.values)
                self.values.append(value)
                self.depths.append(depth)
                self.frozen.append(value >= 0 and (node < 0 or self.frozen[node]))
                self.num_live += not self.frozen[-1]
            node = child
            path.append(node)
        self.items.append(_Item(path, start))
        self.num_keys += len(path)

    @property
    def num_kept(self) -> int:
        """Live nodes that would keep as much for the gradient as this tree does. A node keeps about four times what gathering its key
        and value keeps; that counts where most of a text is frozen or shared.
        """
        return max(self.num_live, (self.num_live + self.num_keys) // GATHERED)


def build(tower: CausalText, nodes: Nodes, embed: Tensor, ids: Tensor) -> Tree:
    """The tree of the prompts in `nodes`.

    Args:
        embed: float32 `(V, W)`, embeddings of the token ids in `ids`, int64 `(V,)`, sorted.
    """
    device = tower.positions.device
    frozen = torch.tensor(nodes.frozen)
    number = torch.empty(len(frozen), dtype=torch.long)  # frozen nodes come first
    order = torch.cat([torch.nonzero(frozen).flatten(), torch.nonzero(~frozen).flatten()])
    number[order] = torch.arange(len(order))
    num_frozen = int(frozen.sum())
    values, depths = (torch.tensor(t)[order].to(device) for t in (nodes.values, nodes.depths))
    is_text = values >= 0
    states = tower.positions[depths].clone()
    states[is_text] += embed[torch.searchsorted(ids, values[is_text])]
    cut = [sum(nodes.frozen[n] for n in item.path) for item in nodes.items]
    renumbered = [_Item(number[item.path].tolist(), item.start) for item in nodes.items]
    past = _past(tower, states[:num_frozen], [_Item(i.path[:c], i.start) for i, c in zip(renumbered, cut, strict=True)])
    live = [_Item(i.path, max(i.start, c)) for i, c in zip(renumbered, cut, strict=True)]
    places = torch.nonzero(~is_text[num_frozen:]).flatten()
    return Tree(
        tower=tower,
        live=states[num_frozen:],
        places=places,
        vectors=-1 - values[num_frozen:][places],
        frozen=past,
        inner=_attention(live, num_frozen, device),
        last=_attention([_Item(i.path, len(i.path) - 1) for i in live], num_frozen, device, distinct=False),
        pool=torch.tensor([i.path[-1] - num_frozen for i in live], device=device),
    )


def _past(tower: CausalText, x: Tensor, items: Sequence[_Item]) -> tuple[tuple[Tensor, Tensor], ...]:
    """Keys and values of the frozen nodes, layer by layer."""
    nothing = x.new_empty(0, x.shape[1])
    if not len(x):
        return tuple((nothing, nothing) for _ in tower.layers)
    found, attention = [], _attention([i for i in items if i.start < len(i.path)], 0, x.device)
    with torch.no_grad():
        for layer in tower.layers:
            x, pair = _layer(layer, x, (nothing, nothing), attention)
            found.append(pair)
    return tuple(found)


def _attention(items: Sequence[_Item], num_frozen: int, device: torch.device, distinct: bool = True) -> _Attention:
    """Items in buckets of like length. `distinct`: rows in the order of the nodes that the items compute, else in that of the items."""
    order = sorted(range(len(items)), key=lambda n: len(items[n].path))
    groups: dict[int, list[_Item]] = {}
    for n in order:
        if items[n].start < len(items[n].path):
            groups.setdefault(-(-len(items[n].path) // STEP), []).append(items[n])
    buckets, computed, offset = [], [], 0
    for group in groups.values():
        longest, most = max(len(i.path) for i in group), max(len(i.path) - i.start for i in group)
        keys = torch.tensor([i.path + [0] * (longest - len(i.path)) for i in group])
        own = [[n - num_frozen for n in i.path[i.start :]] for i in group]
        queries = torch.tensor([o + [0] * (most - len(o)) for o in own])
        at = torch.tensor([i.start for i in group])[:, None] + torch.arange(most)  # where on its path a query stands
        last = torch.tensor([len(i.path) - 1 for i in group])[:, None]
        mask = torch.arange(longest) <= torch.minimum(at, last)[:, :, None]
        buckets.append(_Bucket(queries.to(device), keys.to(device), mask[:, None].to(device)))
        computed += [(n, offset + row * most + j) for row, o in enumerate(own) for j, n in enumerate(o)]
        offset += queries.numel()
    rows = [row for _, row in sorted(computed)] if distinct else _by_item(items, order, computed)
    return _Attention(tuple(buckets), torch.tensor(rows, dtype=torch.long, device=device))


def _by_item(items: Sequence[_Item], order: Sequence[int], computed: Sequence[tuple[int, int]]) -> list[int]:
    """Rows of items that compute one node each, in the order of the items."""
    rows = [0] * len(items)
    for n, (_, row) in zip(order, computed, strict=True):
        rows[n] = row
    return rows
