"""What others reported beside what was measured here: one table a data set and setting of which both are known.

Reported numbers are facts with a source. None is bold, none is tested, and sources that contradict each other stand side by side.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pandas as pd

from bench import published
from results import _captions, _tables
from results._cells import shown
from results._data import board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView
    from results._data import Board, Cell

TITLE = "Measured and reported"
HEADER = ("What", "Method", "Backbone", "Pre-training", "Frames", "Views", "Split", "Top-1 (%)")
UNKNOWN = "not told"


def render(results: ResultsView) -> Iterator[Artifact]:
    """`published-<data set>-<protocol>` as Markdown, CSV, LaTeX and HTML, for those of which a number is published."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def text(results: ResultsView) -> str:
    """All of them for a terminal."""
    found = [_tables.text(table) for table in tables(results)]
    return "\n".join(found) or "No number is published for a data set, protocol and split that was measured here."


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """A table for each data set, protocol and K that has measured and published numbers."""
    whole = board(results)
    plain = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]
    for (dataset, setting), cells in grouped(plain, lambda cell: (cell.key.dataset, cell.key.setting)).items():
        splits = set(map(str, whole.distinct("split", cells)))
        if rows := published.beside(dataset, *setting, splits, "top1"):
            yield _table(whole, dataset, cells, rows)


def _table(whole: Board, dataset: str, cells: Sequence[Cell], rows: Sequence[published.Published]) -> _tables.Table:
    feet = _tables.Footnotes()
    setting = cells[0].key.setting
    name = f"published-{_tables.slug(dataset)}-{'-'.join(str(part) for part in setting if part)}"
    return _tables.Table(
        name=name,
        title=f"{TITLE}: {dataset}, {protocol_name(*setting)}",
        caption=(
            "Top-1 accuracy in percent. Measured: by this project, mean ± half of the 95 % interval; reported: by others, ± their "
            f"standard deviation where they tell one. {_captions.of(whole, cells)}"
        ),
        header=HEADER,
        blocks=(
            tuple(_measured(whole, cell) for cell in cells),
            tuple(_reported(row, rows, feet) for row in rows),
        ),
        num_text=len(HEADER) - 1,
        frame=_frame(whole, cells, rows),
        notes=(
            "Reported numbers are in no test and no interval of ours, and none is bold: their test videos, frames, views, prompts and "
            "selection are the sources' own. Where a source does not tell its split, it stands here all the same.",
        ),
        footnotes=feet.listed(),
    )


def _measured(whole: Board, cell: Cell) -> tuple[_tables.Cell, ...]:
    pretraining = " / ".join(map(str, whole.distinct("pretraining", [cell], done=False))) or UNKNOWN
    splits = ", ".join(map(str, whole.distinct("split", [cell], done=False)))
    frames, views = (str(number or UNKNOWN) for number in (cell.key.num_frames, cell.key.num_views))
    texts = ("measured", cell.name, cell.key.backbone, pretraining, frames, views, splits, shown(cell))
    return tuple(map(_tables.Cell, texts))


def _reported(
    row: published.Published, rows: Sequence[published.Published], feet: _tables.Footnotes
) -> tuple[_tables.Cell, ...]:
    value = f"{row.value:g}" + (f" ± {row.std:g}" if row.std is not None else "")
    told = [f"source: {row.source}; reproduce {row.name}"] + ([row.note] if row.note else [])
    if others := published.conflicts(row, rows):
        told.append("other numbers for it: " + ", ".join(f"{o.value:g} ({o.reported_by})" for o in others))
    texts = (row.method, row.backbone, row.pretraining, row.frames, row.views, row.split)
    first = [_tables.Cell("reported"), *(_tables.Cell(text or UNKNOWN) for text in texts)]
    return (*first, _tables.Cell(value, marks=tuple(feet.mark(text) for text in told)))


def _frame(whole: Board, cells: Sequence[Cell], rows: Sequence[published.Published]) -> pd.DataFrame:
    """The CSV: measured and reported lines, `top1` in [0, 1]."""
    measured = [
        {
            "what": "measured",
            "method": cell.name,
            "backbone": column_name(cell.key.column),
            "status": cell.status,
            "top1": cell.top1,
            "run_ids": " ".join(whole.run_ids(cell)),
        }
        for cell in cells
    ]
    reported = [
        {"what": "reported", "reported_name": row.name, "top1": row.value / 100}
        | {k: v for k, v in dataclasses.asdict(row).items() if k not in ("value", "metric", "std", "shots")}
        | {"std": None if row.std is None else row.std / 100}
        for row in rows
    ]
    key = cells[0].key
    return pd.DataFrame([*measured, *reported]).assign(
        dataset=key.dataset, protocol=key.protocol, shots=key.shots or None
    )
