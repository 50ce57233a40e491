"""Which two cells the close-up figures (per-class gains, confusion, reliability) show: one with knowledge and its baseline.

The rule, in each column of a data set: `knowledge_prompt` with the true descriptions against `coop`, at the largest number
of shots at which both are complete; otherwise zero-shot with descriptions against zero-shot with class names; of several
candidates the one with the highest top-1. Where there is neither pair, the best complete cell stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from results import _notes, _plots
from results._data import grouped
from results._keys import SUPERVISED, column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results._data import Board, Cell

MOST = 2  # backbones of a data set that one figure has room for
RULE = (
    "knowledge_prompt against coop at the largest common K, otherwise zero-shot descriptions against class names, "
    "of several the best"
)


@dataclass(frozen=True)
class Pair:
    """A cell and what it is held against; `base` is None where there is nothing to hold it against."""

    cell: Cell
    base: Cell | None

    @property
    def column(self) -> str:
        return column_name(self.cell.key.column)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Both, the baseline first."""
        return (self.cell,) if self.base is None else (self.base, self.cell)


@dataclass(frozen=True)
class Chosen:
    """The pairs of one data set that are drawn, and the columns that are not: no room, or no complete run."""

    dataset: str
    cells: tuple[Cell, ...]
    pairs: tuple[Pair, ...]
    no_room: tuple[str, ...]
    unfinished: tuple[str, ...]


def chosen(whole: Board) -> Iterator[Chosen]:
    """The pairs of each data set: real pairs first, then by top-1, `MOST` of them; base-to-novel is left out."""
    plain = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]  # told apart among other classes
    for dataset, cells in grouped(plain, lambda cell: cell.key.dataset).items():
        found, unfinished = [], []
        for column, part in grouped(cells, lambda cell: cell.key.column).items():
            done = [cell for cell in part if cell.status == "complete"]
            if done:
                found.append((_pair(whole, done), done))
            else:
                unfinished.append(column_name(column))
        found.sort(key=lambda of: (of[0].base is None, -of[0].cell.top1))
        shown: list[Pair] = []
        rest = []
        for pair, done in found:
            if len(shown) == MOST:
                rest.append(pair.column)
            elif sound := _readable(whole, done):
                shown.append(sound)
            else:
                unfinished.append(pair.column)
        yield Chosen(dataset, tuple(cells), tuple(shown), tuple(rest), tuple(unfinished))


def _readable(whole: Board, done: Sequence[Cell]) -> Pair | None:
    """The pair of these cells without runs whose predictions have been damaged since the index was made; None where none is left."""
    while done:
        pair = _pair(whole, done)
        sound = {cell.key: _readable_cell(whole, cell) for cell in pair.cells}
        if all(len(cell.done) for cell in sound.values()):
            return Pair(sound[pair.cell.key], sound[pair.base.key] if pair.base is not None else None)
        done = [cell for cell in done if len(sound.get(cell.key, cell).done)]
    return None


def _readable_cell(whole: Board, cell: Cell) -> Cell:
    why = [whole.unreadable(run_id) for run_id in whole.run_ids(cell, done=True)]
    if not any(why):
        return cell
    kept = cell.done[[not text for text in why]]
    return replace(cell, done=kept, problems=(*cell.problems, *(f"left out: {text}" for text in why if text)))


def note(whole: Board, one: Chosen, pairs: Sequence[Pair]) -> str:
    """The small print on which cells are drawn, what is left out or not as it should be, and toy scale."""
    told = [f"{pair.column}: {_versus(pair)}." for pair in pairs]
    if one.no_room:
        told.append(f"Not shown for want of room: {len(one.no_room)} more of the backbones.")
    if one.unfinished:
        told.append(f"Without a complete run: {', '.join(one.unfinished)}.")
    for pair in pairs:
        told += [f"{pair.column}, {c.name}: {_plots.short(text)}." for c in pair.cells for text in c.problems]
    told += [f"{text[0].upper()}{text[1:]}" for text in _notes.toy_scale(whole, [p.cell for p in pairs])]
    return " ".join(told)


def said(cell: Cell) -> str:
    """A cell in words: what it is called, its protocol, and its number of runs."""
    runs = f"{len(cell.done)} run{'s' if len(cell.done) > 1 else ''}"
    return f"{cell.name}, {protocol_name(*cell.key.setting)} ({runs})"


def _versus(pair: Pair) -> str:
    if pair.base is None:
        return f"{said(pair.cell)}, the best; no baseline to hold it against"
    return f"{said(pair.cell)} against {said(pair.base)}"


def _pair(whole: Board, done: Sequence[Cell]) -> Pair:
    for shots in sorted({cell.key.shots for cell in done if cell.key.protocol == "few_shot"}, reverse=True):
        here = [cell for cell in done if cell.key.setting == ("few_shot", shots)]
        knowing = [c for c in here if c.key.method == "knowledge_prompt" and c.key.bank_control == "none"]
        plain = [c for c in here if c.key.method == "coop"]
        if knowing and plain:
            return Pair(_best(knowing), _best(plain))
    untrained = [cell for cell in done if cell.key.protocol in ("zero_shot", SUPERVISED) and not cell.key.needs_train]
    zero = [cell for cell in untrained if cell.key.bank_control == "none"]
    described, named = (
        [cell for cell in zero if whole.distinct("text_source", [cell]) == [source]]
        for source in ("descriptions", "class_names")
    )
    if described and named:
        return Pair(_best(described), _best(named))
    return Pair(_best(done), None)


def _best(cells: Sequence[Cell]) -> Cell:
    return max(cells, key=lambda cell: cell.top1)
