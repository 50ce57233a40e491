"""Which classes are taken for which: a confusion matrix, and the difference of two, one figure a data set."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.contracts import Artifact
from results import _pairs, _plots, _tables
from results._data import Board, Cell, board

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.contracts import ResultsView

TITLE = "Confusion"
MOST_ROWS = 60  # rows of a panel that still can be told apart in print; more classes are drawn in blocks
_NAME_IN = 0.62  # the widest name of a class
MOST_NAMES = 14  # classes whose names fit beside a matrix of half a column


def render(results: ResultsView) -> Iterator[Artifact]:
    """`confusion-<data set>` as PNG, PDF, SVG and CSV; data sets without a complete run are named in `confusion.md`."""
    whole = board(results)
    bare = []
    for one in _pairs.chosen(whole):
        if not one.pairs:
            bare.append(one.dataset)
            continue
        name, title = f"confusion-{_tables.slug(one.dataset)}", f"{TITLE}: {one.dataset}"
        found = {cell.key: confused(whole, cell) for pair in one.pairs for cell in pair.cells}
        told = [
            _records(cell, *found[cell.key]).assign(backbone=pair.column) for pair in one.pairs for cell in pair.cells
        ]
        counts = [[found[cell.key] for cell in pair.cells] for pair in one.pairs]
        yield from _plots.artifacts(functools.partial(_draw, whole, one, counts), name, title)
        yield Artifact(f"{name}.csv", pd.concat(told).to_csv(index=False, lineterminator="\n"), title)
    if said := _plots.nothing(TITLE, bare, "no complete run", bool(whole.cells)):
        yield Artifact("confusion.md", said, TITLE)


def confused(whole: Board, cell: Cell) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names, and how many videos of class i were taken for class j, float64 `(C, C)`, over all complete runs."""
    names: dict[str, int] = {}
    parts = []
    for run_id in whole.run_ids(cell, done=True):
        classes = whole.results.tested(run_id)[0].class_names
        places = np.array([names.setdefault(str(c), len(names)) for c in classes])
        rows = whole.results.predictions(run_id)
        parts.append((places[rows["label"].to_numpy(int)], places[rows["predicted"].to_numpy(int)]))
    counts = np.zeros((len(names), len(names)))
    for true, told in parts:
        np.add.at(counts, (true, told), 1)
    return tuple(names), counts


def shares(counts: np.ndarray, block: int = 1) -> np.ndarray:
    """Each row divided by its sum, `block` neighbouring classes taken together; 0 in rows without a video."""
    starts = np.arange(0, len(counts), block)
    together = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    totals = together.sum(axis=1, keepdims=True)
    return np.divide(together, totals, out=np.zeros_like(together), where=totals > 0)


def _records(cell: Cell, names: Sequence[str], counts: np.ndarray) -> pd.DataFrame:
    true, told = np.nonzero(counts)
    line = {
        "class": [names[i] for i in true.tolist()],
        "taken_for": [names[j] for j in told.tolist()],
        "num": counts[true, told].astype(int),
    }
    return pd.DataFrame({"shown_as": _pairs.said(cell), **line})


def _draw(
    whole: Board,
    one: _pairs.Chosen,
    found: Sequence[Sequence[tuple[tuple[str, ...], np.ndarray]]],
) -> Figure:
    num = max(len(names) for part in found for names, _ in part)
    block = -(-num // MOST_ROWS)
    small = (
        "Left: percent of a class's test videos (rows: true) by the class they were taken for (columns), over all runs. "
        "Right: this minus the same of the baseline, in points; on the diagonal, blue is better; off it, red is better. "
        + _axes_note(num, block)
        + _pairs.note(whole, one, one.pairs)
    )
    named = num <= MOST_NAMES
    titles = [title for pair in one.pairs for title in (pair.column, "minus baseline" if pair.base else "")]
    left_in = 1.0 if named else 0.4
    extra = (1.5 if named else 0.8) + _plots.note_height_in(small)
    figure, axes = _plots.panels(titles, (_plots.WIDTH_IN - left_in) / 2 + 0.2, extra, left_in=left_in)
    for i, (pair, part) in enumerate(zip(one.pairs, found, strict=True)):
        names, counts = part[-1]
        left, right = axes[2 * i], axes[2 * i + 1]
        best = _picture(left, shares(counts, block), "cividis", 0)
        left.set_ylabel("true")
        if pair.base is None or part[0][0] != names:
            why = "no baseline" if pair.base is None else "other classes\nin the baseline"
            right.text(0.5, 0.5, why, transform=right.transAxes, ha="center", va="center", fontsize=_plots.SMALL)
            right.grid(visible=False)
        else:
            difference = _picture(right, shares(counts, block) - shares(part[0][1], block), "RdBu", -100)
            if i == len(one.pairs) - 1:
                _bar(figure, difference, axes[1::2], "points", [-50, 0, 50])
        if i == len(one.pairs) - 1:
            _bar(figure, best, axes[::2], "%", [25, 50, 75])
        for ax in (left, right):
            _ticks(ax, names, block, named)
    for ax in axes[-2:]:
        ax.set_xlabel("taken for")
    _plots.note(figure, small)
    return figure


def _picture(ax: Axes, values: np.ndarray, colours: str, least: float) -> object:
    """A matrix in percent; symmetric bounds where it is a difference, so that white is no difference."""
    ax.grid(visible=False)
    return ax.imshow(100 * values, cmap=colours, vmin=least, vmax=100, interpolation="nearest")


def _bar(figure: Figure, image: object, axes: Sequence[Axes], unit: str, ticks: Sequence[int]) -> None:
    bar = figure.colorbar(image, ax=list(axes), location="bottom", fraction=0.06, pad=0.03, aspect=18)  # type: ignore[arg-type]
    bar.set_ticks(ticks)  # the ends of neighbouring bars would touch
    bar.ax.tick_params(labelsize=_plots.SMALL, length=2)
    bar.set_label(unit, fontsize=_plots.SMALL)


def _ticks(ax: Axes, names: Sequence[str], block: int, named: bool) -> None:
    """Class names where they fit, otherwise every tenth class's number."""
    if named:
        labels = [_plots.cut_to(text, _plots.SMALL, _NAME_IN) for text in names]
        ax.set_xticks(range(len(names)), labels, rotation=90, fontsize=_plots.SMALL)
        ax.set_yticks(range(len(names)), labels, fontsize=_plots.SMALL)
        return
    step = 10 * (1 + len(names) // 110)
    numbers = range(0, len(names), step)
    places = [number / block for number in numbers]
    ax.set_xticks(places, [str(number) for number in numbers], fontsize=_plots.SMALL)
    ax.set_yticks(places, [str(number) for number in numbers], fontsize=_plots.SMALL)


def _axes_note(num: int, block: int) -> str:
    if num <= MOST_NAMES:
        return ""
    blocks = f"Each row and column is {block} neighbouring classes together. " if block > 1 else ""
    return f"{num} classes, numbered from 0 in the order of the data set's list. {blocks}"
