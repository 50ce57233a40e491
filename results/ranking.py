"""Which method is better on data sets like these: mean ranks over data sets, and signed-rank tests against the best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.ranking import DECIMALS, FEWEST, wilcoxon
from bench.stats import ALPHA, Interval, holm
from results import _captions, _grid, _notes, _ranks, _tables
from results._cells import MISSING, p_text, points
from results._data import board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.contracts import Artifact, ResultsView
    from bench.stats import PairedTest
    from results._data import Board, Cell

TITLE = "Ranking over data sets"
_HEADER = ("Protocol", "Backbone", "Method", "Mean rank", "Mean top-1 (%)", "Best − this (points)", "p (Holm)", "Tied")
_NUM_TEXT = 3
_NEEDS = "A ranking needs two data sets, with the same two or more methods complete on each"


def render(results: ResultsView) -> Iterator[Artifact]:
    """`ranking` as Markdown, CSV, LaTeX and HTML."""
    yield from _tables.artifacts(table(results))


def table(results: ResultsView) -> _tables.Table:
    """One table over all protocols and backbones; without two data sets to rank over, one that says so."""
    whole = board(results)
    if not whole.cells:
        return _tables.empty("ranking", TITLE, _HEADER, "There are no runs yet.")
    groups = _ranks.groups(whole)
    if not groups:
        return _tables.empty("ranking", TITLE, _HEADER, "All runs are base-to-novel, which has a table of its own.")
    sheet = _Sheet(whole, groups)
    caption = (
        "Each data set counts once. Mean rank: the mean of a method's ranks by top-1 on the data sets, 1 is the best. "
        f"Mean top-1: in percent, over the same data sets. Backbones: name (frames × views). {sheet.told()}"
    )
    return _tables.Table(
        name="ranking",
        title=TITLE,
        caption=caption if sheet.ranked else f"{_NEEDS}; no protocol and backbone here has that.",
        header=_HEADER,
        blocks=tuple(map(sheet.block, sheet.ranked)),
        num_text=_NUM_TEXT,
        frame=pd.DataFrame([line for group in groups for line in sheet.records(group)]),
        notes=tuple(sheet.notes()),
        footnotes=sheet.feet.listed(),
    )


class _Sheet:
    """The table while it is put together: all its tests are made first, because Holm's correction is over all of them."""

    def __init__(self, whole: Board, groups: Sequence[_ranks.Group]) -> None:
        self.board, self.groups = whole, groups
        self.ranked = [group for group in groups if group.methods]
        self.ranked_cells = [m.cells[d] for group in self.ranked for m in group.methods for d in group.datasets]
        self.feet = _tables.Footnotes()
        pairs = [(group, column) for group in self.ranked for column in range(1, len(group.methods))]
        tests = [wilcoxon(group.scores[:, 0], group.scores[:, column]) for group, column in pairs]
        corrected = holm([test.p_value for test in tests])
        self._tests = {pair: (test, p) for pair, test, p in zip(pairs, tests, corrected, strict=True)}
        learnt = grouped(
            (c for group in groups for m in (*group.methods, *group.left_out) for c in m.cells.values()), _comparable
        )
        self._expected = {
            place: whole.replicates(cell for cell in cells if cell.key.needs_train) for place, cells in learnt.items()
        }

    def bold(self, group: _ranks.Group) -> list[bool]:
        """Which methods are not told apart from the best: two by the signed-rank test, more by their mean ranks."""
        if len(group.methods) == 2:
            return [True, self._tests[group, 1][1] >= ALPHA]
        return group.like_the_best().tolist()

    def block(self, group: _ranks.Group) -> tuple[_grid.Row, ...]:
        """The rows of one protocol on one backbone, best first."""
        lines = []
        for place, (method, rank, bold) in enumerate(
            zip(group.methods, group.mean_ranks, self.bold(group), strict=True)
        ):
            marks = tuple(map(self.feet.mark, self._told(group, method)))
            line = [_tables.Cell(protocol_name(*group.setting)), _tables.Cell(column_name(group.column))]
            line += [_tables.Cell(method.name, marks=marks), _tables.Cell(f"{rank:.2f}", bold)]
            line += [_tables.Cell(points(float(group.scores[:, place].mean())))]
            lines.append((*line, *self._against_best(group, place)))
        return tuple(lines)

    def _against_best(self, group: _ranks.Group, place: int) -> tuple[_tables.Cell, ...]:
        if not place:
            return _tables.Cell(MISSING), _tables.Cell(MISSING), _tables.Cell("best")
        test, p = self._tests[group, place]
        span = "" if math.isnan(test.low) else f" [{points(test.low, True)}, {points(test.high, True)}]"
        equal = not np.round(group.scores[:, 0] - group.scores[:, place], DECIMALS).all()
        flat = math.isnan(test.low) and len(group.datasets) >= FEWEST
        marks = (self.feet.mark(test.test),) if equal or flat else ()  # what the notes do not tell
        return (
            _tables.Cell(points(test.difference, True) + span, marks=marks),
            _tables.Cell(p_text(p)),
            _tables.Cell("yes" if p >= ALPHA else "no"),
        )

    def _told(self, group: _ranks.Group, method: _ranks.Method) -> list[str]:
        """What is not as it should be with the numbers that a method is ranked by."""
        cells = [method.cells[dataset] for dataset in group.datasets]
        shared, own = _grid.row_marks(self.board, cells)
        told = []
        for cell in cells:
            absent = _grid.absent(self.board, cell, self._expected[_comparable(cell)])
            told += [f"{cell.key.dataset}: {text}" for text in (*own[cell.key], *cell.problems, *absent)]
        return [*shared, *told]

    def told(self) -> str:
        """What a caption states of every table: the intervals here are those of the tests."""
        tests = [test for test, _ in self._tests.values()]
        over = [f"{test.num_groups} data sets: others like these" for test in tests]
        spans = [
            Interval(t.difference, t.low, t.high, t.num_groups, words) for t, words in zip(tests, over, strict=True)
        ]
        sure = [span for span in spans if not math.isnan(span.low)]
        return _captions.of(self.board, self.ranked_cells, [test.test for test in tests], sure)

    # --- the CSV ---

    def records(self, group: _ranks.Group) -> Iterator[dict[str, Any]]:
        """A line of the CSV for each method, also for those that are not ranked."""
        bold = self.bold(group) if group.methods else []
        for place, method in enumerate((*group.methods, *group.left_out)):
            is_ranked = place < len(group.methods)
            line = {**_facts(group, method), "toy_scale": self._is_toy(method), "not_ranked": ""}
            line |= {"mean_rank": math.nan, "mean_top1": math.nan, "num_methods": len(group.methods)}
            line |= {"num_datasets": len(group.datasets), "friedman_p": group.friedman_p}
            line |= {"critical_difference": group.critical_difference}
            if is_ranked:
                line |= {"mean_rank": group.mean_ranks[place], "mean_top1": group.scores[:, place].mean()}
                line |= {"best_or_not_told_apart": bold[place], **self._numbers(group, place)}
            else:
                line["not_ranked"] = group.why or method.lacks(group.datasets)
            cells = list(method.cells.values())
            line |= {f"top1_{cell.key.dataset}": cell.top1 for cell in cells}
            told = [f"{cell.key.dataset}: {text}" for cell in cells for text in cell.problems]
            ids = [run for cell in cells for run in self.board.run_ids(cell)]
            yield {**line, "problems": "; ".join(told), "run_ids": " ".join(ids)}

    def _numbers(self, group: _ranks.Group, place: int) -> dict[str, Any]:
        """The test of the best-ranked method against this one."""
        best = {"best": group.methods[0].name}
        if not place:
            return {**best, "tied_with_best": True, "test": "best"}
        test, p = self._tests[group, place]
        return {**best, "tied_with_best": p >= ALPHA, **_numbers(test), "p_holm": p, "test": test.test}

    def _is_toy(self, method: _ranks.Method) -> bool:
        return bool(self.board.values("toy_scale")[next(iter(method.cells.values())).runs[0]])

    # --- the notes ---

    def notes(self) -> Iterator[str]:
        """What was tested, on what, what is left out and why, and what to beware of."""
        cells = self.ranked_cells
        yield from _notes.toy_scale(self.board, cells)
        if self.ranked:
            yield from self._tested()
        yield from map(_told_of, self.ranked)
        yield from _merged(
            "Left out, for want of a number on a data set: {}.",
            (
                ("; ".join(f"{method.name} ({what})" for method, what in lacking), group.where)
                for group in self.groups
                if (lacking := [(m, what) for m in group.left_out if (what := m.lacks(group.datasets))])
            ),
        )
        yield from _merged(
            "Not counted, fewer than two methods are complete there: {}.",
            ((", ".join(group.thin), group.where) for group in self.ranked if group.thin),
        )
        # Where nothing is ranked the caption says what that needs.
        words = f"{_NEEDS}; not ranked because {{}}." if self.ranked else "Not ranked because {}."
        yield from _merged(words, ((group.why, group.where) for group in self.groups if group.why))
        if cells:
            yield from _notes.beware(self.board, cells)
            yield _notes.pretraining(self.board, cells)

    def _tested(self) -> Iterator[str]:
        """What bold means, what the tests are, and where no test can find anything."""
        more = [group for group in self.ranked if len(group.methods) > 2]
        told = []
        if more:
            told.append(
                "its mean rank is within the critical difference of the best (Nemenyi), or Friedman's test finds no "
                "method different at .05"
            )
        if len(more) < len(self.ranked):
            told.append("of two methods, the signed-rank test finds no difference")
        yield f"{_tables.BOLD}the best of one protocol on one backbone, and what is not told apart from it: {'; '.join(told)}."
        num = len(self._tests)
        yield (
            "Best − this: the best-ranked method against this one, exact signed-rank test over data sets, Hodges-Lehmann "
            "difference with its interval of at least 95 %; tied where p is not below .05, Holm-corrected over the "
            f"{num} {'test' if num == 1 else 'tests'} of this table."
            + (" Bold rests on the ranks among all methods, so the two may disagree." if more else "")
        )
        few = [group.where for group in self.ranked if len(group.datasets) < FEWEST]
        if few:
            yield (
                f"Fewer than {FEWEST} data sets, so no exact signed-rank test can give p < .05, whatever the numbers, "
                f"and there is no interval: {'; '.join(few)}."
            )
        enough = sorted({len(group.datasets) for group in self.ranked} - set(range(FEWEST)))
        if enough and 2.0 ** (1 - enough[0]) * num >= ALPHA:
            yield (
                f"The smallest p that {enough[0]} data sets allow is {p_text(2.0 ** (1 - enough[0]))} before Holm's "
                f"correction over {num} tests: a tie there may be for want of data sets."
            )


