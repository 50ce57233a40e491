"""An ablation drawn: a curve where its one switch is a number, otherwise bars; the paired differences are written beside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats import ALPHA
from results import _looks, _notes, _plots
from results._cells import points
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from results._data import Board, Cell
    from results._switches import Ablation, Variant

MOST_BESIDE = 4  # settings of a curve whose numbers have room in half a column
_LABEL_IN = 0.95  # the widest name beside the bars
_ROW_IN = 0.19  # from one bar to the next
_NUMBERS = 50  # percent of the axis beyond 100, where the differences are written


def draw(whole: Board, found: Sequence[Ablation]) -> Figure:
    """One panel a backbone for the ablations of one method under one protocol."""
    switch = numeric_switch(found)
    return _bars(whole, found) if switch is None else _curve(whole, found, switch)


def numeric_switch(found: Sequence[Ablation]) -> str | None:
    """The switch where it is the only one, always a number, and has three settings or more; otherwise None."""
    variants = [variant for one in found for variant in one.variants]
    names = {variant.switch for variant in variants}
    values = [value for variant in variants for value in (variant.was, variant.value)]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return names.pop() if len(names) == 1 and numbers and len(set(values)) > 2 else None


def _bars(whole: Board, found: Sequence[Ablation]) -> Figure:
    rows = list(dict.fromkeys(cell.name for one in found for cell in _ordered(one)))
    labels = [_plots.fitted(label, 20, _plots.SMALL, _LABEL_IN) for label in _without_shared_beginning(rows)]
    heights = np.array([max(_ROW_IN, 0.04 + 0.1 * (label.count("\n") + 1)) for label in labels]) / _ROW_IN
    places = heights.cumsum() - heights / 2
    small = _note(
        whole,
        found,
        "Whiskers, cut at 0 and 100",
        "First bar: the reference; numbers: difference from it in points, paired",
    )
    looks = _looks.looks(whole)
    titles = [column_name(one.reference.key.column) for one in found]
    left = 0.1 + max(_plots.width_in(label, _plots.SMALL) for label in labels)
    height, extra = 0.3 + _ROW_IN * heights.sum(), 0.25 + _plots.note_height_in(small)
    figure, axes = _plots.panels(titles, height, extra, left_in=left)
    for ax, one in zip(axes, found, strict=True):
        told = {variant.cell.name: variant for variant in one.variants}
        cells = {cell.name: cell for cell in _ordered(one)}
        for place, row in zip(places, rows, strict=True):
            cell = cells.get(row)
            if cell is None or cell.interval is None:
                ax.text(
                    50,
                    place,
                    "no run" if cell is None else cell.status,
                    ha="center",
                    va="center",
                    fontsize=_plots.SMALL,
                )
                continue
            ax.barh(place, 100 * cell.top1, height=0.7, color=looks[row]["color"], linewidth=0)
            ends = 100 * np.array([cell.interval.low, cell.interval.high])
            whisker = ends.clip(0, 100)  # beyond it stand the differences, and no accuracy
            caps = [int(end) for end in np.flatnonzero(whisker == ends)]
            ax.plot(whisker, [place, place], color="0.15", linewidth=0.8, marker="|", markersize=3, markevery=caps)
            if row in told:
                ax.text(103, place, _difference(told[row]), va="center", ha="left", fontsize=_plots.SMALL)
        for count in whole.distinct("num_classes", list(cells.values())):
            ax.axvline(100 / count, color="black", linestyle=":", linewidth=0.9)
        ax.set_xlim(0, 100 + _NUMBERS)
        ax.set_xticks([0, 50, 100], ["0", "50", "100"])
        ax.grid(visible=False, axis="y")
        ax.set_yticks(places, labels, fontsize=_plots.SMALL)
        ax.set_ylim(heights.sum(), 0)
    for ax in axes[-2:]:
        ax.set_xlabel("top-1 (%)")
    _plots.note(figure, small)
    return figure


def _curve(whole: Board, found: Sequence[Ablation], switch: str) -> Figure:
    """Top-1 over the switch's settings, with bands; settings stand at equal distances, so that 0 has a place too."""
    small = _note(whole, found, "Bands", "Ring: the reference; numbers: difference from it in points, paired")
    settings = sorted({value for one in found for v in one.variants for value in (v.was, v.value)})
    titles = [column_name(one.reference.key.column) for one in found]
    across = 2 if len(settings) <= MOST_BESIDE else 1
    figure, axes = _plots.panels(titles, 1.5, 0.3 + _plots.note_height_in(small), across=across)
    looks = _looks.looks(whole)
    for ax, one in zip(axes, found, strict=True):
        cells: list[tuple[Any, Cell, Variant | None]] = [(one.variants[0].was, one.reference, None)]
        cells += [(variant.value, variant.cell, variant) for variant in one.variants]
        drawn = sorted(((settings.index(value), cell, v) for value, cell, v in cells), key=lambda part: part[0])
        done = [(place, cell, v) for place, cell, v in drawn if cell.interval is not None]
        x, y = np.array([place for place, _, _ in done]), np.array([100 * cell.top1 for _, cell, _ in done])
        low, high = (np.array([100 * getattr(cell.interval, edge) for _, cell, _ in done]) for edge in ("low", "high"))
        look = looks[one.reference.name]
        ax.fill_between(x, low, high, color=look["color"], alpha=0.16, linewidth=0)
        ax.plot(x, y, clip_on=False, zorder=3, **look)
        for (place, cell, variant), offset in zip(done, _offsets(y), strict=True):
            if variant is None:
                ring: dict[str, Any] = {
                    "marker": "o",
                    "markersize": 6.5,
                    "markerfacecolor": "none",
                    "markeredgecolor": "0.15",
                }
                ax.plot([place], [100 * cell.top1], linestyle="", clip_on=False, zorder=4, **ring)
                continue
            words, align = _difference(variant), "bottom" if offset > 0 else "top"
            where: dict[str, Any] = {"xytext": (0, offset), "textcoords": "offset points", "ha": "center", "va": align}
            ax.annotate(words, (place, 100 * cell.top1), fontsize=_plots.SMALL, **where)
        for place, cell, _ in drawn:
            if cell.interval is None:
                ax.text(place, 50, cell.status, ha="center", va="center", rotation=90, fontsize=_plots.SMALL)
        for count in whole.distinct("num_classes", [cell for _, cell, _ in drawn]):
            ax.axhline(100 / count, color="black", linestyle=":", linewidth=0.9)
        ax.set_ylim(0, 100)
        ax.set_xlim(-0.5, len(settings) - 0.5)
        ax.set_xticks(range(len(settings)), [f"{value:g}" for value in settings])
    for ax in axes[-across:]:
        ax.set_xlabel(_plots.fitted(switch.replace("_", " "), 30, 7, 1.3))
    for ax in axes[::across]:
        ax.set_ylabel("top-1 (%)")
    _plots.note(figure, small)
    return figure


