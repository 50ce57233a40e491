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
from results._keys import bank_names

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
    """One method on one backbone under one protocol: its reference and what one switch at a time does to it.

    `kind` tells several of one method apart: "" for the first, "2" for variants that lie around another reference, and "baseline"
    where the reference is the method without knowledge.
    """

    reference: Cell
    variants: tuple[Variant, ...]
    kind: str = ""


def ablations(board: Board, cells: Sequence[Cell]) -> list[Ablation]:
    """Every ablation among the cells of one data set; p values Holm-corrected over all of them together.

    The reference is the method as it is, all defaults and the bank as it stands, where any variant differs from it in one switch;
    otherwise the variant with the most such neighbours, the first of several. Variants that are no neighbours of it are an ablation of
    their own, with a reference among them, and so on.
    Where controls were put on the bank, all of them are held against CoOp too: do they gain anything over a context without knowledge?
    """
    found = []
    studies = board.values("study")
    cells = [
        cell for cell in cells if not studies[cell.runs[0]]
    ]  # what was tuned differs in whatever was best, not in one switch
    for members in grouped(cells, _group).values():
        if len(members) > 1:
            found += list(_ablations(board, members))
    for members in grouped(cells, lambda cell: (cell.key.setting, cell.key.column)).values():
        found += list(_against_baseline(board, members))
    corrected = iter(holm([variant.test.p_value for one in found for variant in one.variants]))
    return [
        Ablation(
            one.reference,
            tuple(Variant(v.cell, v.switch, v.was, v.value, v.test, next(corrected)) for v in one.variants),
            one.kind,
        )
        for one in found
    ]


def _group(cell: Cell) -> tuple[Hashable, ...]:
    return cell.key.setting, cell.key.method, cell.key.column


def _ablations(board: Board, cells: Sequence[Cell]) -> Iterator[Ablation]:
    settings = [switches(board, cell) for cell in cells]
    steps = [[_step(mine, theirs) for theirs in settings] for mine in settings]
    plain = [_is_default(board, cell) and cell.key.bank_control == "none" for cell in cells]
    has_runs = [cell.status == "complete" for cell in cells]  # nothing can be held against a reference without
    banks = bank_names({cell.key.bank for cell in cells})
    left = set(range(len(cells)))  # that no reference has been held against yet
    number = 1
    while True:
        counts = {one: sum(steps[one][other] is not None for other in left) for one in left}
        if not max(counts.values(), default=0):
            return
        centre = max(
            left, key=lambda place: (has_runs[place], plain[place] and counts[place] > 0, counts[place], -place)
        )
        reference, variants = cells[centre], []
        for place in sorted(left):
            name = steps[centre][place]
            if name is not None:
                mine, test = settings[place], _compare(board, cells[place], reference)
                was, value = (one.get(name) for one in (settings[centre], mine))
                if name == "bank":
                    was, value = banks[str(was)], banks[str(value)]
                variants.append(Variant(cells[place], name, was, value, test))
                if not plain[place]:  # with another bank it is the reference of what was done to that one
                    left.discard(place)
        left.discard(centre)
        yield Ablation(reference, tuple(variants), "" if number == 1 else str(number))
        number += 1


def _against_baseline(board: Board, cells: Sequence[Cell]) -> Iterator[Ablation]:
    """The knowledge prompt's defaults under every control of the bank, and with the bank as it is, against CoOp's defaults."""
    plain = [cell for cell in cells if _is_default(board, cell)]
    knowing = [cell for cell in plain if cell.key.method == "knowledge_prompt"]
    baseline = [cell for cell in plain if cell.key.method == "coop"]
    if len(baseline) != 1 or all(cell.key.bank_control == "none" for cell in knowing):
        return
    variants = [
        Variant(cell, "knowledge", "no bank", cell.key.bank_control, _compare(board, cell, baseline[0]))
        for cell in knowing
    ]
    yield Ablation(baseline[0], tuple(variants), "baseline")


def _is_default(board: Board, cell: Cell) -> bool:
    return str(board.values("is_default")[cell.runs[0]]) == "True"  # older runs do not tell


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
