"""Critical-difference diagrams: mean ranks over data sets on an axis, bars over methods that cannot be told apart.

After figure 1 of Demsar (2006, JMLR 7). Everything is placed in inches, since names decide how wide the axis can be.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.contracts import Artifact
from bench.stats import ALPHA
from results import _notes, _plots, _ranks, _tables
from results._cells import p_text
from results._data import board

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

    from bench.contracts import ResultsView
    from results._data import Board

TITLE = "Critical difference"
MOST_DRAWN = 2  # protocols and backbones: those with the most data sets, then methods
MOST_NAMED = 12  # methods that a figure has room for
_WHY = "no protocol and backbone has three methods that are complete on the same two data sets"
_NAME_SIZE, _LINE_IN = 6, 0.1  # points, and inches from one line of a name to the next
_LONGEST = 54  # characters of a name, three lines
_WIDEST_IN = 0.88  # inches of a name, so that the axis keeps a third of the column
_EDGE, _GAP = 0.04, 0.04  # inches beside a name, and between it and its leader line
_BAR_IN = 0.06  # from one bar to the next
_INK, _BAR = "0.35", 1.8


def render(results: ResultsView) -> Iterator[Artifact]:
    """`critical-difference-<protocol and backbone>` as PNG, PDF and SVG; without any, `critical-difference.md` says why."""
    whole = board(results)
    fit = [group for group in _ranks.groups(whole) if len(group.methods) > 2]
    fit.sort(key=lambda group: (-len(group.datasets), -len(group.methods)))
    for group in fit[:MOST_DRAWN]:
        named = "-".join(map(str, (*group.setting, *group.column)))
        small = _note(whole, group, len(fit) - MOST_DRAWN)
        file_name = f"critical-difference-{_tables.slug(named)}"
        yield from _plots.artifacts(functools.partial(diagram, group, small), file_name, f"{TITLE}: {group.where}")
    if not fit:
        said = _tables.escape_markdown(_WHY if whole.cells else "there are no runs yet")
        yield Artifact("critical-difference.md", f"## {TITLE}\n\nNothing to draw: {said}.\n", TITLE)


@dataclass(frozen=True)
class _Side:
    """Names on one side of the axis, wrapped: top of each in inches below the first, and the room that they take."""

    names: tuple[str, ...]
    tops: tuple[float, ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Scale:
    """From mean ranks to inches: 1 lies at `left`, `end` at `left + width`."""

    left: float
    width: float
    end: int

    def __call__(self, rank: float) -> float:
        return self.left + (rank - 1) / (self.end - 1) * self.width


def axis_end(group: _ranks.Group) -> int:
    """The last rank on the axis: that of the worst method where all are drawn, otherwise what those drawn and the ruler need."""
    num = len(group.methods)
    if num <= MOST_NAMED:
        return num
    return max(2, math.ceil(group.mean_ranks[MOST_NAMED - 1]), min(num, 1 + math.ceil(group.critical_difference)))


def bar_levels(bars: Sequence[tuple[float, float]], apart: float) -> list[int]:
    """On which line below the axis each bar lies, so that none touches another; bars by their left end."""
    ends: list[float] = []
    levels = []
    for low, high in bars:
        level = next((i for i, end in enumerate(ends) if low - end > apart), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def diagram(group: _ranks.Group, small: str) -> Figure:
    """The best methods of three or more, with `small` print below; drawn in `_plots.style()`."""
    ranks = group.mean_ranks[:MOST_NAMED].tolist()
    half = -(-len(ranks) // 2)
    names = [f"{_cut(m.name)} ({rank:.2f})" for m, rank in zip(group.methods, ranks, strict=False)]
    left, right, scale = _layout(names[:half], names[half:][::-1], axis_end(group))
    bars = [(low, min(high, scale.end)) for low, high in group.tied if low <= ranks[-1]]
    levels = bar_levels(bars, 0.08 / scale.width * (scale.end - 1))
    head = _plots.fitted(group.where, 60, _plots.TITLE_SIZE, _plots.WIDTH_IN - 2 * _EDGE)
    note = _plots.wrapped_note(small)
    line = 0.13 * (head.count("\n") + 1) + 0.42  # where the axis lies, from the top
    first = line + 0.1 + _BAR_IN * (max(levels, default=-1) + 1)
    drawn_in = first + max(left.height, right.height) + 0.03
    height = drawn_in + 0.1 * (note.count("\n") + 1) + 0.05
    figure = Figure(figsize=(_plots.WIDTH_IN, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set_xlim(0, _plots.WIDTH_IN)
    ax.set_ylim(height, 0)
    ax.text(_plots.WIDTH_IN / 2, 0.04, head, ha="center", va="top", fontsize=7)
    _axis(ax, scale, line)
    _ruler(ax, scale, line - 0.24, group.critical_difference)
    for (low, high), level in zip(bars, levels, strict=True):
        at = line + 0.08 + _BAR_IN * level
        ends = [scale(low) - 0.025, scale(high) + 0.025]
        ax.plot(ends, [at, at], color="0.15", linewidth=_BAR, solid_capstyle="butt", zorder=3)
    _leaders(ax, left, [scale(rank) for rank in ranks[:half]], line, first, False)
    _leaders(ax, right, [scale(rank) for rank in ranks[half:][::-1]], line, first, True)
    ax.text(_EDGE, height - 0.03, note, va="bottom", fontsize=_plots.SMALL, color="0.25")
    return figure


def _layout(left: Sequence[str], right: Sequence[str], end: int) -> tuple[_Side, _Side, _Scale]:
    """The names wrapped, and the room that they leave for the axis."""
    sides = _side(left), _side(right)
    before, after = (side.width + _EDGE + _GAP + 0.06 for side in sides)
    # The ruler is at most 1.18 times as long as the axis (three methods on two data sets): the names leave room for that.
    width = _plots.WIDTH_IN - before - after
    return *sides, _Scale(before, width, end)


def _side(names: Sequence[str]) -> _Side:
    wrapped = tuple(_plots.fitted(name, 18, _NAME_SIZE, _WIDEST_IN) for name in names)
    tops, height = [], 0.0
    for name in wrapped:
        tops.append(height)
        height += _LINE_IN * (name.count("\n") + 1) + 0.035
    return _Side(wrapped, tuple(tops), max(_plots.width_in(name, _NAME_SIZE) for name in wrapped), height)


def _cut(name: str) -> str:
    """A long name without its middle: names of variants differ at their ends."""
    name = _tables.plain(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 20]}…{name[-19:]}"


def _axis(ax: Axes, scale: _Scale, line: float) -> None:
    ax.plot([scale(1), scale(scale.end)], [line, line], color="black", linewidth=0.7)
    step = max(1, -(-(scale.end - 1) // 11))
    for rank in range(1, scale.end + 1, step):
        ax.plot([scale(rank)] * 2, [line - 0.045, line], color="black", linewidth=0.7)
        ax.text(scale(rank), line - 0.06, str(rank), ha="center", va="bottom", fontsize=6)


def _ruler(ax: Axes, scale: _Scale, at: float, distance: float) -> None:
    """The critical difference as a length, from the axis's left end."""
    ends = scale(1), scale(1 + distance)
    ax.plot(ends, [at, at], color="black", linewidth=0.7)
    for x in ends:
        ax.plot([x, x], [at - 0.025, at + 0.025], color="black", linewidth=0.7)
    ax.text(sum(ends) / 2, at - 0.03, f"CD = {distance:.2f}", ha="center", va="bottom", fontsize=6)


