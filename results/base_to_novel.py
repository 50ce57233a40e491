"""Base-to-novel: what is learnt on base classes, on new videos of them and on classes never seen; and the harmonic mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bench.stats import ALPHA, Interval, PairedTest, holm, over_group_means, paired_over_group_means, paired_over_splits
from results import _captions, _grid, _notes, _tables
from results._cells import MISSING, points, record
from results._data import Board, Cell, Verdict, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Base-to-novel"
METRICS = {"base_top1": "Base", "novel_top1": "Novel", "harmonic_mean": "Harmonic mean"}
_HEADER = ("Protocol", "Backbone", "Method")


class _Number(NamedTuple):
    """A metric of a cell: its mean over the runs with an interval, and the means of each split."""

    cell: Cell
    metric: str
    interval: Interval
    by_split: dict[str, float]


def render(results: ResultsView) -> Iterator[Artifact]:
    """`base-to-novel-<data set>` as Markdown, CSV, LaTeX and HTML; data sets without such runs are left out."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def text(results: ResultsView) -> str:
    """All of these tables for a terminal."""
    return "\n".join(_tables.text(table) for table in tables(results))


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """One table a data set that has such runs; where none has, one that says so."""
    whole = board(results)
    cells = [cell for cell in whole.cells if cell.key.protocol == "base_to_novel"]
    for dataset, part in grouped(cells, lambda cell: cell.key.dataset).items():
        yield _table(whole, f"base-to-novel-{_tables.slug(dataset)}", part)
    if not cells:
        why = "There are no base-to-novel runs yet." if whole.cells else "There are no runs yet."
        yield _tables.empty("base-to-novel", TITLE, (*_HEADER, *METRICS.values()), why)


def _table(whole: Board, name: str, cells: Sequence[Cell]) -> _tables.Table:
    title, feet = _notes.dataset_title(whole, cells), _tables.Footnotes()
    parts = list(grouped(cells, lambda cell: (cell.key.setting, cell.key.column)).values())
    every = [{metric: numbers_of(whole, part, metric) for metric in METRICS} for part in parts]
    verdicts = _verdicts(whole, [list(found.values()) for numbers in every for found in numbers.values()])
    tests = {verdict.test for verdict in verdicts.values()} - {"best"}
    blocks, records, intervals = [], [], []
    for part, numbers in zip(parts, every, strict=True):
        lines = []
        for cell in part:
            shared, own = _grid.row_marks(whole, [cell])
            marks = tuple(feet.mark(text) for text in [*shared, *own[cell.key], *cell.problems])
            line = [_tables.Cell(protocol_name(*cell.key.setting)), _tables.Cell(column_name(cell.key.column))]
            line.append(_tables.Cell(cell.name, marks=marks))
            row = record(whole, cell)
            for metric in METRICS:
                number, verdict = numbers[metric].get(cell), verdicts.get((cell, metric))
                line.append(_shown(cell, number, verdict, feet))
                row |= _facts(metric, number, verdict)
                intervals += [number.interval] if number and not math.isnan(number.interval.low) else []
            records.append(row)
            lines.append(tuple(line))
        blocks.append(tuple(lines))
    return _tables.Table(
        name=name,
        title=f"{TITLE}: {title}",
        caption=f"Base-to-novel on {title}: learnt on base classes; base and novel videos are each told apart among "
        "classes of their own kind. Top-1 accuracy in percent, and the harmonic mean of the two: mean ± half of its "
        "95 % interval, (n) where it is the mean of n runs. Backbones: name (frames × views). "
        f"{_captions.of(whole, cells, tests, intervals)}",
        header=(*_HEADER, *METRICS.values()),
        blocks=tuple(blocks),
        num_text=len(_HEADER),
        frame=pd.DataFrame(records),
        notes=tuple(_notes_of(whole, cells, intervals, tests)),
        footnotes=feet.listed(),
    )


def _notes_of(whole: Board, cells: Sequence[Cell], intervals: Sequence[Interval], tests: set[str]) -> Iterator[str]:
    yield from _notes.toy_scale(whole, cells)
    for over in dict.fromkeys(interval.over for interval in intervals):
        yield f"± over {over}."
    yield from _notes.too_wide(intervals)
    yield (
        "Over groups, ± and the tests rest on each group's own number: its harmonic mean is that of its base and novel "
        "accuracy. The numbers shown are those of all videos."
    )
    yield (
        "Where a number is the mean of n runs, the harmonic mean is the mean of theirs, not that of the two means beside it."
    )
    if tests:
        yield (
            f"{_tables.BOLD}the best of each column within one protocol on one backbone, and what is tied with it: a paired test "
            "finds no difference at .05, Holm-corrected; what cannot be tested is tied only where it is the same number; "
            f"tests: {'; '.join(sorted(tests))}."
        )
    yield from _notes.scope(tests, intervals)
    yield from _notes.videos(whole, cells)
    yield from _notes.beware(whole, cells)
    yield _notes.pretraining(whole, cells)


def numbers_of(whole: Board, cells: Sequence[Cell], metric: str) -> dict[Cell, _Number]:
    """One metric of the complete cells all of whose runs have it."""
    found = {}
    for cell in cells:
        values = pd.Series(whole.values(metric)[cell.done], dtype=float)
        if len(values) and values.notna().all():
            means = values.groupby(whole.values("split")[cell.done], sort=False).mean()
            by_split = dict(zip(map(str, means.index), means.tolist(), strict=True))
            found[cell] = _Number(cell, metric, _interval(whole, cell, metric, float(values.mean())), by_split)
    return found


