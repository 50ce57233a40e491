"""Which method is best on which data set: methods on each backbone down, by protocol; data sets across."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from results import _captions, _grid, _notes, _tables
from results._cells import MISSING
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Leaderboard"
_HEADER = ("Protocol", "Backbone", "Method", "Trained")


def render(results: ResultsView) -> Iterator[Artifact]:
    """`leaderboard` as Markdown, CSV, LaTeX and HTML."""
    yield from _tables.artifacts(table(results))


def text(results: ResultsView) -> str:
    """The same for a terminal."""
    return _tables.text(table(results))


def table(results: ResultsView) -> _tables.Table:
    """One table over all data sets; without any run to show, one that says so."""
    whole = board(results)
    cells = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]
    if not cells:
        why = "All runs are base-to-novel, which has a table of its own." if whole.cells else "There are no runs yet."
        return _tables.empty("leaderboard", TITLE, _HEADER, why)
    grid = _grid.Grid(whole, cells)
    by_dataset = grouped(cells, lambda cell: cell.key.dataset)
    chances = [_grid.chance(whole.distinct("num_classes", part, done=False)) for part in by_dataset.values()]
    first = tuple(map(_tables.Cell, (MISSING, MISSING, "chance (100 / C)", MISSING, *chances)))
    blocks = [
        grid.rows(
            sorted(part, key=lambda cell: cell.key.column),
            lambda cell: (_method(cell), cell.key.column),
            lambda cell: cell.key.dataset,
            list(by_dataset),
            lambda row: _head(whole, row),
            marked=2,
            missing=lambda key, dataset: key._replace(dataset=dataset),
        )
        for part in _grid.by_setting(cells)
    ]
    return _tables.Table(
        name="leaderboard",
        title=TITLE,
        caption=f"{_grid.TOP1} Backbones: name (frames × views). {_captions.of(whole, cells, grid.tests)}",
        header=(*_HEADER, *by_dataset),
        blocks=((first,), *blocks),
        num_text=len(_HEADER),
        names=_HEADER.index("Method"),
        frame=pd.DataFrame(grid.records),
        notes=tuple(
            _notes.of(
                whole, cells, grid.verdicts.values(), "one protocol and data set on one backbone (frames × views)"
            )
        ),
        footnotes=grid.feet.listed(),
    )


def _method(cell: Cell) -> tuple[object, ...]:
    """One row over data sets, although each has a bank of its own."""
    return cell.key.needs_train, cell.key.method, cell.name, cell.key.bank_control


def _head(whole: Board, row: Sequence[Cell]) -> Sequence[str]:
    first = row[0]
    return protocol_name(*first.key.setting), column_name(first.key.column), first.name, _grid.trained(whole, row)