def _leaders(ax: Axes, side: _Side, places: Sequence[float], line: float, first: float, at_right: bool) -> None:
    """Names below each other, the outermost first, so that no leader line crosses another."""
    edge = _plots.WIDTH_IN - side.width - _EDGE if at_right else side.width + _EDGE
    towards = -_GAP if at_right else _GAP
    for name, top, x in zip(side.names, side.tops, places, strict=True):
        at = first + top + _LINE_IN * (name.count("\n") + 1) / 2
        ax.plot([x, x, edge + towards], [line, at, at], color=_INK, linewidth=0.6)
        ha = "left" if at_right else "right"
        ax.text(edge, at, name, ha=ha, va="center", fontsize=_NAME_SIZE, linespacing=1.1)


def _note(whole: Board, group: _ranks.Group, others: int) -> str:
    """The small print: what was ranked, what the bars mean, what is not drawn, and what the numbers do not mean."""
    num, sets = len(group.methods), ", ".join(group.datasets)
    told = [
        f"Mean ranks by top-1 over {len(group.datasets)} data sets ({sets}), 1 is the best; CD: Nemenyi's critical "
        f"difference at .05 over {num} methods. Friedman p = {p_text(group.friedman_p)}"
    ]
    if group.friedman_p < ALPHA:
        told[0] += "."
        told.append("Bars join methods that are not told apart." if group.tied else "All pairs are told apart.")
    else:
        told[0] += ": no pair is told apart; the bar joins all."
    if hidden := num - MOST_NAMED if num > MOST_NAMED else 0:
        last, worst = group.mean_ranks[MOST_NAMED], group.mean_ranks[-1]
        told.append(
            f"Not drawn: {hidden} more, mean ranks {last:.2f} to {worst:.2f}; bars at the axis's end may go on to them."
        )
    if lacking := [(m.name, what) for m in group.left_out if (what := m.lacks(group.datasets))]:
        who = _plots.short("; ".join(f"{name} ({what})" for name, what in lacking))
        told.append(f"Not ranked, for want of a number on a data set: {len(lacking)}: {who}.")
    if group.thin:
        told.append(f"Fewer than two methods are complete on {', '.join(group.thin)}.")
    if others > 0:
        told.append(f"Not drawn: {others} more protocols and backbones; the most data sets come first, then methods.")
    cells = [method.cells[dataset] for method in group.methods for dataset in group.datasets]
    if problems := sum(bool(cell.problems) for cell in cells):
        told.append(f"With failed runs left out: {problems} of {len(cells)} numbers.")
    told += [f"{text[0].upper()}{text[1:]}" for text in _notes.toy_scale(whole, cells)]
    return " ".join(told)
