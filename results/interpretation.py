"""What learnt prompts say: the words nearest to their vectors, and which statement fits which frame."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from results import _notes, _plots, _tables
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

    from bench.contracts import Artifact, ResultsView

TITLE = "Interpretation"
_HEADER = ("Backbone", "Method", "Class", "Vector", "Nearest words (distance)", "First over words")
MOST_VIDEOS = 3  # of a figure
_LABEL_IN = 1.95  # of a statement beside its row


def render(results: ResultsView) -> Iterator[Artifact]:
    """`interpretation-<data set>` as Markdown, CSV, LaTeX and HTML, and a figure for each backbone of it."""
    whole = board(results)
    bare = []
    for dataset, cells in grouped(whole.cells, lambda cell: cell.key.dataset).items():
        told = {cell: found for cell in _chosen(whole, cells) if (found := _of(whole, cell)) is not None}
        if not told:
            bare.append(dataset)
            continue
        name = f"interpretation-{_tables.slug(dataset)}"
        yield from _tables.artifacts(_table(whole, name, told))
        for cell, found in told.items():
            if cell.key.bank and found["videos"]:
                title = f"{TITLE}: {dataset}, {column_name(cell.key.column)}, {cell.name}"
                draw = functools.partial(_draw, whole, cell, found)
                yield from _plots.artifacts(draw, f"{name}-{_tables.slug(column_name(cell.key.column))}", title)
    if bare or not whole.cells:
        said = f"No run tells of what it learnt: {', '.join(bare)}." if bare else "There are no runs yet."
        yield from _tables.artifacts(_tables.empty("interpretation", TITLE, _HEADER, said))


def _chosen(whole: Board, cells: Sequence[Cell]) -> list[Cell]:
    """Of each learning method with its default settings on each backbone the complete cell with the most shots."""
    best: dict[tuple[object, ...], Cell] = {}
    for cell in cells:
        defaults = "True" in map(str, whole.distinct("is_default", [cell], done=False))
        if cell.key.needs_train and cell.key.bank_control == "none" and defaults and len(cell.done):
            kept = best.get((cell.key.column, cell.key.method))
            if kept is None or cell.key.shots > kept.key.shots:
                best[cell.key.column, cell.key.method] = cell
    return list(best.values())


def _of(whole: Board, cell: Cell) -> dict[str, Any] | None:
    """What the cell's first run tells of itself."""
    return whole.results.interpretation(_first(whole, cell))


def _first(whole: Board, cell: Cell) -> str:
    """The run of the lowest seed."""
    seeds = whole.values("seed")[cell.done]
    return str(whole.values("run_id")[cell.done][int(np.argmin(seeds))])


def _table(whole: Board, name: str, told: Mapping[Cell, dict[str, Any]]) -> _tables.Table:
    blocks, records = [], []
    for cell, found in told.items():
        lines = []
        for row in found["context"]:
            near, between = row["nearest"], found["between_words"]
            ratio = near[0][1] / between if between else float("nan")
            shown = ", ".join(f"{word} ({distance:.2f})" for word, distance in near)
            first = (column_name(cell.key.column), cell.name, row["class"] or "all", str(row["position"]))
            lines.append(tuple(_tables.Cell(text) for text in (*first, shown, f"{ratio:.1f}")))
            facts = {**cell.key._asdict(), "shots": cell.key.shots or None, "class": row["class"]}
            facts |= {"vector": row["position"], "run_id": _first(whole, cell), "between_words": between}
            records += [{**facts, "rank": i + 1, "word": w, "distance": d} for i, (w, d) in enumerate(near)]
        blocks.append(tuple(lines))
    settings = sorted({protocol_name(*cell.key.setting) for cell in told})
    nums = sorted({found["num_words"] for found in told.values()})
    title = f"{TITLE}: {_notes.dataset_title(whole, list(told))}"
    return _tables.Table(
        name=name,
        title=title,
        caption=f"{title}. The words nearest to each learnt context vector, by Euclidean distance between it and the embeddings "
        f"of words, as CoOp's authors read theirs ({'; '.join(settings)}; the run of the lowest seed).",
        header=_HEADER,
        blocks=tuple(blocks),
        num_text=5,
        frame=pd.DataFrame(records),
        notes=(
            *_notes.toy_scale(whole, list(told)),
            f"Words: those of the knowledge banks that ship which are one token of the tower ({' or '.join(map(str, nums))}).",
            "First over words: the distance of the first word, over the median distance between neighbouring words. Well over 1, the "
            "vector lies farther from every word than words lie from each other: it reads as no word, whatever stands there.",
        ),
    )


