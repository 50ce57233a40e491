"""Whether methods know when they are wrong: confidence against accuracy, one figure a data set, one panel a backbone."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contracts import Artifact
from results import _looks, _pairs, _plots, _tables
from results._data import Board, Cell, board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from bench.contracts import ResultsView

TITLE = "Reliability"
NUM_BINS = 15  # as in the expected calibration error of bench/metrics.py


def render(results: ResultsView) -> Iterator[Artifact]:
    """`reliability-<data set>` as PNG, PDF, SVG and CSV; data sets without a complete run are named in `reliability.md`."""
    whole = board(results)
    bare, why = [], "no complete run"
    for given in _pairs.chosen(whole):
        one = dataclasses.replace(given, pairs=tuple(pair for pair in given.pairs if _tells(whole, pair)))
        if not one.pairs:
            why += " that tells probabilities" if given.pairs and "that" not in why else ""
            bare.append(one.dataset)
            continue
        name, title = f"reliability-{_tables.slug(one.dataset)}", f"{TITLE}: {one.dataset}"
        frame = pd.concat(
            [bins(whole, cell).assign(backbone=pair.column) for pair in one.pairs for cell in pair.cells],
            ignore_index=True,
        )
        yield from _plots.artifacts(functools.partial(_draw, whole, one, frame), name, title)
        yield Artifact(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"), title)
    if said := _plots.nothing(TITLE, bare, why, bool(whole.cells)):
        yield Artifact("reliability.md", said, TITLE)


def _tells(whole: Board, pair: _pairs.Pair) -> bool:
    """Whether the logits of both are logits; those of an imported ranking tell an order alone."""
    return False not in whole.distinct("probabilities", pair.cells)


def bins(whole: Board, cell: Cell) -> pd.DataFrame:
    """One row for each of the bins `(low, high]` that hold a video, over all videos of a cell's complete runs together.

    `confidence` (the largest softmax of the logits) and `accuracy` are means in [0, 1], `num` counts videos; `ece` in
    [0, 1], the same in all rows, is the gap between the two over the bins, weighted by `num` (Guo et al. 2017).
    """
    confidences, rights = [], []
    for run_id in whole.run_ids(cell, done=True):
        logits = np.asarray(whole.results.logits(run_id), dtype=float)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidences.append(exponents.max(axis=1) / exponents.sum(axis=1))
        rights.append(np.asarray(whole.results.predictions(run_id)["correct"], dtype=float))
    confidence, right = np.concatenate(confidences), np.concatenate(rights)
    places = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    num = np.bincount(places, minlength=NUM_BINS)
    held = np.flatnonzero(num)
    mean, share = (np.bincount(places, weights=w, minlength=NUM_BINS)[held] / num[held] for w in (confidence, right))
    ece = float((num[held] * np.abs(share - mean)).sum() / num.sum())
    facts = {"shown_as": _pairs.said(cell), "low": held / NUM_BINS, "high": (held + 1) / NUM_BINS}
    return pd.DataFrame({**facts, "confidence": mean, "accuracy": share, "num": num[held], "ece": ece})


def _draw(whole: Board, one: _pairs.Chosen, frame: pd.DataFrame) -> Figure:
    small = (
        f"{NUM_BINS} bins of the largest softmax of the logits, all runs of a method together; larger points hold more "
        f"videos; ECE in percent, the baseline's first; dashed: confidence is accuracy. {_pairs.note(whole, one, one.pairs)}"
    )
    looks = _looks.looks(whole)
    named = dict.fromkeys(cell.name for pair in one.pairs for cell in pair.cells)
    handles = [_plots.entry(name, **looks[name]) for name in named]
    extra = _plots.legend_height_in(handles) + _plots.note_height_in(small)
    figure, axes = _plots.panels([pair.column for pair in one.pairs], 1.75, extra)
    for ax, pair in zip(axes, one.pairs, strict=True):
        ax.plot([0, 100], [0, 100], color="0.3", linestyle="--", linewidth=0.7)
        told = []
        for cell in pair.cells:
            here = frame[(frame["backbone"] == pair.column) & (frame["shown_as"] == _pairs.said(cell))]
            look: dict[str, Any] = looks[cell.name]
            x, y = 100 * here["confidence"].to_numpy(float), 100 * here["accuracy"].to_numpy(float)
            line = {key: look[key] for key in ("color", "linestyle")}
            ax.plot(x, y, **line, linewidth=0.9, clip_on=False)
            sizes = 3 + 22 * (here["num"] / here["num"].max()).to_numpy(float)
            ax.scatter(x, y, s=sizes, color=look["color"], marker=look["marker"], linewidth=0, clip_on=False)
            told.append(f"{100 * here['ece'].iloc[0]:.1f}")
        ax.set_title(f"{ax.get_title()}\nECE {' / '.join(told)}")
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 100)
        ax.set_xticks([0, 25, 50, 75], ["0", "25", "50", "75"])  # 100 would touch the next panel's 0
        ax.set_xlabel("confidence (%)")
    axes[0].set_ylabel("accuracy (%)")
    _plots.legend(figure, handles)
    _plots.note(figure, small)
    return figure