def _offsets(heights: np.ndarray) -> list[float]:
    """Points by which each number stands above its point, or below: in turn, so that neighbours do not touch, and inside 0 to 100."""
    near, far = 4.5, 12.0
    found = []
    for place, height in enumerate(heights):
        odd = place % 2 == 1
        if height > 84:
            found.append(-near if odd else -far)
        elif height < 16:
            found.append(far if odd else near)
        else:
            found.append(-near if odd else near)
    return found


def _without_shared_beginning(names: Sequence[str]) -> list[str]:
    """The names without the words up to a comma that all of them begin with: the title tells those."""
    start, comma, _ = names[0].partition(", ")
    shared = start + comma
    if comma and all(name.startswith(shared) for name in names):
        return [name.removeprefix(shared) for name in names]
    return list(names)


def _difference(variant: Variant) -> str:
    return points(variant.test.difference, True) + ("*" if variant.p_holm < ALPHA else "")


def _ordered(one: Ablation) -> list[Cell]:
    return [one.reference, *(variant.cell for variant in one.variants)]


def _note(whole: Board, found: Sequence[Ablation], what: str, reference: str) -> str:
    cells = [cell for one in found for cell in _ordered(one)]
    overs = dict.fromkeys(c.interval.over for c in cells if c.interval is not None and not math.isnan(c.half_width))
    bare = "No intervals: one run or group each." if any(c.interval for c in cells) else "No run is complete."
    settings = dict.fromkeys(protocol_name(*cell.key.setting) for cell in cells)
    where = "; ".join(settings)
    told = [f"{where[0].upper()}{where[1:]}. {what}: 95 % intervals over {'; over '.join(overs)}." if overs else bare]
    told.append(f"{reference} (*: p < .05 after Holm). Dotted: chance.")
    for cell in cells:
        told += [f"{cell.key.backbone}, {cell.name}: {_plots.short(problem)}." for problem in cell.problems]
    told += [f"{note[0].upper()}{note[1:]}" for note in _notes.toy_scale(whole, cells)]
    return " ".join(told)
