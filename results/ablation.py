"""One switch at a time: what each part of a method is worth, as paired differences from a reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from results import _notes, _plots, _tables
from results._cells import p_text, points, shown
from results._data import Board, Cell, board, column_name, grouped, protocol_name
from results._switches import Ablation, Variant, ablations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Ablation"
_HEADER = ("Protocol", "Backbone", "Variant", "Switch", "Top-1", "Δ", "95 % interval of Δ", "p", "p (Holm)")
_NUM_TEXT = 4


def render(results: ResultsView) -> Iterator[Artifact]:
    """`ablation-<data set>` as Markdown, CSV, LaTeX and HTML, and a figure for each method and protocol."""
    whole = board(results)
    bare = []
    for dataset, cells in grouped(whole.cells, lambda cell: cell.key.dataset).items():
        found = ablations(whole, cells)
        if not found:
            bare.append(dataset)
            continue
        yield from _tables.artifacts(_table(whole, dataset, found))
        for (setting, method), part in grouped_ablations(found).items():
            name = f"ablation-{_tables.slug(dataset)}-{_tables.slug(method)}{f'-k{setting[1]}' if setting[1] else ''}"
            yield from _draw(whole, part, name, f"{TITLE}: {dataset}, {method}, {protocol_name(*setting)}")
    if bare or not whole.cells:
        said = (
            f"No two runs of one method differ in one switch: {', '.join(bare)}." if bare else "There are no runs yet."
        )
        yield from _tables.artifacts(_tables.empty("ablation", TITLE, _HEADER, said))


def grouped_ablations(found: Sequence[Ablation]) -> dict[tuple[tuple[str, int], str], list[Ablation]]:
    """Ablations of one protocol and method, whose backbones stand side by side in a figure."""
    groups: dict[tuple[tuple[str, int], str], list[Ablation]] = {}
    for one in found:
        groups.setdefault((one.reference.key.setting, one.reference.key.method), []).append(one)
    return groups


def _table(whole: Board, dataset: str, found: Sequence[Ablation]) -> _tables.Table:
    feet = _tables.Footnotes()
    every = [cell for one in found for cell in (one.reference, *(variant.cell for variant in one.variants))]
    blocks = [(_reference(one.reference, feet), *(_line(variant, feet) for variant in one.variants)) for one in found]
    title = f"{TITLE}: {_notes.dataset_title(whole, every)}"
    notes = [*_notes.toy_scale(whole, every), *_notes.intervals(every)]
    notes.append("Each video counts with the share of its runs (seeds, shuffles, splits) that were right.")
    if all(math.isnan(variant.test.p_value) for one in found for variant in one.variants):
        notes.append("No difference could be tested.")
    return _tables.Table(
        name=f"ablation-{_tables.slug(dataset)}",
        title=title,
        caption=f"{title}. Top-1 accuracy in percent, and Δ: variant − reference in percentage points, paired on the same "
        "test videos, with its 95 % interval; p values Holm-corrected over this table.",
        header=_HEADER,
        blocks=tuple(blocks),
        num_text=_NUM_TEXT,
        frame=pd.DataFrame([_record(whole, one.reference, variant) for one in found for variant in one.variants]),
        notes=tuple([*notes, *_notes.videos(whole, every), *_notes.beware(whole, every)]),
        footnotes=feet.listed(),
    )


def _begin(cell: Cell, switch: str, feet: _tables.Footnotes, marks: tuple[str, ...] = ()) -> tuple[_tables.Cell, ...]:
    problems = tuple(feet.mark(text) for text in cell.problems)
    return (
        _tables.Cell(protocol_name(*cell.key.setting)),
        _tables.Cell(column_name(cell.key.column)),
        _tables.Cell(cell.name, marks=problems),
        _tables.Cell(switch, marks=marks),
        _tables.Cell(shown(cell)),
    )


def _reference(cell: Cell, feet: _tables.Footnotes) -> tuple[_tables.Cell, ...]:
    return (*_begin(cell, "reference", feet), *(_tables.Cell("") for _ in range(4)))


def _line(variant: Variant, feet: _tables.Footnotes) -> tuple[_tables.Cell, ...]:
    test = variant.test
    bounds = f"{points(test.low, True)} to {points(test.high, True)}" if not math.isnan(test.low) else points(math.nan)
    switch = f"{variant.switch}: {variant.was} → {variant.value}"
    return (
        *_begin(variant.cell, switch, feet, (feet.mark(test.test),)),
        _tables.Cell(points(test.difference, True)),
        _tables.Cell(bounds),
        _tables.Cell(p_text(test.p_value)),
        _tables.Cell(p_text(variant.p_holm)),
    )


def _record(whole: Board, reference: Cell, variant: Variant) -> dict[str, Any]:
    """A line of the CSV, shares in [0, 1]."""
    test, cell = variant.test, variant.cell
    return {
        **{**cell.key._asdict(), "shots": cell.key.shots or None, "variant": cell.name, "reference": reference.name},
        **{"switch": variant.switch, "was": variant.was, "value": variant.value},
        **{"top1": cell.top1, "top1_reference": reference.top1, "difference": test.difference},
        **{"low": test.low, "high": test.high, "p_value": test.p_value, "p_holm": variant.p_holm},
        **{
            "num_groups": test.num_groups,
            "test": test.test,
            "problems": "; ".join([*cell.problems, *reference.problems]),
        },
        "run_ids": " ".join([*whole.run_ids(cell), *whole.run_ids(reference)]),
    }


def _draw(whole: Board, found: Sequence[Ablation], file_name: str, title: str) -> Iterator[Artifact]:
    """Bars with the differences beside them, or a curve where the only switch is a number; one panel a backbone."""
    rows = list(dict.fromkeys(cell.name for one in found for cell in _ordered(one)))
    labels = [_plots.name(label, 20) for label in _without_shared_beginning(rows)]
    height = 0.45 + 0.19 * max(len(rows), 0.65 * sum(label.count("\n") + 1 for label in labels))
    small = _note(whole, found)
    with _plots.style():
        palette = _plots.colours(len(rows))
        figure, axes = _plots.panels(len(found), height, 0.1 + _plots.note_height_in(small))
        for ax, one in zip(axes, found, strict=True):
            told = {variant.cell.name: variant for variant in one.variants}
            cells = {cell.name: cell for cell in _ordered(one)}
            for place, row in enumerate(rows):
                cell = cells.get(row)
                if cell is None or cell.interval is None:
                    ax.text(50, place, "no run" if cell is None else cell.status, ha="center", va="center", fontsize=6)
                    continue
                half = float(np.nan_to_num(100 * cell.half_width))
                ax.barh(place, 100 * cell.top1, height=0.7, color=palette[place], linewidth=0)
                ax.errorbar(100 * cell.top1, place, xerr=half, color="0.15", elinewidth=0.8, capsize=1.5, capthick=0.8)
                if row in told:
                    _delta(ax, place, 100 * cell.top1 + half, told[row])
            for count in whole.distinct("num_classes", list(cells.values())):
                ax.axvline(100 / count, color="black", linestyle=":", linewidth=0.9)
            ax.set_title(_plots.name(column_name(one.reference.key.column), 26))
            ax.set_xlim(0, 100)
            ax.set_xticks([0, 25, 50, 75], ["0", "25", "50", "75"])  # 100 would touch the next panel's 0
            ax.grid(visible=False, axis="y")
            ax.set_yticks(range(len(rows)), labels)
            ax.set_ylim(len(rows) - 0.4, -0.6)
        for ax in axes[-2:]:
            ax.set_xlabel("top-1 (%)")
        _plots.note(figure, small)
        yield from _plots.artifacts(figure, file_name, title)


def _without_shared_beginning(names: Sequence[str]) -> list[str]:
    """The names without the words up to a comma that all of them begin with: the title tells those."""
    start, comma, _ = names[0].partition(", ")
    shared = start + comma
    return (
        [name.removeprefix(shared) for name in names]
        if comma and all(n.startswith(shared) for n in names)
        else list(names)
    )


def _delta(ax: Any, place: int, end: float, variant: Variant) -> None:
    """The difference from the reference, beside its bar or, where that ends too far right, inside it."""
    text = points(variant.test.difference, True) + ("*" if variant.p_holm < 0.05 else "")
    inside = end > 70
    colour = {"color": "white", "fontweight": "bold"} if inside else {"color": "0.15"}
    ax.text(2 if inside else end + 2, place, text, va="center", ha="left", fontsize=5.5, **colour)


def _ordered(one: Ablation) -> list[Cell]:
    return [one.reference, *(variant.cell for variant in one.variants)]


def _note(whole: Board, found: Sequence[Ablation]) -> str:
    cells = [cell for one in found for cell in _ordered(one)]
    overs = dict.fromkeys(cell.interval.over for cell in cells if cell.interval is not None)
    told = [f"Whiskers: 95 % intervals over {'; over '.join(overs)}."] if overs else ["No run is complete."]
    told.append(
        "First bar: the reference; numbers: difference from it in points, paired (*: p < .05 after Holm). Dotted: chance."
    )
    for cell in cells:
        told += [f"{cell.key.backbone}, {cell.name}: {_plots.short(problem)}." for problem in cell.problems]
    told += [f"{note[0].upper()}{note[1:]}" for note in _notes.toy_scale(whole, cells)]
    return " ".join(told)
