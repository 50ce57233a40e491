"""What tables of cells share: rows, ties, footnotes and lines of the CSV, however rows and columns are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results import _tables
from results._cells import MISSING, cell_marks, record, selection, shown
from results._data import grouped
from results._keys import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from results._data import Board, Cell
from results._keys import Key

TOY_NAMES = "near chance by construction: the names never occur in the pre-training captions"
TOP1 = "Top-1 accuracy in percent: mean ± half of its 95 % interval, (n) where it is the mean of n runs."
Row = tuple[_tables.Cell, ...]


def row_key(cell: Cell) -> tuple[Hashable, ...]:
    """What cells of one row share, whatever they run on."""
    key = cell.key
    return key.needs_train, key.method, key.label, key.bank, key.bank_control


def by_setting(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells by protocol and shots over all data sets, in the order of the protocols."""

    def rank(setting: tuple[str, int]) -> tuple[int, str, int]:
        protocol, shots = setting
        return PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS), protocol, shots

    parts = grouped(cells, lambda cell: cell.key.setting)
    return [parts[setting] for setting in sorted(parts, key=rank)]


def chance(counts: Iterable[Any]) -> str:
    """100 / C in percent, for each number of classes; a dash for none."""
    return " / ".join(f"{100 / int(count):.1f}" for count in counts if count) or MISSING


def trained(whole: Board, row: Sequence[Cell]) -> str:
    """What was trained for a row: none, prompt, head or all; of imported rows that they are that; a dash where no run tells."""
    return "/".join(map(str, whole.distinct("trainable", row, done=False))) or MISSING


def row_marks(whole: Board, row: Sequence[Cell]) -> tuple[list[str], dict[Key, list[str]]]:
    """Footnotes of a whole row, and of its single cells where they differ: toy names, how settings were chosen."""
    names_only = row[0].key.protocol == "zero_shot" and whole.distinct("text_source", row, done=False) == [
        "class_names"
    ]
    shared: list[str] = []
    own: dict[Key, list[str]] = {cell.key: [] for cell in row}
    toys = [cell for cell in row if names_only and cell.key.dataset.startswith("toy")]
    _spread({cell.key: [TOY_NAMES] for cell in toys}, len(toys) == len(row), shared, own)
    if row[0].key.needs_train:
        _spread({cell.key: selection(whole, cell) for cell in row if len(cell.done)}, True, shared, own)
    return shared, own


def absent(whole: Board, cell: Cell, expected: set[tuple[Any, Any]]) -> list[str]:
    """Replicates that other cells to compare with have and this one has not even tried; splits alone where nothing is learnt."""
    if cell.status != "complete":
        return []
    have = whole.replicates([cell])
    if cell.key.needs_train:
        told = [f"seed {seed} on split {split}" for seed, split in sorted(expected - have, key=str)]
    else:
        told = [f"split {split}" for split in sorted({split for _, split in expected} - {split for _, split in have})]
    return [f"no run for {', '.join(told)}"] if told else []


class Grid:
    """A table of cells while it is put together; bold marks rest on cells of one data set, setting and backbone column."""

    def __init__(self, whole: Board, cells: Sequence[Cell]) -> None:
        self.board, self.cells = whole, cells
        self.feet = _tables.Footnotes()
        self.records: list[dict[str, Any]] = []
        families = grouped(cells, lambda cell: (cell.key.dataset, cell.key.setting, cell.key.column)).values()
        self.verdicts = whole.ties(families)
        self.tests = [verdict.test for verdict in self.verdicts.values()]
        # What learns nothing and draws nothing is the same for each seed: it lacks splits alone.
        parts = grouped(cells, lambda cell: (_comparable(cell), cell.key.needs_train))
        self._expected = {place: whole.replicates(part) for place, part in parts.items()}

    def rows(
        self,
        cells: Iterable[Cell],
        row: Callable[[Cell], Hashable],
        column: Callable[[Cell], Hashable],
        columns: Sequence[Hashable],
        head: Callable[[Sequence[Cell]], Sequence[str]],
        marked: int = -1,
        missing: Callable[[Key, Any], Key] | None = None,
    ) -> tuple[Row, ...]:
        """A block: one line for each `row`, its cells put under `columns`.

        `head` gives a line's first texts, of which the one at `marked` has the footnotes. With `missing`, which makes the key of
        a cell that is not there from one of its row and its column, the CSV has a line for those too.
        """
        lines = []
        for part in grouped(cells, row).values():
            shared, own = row_marks(self.board, part)
            line = [_tables.Cell(text) for text in head(part)]
            line[marked] = _tables.Cell(line[marked].text, marks=self.marks(shared))
            places: Mapping[Hashable, Cell] = {column(cell): cell for cell in part}
            for place in columns:
                line.append(self.shown(places.get(place), own))
                if place not in places and missing is not None:
                    key = missing(part[0].key, place)
                    told = {"shots": key.shots or None, "shown_as": part[0].name, "status": "missing"}
                    self.records.append({**key._asdict(), **told})
            lines.append(tuple(line))
        return tuple(lines)

    def shown(self, cell: Cell | None, own: Mapping[Key, Sequence[str]]) -> _tables.Cell:
        """One cell with its marks, and its line in the CSV."""
        if cell is None:
            return _tables.Cell(MISSING)
        verdict = self.verdicts.get(cell.key)
        self.records.append(record(self.board, cell, verdict))
        told = [
            *own.get(cell.key, ()),
            *absent(self.board, cell, self._expected[_comparable(cell), cell.key.needs_train]),
        ]
        bold = verdict is not None and verdict.bold
        return _tables.Cell(shown(cell), bold, self.marks(cell_marks(cell, verdict, told)))

    def marks(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Letters of footnotes."""
        return tuple(self.feet.mark(text) for text in texts)


def _comparable(cell: Cell) -> tuple[str, tuple[str, int]]:
    return cell.key.dataset, cell.key.setting


def _spread(texts: Mapping[Key, list[str]], whole: bool, shared: list[str], own: dict[Key, list[str]]) -> None:
    """Adds texts to the row where all its cells have the same, otherwise to each cell its own."""
    if whole and len({tuple(of_cell) for of_cell in texts.values()}) == 1:
        shared += next(iter(texts.values()))
        return
    for key, of_cell in texts.items():
        own[key] += of_cell
