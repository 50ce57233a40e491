"""What accuracy costs: top-1 against GFLOPs a video and trained parameters, one figure a data set, a panel for what can be compared."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contracts import Artifact
from results import _costs, _looks, _notes, _plots, _tables
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.contracts import ResultsView

TITLE = "Accuracy against cost"
COSTS = {"gflops_video": "GFLOPs a video", "num_trainable": "trained parameters"}
MOST_NAMED = 12  # methods that a legend has room for
MOST_SETTINGS = 4  # protocols and K that fit below each other on a page
MOST_TICKS = 5
_TOLD = ("gflops_video", "num_trainable", "feature_ms", "predict_ms")
_OTHERS = {"color": "0.6", "marker": ".", "linestyle": ""}
Setting = tuple[str, int]  # protocol and shots


def render(results: ResultsView) -> Iterator[Artifact]:
    """`accuracy-cost-<data set>` as PNG, PDF, SVG and CSV; data sets whose costs do not differ are named in `accuracy-cost.md`."""
    whole = board(results)
    bare = []
    plain = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]
    for dataset, cells in grouped(plain, lambda cell: cell.key.dataset).items():
        frame = _points(whole, cells)
        name, title = f"accuracy-cost-{_tables.slug(dataset)}", f"{TITLE}: {dataset}"
        if compared := comparisons(frame):
            draw = functools.partial(_draw, whole, cells, frame, compared)
            yield from _plots.artifacts(draw, name, title)
        else:
            bare.append(dataset)
        if (frame[list(COSTS)] > 0).any(axis=None):
            yield Artifact(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"), title)
    why = "under no protocol do complete runs differ in a recorded cost (older runs recorded none)"
    if said := _plots.nothing(TITLE, bare, why, bool(whole.cells)):
        yield Artifact("accuracy-cost.md", said, TITLE)


def front(costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Places `(F,)` of the points `(N,)` on the Pareto front, by cost.

    A point is on it where no other costs as little and reaches as much, one of the two strictly less or more.
    """
    cheaper, better = costs[None, :] < costs[:, None], values[None, :] > values[:, None]
    as_cheap, as_good = costs[None, :] <= costs[:, None], values[None, :] >= values[:, None]
    beaten = (as_cheap & as_good & (cheaper | better)).any(axis=1)
    places = np.flatnonzero(~beaten)
    return places[np.argsort(costs[places], kind="stable")]


def comparisons(frame: pd.DataFrame) -> dict[Setting, list[str]]:
    """Protocol and K -> the costs in which its points differ, in the order of the rows; only points of one can be compared.

    Left out: those of one method alone that reaches the same everywhere.
    """
    found = {}
    for setting in _settings(frame):
        part = _of(frame, setting)
        if len(set(part["shown_as"])) == 1 == len(set(part["top1"])):
            continue  # one method that reaches the same whatever the backbone costs, such as the majority class: no front
        costs = [cost for cost in COSTS if len(set(part.loc[part[cost] > 0, cost])) > 1]
        if costs:
            found[setting] = costs
    return found


def _settings(frame: pd.DataFrame) -> list[Setting]:
    """Every protocol and K, in the order of the rows."""
    return list(dict.fromkeys(zip(frame["protocol"], frame["shots"].fillna(0).astype(int), strict=True)))


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
            # Means of the same number over other counts of runs differ in their last digits.
            rows.append({**facts, **{cost: float(f"{_costs.mean(whole, cost, cell):.12g}") for cost in _TOLD}})
    columns = ["protocol", "shots", "shown_as", "backbone", "top1", "num_runs", *_TOLD]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(_TOLD, float))


def _draw(
    whole: Board, cells: Sequence[Cell], frame: pd.DataFrame, compared: Mapping[Setting, Sequence[str]]
) -> Figure:
    """A line of panels for each protocol and K, a column for each cost."""
    # The settings with the most points, of equals the larger K.
    ordered = sorted(compared, key=lambda setting: (-len(_of(frame, setting)), -setting[1]))[:MOST_SETTINGS]
    settings = [setting for setting in compared if setting in ordered]
    costs = [cost for cost in COSTS if any(cost in compared[setting] for setting in settings)]
    drawn = pd.concat([_of(frame, setting) for setting in settings])
    best = drawn.groupby("shown_as")["top1"].max().sort_values(ascending=False, kind="stable")
    named = list(best.index[:MOST_NAMED])
    small = _note(whole, cells, frame, costs, len(best) - len(named), settings, compared)
    looks = _looks.looks(whole)
    handles = [_plots.entry(name, **_point(looks[name])) for name in looks if name in named]
    if len(best) > len(named):
        handles.append(_plots.entry("others", **_OTHERS))
    handles.append(_plots.entry("Pareto front", color="0.15", linewidth=0.8))
    extra = 0.15 + _plots.legend_height_in(handles) + _plots.note_height_in(small)
    titles = [protocol_name(*setting) for setting in settings for _ in costs]
    across = min(2, len(titles))
    figure, axes = _plots.panels(titles, 1.15, extra, across=across, sharex="col")
    limits = {cost: (drawn.loc[drawn[cost] > 0, cost].min(), drawn[cost].max()) for cost in costs}
    places = [(setting, cost) for setting in settings for cost in costs]
    for ax, (setting, cost) in zip(axes, places, strict=True):
        if cost in compared[setting]:
            here = _of(frame, setting)
            bounds = limits[cost][0] / 1.5, limits[cost][1] * 1.5
            _panel(ax, here[here[cost] > 0], cost, {name: _point(looks[name]) for name in named}, bounds)
        else:
            ax.remove()
    for column in range(across):
        kept = [i for i in range(column, len(axes), across) if places[i][1] in compared[places[i][0]]]
        axes[kept[-1]].set_xlabel(COSTS[places[kept[-1]][1]])
        axes[kept[-1]].tick_params(labelbottom=True)
        if column == 0:
            for i in kept:
                axes[i].set_ylabel("top-1 (%)")
    _plots.legend(figure, handles)
    _plots.note(figure, small)
    return figure


