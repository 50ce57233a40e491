"""Which classes gain from knowledge and which lose: bars with their sign, one figure a data set, one panel a backbone."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pandas as pd

from bench.contracts import Artifact
from results import _looks, _pairs, _plots, _tables
from results._data import Board, board
from results.confusion import confused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from bench.contracts import ResultsView

TITLE = "Per-class gains"
MOST = 10  # classes at either end that are drawn


def render(results: ResultsView) -> Iterator[Artifact]:
    """`per-class-gains-<data set>` as PNG, PDF, SVG and CSV; data sets without a pair are named in `per-class-gains.md`."""
    whole = board(results)
    bare = []
    for one in _pairs.chosen(whole):
        pairs = [pair for pair in one.pairs if pair.base is not None]
        if not pairs:
            bare.append(one.dataset)
            continue
        name, title = f"per-class-gains-{_tables.slug(one.dataset)}", f"{TITLE}: {one.dataset}"
        frames = [gains(whole, pair) for pair in pairs]
        yield from _plots.artifacts(functools.partial(_draw, whole, one, pairs, frames), name, title)
        yield Artifact(f"{name}.csv", pd.concat(frames).to_csv(index=False, lineterminator="\n"), title)
    if said := _plots.nothing(TITLE, bare, f"no two cells to compare ({_pairs.RULE})", bool(whole.cells)):
        yield Artifact("per-class-gains.md", said, TITLE)


def gains(whole: Board, pair: _pairs.Pair) -> pd.DataFrame:
    """One row for each class that both were tested on, largest gain first: recalls in [0, 1] and their difference `gain`."""
    recalls = []
    for cell in (pair.cell, pair.base):
        if cell is None:
            break
        names, counts = confused(whole, cell)
        totals = counts.sum(axis=1)
        recalls.append({name: counts[i, i] / totals[i] for i, name in enumerate(names) if totals[i]})
    new, old = recalls
    both = [name for name in new if name in old]
    frame = pd.DataFrame({"class": both, "recall": [new[n] for n in both], "recall_baseline": [old[n] for n in both]})
    frame["gain"] = frame["recall"] - frame["recall_baseline"]
    told = {"backbone": pair.column, "shown_as": _pairs.said(pair.cell)}
    told |= {"baseline": _pairs.said(pair.base)} if pair.base is not None else {}
    return frame.assign(**told).sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def ends(frame: pd.DataFrame) -> pd.DataFrame:
    """The first and last `MOST` classes, or all where there are no more than twice as many."""
    return frame if len(frame) <= 2 * MOST else pd.concat([frame.head(MOST), frame.tail(MOST)])


def _subtracted(pair: _pairs.Pair) -> str:
    """What is subtracted from what."""
    return " − ".join(cell.name for cell in reversed(pair.cells)) + ", points"


def _span(least: float, most: float) -> tuple[float, float]:
    """The axis that all panels share: from the largest loss to the largest gain, one point at least."""
    least = min(least, most - 1)
    room = 0.05 * (most - least)
    return least - room, most + room


def _draw(
    whole: Board,
    one: _pairs.Chosen,
    pairs: list[_pairs.Pair],
    frames: list[pd.DataFrame],
) -> Figure:
    left_out = max(len(frame) - len(ends(frame)) for frame in frames)
    which = f"the {MOST} largest and {MOST} smallest" if left_out else "all classes"
    small = (
        f"Difference of a class's recall, over all runs, {which}; no interval: a class has few videos. "
        f"{_pairs.note(whole, one, pairs)}"
    )
    drawn = [ends(frame) for frame in frames]
    rows = max(map(len, drawn))
    looks = _looks.looks(whole)
    height, extra = 0.3 + 0.11 * max(rows, 4), 0.15 + _plots.note_height_in(small)
    labels = [[_plots.cut_to(name, _plots.SMALL, 1.2) for name in frame["class"]] for frame in drawn]
    left = 0.1 + max((_plots.width_in(label, _plots.SMALL) for part in labels for label in part), default=0.0)
    said = [_plots.fitted(_subtracted(pair), 60, 7, _plots.WIDTH_IN - left - 0.05) for pair in pairs]
    lines = sum(text.count("\n") + 2 for text in said)  # one for the ticks
    titles = [pair.column for pair in pairs]
    figure, axes = _plots.panels(titles, height, extra + 0.13 * lines, left_in=left, across=1, sharey=False)
    for ax, pair, frame, every, text, names in zip(axes, pairs, drawn, frames, said, labels, strict=True):
        values = 100 * frame["gain"].to_numpy(float)
        better, worse = (looks[cell.name]["color"] for cell in reversed(pair.cells))
        ax.barh(range(len(values)), values, color=[better if v >= 0 else worse for v in values], linewidth=0)
        ax.set_yticks(range(len(names)), names, fontsize=_plots.SMALL)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.axvline(0, color="0.3", linewidth=0.7)
        if len(frame) < len(every):
            ax.axhline(MOST - 0.5, color="0.3", linewidth=0.7, linestyle=":")
        ax.grid(visible=False, axis="y")
        if frame.empty:
            ax.text(
                0.5, 0.5, "no class in common", transform=ax.transAxes, ha="center", va="center", fontsize=_plots.SMALL
            )
        ax.set_xlabel(text)
        ax.tick_params(labelbottom=True)
    gained = [0.0, *(100 * pd.concat(drawn)["gain"])]
    axes[0].set_xlim(*_span(min(gained), max(gained)))
    _plots.note(figure, small)
    return figure
