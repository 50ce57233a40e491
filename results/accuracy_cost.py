"""What accuracy costs: top-1 against GFLOPs a clip and against trained parameters, one figure a data set."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from bench.contracts import Artifact
from results import _notes, _plots, _tables
from results._data import Board, Cell, board, grouped
from results._keys import column_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.contracts import ResultsView

TITLE = "Accuracy against cost"
COSTS = {"gflops": "GFLOPs a clip", "num_trainable": "trained parameters"}
MOST_NAMED = 12  # methods that a legend has room for
STEP = 0.024  # of an axis' length: the width of a marker
_TOLD = ("gflops", "num_trainable", "feature_ms", "predict_ms")


def render(results: ResultsView) -> Iterator[Artifact]:
    """`accuracy-cost-<data set>` as PNG, PDF, SVG and CSV; data sets without costs are named in `accuracy-cost.md`."""
    whole = board(results)
    bare = []
    plain = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]
    for dataset, cells in grouped(plain, lambda cell: cell.key.dataset).items():
        frame = _points(whole, cells)
        costs = [cost for cost in COSTS if (frame[cost] > 0).any()]
        if not costs:
            bare.append(dataset)
            continue
        name, title = f"accuracy-cost-{_tables.slug(dataset)}", f"{TITLE}: {dataset}"
        draw = functools.partial(_draw, whole, cells, frame, costs)
        yield from _plots.artifacts(draw, name, title)
        yield Artifact(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"), title)
    why = "no complete run recorded what it costs (older runs did not)"
    if said := _plots.nothing(TITLE, bare, why, bool(whole.cells)):
        yield Artifact("accuracy-cost.md", said, TITLE)


def front(costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Places `(F,)` of the points `(N,)` that no other beats: none as cheap is better, none as good is cheaper; by cost."""
    order = np.lexsort((-values, costs))
    best = np.maximum.accumulate(np.concatenate([[-math.inf], values[order]]))
    return order[values[order] > best[:-1]]


def _points(whole: Board, cells: Sequence[Cell]) -> pd.DataFrame:
    """One row a complete cell: its top-1 in [0, 1] and the means of what its runs cost, NaN where not recorded."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        if cell.status == "complete" and not math.isnan(cell.top1):
            facts: dict[str, Any] = {
                "protocol": cell.key.protocol,
                "shots": cell.key.shots or None,
                "shown_as": cell.name,
            }
            facts |= {"backbone": column_name(cell.key.column), "top1": cell.top1, "num_runs": len(cell.done)}
            rows.append({**facts, **{cost: whole.mean(cost, cell) for cost in _TOLD}})
    columns = ["protocol", "shots", "shown_as", "backbone", "top1", "num_runs", *_TOLD]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(_TOLD, float))


def _draw(whole: Board, cells: Sequence[Cell], frame: pd.DataFrame, costs: Sequence[str]) -> Figure:
    best = frame.groupby("shown_as")["top1"].max().sort_values(ascending=False, kind="stable")
    named = list(best.index[:MOST_NAMED])
    small = _note(whole, cells, frame, costs, len(best) - len(named))
    looks = _plots.looks(named)
    handles = [Line2D([], [], label=_plots.name(n), **{**looks[n], "linestyle": ""}) for n in sorted(named)]
    if len(best) > len(named):
        handles.append(Line2D([], [], label="others", color="0.6", marker=".", linestyle=""))
    handles.append(Line2D([], [], label="Pareto front", color="0.15", linewidth=0.8))
    extra = _plots.legend_height_in(handles) + _plots.note_height_in(small)
    figure, axes = _plots.stacked(len(costs), 1.5, extra)
    for ax, cost in zip(axes, costs, strict=True):
        _panel(ax, frame[frame[cost] > 0], cost, looks)
    _plots.legend(figure, handles)
    _plots.note(figure, small)
    return figure


def _panel(ax: Axes, frame: pd.DataFrame, cost: str, looks: dict[str, dict[str, Any]]) -> None:
    x, y = frame[cost].to_numpy(float), 100 * frame["top1"].to_numpy(float)
    shown = frame["shown_as"].to_numpy(str)
    low, high = x.min() / 1.5, x.max() * 1.5
    beside = dodged(x, shown, STEP * math.log(high / low))
    for name in sorted(set(shown)):
        look, mine = looks.get(name, {"color": "0.6", "marker": "."}), shown == name
        style = {"color": look["color"], "marker": look["marker"], "linestyle": "", "clip_on": False}
        ax.plot(beside[mine], y[mine], **style)
    places = front(x, y)
    ax.plot(x[places], y[places], color="0.15", linewidth=0.8, drawstyle="steps-post", zorder=1)
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set_xlim(low, high)
    ticks = _ticks(low, high)
    ax.set_xticks(ticks, [_short(tick) for tick in ticks])
    ax.set_ylim(0, 100)
    ax.set_ylabel("top-1 (%)")
    ax.set_xlabel(COSTS[cost])


def dodged(x: np.ndarray, names: np.ndarray, step: float) -> np.ndarray:
    """Places `(N,)` on a log axis at which points of one cost but other names stand beside each other, `step` nats apart."""
    beside = np.array(x, dtype=float)
    for cost in np.unique(x):
        here = x == cost
        columns = np.unique(names[here], return_inverse=True)[1]
        beside[here] *= np.exp(step * (columns - columns.max() / 2))
    return beside


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two bounds, at most seven: 1, 2 and 5 times powers of ten, otherwise some of the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [tick for p in powers for tick in (1 * 10.0**p, 2 * 10.0**p, 5 * 10.0**p) if low <= tick <= high]
    coarse = [10.0**p for p in powers if low <= 10.0**p <= high]
    return fine if len(fine) <= 7 else coarse[:: -(-len(coarse) // 7)]


def _short(value: float) -> str:
    """A tick's number: 20, 5k, 2M, 1G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _note(whole: Board, cells: Sequence[Cell], frame: pd.DataFrame, costs: Sequence[str], others: int) -> str:
    told = ["A point: a method with one backbone, protocol and K, mean over its runs; no intervals (see the tables)."]
    told.append("Methods of one cost stand beside each other. Line: what no cheaper point reaches, over all protocols.")
    told.append("Log scale.")
    if "num_trainable" in costs:
        told.append("Methods that train nothing have no place on the log scale of trained parameters.")
    for cost in costs:
        if unknown := int(frame[cost].isna().sum()):
            told.append(f"{COSTS[cost]} not recorded: {unknown} of {len(frame)}.")
    if unfinished := sum(cell.status != "complete" for cell in cells):
        told.append(f"Not complete, so not shown: {unfinished} of {len(cells)}.")
    if problems := sum(bool(cell.problems) for cell in cells if cell.status == "complete"):
        told.append(f"With failed runs left out: {problems}.")
    if others:
        told.append(f"Grey: {others} more methods.")
    told += [f"{text[0].upper()}{text[1:]}" for text in _notes.toy_scale(whole, cells)]
    return " ".join(told)