def _draw(whole: Board, cell: Cell, found: Mapping[str, Any]) -> Figure:
    """Up to MOST_VIDEOS videos: frames across, the statements of the true class and of its rival down."""
    videos = _shown(found["videos"])
    small = (
        f"{cell.name}, {protocol_name(*cell.key.setting)}, {column_name(cell.key.column)}, one run. {len(videos)} of the "
        f"{len(found['videos'])} videos that it kept, one a class: the first ones, with one that was told wrong where there is one. "
        "Rows: statements of the true class, below the line those of the class with the highest logit but it; columns: frames in "
        "order. Blue: the logit of the frame and the statement is above that frame's mean over the rows, red: below."
    )
    titles = [f"{v['class']} against {v['rival']}: {'right' if v['right'] else 'wrong'}" for v in videos]
    rows = max(len(v["texts"]) for v in videos)
    extra = 0.7 + _plots.note_height_in(small)
    figure, axes = _plots.panels(titles, 0.115 * rows + 0.25, extra, left_in=_LABEL_IN, across=1, sharey=False)
    matrices = [relative(v["fits"]) for v in videos]
    bound = max(float(np.abs(m).max()) for m in matrices) or 1.0
    for ax, video, values in zip(axes, videos, matrices, strict=True):
        ax.grid(visible=False)
        image = ax.imshow(values, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
        labels = [_plots.cut_to(text, _plots.SMALL, _LABEL_IN - 0.1) for text in video["texts"]]
        ax.set_yticks(range(len(labels)), labels, fontsize=_plots.SMALL)
        num = values.shape[1]
        ax.set_xticks(range(0, num, max(1, num // 4)), [str(i + 1) for i in range(0, num, max(1, num // 4))])
        ax.axhline(sum(not rival for rival in video["of_rival"]) - 0.5, color="0.2", linewidth=0.8)
    axes[-1].set_xlabel("frame")
    bar = figure.colorbar(image, ax=axes, location="bottom", fraction=0.05, pad=0.03, aspect=25)
    bar.ax.tick_params(labelsize=_plots.SMALL, length=2)
    bar.set_label("logit over the frame's mean", fontsize=_plots.SMALL)
    _plots.note(figure, small)
    return figure


def relative(fits: Sequence[Sequence[float]]) -> np.ndarray:
    """Logits of statements by frames, `(P, T)`, less each frame's mean over the statements."""
    values = np.asarray(fits, dtype=float)
    return values - values.mean(axis=0, keepdims=True)


def _shown(videos: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One that was told wrong where there is one, then right ones, in the order of the classes; the rows of a video true class first."""
    wrong, right = [v for v in videos if not v["right"]], [v for v in videos if v["right"]]
    chosen = [*right[: MOST_VIDEOS - bool(wrong)], *wrong][:MOST_VIDEOS]
    return [_ordered(v) for v in chosen]


def _ordered(video: dict[str, Any]) -> dict[str, Any]:
    order = sorted(range(len(video["texts"])), key=lambda i: video["of_rival"][i])
    return {**video, **{key: [video[key][i] for i in order] for key in ("texts", "of_rival", "fits")}}
