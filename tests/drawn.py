"""Figures as they are placed on paper, and what is wrong with their texts."""

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from results import _looks, _plots
from results._data import board

WIDE = "W" * 70
LONG = "a method with a name that goes on and on, of many words and one number, "
LEAST = 6  # points that can be read at the width of a column


def figures(plugin, results):
    """File name -> each figure that a plug-in draws, laid out."""
    draws = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plots, "artifacts", lambda draw, name, title: draws.setdefault(name, draw) and iter(()))
        list(plugin.render(results))
    return {name: placed(draw) for name, draw in draws.items()}


def placed(draw):
    """A figure in our style, laid out at 300 dpi."""
    with _plots.style():
        figure = draw()
        figure.set_dpi(300)
        figure.draw(FigureCanvasAgg(figure).get_renderer())
    return figure


def looks_of(results):
    """What each method is drawn with, by its name: colour and marker."""
    return {name: (look["color"], look["marker"]) for name, look in _looks.looks(board(results)).items()}


def texts(figure):
    """(axes or None, text) of all that is written: titles, labels, ticks, legends, notes."""
    found = [(None, text) for text in figure.texts]
    found += [(None, text) for legend in figure.legends for text in legend.get_texts()]
    for ax in figure.axes:
        found += [
            (ax, text)
            for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)
            if ax.axison or text in ax.texts
        ]
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = sorted(axis.get_view_interval())
            found += [(ax, tick.label1) for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [(ax, text) for ax, text in found if text.get_visible() and text.get_text().strip()]


def faults(figure):
    """What cannot be read: texts that are too small, cut off, on top of each other, or in somebody else's panel."""
    assert figure.get_size_inches()[0] == _plots.WIDTH_IN
    told = texts(figure)
    boxes = [text.get_window_extent() for _, text in told]
    wrong = []
    for (ax, text), box in zip(told, boxes, strict=True):
        shown = text.get_text()
        if text.get_fontsize() < LEAST:
            wrong.append(f"{shown!r} has {text.get_fontsize()} points")
        if box.x0 < -0.5 or box.y0 < -0.5 or box.x1 > figure.bbox.x1 + 0.5 or box.y1 > figure.bbox.y1 + 0.5:
            wrong.append(f"{shown!r} is cut")
        wrong += [
            f"{shown!r} is in another panel"
            for other in figure.axes
            if other is not ax and ax is not None or other.axison and ax is None
            if _over(box, other.bbox)
        ]
    for (one, first), (other, second) in itertools.combinations(zip(boxes, told, strict=True), 2):
        if _over(one, other):
            wrong.append(f"{first[1].get_text()!r} is on {second[1].get_text()!r}")
    return wrong


def _over(one, other, slack=2.0):
    """Whether two boxes share more than a hair (a pixel of 300 an inch)."""
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > slack and min(one.y1, other.y1) - max(one.y0, other.y0) > slack
    )