def _of(frame: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The points of one protocol and K."""
    return frame[(frame["protocol"] == setting[0]) & (frame["shots"].fillna(0) == setting[1])]


def _point(look: dict[str, Any]) -> dict[str, Any]:
    """A method's marker: what lies under it shows through, and its edge parts it from its neighbours."""
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.3}
    return {"color": look["color"], "marker": look["marker"], "markersize": 4.2, "alpha": 0.85, "linestyle": "", **edge}


def _panel(
    ax: Axes, frame: pd.DataFrame, cost: str, looks: dict[str, dict[str, Any]], limits: tuple[float, float]
) -> None:
    x, y = frame[cost].to_numpy(float), 100 * frame["top1"].to_numpy(float)
    shown = frame["shown_as"].to_numpy(str)
    for name in sorted(set(shown), key=lambda name: (name in looks, name)):
        mine = shown == name
        ax.plot(x[mine], y[mine], clip_on=False, zorder=3, **looks.get(name, _OTHERS))
    places = front(x, y)
    # From each point on, its accuracy is to be had for its cost, until the next is reached; so it goes on to the right.
    steps = np.append(x[places], limits[1]), np.append(y[places], y[places[-1]])
    ax.plot(*steps, color="0.15", linewidth=0.8, drawstyle="steps-post", zorder=2, label="front")
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set_xlim(*limits)
    ticks = _ticks(*limits)
    ax.set_xticks(ticks, [_short(tick) for tick in ticks])
    ax.set_ylim(0, 100)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two bounds, at most `MOST_TICKS`: 1, 2 and 5 times powers of ten, otherwise some of the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [tick for p in powers for tick in (1 * 10.0**p, 2 * 10.0**p, 5 * 10.0**p) if low <= tick <= high]
    coarse = [10.0**p for p in powers if low <= 10.0**p <= high]
    return fine if len(fine) <= MOST_TICKS else coarse[:: -(-len(coarse) // MOST_TICKS)]


def _short(value: float) -> str:
    """A tick's number: 20, 5k, 2M, 1G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _note(
    whole: Board,
    cells: Sequence[Cell],
    frame: pd.DataFrame,
    costs: Sequence[str],
    others: int,
    settings: Sequence[Setting],
    compared: Mapping[Setting, Sequence[str]],
) -> str:
    told = ["A point: a method with one backbone, mean over its runs; no intervals (see the tables)."]
    told.append("Line: the most that is reached at a cost, within a panel. Log scales.")
    if "num_trainable" in costs:
        told.append("Methods that train nothing have no place on the log scale of trained parameters.")
    for cost, words in COSTS.items():
        if unknown := int(frame[cost].isna().sum()):
            told.append(f"{words[0].upper()}{words[1:]} not recorded: {unknown} of {len(frame)}.")
    for cost, words in COSTS.items():
        drawn = frame[frame[cost] > 0]
        same = [s for s in _settings(frame) if len(set(_of(drawn, s)[cost])) == 1]
        if same:
            told.append(f"No panel, since {words} do not differ: {'; '.join(protocol_name(*s) for s in same)}.")
    if hidden := [setting for setting in compared if setting not in settings]:
        told.append(f"Not drawn for want of room: {'; '.join(protocol_name(*setting) for setting in hidden)}.")
    if unfinished := sum(cell.status != "complete" for cell in cells):
        told.append(f"Not complete, so not shown: {unfinished} of {len(cells)}.")
    if problems := sum(bool(cell.problems) for cell in cells if cell.status == "complete"):
        told.append(f"With failed runs left out: {problems}.")
    if others:
        told.append(f"Grey: {others} more methods.")
    seen = sorted({(cell.key.num_frames or "?", cell.key.num_views or "?") for cell in cells}, key=str)
    if len(seen) > 1:
        told.append(f"Frames × views differ: {', '.join(f'{frames} × {views}' for frames, views in seen)}.")
    told += [f"{text[0].upper()}{text[1:]}" for text in _notes.toy_scale(whole, cells)]
    return " ".join(told)
