"""What others reported beside what was measured here: one table a data set and setting of which both are known.

Reported numbers are facts with a source. None is bold, none is tested, and sources that contradict each other stand side by side.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench import conflicts, published
from results import _captions, _notes, _tables, base_to_novel
from results._cells import no_interval, points, shown
from results._data import board, grouped
from results._keys import column_name, protocol_name
from results._notes import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView
    from bench.stats import Interval
    from results._data import Board, Cell

TITLE = "Measured and reported"
HEADER = ("What", "Metric", "Method", "Backbone", "Pre-training", "Frames", "Views", "Split", "Value (%)")
UNKNOWN = "not told"
METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "base_top1": "base top-1",
    "novel_top1": "novel top-1",
    "harmonic_mean": "harmonic mean",
}


def render(results: ResultsView) -> Iterator[Artifact]:
    """`published-<data set>-<protocol>` as Markdown, CSV, LaTeX and HTML, for those of which a number is published."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def text(results: ResultsView) -> str:
    """All of them for a terminal."""
    found = [_tables.text(table) for table in tables(results)]
    return "\n".join(found) or "No number is published for a data set, protocol and split that was measured here."


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """A table for each data set, protocol and K that has measured and published numbers of one metric."""
    whole = board(results)
    for (dataset, setting), cells in grouped(whole.cells, lambda cell: (cell.key.dataset, cell.key.setting)).items():
        splits = set(map(str, whole.distinct("split", cells)))
        parts = []
        for metric in METRICS:
            measured = [cell for cell in cells if _has(whole, cell, metric)]
            if measured and (rows := published.beside(dataset, *setting, splits, metric)):
                parts.append(_Part(metric, measured, rows))
        if parts:
            yield _table(whole, dataset, cells, parts)


@dataclasses.dataclass(frozen=True)
class _Part:
    """What is known of one metric."""

    metric: str
    cells: Sequence[Cell]
    rows: Sequence[published.Published]


def _has(whole: Board, cell: Cell, metric: str) -> bool:
    """Whether a cell has the metric; what came to nothing stands under the first metric of its protocol."""
    if cell.status != "complete":
        return metric == ("base_top1" if cell.key.protocol == "base_to_novel" else "top1")
    return not math.isnan(whole.mean(metric, cell))


def _table(whole: Board, dataset: str, cells: Sequence[Cell], parts: Sequence[_Part]) -> _tables.Table:
    feet = _tables.Footnotes()
    setting = cells[0].key.setting
    name = f"published-{_tables.slug(dataset)}-{'-'.join(str(part) for part in setting if part)}"
    blocks = []
    for part in parts:
        blocks.append(tuple(_measured(whole, cell, part.metric, feet) for cell in part.cells))
        blocks.append(tuple(_reported(row, part, feet) for row in part.rows))
    return _tables.Table(
        name=name,
        title=f"{TITLE}: {dataset}, {protocol_name(*setting)}",
        caption=(
            f"{', '.join(METRICS[part.metric] for part in parts).capitalize()} in percent. Measured: by this project, mean ± half of the "
            "95 % interval; reported: by others, ± their standard deviation where they tell one. "
            f"{_captions.of(whole, cells)}"
        ),
        header=HEADER,
        blocks=tuple(blocks),
        num_text=len(HEADER) - 1,
        frame=pd.DataFrame(line for part in parts for line in _lines(whole, part)),
        notes=(
            f"Measured here on {span(whole.distinct('num_classes', cells))} classes and {span(whole.distinct('num_test', cells))} test "
            f"videos of what is called {dataset}: names are compared and nothing else, and reported numbers are on the whole of it.",
            "Reported numbers are in no test and no interval of ours, and none is bold: their test videos, frames, views, prompts and "
            "selection are the sources' own. Where a source does not tell its split, it stands here all the same.",
            *_notes.supervised(whole, cells),
        ),
        footnotes=feet.listed(),
    )


