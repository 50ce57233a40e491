"""Does the knowledge do it? Zero-shot with class names, templates, descriptions, and the same descriptions shuffled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.stats import holm
from results import _plots, _tables
from results._data import COLUMN, TOY_SCALE, Judge, Summary, column_name, load_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.contracts import Artifact, ResultsView

TITLE = "Knowledge ablation"
_HEADER = ("Backbone", "Difference", "Points", "95 % interval", "p", "p (Holm)")
_TEXT_SOURCES = ("class_names", "templates", "descriptions")
_NAMES = {"class_names": "class names", "templates": "templates"}


def render(results: ResultsView) -> Iterator[Artifact]:
    """`ablation-<data set>`: bars as PNG and PDF, paired differences as Markdown, CSV, LaTeX and HTML."""
    runs = load_runs(results)
    judge = Judge(results)
    bare = []
    for dataset, part in runs.groupby("dataset", sort=False):
        rows = part[(part["protocol"] == "zero_shot") & part["text_source"].isin(_TEXT_SOURCES)]
        if rows.empty:
            bare.append(str(dataset))
            continue
        cells = _summaries(rows, judge)
        name, title = f"ablation-{_tables.slug(str(dataset))}", f"{TITLE}: {dataset}"
        yield from _tables.artifacts(_differences(cells, rows, judge, name, title))
        yield from _draw(cells, rows, name, title)
    if runs.empty or bare:
        why = f"No zero-shot runs with texts: {', '.join(bare)}." if bare else "There are no runs yet."
        yield from _tables.artifacts(_tables.empty("ablation", TITLE, _HEADER, why))


def _summaries(runs: pd.DataFrame, judge: Judge) -> dict[tuple[str, str], Summary]:
    """(column, condition) -> its numbers; banks are told apart where there are several."""
    several = len(set(runs["bank"]) - {""}) > 1
    found: dict[tuple[str, str], Summary] = {}
    for (*column, source, bank, control), part in runs.groupby(
        [*COLUMN, "text_source", "bank", "bank_control"], sort=False
    ):
        condition = _NAMES.get(str(source)) or _described(str(bank) if several else "", str(control))
        found[column_name(column), condition] = judge.summary(part)
    return found


def _described(bank: str, control: str) -> str:
    told = [text for text in (bank, "shuffled" if control == "shuffled" else "") if text]
    return f"descriptions ({', '.join(told)})" if told else "descriptions"


def _differences(
    cells: dict[tuple[str, str], Summary], runs: pd.DataFrame, judge: Judge, name: str, title: str
) -> _tables.Table:
    """Descriptions against class names, and against the same descriptions shuffled, for each backbone and bank."""
    several = len(set(runs["bank"]) - {""}) > 1
    banks = sorted(set(runs.loc[runs["text_source"] == "descriptions", "bank"])) or [""]
    backbones = list(dict.fromkeys(column for column, _ in cells))
    feet = _tables.Footnotes()
    records: list[dict[str, Any]] = []
    for backbone in backbones:
        for bank in banks:
            full, shuffled = (_described(bank if several else "", control) for control in ("none", "shuffled"))
            for other in ("class names", shuffled):
                record = {"backbone": backbone, "difference": f"{full} − {other}"}
                records.append(record | _test(cells.get((backbone, full)), cells.get((backbone, other)), judge))
    frame = pd.DataFrame(records)
    frame["p_holm"] = holm(list(frame["p_value"]))
    blocks = [
        tuple(_row(record, feet) for _, record in part.iterrows()) for _, part in frame.groupby("backbone", sort=False)
    ]
    notes = [f"{TOY_SCALE}."] if runs["toy_scale"].any() else []
    notes.append("Each video counts with the share of its runs (seeds, shuffles, splits) that were right.")
    if frame["p_value"].isna().all():
        notes.append("No difference could be tested.")
    return _tables.Table(
        name=name,
        title=title,
        caption=f"{title}. Paired differences in top-1 accuracy, in percentage points, over test groups; p values "
        "Holm-corrected over this table.",
        header=_HEADER,
        blocks=tuple(blocks),
        num_text=2,
        frame=frame,
        notes=tuple(notes),
        footnotes=feet.listed(),
    )


def _test(a: Summary | None, b: Summary | None, judge: Judge) -> dict[str, Any]:
    """The paired test of two cells as a record; NaN with a reason where one of them has no number."""
    nothing: dict[str, Any] = dict.fromkeys(("points", "low", "high", "p_value"), math.nan)
    problems = [text for cell in (a, b) if cell is not None for text in cell.problems]
    nothing |= {"num_groups": 0, "problems": "; ".join(dict.fromkeys(problems))}
    for cell in (a, b):
        if cell is None or cell.status != "complete":
            return {**nothing, "test": "no run of one of the two" if cell is None else ""}
    assert a is not None and b is not None
    test = judge.compare(a.runs, b.runs)
    bounds = {"points": test.difference, "low": test.low, "high": test.high, "p_value": test.p_value}
    run_ids = " ".join([*a.runs["run_id"], *b.runs["run_id"]])
    return {**nothing, **bounds, "num_groups": test.num_groups, "test": test.test, "run_ids": run_ids}


def _row(record: pd.Series, feet: _tables.Footnotes) -> tuple[_tables.Cell, ...]:
    marks = tuple(feet.mark(text) for text in (record["test"], record["problems"]) if text)
    low, high = _points(record["low"]), _points(record["high"])
    return (
        _tables.Cell(record["backbone"]),
        _tables.Cell(record["difference"], marks=marks),
        _tables.Cell(_points(record["points"])),
        _tables.Cell(f"{low} to {high}" if not math.isnan(record["low"]) else "—"),
        _tables.Cell(_p(record["p_value"])),
        _tables.Cell(_p(record["p_holm"])),
    )


def _points(share: float) -> str:
    return "—" if math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def _p(value: float) -> str:
    if math.isnan(value):
        return "—"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _draw(cells: dict[tuple[str, str], Summary], runs: pd.DataFrame, file_name: str, title: str) -> Iterator[Artifact]:
    backbones = list(dict.fromkeys(column for column, _ in cells))
    conditions = list(dict.fromkeys(condition for _, condition in cells))
    small = _note(cells, runs)
    with _plots.style():
        palette = _plots.colours(len(conditions))
        height = 0.45 + 0.19 * len(conditions)
        figure, axes = _plots.panels(len(backbones), height, 0.1 + _plots.note_height_in(small))
        for ax, backbone in zip(axes, backbones, strict=True):
            of_backbone = runs[[column_name(c) == backbone for c in runs[COLUMN].itertuples(index=False)]]
            for place, condition in enumerate(conditions):
                cell = cells.get((backbone, condition))
                if cell is None or cell.interval is None:
                    ax.text(50, place, "no run" if cell is None else cell.status, ha="center", va="center", fontsize=6)
                    continue
                half = np.nan_to_num(100 * cell.interval.half_width)
                ax.barh(place, 100 * cell.top1, height=0.7, color=palette[place], linewidth=0)
                ax.errorbar(100 * cell.top1, place, xerr=half, color="0.15", elinewidth=0.8, capsize=1.5, capthick=0.8)
            for count in of_backbone["num_classes"].dropna().unique():
                ax.axvline(100 / count, color="black", linestyle=":", linewidth=0.9)
            ax.set_title(_plots.name(backbone, 22))
            ax.set_xlim(0, 100)
            ax.set_xticks([0, 25, 50, 75], ["0", "25", "50", "75"])  # 100 would touch the next panel's 0
            ax.grid(visible=False, axis="y")
            ax.set_yticks(range(len(conditions)), [_plots.name(c, 20) for c in conditions])
            ax.set_ylim(len(conditions) - 0.4, -0.6)
        for ax in axes[-2:]:
            ax.set_xlabel("top-1 (%)")
        _plots.note(figure, small)
        yield from _plots.artifacts(figure, file_name, title)


def _note(cells: dict[tuple[str, str], Summary], runs: pd.DataFrame) -> str:
    overs = dict.fromkeys(cell.interval.over for cell in cells.values() if cell.interval is not None)
    told = [f"Whiskers: 95 % intervals over {'; over '.join(overs)}."] if overs else ["No run is complete."]
    told.append("Dotted: chance.")
    for (backbone, condition), cell in cells.items():
        told += [f"{backbone}, {condition}: {_plots.short(problem)}." for problem in cell.problems]
    if runs["toy_scale"].any():
        told.append(f"{TOY_SCALE[0].upper()}{TOY_SCALE[1:]}.")
    return " ".join(told)
