"""How tuning went: the best validation accuracy after each trial, one figure a data set, one panel a backbone."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from bench.contracts import Artifact
from results import _looks, _plots, _studies, _tables
from results._data import TOY_SCALE, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.contracts import ResultsView
    from results._studies import Shown

TITLE = "Tuning history"
MOST = 8  # curves that can be told apart in a panel
_STATES: dict[str, dict[str, Any]] = {
    "complete": {"markersize": 2.6, "alpha": 0.75, "markeredgewidth": 0},
    "pruned": {"markersize": 3.2, "markerfacecolor": "none", "markeredgewidth": 0.5},
}


def render(results: ResultsView) -> Iterator[Artifact]:
    """`tuning-history-<data set>` as PNG, PDF, SVG and CSV; without a trial that ended `tuning-history.md` says so."""
    drawn = False
    for dataset, studies in grouped(_studies.shown(results), lambda s: s.dataset).items():
        frame = _points(studies)
        if frame.empty:
            continue
        name, title, drawn = f"tuning-history-{_tables.slug(dataset)}", f"{TITLE}: {dataset}", True
        yield from _plots.artifacts(functools.partial(_draw, studies, frame), name, title)
        yield Artifact(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"), title)
    if not drawn:
        yield Artifact("tuning-history.md", f"## {TITLE}\n\nNothing to draw: no trial has ended yet.\n", TITLE)


def _points(studies: Sequence[Shown]) -> pd.DataFrame:
    """One row a trial that ended: its top-1 in [0, 1] on validation videos, and the best of the complete ones so far."""
    rows: list[dict[str, Any]] = []
    for study in studies:
        best = np.nan
        for trial in study.record.trials:
            if trial.state == "open":
                continue
            score = trial.scores[-1] if trial.scores else np.nan
            if trial.state == "complete":
                best = np.fmax(best, score)
            row = {
                **study.facts,
                "trial": trial.number + 1,
                "state": trial.state,
                "validation_top1": score,
                "best_so_far": best,
            }
            rows.append({**row, "num_rungs": len(trial.scores), "reason": trial.reason})
    return pd.DataFrame(rows)


def _draw(studies: Sequence[Shown], frame: pd.DataFrame) -> Figure:
    several = _studies.several_settings(studies)
    places = grouped(studies, lambda s: (s.setting, s.column))
    looks = _looks.of_methods([s.method for s in studies])
    handles = []
    for (method, name), _ in grouped(studies, lambda s: (s.method, s.name)).items():
        handles.append(_plots.entry(name, **looks[method]))
    states = [state for state in ("pruned", "failed") if (frame["state"] == state).any()]
    marks = {"pruned": {"marker": "o", "markerfacecolor": "none"}, "failed": {"marker": "x"}}
    handles += [_plots.entry(f"{state} trial", color="0.3", linestyle="", **marks[state]) for state in states]
    small = _note(studies, frame)
    titles = [_studies.place_name(part[0], several) for part in places.values()]
    extra = 0.15 + _plots.legend_height_in(handles) + _plots.note_height_in(small)
    figure, axes = _plots.panels(titles, 1.35, extra)
    lowest = 100 * float(np.nanmin(frame["validation_top1"], initial=1.0))
    floor = max(0.0, 10 * np.floor(lowest / 10) - 5)
    for ax, part in zip(axes, places.values(), strict=True):
        for study in part[:MOST]:
            _curve(ax, frame[frame["study"] == study.record.study_id], looks[study.method], study.num_of_name, floor)
        ax.set_ylim(floor, 100)
        ax.set_xlim(0.5, max(s.record.budget for s in studies) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for ax in axes[-2:]:
        ax.set_xlabel("trial")
    for ax in axes[::2]:
        ax.set_ylabel("val. top-1 (%)")
    _plots.legend(figure, handles)
    _plots.note(figure, small)
    return figure


def _curve(ax: Axes, points: pd.DataFrame, look: dict[str, Any], number: int, floor: float) -> None:
    """The best so far as a step line, and each trial as a marker."""
    line = {"color": look["color"], "linestyle": ("-", "--", ":", "-.")[number % 4]}
    best = points.dropna(subset=["best_so_far"])
    ax.plot(best["trial"], 100 * best["best_so_far"], drawstyle="steps-post", zorder=3, **line)
    marks = {state: {"color": look["color"], "marker": look["marker"], **how} for state, how in _STATES.items()}
    marks["failed"] = {"color": look["color"], "marker": "x", "markersize": 3.5}
    for state, how in marks.items():
        part = points[points["state"] == state]
        if not part.empty:  # the layout gives room to what is not there
            reached = 100 * part["validation_top1"] if state != "failed" else np.full(len(part), floor)
            ax.plot(part["trial"], reached, linestyle="", clip_on=False, zorder=4, **how)


def _note(studies: Sequence[Shown], frame: pd.DataFrame) -> str:
    """The small print: what lines and markers are, what failed, and what the numbers do not mean."""
    counts = sorted({s.record.told["num_validation"] for s in studies})
    videos = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    told = [
        f"Line: best so far; marker: a trial; trial 1 is the method as it stands. On {videos} validation videos, not on test."
    ]
    if (frame["state"] == "pruned").any():
        told.append("Pruned trials stand where their shortened training ended.")
    if num := int((frame["state"] == "failed").sum()):
        told.append(f"Failed: {num} of {len(frame)}; the table says why.")
    if more := sum(max(0, len(part) - MOST) for part in grouped(studies, lambda s: (s.setting, s.column)).values()):
        told.append(f"Not drawn for want of room: {more} more studies.")
    toys = sorted({s.column[0] for s in studies if s.record.columns["toy_scale"]})
    if toys:
        told.append(f"{TOY_SCALE[0].upper()}{TOY_SCALE[1:]}. They are: {', '.join(toys)}.")
    return " ".join(told)