def _number(whole: Board, cell: Cell, metric: str) -> tuple[float, Interval | None]:
    """A complete cell's mean in [0, 1] and its interval, None where no table of ours has one for this metric."""
    if metric == "top1":
        return cell.top1, cell.interval
    if metric in base_to_novel.METRICS:
        number = base_to_novel.numbers_of(whole, [cell], metric).get(cell)
        return (math.nan, None) if number is None else (number.interval.mean, number.interval)
    return whole.mean(metric, cell), whole.over_runs(cell, metric) if whole.repeated(cell) else None


def _measured(whole: Board, cell: Cell, metric: str, feet: _tables.Footnotes) -> tuple[_tables.Cell, ...]:
    pretraining = " / ".join(map(str, whole.distinct("pretraining", [cell], done=False))) or UNKNOWN
    splits = ", ".join(map(str, whole.distinct("split", [cell], done=False)))
    frames, views = (str(number or UNKNOWN) for number in (cell.key.num_frames, cell.key.num_views))
    texts = ("measured", METRICS[metric], cell.name, cell.key.backbone, pretraining, frames, views, splits)
    value, marks = shown(cell), [*cell.problems, *no_interval(cell)]
    if cell.status == "complete" and metric != "top1":
        mean, interval = _number(whole, cell, metric)
        half = math.nan if interval is None else interval.half_width
        value = points(mean) + ("" if math.isnan(half) else f" ± {100 * half:.1f}")
        value += f" ({len(cell.done)})" if len(cell.done) > 1 else ""
        why = "no interval: one run, and it is over test groups for top-1 alone" if interval is None else interval.over
        marks = [*cell.problems, *([why] if math.isnan(half) else [])]
    return (*map(_tables.Cell, texts), _tables.Cell(value, marks=tuple(map(feet.mark, marks))))


def _reported(row: published.Published, part: _Part, feet: _tables.Footnotes) -> tuple[_tables.Cell, ...]:
    value = f"{row.value:g}" + (f" ± {row.std:g}" if row.std is not None else "")
    told = [f"source: {row.source}; reproduce {row.name}"]
    told += [f"printed as {row.metric}"] if "copy" in row.metric else []
    told += [row.note] if row.note else []
    if others := conflicts.conflicts(row, part.rows):
        told.append(f"other numbers for it: {', '.join(conflicts.told(row, other) for other in others)}")
    texts = (row.method, row.backbone, row.pretraining, row.frames, row.views, row.over)
    first = [_tables.Cell("reported"), _tables.Cell(METRICS[part.metric])]
    first += [_tables.Cell(text or UNKNOWN) for text in texts]
    return (*first, _tables.Cell(value, marks=tuple(feet.mark(text) for text in told)))


def _lines(whole: Board, part: _Part) -> Iterator[dict[str, Any]]:
    """Of the CSV: a line a measured or reported number, `value`, `low`, `high` and `std` in [0, 1]."""
    key = part.cells[0].key
    same = {"dataset": key.dataset, "protocol": key.protocol, "shots": key.shots or None, "metric": part.metric}
    for cell in part.cells:
        value, interval = _number(whole, cell, part.metric) if cell.status == "complete" else (math.nan, None)
        yield same | {
            "what": "measured",
            "method": cell.name,
            "backbone": column_name(cell.key.column),
            "pretraining": " / ".join(map(str, whole.distinct("pretraining", [cell], done=False))),
            "frames": cell.key.num_frames or None,
            "views": cell.key.num_views or None,
            "split": " ".join(map(str, whole.distinct("split", [cell], done=False))),
            "status": cell.status,
            "value": value,
            "low": math.nan if interval is None else interval.low,
            "high": math.nan if interval is None else interval.high,
            "run_ids": " ".join(whole.run_ids(cell)),
        }
    for row in part.rows:
        facts = dataclasses.asdict(row)
        yield (
            {k: facts[k] for k in ("method", "backbone", "pretraining", "trainable", "frames", "views")}
            | same
            | {"what": "reported", "reported_name": row.name, "split": row.over, "value": row.value / 100}
            | {"std": None if row.std is None else row.std / 100}
            | {k: facts[k] for k in ("reported_by", "source", "note")}
        )
