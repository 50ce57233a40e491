"""Which method is best on which backbone: one table a data set, methods by protocol down, backbones across."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from results import _captions, _grid, _notes, _tables
from results._cells import MISSING, cell_marks, record, shown
from results._data import Board, Cell, Verdict, board, grouped
from results._keys import Key, column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Backbones"
TOY_NAMES = _grid.TOY_NAMES
_HEADER = ("Protocol", "Method", "Trained")


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
            yield _Sheet(dataset, plain, whole).table()
    if not whole.cells:
        yield _tables.empty("backbones", TITLE, _HEADER, "There are no runs yet.")


class _Sheet:
    """One data set's table while it is put together."""

    def __init__(self, dataset: str, cells: Sequence[Cell], whole: Board) -> None:
        self.dataset, self.cells, self.board = dataset, cells, whole
        self.columns = sorted({cell.key.column for cell in cells})
        self.feet = _tables.Footnotes()
        self.records: list[dict[str, Any]] = []
        self.verdicts: list[Verdict] = []

    def table(self) -> _tables.Table:
        """The finished table."""
        title = _notes.dataset_title(self.board, self.cells)
        blocks = [self._chance()]
        blocks += [self._block(cells) for cells in grouped(self.cells, lambda cell: cell.key.setting).values()]
        tests = [verdict.test for verdict in self.verdicts]
        return _tables.Table(
            name=f"backbones-{_tables.slug(self.dataset)}",
            title=f"{TITLE}: {title}",
            caption=f"Top-1 accuracy in percent on {title}: mean ± half of its 95 % interval, (n) where it is the mean "
            f"of n runs. Column heads: backbone (frames × views). {_captions.of(self.board, self.cells, tests)}",
            header=(*_HEADER, *map(column_name, self.columns)),
            blocks=tuple(blocks),
            num_text=len(_HEADER),
            frame=pd.DataFrame(self.records),
            notes=tuple(_notes.of(self.board, self.cells, self.verdicts)),
            footnotes=self.feet.listed(),
        )

    def _chance(self) -> tuple[tuple[_tables.Cell, ...], ...]:
        cells = [_tables.Cell(text) for text in (MISSING, "chance (100 / C)", MISSING)]
        found = grouped(self.cells, lambda cell: cell.key.column)
        for column in self.columns:
            counts = [int(count) for count in self.board.distinct("num_classes", found[column], done=False)]
            cells.append(_tables.Cell(_grid.chance(counts)))
            names = ("backbone", "num_frames", "num_views", "precision")
            chance = {"dataset": self.dataset, "label": "chance", **dict(zip(names, column, strict=True))}
            self.records += [{**chance, "num_classes": count, "top1": 1 / count} for count in counts]
        return (tuple(cells),)

    def _block(self, cells: Sequence[Cell]) -> tuple[tuple[_tables.Cell, ...], ...]:
        """The rows of one protocol and number of shots: within each column, they are what can be compared."""
        verdicts: dict[Key, Verdict] = {}
        for of_column in grouped(cells, lambda cell: cell.key.column).values():
            verdicts |= self.board.ties(of_column)
        self.verdicts += verdicts.values()
        expected = self.board.replicates([cell for cell in cells if cell.key.needs_train])
        lines = []
        for row in grouped(cells, _grid.row_key).values():
            parts = {cell.key.column: cell for cell in row}
            first = row[0]
            shared, own = _grid.row_marks(self.board, row)
            trained = "/".join(map(str, self.board.distinct("trainable", row, done=False)))
            line = [
                _tables.Cell(protocol_name(*first.key.setting)),
                _tables.Cell(first.name, marks=tuple(self.feet.mark(text) for text in shared)),
                _tables.Cell(trained),
            ]
            for column in self.columns:
                cell = parts.get(column)
                if cell is None:
                    line.append(_tables.Cell(MISSING))
                    continue
                verdict = verdicts.get(cell.key)
                told = [*own[cell.key], *_grid.absent(self.board, cell, expected)]
                marks = tuple(self.feet.mark(text) for text in cell_marks(cell, verdict, told))
                line.append(_tables.Cell(shown(cell), verdict is not None and verdict.bold, marks))
            self._record(row, verdicts)
            lines.append(tuple(line))
        return tuple(lines)

    def _record(self, row: Sequence[Cell], verdicts: dict[Key, Verdict]) -> None:
        """A line of the CSV for each column, also for those without a run."""
        parts = {cell.key.column: cell for cell in row}
        for column in self.columns:
            if column in parts:
                cell = parts[column]
                self.records.append(record(self.board, cell, verdicts.get(cell.key)))
            else:
                backbone, num_frames, num_views, precision = column
                key = row[0].key._replace(
                    backbone=backbone, num_frames=num_frames, num_views=num_views, precision=precision
                )
                self.records.append(
                    {**key._asdict(), "shots": key.shots or None, "shown_as": row[0].name, "status": "missing"}
                )