def _told_of(group: _ranks.Group) -> str:
    """Friedman's test and the critical difference of one group, and which data sets they are over."""
    over = f"{len(group.datasets)} data sets ({', '.join(group.datasets)}), {len(group.methods)} methods"
    if len(group.methods) == 2:
        return f"{group.where}: {over}; two methods are compared by the signed-rank test alone."
    found = "" if group.friedman_p < ALPHA else ", so no pair is told apart"
    return (
        f"{group.where}: {over}; Friedman p = {p_text(group.friedman_p)}{found}; critical difference of mean ranks "
        f"{group.critical_difference:.2f} (Nemenyi, .05)."
    )


def _merged(words: str, found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One note for each different text, with all places where it holds."""
    places: dict[str, list[str]] = {}
    for text, where in found:
        places.setdefault(text, []).append(where)
    for text, all_of_them in places.items():
        yield f"{words.format(text)} In: {'; '.join(all_of_them)}."


def _facts(group: _ranks.Group, method: _ranks.Method) -> dict[str, Any]:
    key = next(iter(method.cells.values())).key
    facts = {name: getattr(key, name) for name in ("protocol", "shots", "needs_train", "method", "bank_control")}
    facts |= {name: getattr(key, name) for name in ("backbone", "num_frames", "num_views", "precision")}
    return {**facts, "shots": key.shots or None, "shown_as": method.name, "datasets": ", ".join(group.datasets)}


def _numbers(test: PairedTest) -> dict[str, float]:
    return {"difference": test.difference, "low": test.low, "high": test.high, "p": test.p_value}


def _comparable(cell: Cell) -> tuple[str, tuple[str, int]]:
    return cell.key.dataset, cell.key.setting
