"""How accuracy grows with the number of training videos a class: one figure a data set, one panel a backbone."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.contracts import Artifact
from results import _looks, _notes, _plots, _tables
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.contracts import ResultsView

TITLE = "Few-shot curve"
MOST = 8  # curves, and as many horizontal lines, that can be told apart in a panel
MOST_GAPS = 4  # problems that the small print tells one by one


def render(results: ResultsView) -> Iterator[Artifact]:
    """`few-shot-<data set>` as PNG, PDF, SVG and CSV; data sets without few-shot runs are named in `few-shot.md`."""
    whole = board(results)
    bare = []
    for dataset, cells in grouped(whole.cells, lambda cell: cell.key.dataset).items():
        drawn = [cell for cell in cells if cell.key.protocol in ("few_shot", "zero_shot")]
        if not any(cell.key.shots for cell in drawn):
            bare.append(dataset)
            continue
        frame, file_name = _points(whole, drawn), f"few-shot-{_tables.slug(dataset)}"
        draw = functools.partial(_draw, whole, frame, drawn)
        yield from _plots.artifacts(draw, file_name, f"{TITLE}: {dataset}")
        yield Artifact(f"{file_name}.csv", frame.to_csv(index=False, lineterminator="\n"), f"{TITLE}: {dataset}")
    if bare or not whole.cells:
        why = f"no few-shot runs: {', '.join(bare)}" if bare else "there are no runs yet"
        yield Artifact("few-shot.md", f"## {TITLE}\n\nNothing to draw: {_tables.escape_markdown(why)}.\n", TITLE)


def _points(whole: Board, cells: Sequence[Cell]) -> pd.DataFrame:
    """One row a point or horizontal line (shots 0), with or without a number: share in [0, 1], bounds, problems."""
    numbers = ["status", "top1", "low", "high", "interval_over", "num_runs", "problems", "run_ids"]
    points: list[dict[str, Any]] = []
    for cell in cells:
        point: dict[str, Any] = {
            "backbone": column_name(cell.key.column),
            "shown_as": cell.name,
            "shots": cell.key.shots,
        }
        point |= {"status": cell.status, "top1": cell.top1}
        if cell.interval is not None:
            point |= {"low": cell.interval.low, "high": cell.interval.high, "interval_over": cell.interval.over}
        told = {"num_runs": len(cell.done), "problems": "; ".join(cell.problems)}
        points.append({**point, **told, "run_ids": " ".join(whole.run_ids(cell))})
    return pd.DataFrame(points, columns=["backbone", "shown_as", "shots", *numbers])


def _draw(whole: Board, frame: pd.DataFrame, cells: Sequence[Cell]) -> Figure:
    lines, levels = (_best(frame[(frame["shots"] > 0) == few]) for few in (True, False))
    others = len(frame["shown_as"].unique()) - len({*lines, *levels})
    frame = frame[
        frame["shown_as"].isin(lines) & (frame["shots"] > 0) | frame["shown_as"].isin(levels) & (frame["shots"] == 0)
    ]
    few = frame[frame["shots"] > 0]
    backbones = sorted(few["backbone"].unique())
    small = _note(frame[frame["backbone"].isin(backbones)], whole, cells)
    small += f" Not drawn for want of room: {others} more methods." if others else ""
    without = sorted(set(frame["backbone"]) - set(backbones))
    small += f" Without few-shot runs, so not shown: {', '.join(without)}." if without else ""
    looks = _looks.looks(whole)
    handles = [_plots.entry(name, **looks[name]) for name in lines]
    handles += [_plots.entry(name, **_level(looks[name])) for name in levels]
    handles.append(_plots.entry("chance", color="black", linestyle=":", linewidth=0.9))
    figure, axes = _plots.panels(backbones, 1.55, _plots.legend_height_in(handles) + _plots.note_height_in(small))
    for ax, backbone in zip(axes, backbones, strict=True):
        of_backbone = [cell for cell in cells if column_name(cell.key.column) == backbone]
        for count in whole.distinct("num_classes", of_backbone, done=False):
            ax.axhline(100 / count, color="black", linestyle=":", linewidth=0.9)
        _panel(ax, frame[frame["backbone"] == backbone], looks)
        ax.set_xticks(sorted(few["shots"].unique()), [str(k) for k in sorted(few["shots"].unique())])
    for ax in axes[-2:]:
        ax.set_xlabel("training videos a class (K)")
    for ax in axes[::2]:
        ax.set_ylabel("top-1 (%)")
    _plots.legend(figure, handles)
    _plots.note(figure, small)
    return figure


def _panel(ax: Axes, frame: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    """Curves with bands and horizontal lines of one backbone, in percent."""
    ax.set_xscale("log", base=2)
    ax.minorticks_off()
    ax.set_ylim(0, 100)
    for name, part in frame.groupby("shown_as", sort=False):
        for value in part.loc[part["shots"] == 0, "top1"].dropna():
            ax.axhline(100 * value, **_level(looks[str(name)]))
        points = part[part["shots"] > 0].dropna(subset=["top1"]).sort_values("shots")
        if points.empty:
            continue
        look, shots = looks[str(name)], points["shots"].to_numpy(dtype=float)
        ax.fill_between(
            shots,
            100 * points["low"].to_numpy(float),
            100 * points["high"].to_numpy(float),
            color=look["color"],
            alpha=0.16,
            linewidth=0,
        )
        ax.plot(shots, 100 * points["top1"].to_numpy(float), clip_on=False, zorder=3, **look)


def _level(look: dict[str, Any]) -> dict[str, Any]:
    """How the horizontal line of a method looks: thinner than a curve, and without its marker."""
    return {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.9}


def _best(frame: pd.DataFrame) -> list[str]:
    """At most MOST names, those that reach most, in the order of the rows."""
    reached = frame.groupby("shown_as", sort=False)["top1"].max().fillna(-1.0)
    best = set(reached.sort_values(ascending=False, kind="stable").index[:MOST])
    return [str(name) for name in reached.index if name in best]


def _note(frame: pd.DataFrame, whole: Board, cells: Sequence[Cell]) -> str:
    """The small print: what the bands are, what is missing, and what the numbers do not mean."""
    few = frame[frame["shots"] > 0]
    overs = [over for over in few["interval_over"].dropna().unique() if "no interval" not in over]
    bare = "No bands: one run a point." if few["top1"].notna().any() else "No few-shot run is complete."
    told = [f"Bands: 95 % intervals over {'; '.join(overs)}." if overs else bare]
    alone = few[(few["status"] == "complete") & few["high"].isna()]
    if overs and len(alone):
        told.append("Without a band: one run.")
    gaps = frame[(frame["status"] != "complete") | (frame["problems"] != "")]
    for point in gaps.head(MOST_GAPS).to_dict("records"):
        where = protocol_name("few_shot", point["shots"]) if point["shots"] else "zero-shot"
        told.append(f"{point['backbone']}, {point['shown_as']}, {where}: {_plots.short(point['problems'])}.")
    if len(gaps) > MOST_GAPS:
        told.append(f"Not as it should be: {len(gaps) - MOST_GAPS} more points; the table says which.")
    told += [f"{text[0].upper()}{text[1:]}" for text in _notes.toy_scale(whole, cells)]
    return " ".join(told)
