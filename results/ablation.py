"""One switch at a time: what each part of a method is worth, as paired differences from a reference."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from results import _ablation_figures, _captions, _notes, _plots, _tables
from results._cells import no_interval, p_text, points, shown
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name
from results._switches import Ablation, Variant, ablations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Ablation"
_HEADER = ("Protocol", "Backbone", "Variant", "Switch", "Top-1", "Δ", "95 % interval of Δ", "p", "p (Holm)")
_NUM_TEXT = 4
MOST_BARS = 14  # variants in one figure


def render(results: ResultsView) -> Iterator[Artifact]:
    """`ablation-<data set>` as Markdown, CSV, LaTeX and HTML, and figures for each method and protocol."""
    whole = board(results)
    for dataset, found in _found(whole).items():
        if not found:
            continue
        yield from _tables.artifacts(_table(whole, dataset, found))
        for (setting, method, kind), part in grouped_ablations(found).items():
            name = f"ablation-{_tables.slug(dataset)}-{_tables.slug(method)}{f'-k{setting[1]}' if setting[1] else ''}"
            name += f"-{kind}" if kind else ""
            title = f"{TITLE}: {dataset}, {method}, {protocol_name(*setting)}"
            for switch, those in by_switch(part).items():
                named, told = (f"{name}-{switch}", f"{title}, {switch}") if switch else (name, title)
                yield from _plots.artifacts(functools.partial(_ablation_figures.draw, whole, those), named, told)
    for table in _empty(whole):
        yield from _tables.artifacts(table)


def text(results: ResultsView) -> str:
    """All of these tables for a terminal."""
    whole = board(results)
    tables = [_table(whole, dataset, found) for dataset, found in _found(whole).items() if found]
    return "\n".join(_tables.text(table) for table in [*tables, *_empty(whole)])


def _found(whole: Board) -> dict[str, list[Ablation]]:
    """The ablations of each data set."""
    by_dataset = grouped(whole.cells, lambda cell: cell.key.dataset)
    return {dataset: ablations(whole, cells) for dataset, cells in by_dataset.items()}


def _empty(whole: Board) -> Iterator[_tables.Table]:
    """A table that says where there is no ablation."""
    bare = [dataset for dataset, found in _found(whole).items() if not found]
    if bare or not whole.cells:
        said = (
            f"No two runs of one method differ in one switch: {', '.join(bare)}." if bare else "There are no runs yet."
        )
        yield _tables.empty("ablation", TITLE, _HEADER, said)


def grouped_ablations(found: Sequence[Ablation]) -> dict[tuple[tuple[str, int], str, str], list[Ablation]]:
    """Ablations of one protocol, method and kind, whose backbones stand side by side in a figure."""
    groups: dict[tuple[tuple[str, int], str, str], list[Ablation]] = {}
    for one in found:
        groups.setdefault((one.reference.key.setting, one.reference.key.method, one.kind), []).append(one)
    return groups


def by_switch(part: Sequence[Ablation]) -> dict[str, list[Ablation]]:
    """What stands in one figure: all variants under "" where they fit, otherwise each switch of several settings by itself, and the
    switches of one setting together as "others".
    """
    variants = [variant for one in part for variant in one.variants]
    if len({variant.cell.name for variant in variants}) <= MOST_BARS:
        return {"": list(part)}
    settings = {v.switch: {w.cell.name for w in variants if w.switch == v.switch} for v in variants}
    home = {switch: switch if len(names) > 1 else "others" for switch, names in settings.items()}
    found: dict[str, list[Ablation]] = {}
    for one in part:
        for switch, own in grouped(one.variants, lambda variant: home[variant.switch]).items():
            found.setdefault(switch, []).append(replace(one, variants=tuple(own)))
    return found


def _table(whole: Board, dataset: str, found: Sequence[Ablation]) -> _tables.Table:
    feet = _tables.Footnotes()
    every = [cell for one in found for cell in (one.reference, *(variant.cell for variant in one.variants))]
    blocks = [(_reference(one.reference, feet), *(_line(variant, feet) for variant in one.variants)) for one in found]
    title = f"{TITLE}: {_notes.dataset_title(whole, every)}"
    tests = [variant.test.test for one in found for variant in one.variants]
    notes = [*_notes.toy_scale(whole, every), *_notes.intervals(every)]
    notes += _notes.scope(tests, [cell.interval for cell in every if cell.interval])
    notes.append("Each video counts with the share of its runs (seeds, shuffles, splits) that were right.")
    notes.append(
        "Over groups (or splits), Δ is the plain mean of their differences, as the test has it; where they differ in size it is not "
        "quite the difference of the two accuracies shown, which are over videos."
    )
    if any(cell.key.protocol == "base_to_novel" for cell in every):
        notes.append(
            "Base-to-novel: base and novel videos together, each told apart among the classes of its own kind."
        )
    if all(math.isnan(variant.test.p_value) for one in found for variant in one.variants):
        notes.append("No difference could be tested.")
    return _tables.Table(
        name=f"ablation-{_tables.slug(dataset)}",
        title=title,
        caption=f"{title}. Top-1 accuracy in percent, and Δ: variant − reference in percentage points, paired on the same "
        f"test videos, with its 95 % interval; p values Holm-corrected over this table. {_captions.of(whole, every, tests)}",
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
        _tables.Cell(shown(cell), marks=tuple(map(feet.mark, no_interval(cell)))),
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
