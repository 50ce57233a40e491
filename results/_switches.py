"""Ablations: variants of one method that differ from a reference in one switch, and the paired differences.

A switch is a field of the method's config, the text it reads, the bank, or a control put on the bank.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.stats import PairedTest, holm
from results._data import grouped

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from results._data import Board, Cell


@dataclass(frozen=True, eq=False)
class Variant:
    """A cell that differs from the reference in `switch`: `was` there, `value` here. `test` is variant minus reference."""

    cell: Cell
    switch: str
    was: Any
    value: Any
    test: PairedTest
    p_holm: float = math.nan


@dataclass(frozen=True, eq=False)
class Ablation:
    """One method on one backbone under one protocol: its reference and what one switch at a time does to it."""

    reference: Cell
    variants: tuple[Variant, ...]


def ablations(board: Board, cells: Sequence[Cell]) -> list[Ablation]:
    """Every ablation among the cells of one data set; p values Holm-corrected over all of them together.

    The reference is the variant with the most neighbours that differ from it in one switch; of several the method's defaults,
    otherwise the first.
    """
    found = []
    for members in grouped(cells, _group).values():
        if len(members) > 1:
            found += list(_ablation(board, members))
    corrected = iter(holm([variant.test.p_value for one in found for variant in one.variants]))
    return [
        Ablation(
            one.reference,
            tuple(Variant(v.cell, v.switch, v.was, v.value, v.test, next(corrected)) for v in one.variants),
        )
        for one in found
    ]


def _group(cell: Cell) -> tuple[Hashable, ...]:
    return cell.key.setting, cell.key.method, cell.key.column


def _ablation(board: Board, cells: Sequence[Cell]) -> Iterator[Ablation]:
    settings = [switches(board, cell) for cell in cells]
    steps = [[_step(mine, theirs) for theirs in settings] for mine in settings]
    counts = [sum(step is not None for step in row) for row in steps]
    if not max(counts):
        return
    defaults = [str(board.values("is_default")[cell.runs[0]]) == "True" for cell in cells]  # older runs do not tell
    centre = max(range(len(cells)), key=lambda place: (counts[place], defaults[place], -place))
    reference = cells[centre]
    variants = []
    for cell, mine, name in zip(cells, settings, steps[centre], strict=True):
        if name is not None:
            test = _compare(board, cell, reference)
            variants.append(Variant(cell, name, settings[centre].get(name), mine.get(name), test))
    yield Ablation(reference, tuple(variants))


def switches(board: Board, cell: Cell) -> dict[str, Any]:
    """Every switch of a cell's method and where it stands."""
    row = cell.runs[0]
    config = board.values("config")[row]
    found: dict[str, Any] = json.loads(config) if isinstance(config, str) and config else {}
    if source := board.values("text_source")[row]:
        found.setdefault("text", source)
    if cell.key.bank:
        found["bank"] = cell.key.bank
    return found | {"control": cell.key.bank_control}


def _step(mine: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The one switch in which two variants differ; None where they differ in none or in several."""
    names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    # Whether a bank is read at all follows from another switch.
    names = [name for name in names if name != "bank" or ("bank" in mine and "bank" in theirs)]
    return names[0] if len(names) == 1 else None


def _compare(board: Board, cell: Cell, reference: Cell) -> PairedTest:
    for one in (cell, reference):
        if one.status != "complete":
            return PairedTest(math.nan, math.nan, math.nan, math.nan, 0, f"not testable: {one.name} is {one.status}")
    return board.compare(cell, reference)