def _interval(whole: Board, cell: Cell, metric: str, mean: float) -> Interval:
    """Over seeds or splits where something was drawn anew for each run, otherwise over the test groups; about `mean`."""
    if whole.repeated(cell):
        return whole.over_runs(cell, metric)
    groups = _by_group(whole, cell)[metric].dropna()
    if groups.empty:
        return Interval(mean, math.nan, math.nan, 0, "no group has videos of both kinds: no interval")
    found = over_group_means(groups.to_numpy(), whole.group_kind(cell))
    shift = mean - found.mean
    return Interval(mean, found.low + shift, found.high + shift, found.num, found.over)


def _by_group(whole: Board, cell: Cell, splits: Collection[str] | None = None) -> pd.DataFrame:
    """One row a test group, a column a metric in [0, 1], pooled over the splits; NaN where a group has no such videos."""
    parts = []
    for units in whole.units(cell):
        if splits is None or units.split in splits:
            codes, names = units.listed.groups
            told = {"group": names[codes], "part": list(units.listed.videos.parts), "right": units.correct}
            parts.append(pd.DataFrame(told))
    if not parts:
        return pd.DataFrame(columns=list(METRICS), dtype=float)
    shares = pd.concat(parts).pivot_table("right", "group", "part")
    base, novel = (shares.get(part, pd.Series(math.nan, shares.index)) for part in ("base", "novel"))
    both = (2 * base * novel / (base + novel)).mask(base + novel == 0, 0.0)
    return pd.DataFrame({"base_top1": base, "novel_top1": novel, "harmonic_mean": both})


def _verdicts(whole: Board, families: Iterable[Sequence[_Number]]) -> dict[tuple[Cell, str], Verdict]:
    """Whether each number is best or tied with the best of its family, by which test; Holm over all families together."""
    found: dict[tuple[Cell, str], Verdict] = {}
    pairs: list[tuple[_Number, _Number, PairedTest]] = []
    for numbers in families:
        if len(numbers) > 1:  # what stands alone is the best of nothing
            best = max(numbers, key=lambda number: number.interval.mean)
            found[best.cell, best.metric] = Verdict(True, math.nan, "best")
            pairs += [(best, other, _compare(whole, best, other)) for other in numbers if other is not best]
    for (best, other, test), p in zip(pairs, holm([test.p_value for _, _, test in pairs]), strict=True):
        same = other.interval.mean == best.interval.mean
        bold = same if math.isnan(p) else p >= ALPHA or test.difference <= 0
        turned = f"better than {best.cell.name} over groups or splits, by {-100 * test.difference:.1f} points"
        found[other.cell, other.metric] = Verdict(
            bold, p, test.test, turned if p < ALPHA and test.difference < 0 else ""
        )
    return found


def _compare(whole: Board, a: _Number, b: _Number) -> PairedTest:
    """`a - b`: over splits where a learnt method has several and their sizes are known, otherwise over the test groups."""
    splits = [split for split in a.by_split if split in b.by_split]
    learnt = next((number.cell for number in (a, b) if number.cell.key.needs_train), None)
    if len(splits) > 1 and learnt is not None and (sizes := whole.sizes(learnt)):
        return paired_over_splits([a.by_split[split] - b.by_split[split] for split in splits], *sizes)
    first, second = (_by_group(whole, number.cell, splits)[number.metric] for number in (a, b))
    differences = (first - second).dropna()
    if differences.empty:
        return PairedTest(math.nan, math.nan, math.nan, math.nan, 0, "not testable: no group in common")
    return paired_over_group_means(differences.to_numpy(), whole.group_kind(a.cell))


def _shown(cell: Cell, number: _Number | None, verdict: Verdict | None, feet: _tables.Footnotes) -> _tables.Cell:
    if number is None:
        if cell.status != "complete":
            return _tables.Cell(cell.status)
        return _tables.Cell(MISSING, marks=(feet.mark("not all of its runs have this number"),))
    half = number.interval.half_width
    text = points(number.interval.mean) + ("" if math.isnan(half) else f" ± {100 * half:.1f}")
    told = [number.interval.over] if math.isnan(half) else []
    told += [verdict.caveat] if verdict is not None and verdict.caveat else []
    shown = text + (f" ({len(cell.done)})" if len(cell.done) > 1 else "")
    return _tables.Cell(shown, verdict is not None and verdict.bold, tuple(map(feet.mark, told)))


def _facts(metric: str, number: _Number | None, verdict: Verdict | None) -> dict[str, Any]:
    """Columns of the CSV, shares in [0, 1]."""
    if number is None:
        return {metric: math.nan}
    told: dict[str, Any] = {metric: number.interval.mean}
    told |= {f"{metric}_low": number.interval.low, f"{metric}_high": number.interval.high}
    told |= {f"{metric}_over": number.interval.over}
    if verdict is None:
        return told
    told |= {f"{metric}_best_or_tied": verdict.bold, f"{metric}_p_against_best_holm": verdict.p_value}
    return told | {f"{metric}_test": verdict.test}
