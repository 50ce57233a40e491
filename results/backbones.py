"""Which method is best on which backbone: one table a data set, methods by protocol down, backbones across."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from results import _captions, _grid, _notes, _tables
from results._cells import MISSING
from results._data import Board, Cell, board, grouped
from results._keys import Key, column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Backbones"
_HEADER = ("Protocol", "Method", "Trained")
_COLUMN = ("backbone", "num_frames", "num_views", "precision")  # as in Key.column


def render(results: ResultsView) -> Iterator[Artifact]:
    """`backbones-<data set>` as Markdown, CSV, LaTeX and HTML."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def text(results: ResultsView) -> str:
    """All of these tables for a terminal."""
    return "\n".join(_tables.text(table) for table in tables(results))


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """One table a data set; without any run, one table that says so."""
    whole = board(results)
    for dataset, cells in grouped(whole.cells, lambda cell: cell.key.dataset).items():
        plain = [cell for cell in cells if cell.key.protocol != "base_to_novel"]  # which has a table of its own
        if plain:
            yield _table(whole, dataset, plain)
    if not whole.cells:
        yield _tables.empty("backbones", TITLE, _HEADER, "There are no runs yet.")


def _table(whole: Board, dataset: str, cells: Sequence[Cell]) -> _tables.Table:
    grid, title = _grid.Grid(whole, cells), _notes.dataset_title(whole, cells)
    columns = sorted({cell.key.column for cell in cells})

    def head(row: Sequence[Cell]) -> Sequence[str]:
        return protocol_name(*row[0].key.setting), row[0].name, _grid.trained(whole, row)

    chance = _chance(whole, cells, columns, grid.records)
    blocks = [
        grid.rows(part, _grid.row_key, lambda cell: cell.key.column, columns, head, marked=1, missing=_in_column)
        for part in grouped(cells, lambda cell: cell.key.setting).values()
    ]
    return _tables.Table(
        name=f"backbones-{_tables.slug(dataset)}",
        title=f"{TITLE}: {title}",
        caption=f"Top-1 accuracy in percent on {title}: mean ± half of its 95 % interval, (n) where it is the mean of n runs. "
        f"Column heads: backbone (frames × views). {_captions.of(whole, cells, grid.tests)}",
        header=(*_HEADER, *map(column_name, columns)),
        blocks=((chance,), *blocks),
        num_text=len(_HEADER),
        names=_HEADER.index("Method"),
        frame=pd.DataFrame(grid.records),
        notes=tuple(_notes.of(whole, cells, grid.verdicts.values())),
        footnotes=grid.feet.listed(),
    )


def _chance(
    whole: Board, cells: Sequence[Cell], columns: Sequence[Sequence[object]], records: list[dict[str, Any]]
) -> _grid.Row:
    """The first line, and its lines of the CSV."""
    line = [_tables.Cell(text) for text in (MISSING, "chance (100 / C)", MISSING)]
    found = grouped(cells, lambda cell: cell.key.column)
    for column in columns:
        counts = [int(count) for count in whole.distinct("num_classes", found[tuple(column)], done=False) if count]  # type: ignore[index]
        line.append(_tables.Cell(_grid.chance(counts)))
        of_column = dict(zip(_COLUMN, column, strict=True))
        chance = {"dataset": cells[0].key.dataset, "label": "chance", **of_column}
        records += [{**chance, "num_classes": count, "top1": 1 / count} for count in counts]
    return tuple(line)


def _in_column(key: Key, column: Sequence[Any]) -> Key:
    return key._replace(**dict(zip(_COLUMN, column, strict=True)))
