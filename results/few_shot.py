"""How good each method is at each number of training videos a class: one table a data set, blocks by backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from results import _captions, _grid, _notes, _tables
from results._data import Board, Cell, board, grouped
from results._keys import column_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Few-shot"
_HEADER = ("Backbone", "Method")


def render(results: ResultsView) -> Iterator[Artifact]:
    """`few-shot-table-<data set>` as Markdown, CSV, LaTeX and HTML."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """One table a data set; one without few-shot runs says so."""
    whole = board(results)
    for dataset, cells in grouped(whole.cells, lambda cell: cell.key.dataset).items():
        name = f"few-shot-table-{_tables.slug(dataset)}"
        if any(cell.key.protocol == "few_shot" for cell in cells):
            yield _table(whole, name, [cell for cell in cells if cell.key.protocol in ("zero_shot", "few_shot")])
        else:
            yield _tables.empty(name, f"{TITLE}: {dataset}", _HEADER, f"There are no few-shot runs on {dataset}.")
    if not whole.cells:
        yield _tables.empty("few-shot-table", TITLE, _HEADER, "There are no runs yet.")


def _table(whole: Board, name: str, cells: Sequence[Cell]) -> _tables.Table:
    grid, title = _grid.Grid(whole, cells), _notes.dataset_title(whole, cells)
    shots = sorted({cell.key.shots for cell in cells})
    by_column = grouped(cells, lambda cell: cell.key.column)
    blocks = [
        grid.rows(by_column[column], _grid.row_key, lambda cell: cell.key.shots, shots, _head)
        for column in sorted(by_column)
    ]
    return _tables.Table(
        name=name,
        title=f"{TITLE}: {title}",
        caption=f"Few-shot on {title}, K training videos a class (K = 0: zero-shot). {_grid.TOP1} "
        f"Backbones: name (frames × views). {_captions.of(whole, cells, grid.tests)}",
        header=(*_HEADER, *(f"K = {k}" for k in shots)),
        blocks=tuple(blocks),
        num_text=len(_HEADER),
        frame=pd.DataFrame(grid.records),
        notes=tuple(_notes.of(whole, cells, grid.verdicts.values(), "one K on one backbone (frames × views)")),
        footnotes=grid.feet.listed(),
    )


def _head(row: Sequence[Cell]) -> Sequence[str]:
    return column_name(row[0].key.column), row[0].name
