"""What each method costs on each backbone, beside what it reaches: parameters, operations, time and memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from results import _captions, _costs, _grid, _notes, _tables
from results._cells import MISSING, no_interval, shown
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Cost"
COSTS = {
    "resolution": "Pixels",
    "num_trainable": "Trainable parameters",
    "num_parameters": "Parameters",
    "gflops_video": "GFLOPs a video",
    "feature_ms": "Features, ms a video",
    "fit_seconds": "Training, s",
    "predict_ms": "Method, ms a video",
    "memory_over_start_mb": "Peak memory over start, MB",
}
_HEADER = ("Backbone", "Measured on", "Method")
_NUMBERS = ("Top-1", "Frames", "Views", *COSTS.values())


def render(results: ResultsView) -> Iterator[Artifact]:
    """`cost` as Markdown, CSV, LaTeX and HTML."""
    yield from _tables.artifacts(table(results))


def table(results: ResultsView) -> _tables.Table:
    """One row a method and backbone, from one of the settings that it was run in; without a complete run, why."""
    whole = board(results)
    cells = _chosen(whole)
    if not cells:
        why = "No run is complete." if whole.cells else "There are no runs yet."
        return _tables.empty("cost", TITLE, (*_HEADER, *_NUMBERS), why)
    feet = _tables.Footnotes()
    several = len(whole.distinct("hardware", cells)) > 1
    records: list[dict[str, Any]] = []
    blocks = []
    for part in grouped(cells, lambda cell: (cell.key.column, cell.key.dataset, cell.key.setting)).values():
        blocks.append(tuple(_line(whole, cell, several, feet, records) for cell in part))
    return _tables.Table(
        name="cost",
        title=TITLE,
        caption="Cost and accuracy of each method on each backbone (frames × views), measured where the most videos were "
        f"tested, among those with the most training videos a class. {_grid.TOP1} Costs are means over the same runs. "
        f"{_captions.of(whole, cells)}",
        header=(*_HEADER, *_NUMBERS),
        blocks=tuple(blocks),
        num_text=len(_HEADER),
        frame=pd.DataFrame(records),
        notes=tuple(_notes_of(whole, cells)),
        footnotes=feet.listed(),
    )


def _chosen(whole: Board) -> list[Cell]:
    """For each method and backbone the complete cell with the most test videos, then shots; base-to-novel where alone."""
    done = [cell for cell in whole.cells if cell.status == "complete"]
    found = []
    for part in grouped(done, lambda cell: (cell.key.column, _row(cell))).values():
        found.append(max(part, key=lambda cell: (cell.key.protocol != "base_to_novel", *_size(whole, cell))))
    return sorted(found, key=lambda cell: cell.key.column)


def _row(cell: Cell) -> tuple[object, ...]:
    """Banks differ between data sets, but what a method costs is told once."""
    return cell.key.needs_train, cell.key.method, cell.name, cell.key.bank_control


def _size(whole: Board, cell: Cell) -> tuple[float, int]:
    videos = whole.mean("num_test", cell)
    return -1.0 if math.isnan(videos) else videos, cell.key.shots


def _line(
    whole: Board, cell: Cell, several: bool, feet: _tables.Footnotes, records: list[dict[str, Any]]
) -> tuple[_tables.Cell, ...]:
    machines = whole.distinct("hardware", [cell])
    told = [*cell.problems, *no_interval(cell)]
    if several:
        where = " and ".join(map(str, machines)) or "hardware that was not recorded"
        told.append(f"measured on {where}" + ("; means over all of them" if len(machines) > 1 else ""))
    costs, partly = {}, []
    for name, head in COSTS.items():
        each = _costs.each(whole, name, cell)
        num = sum(not pd.isna(value) for value in each.tolist())
        costs[name] = _costs.mean(whole, name, cell)
        if 0 < num < len(cell.done):
            partly.append(f"{head} ({num} of {len(cell.done)})")
    if partly:
        told.append(f"recorded in some of its runs only: {', '.join(partly)}")
    if (trained := whole.distinct("train_resolution", [cell])) and trained != whole.distinct("resolution", [cell]):
        told.append(
            f"trained on pictures of {'/'.join(f'{side:g}' for side in trained)} pixels; its test views are crops of another size, as its "
            "config has it"
        )
    sources = [source for source in whole.distinct("gflops_source", [cell]) if source]
    told += [f"GFLOPs not counted here: {source}" for source in sources]
    marks = tuple(feet.mark(text) for text in told)
    place = f"{cell.key.dataset}, {protocol_name(*cell.key.setting)}"
    line = {**cell.key._asdict(), "shots": cell.key.shots or None, "shown_as": cell.name, "top1": cell.top1}
    if cell.interval is not None:
        line |= {"low": cell.interval.low, "high": cell.interval.high, "interval_over": cell.interval.over}
        line |= {"interval_num": cell.interval.num, "interval_mean": cell.interval.mean}
    line |= {"num_runs": len(cell.done), **costs, "gflops": whole.mean("gflops", cell)}
    line["gflops_source"] = " / ".join(sources)
    line["peak_memory_mb"] = whole.mean("peak_memory_mb", cell)
    line["hardware"] = " / ".join(map(str, machines))
    records.append(line | {"problems": "; ".join(cell.problems), "run_ids": " ".join(whole.run_ids(cell))})
    first = (_tables.Cell(column_name(cell.key.column)), _tables.Cell(place), _tables.Cell(cell.name, marks=marks))
    seen = (str(number or "?") for number in (cell.key.num_frames, cell.key.num_views))
    numbers = (shown(cell), *seen, *(_number(name, value) for name, value in costs.items()))
    return (*first, *map(_tables.Cell, numbers))


def _number(name: str, value: float) -> str:
    """Three digits, a parameter count of what is learnt in full, of a backbone in millions; a dash for NaN."""
    if math.isnan(value):
        return MISSING
    if name in ("num_trainable", "resolution"):
        return f"{value:,.0f}"
    unit = ""
    if name == "num_parameters":
        value, unit = value / 1e6, " M"
    if value >= 100:
        return f"{value:,.0f}{unit}"
    return f"{value:.2f}{unit}" if value < 10 else f"{value:.1f}{unit}"


def _notes_of(whole: Board, cells: Sequence[Cell]) -> Iterator[str]:
    machines = whole.distinct("hardware", cells)
    yield (
        "Times are wall-clock and, like memory, true of the hardware they were measured on alone: "
        f"{'; '.join(map(str, machines)) or 'not recorded'}."
    )
    if len(machines) > 1:
        yield "Times on different hardware cannot be compared; footnotes tell which row was measured where."
    yield (
        "Features: decoding, preparing and the backbone, as measured when they were computed. Method: predicting from "
        "these features; of methods that read frames and have none (recognisers), decoding, preparing and all views' forward passes, and "
        "training likewise. Parameters: of the whole backbone. Frames: of one view. Pixels: the shorter side of what the backbone is "
        "given at test time. "
        "GFLOPs: 10⁹ operations of the backbone's forward pass over one view, a multiply-add as two, times the views."
    )
    yield (
        "Peak memory over start, and times: of a worker that did other runs before and beside; freed memory that it uses again does not "
        "count, so a small number is a lower bound. "
        "It is what training and predicting held at most beyond what was held when they began (on a GPU torch's "
        "memory there, on a CPU the process's: libraries, backbone); the CSV has the whole peak too."
    )
    lacking = [
        head for name, head in COSTS.items() if any(math.isnan(_costs.mean(whole, name, cell)) for cell in cells)
    ]
    if lacking:
        yield f"{MISSING}: not recorded, as in runs from before costs were kept, or not known: {', '.join(lacking)}."
    if left := len({(c.key.column, _row(c)) for c in whole.cells}) - len(cells):
        yield f"Left out, without a complete run: {left} pairs of method and backbone; the leaderboard says why."
    yield from _notes.of(whole, cells)
