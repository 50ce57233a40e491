"""How good each text source is without any training, on each split of a data set and on their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from results import _captions, _grid, _notes, _tables
from results._cells import MISSING, points
from results._data import Board, Cell, board, grouped, nanmean
from results._keys import column_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Zero-shot"
_HEADER = ("Backbone", "Method", "Text")


def render(results: ResultsView) -> Iterator[Artifact]:
    """`zero-shot-<data set>` as Markdown, CSV, LaTeX and HTML."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """One table a data set; one without zero-shot runs says so."""
    whole = board(results)
    for dataset, cells in grouped(whole.cells, lambda cell: cell.key.dataset).items():
        name, plain = f"zero-shot-{_tables.slug(dataset)}", [c for c in cells if c.key.protocol == "zero_shot"]
        if plain:
            yield _table(whole, name, plain)
        else:
            yield _tables.empty(name, f"{TITLE}: {dataset}", _HEADER, f"There are no zero-shot runs on {dataset}.")
    if not whole.cells:
        yield _tables.empty("zero-shot", TITLE, _HEADER, "There are no runs yet.")


def _table(whole: Board, name: str, cells: Sequence[Cell]) -> _tables.Table:
    grid, title = _grid.Grid(whole, cells), _notes.dataset_title(whole, cells)
    splits = whole.distinct("split", cells, done=False)
    by_column = grouped(cells, lambda cell: cell.key.column)
    blocks = [tuple(_line(grid, cell, splits) for cell in by_column[column]) for column in sorted(by_column)]
    return _tables.Table(
        name=name,
        title=f"{TITLE}: {title}",
        caption=f"Zero-shot on {title}, each split by itself and the mean of all runs. {_grid.TOP1} "
        f"Backbones: name (frames × views). {_captions.of(whole, cells, grid.tests)}",
        header=(*_HEADER, *(f"Split {split}" for split in splits), "Mean"),
        blocks=tuple(blocks),
        num_text=len(_HEADER),
        names=_HEADER.index("Method"),
        frame=pd.DataFrame(grid.records),
        notes=tuple(
            _notes.of(whole, cells, grid.verdicts.values(), "the means on one backbone (frames × views)"),
        ),
        footnotes=grid.feet.listed(),
    )


def _line(grid: _grid.Grid, cell: Cell, splits: Sequence[str]) -> _grid.Row:
    """One row: its splits and their mean; the line of the CSV has a column `top1_<split>` for each."""
    whole = grid.board
    shared, own = _grid.row_marks(whole, [cell])
    sources = whole.distinct("text_source", [cell], done=False)
    source = " / ".join(text.replace("_", " ") for text in sources if text) or MISSING
    told = {split: _on_split(whole, cell, split) for split in splits}
    untried = [split for split, (text, _) in told.items() if text == MISSING]
    if untried and cell.status == "complete":
        own[cell.key].append(f"mean without {', '.join(f'split {split}' for split in untried)}: no run")
    head = [_tables.Cell(column_name(cell.key.column)), _tables.Cell(cell.name, marks=grid.marks(shared))]
    mean = grid.shown(cell, own)
    grid.records[-1] |= {f"top1_{split}": share for split, (_, share) in told.items()}
    return (*head, _tables.Cell(source), *(_tables.Cell(text) for text, _ in told.values()), mean)


def _on_split(whole: Board, cell: Cell, split: str) -> tuple[str, float]:
    """What stands for one split, and the accuracy in [0, 1]: the mean of its runs, or what became of them."""
    done = cell.done[whole.values("split")[cell.done] == split]
    if len(done):
        share = nanmean(whole.values("top1")[done])
        return points(share), share
    tried = cell.runs[whole.values("split")[cell.runs] == split]
    states = dict.fromkeys(whole.values("status")[tried].tolist())
    if not states:
        return MISSING, float("nan")
    return cell.status if cell.status == "mixed" else "/".join(states), float("nan")
