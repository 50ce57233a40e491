"""From runs to cells: which runs make one number, its mean, interval and problems, and paired tests between cells.

Every table and plot starts here: `board(results)` groups all runs once, and each cell is summarised once, whoever asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from bench.contracts import BenchError, NotApplicable
from bench.stats import (
    ALPHA,
    Interval,
    PairedTest,
    holm,
    mcnemar_exact,
    over_group_means,
    over_seeds,
    over_splits,
    paired_over_group_means,
    paired_over_splits,
)
from results._keys import Key, key_of, normal, row_names, row_order
from results._units import Units, UnitStore, group_differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.contracts import ResultsView

TOY_SCALE = (
    "toy-scale backbones: for checking the path without a download; their numbers say nothing about the real models"
)
# Columns that all runs of a cell must agree in, and what they are called.
SAME = {
    "manifest": "rows of the data set",
    "versions": "versions of plug-ins",
    "setting": "settings, weights, statements or sampling",
    "num_classes": "number of classes",
    "trainable": "what is trained",
}
# What to do where runs of one cell make no one number, such as those of a knowledge bank before and after it was edited.
APART = (
    "python -m bench show RUN_ID tells them apart; delete the folders (runs/AB/ABCDEF...) of those that no longer count, "
    "or run one side under another BENCH_HOME"
)
MOST_IDS = 10  # of one side, told one by one
_NOT_APPLICABLE = f"{NotApplicable.__name__}: "  # how a run's record begins where "n/a" says it already
T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Cell:
    """One number of a table and what is behind it.

    `status` is "complete" where at least one run is, otherwise "failed", "n/a", or "mixed" where no one number can be given;
    `top1` in [0, 1] is the mean over the complete runs; `problems` say what is not as it should be. `runs` are the
    positions in `Board.runs` of all runs, `done` of the complete ones that count. `name` is what the row is called.
    """

    key: Key
    name: str
    status: str
    top1: float
    interval: Interval | None
    problems: tuple[str, ...]
    runs: np.ndarray
    done: np.ndarray

    @property
    def half_width(self) -> float:
        """Half of the interval's length; NaN where there is none."""
        return math.nan if self.interval is None else self.interval.half_width


@dataclass(frozen=True)
class Verdict:
    """Whether a cell is bold, its Holm-corrected p against the best (NaN: is the best, or not testable), the test, and a caveat."""

    bold: bool
    p_value: float
    test: str
    caveat: str = ""


class Board:
    """All runs of a view of the results, grouped into cells in the order of the tables' rows."""

    def __init__(self, results: ResultsView) -> None:
        self.source, self.results = results.runs, results
        self.runs = normal(self.source)
        self._values: dict[str, np.ndarray] = {}
        self._units = UnitStore(results)
        self._unreadable: dict[str, str] = {}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, complete or not, by data set, protocol, shots, row and column."""
        if self.runs.empty:
            return ()
        groups = self.runs.groupby(list(Key._fields), sort=False, dropna=False).ngroup().to_numpy()
        order = np.argsort(groups, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        columns = [self.values(name) for name in Key._fields]
        keyed = {key_of(column[part[0]] for column in columns): part for part in parts}
        names = row_names(keyed)
        sources, controls = self.values("text_source"), self.values("bank_control")
        ordered = sorted(keyed, key=lambda key: row_order(key, sources[keyed[key][0]], controls[keyed[key][0]]))
        return tuple(self._cell(key, names[key], keyed[key]) for key in ordered)

    def values(self, name: str) -> np.ndarray:
        """A column of `runs` as an array, all missing (None) where there is none of that name."""
        if name not in self._values:
            known = name in self.runs
            self._values[name] = self.runs[name].to_numpy() if known else np.full(len(self.runs), None, dtype=object)
        return self._values[name]

    def distinct(self, name: str, cells: Iterable[Cell], done: bool = True) -> list[Any]:
        """The different values of a column among the cells' runs, missing ones left out, sorted."""
        rows = [cell.done if done else cell.runs for cell in cells]
        found = set(self.values(name)[np.concatenate(rows)].tolist()) if rows else set()
        return sorted((value for value in found if not _missing(value)), key=lambda v: (str(type(v)), v))

    def mean(self, name: str, cell: Cell) -> float:
        """Mean of a numeric column or metric over a cell's complete runs; NaN where none of them has it."""
        return nanmean(self.values(name)[cell.done])

    def run_ids(self, cell: Cell, done: bool = False) -> list[str]:
        """Ids of a cell's runs, or of the complete ones alone."""
        return [str(run) for run in self.values("run_id")[cell.done if done else cell.runs]]

    def unreadable(self, run_id: str) -> str:
        """Why the predictions of a complete run can no longer be read; "" where they can. Looked up once."""
        if run_id not in self._unreadable:
            try:
                self.results.predictions(run_id)
                self._unreadable[run_id] = ""
            except BenchError as error:
                self._unreadable[run_id] = str(error)
        return self._unreadable[run_id]

    def replicates(self, cells: Iterable[Cell]) -> set[tuple[Any, Any]]:
        """(seed, split) of every run of some cells, complete or not."""
        seeds, splits = self.values("seed"), self.values("split")
        return {
            pair for cell in cells for pair in zip(seeds[cell.runs].tolist(), splits[cell.runs].tolist(), strict=True)
        }

    def units(self, cell: Cell) -> tuple[Units, ...]:
        """Share of a cell's complete runs that were right, video by video: one `Units` a split."""
        return self._units.of(self.values("run_id")[cell.done], self.values("split")[cell.done])

    def group_kind(self, cell: Cell) -> str:
        """What a complete cell's test groups are, in the singular ("subject")."""
        return str(self.values("group_kind")[cell.done[0]])

    def drawn(self, cell: Cell) -> bool:
        """Whether something is drawn anew for each run of a cell: shots and initialisation, or the shuffle of a bank."""
        return cell.key.needs_train or cell.key.draws_statements

    def repeated(self, cell: Cell) -> bool:
        """Whether a cell's runs are replicates: several, drawn anew, on one split or on splits whose overlap can be reckoned with."""
        if len(cell.done) < 2 or not self.drawn(cell):
            return False
        return len(set(self.values("split")[cell.done])) == 1 or (cell.key.needs_train and self.sizes(cell) is not None)

    def sizes(self, cell: Cell) -> tuple[float, float] | None:
        """Mean numbers of videos on the training and on the test side of a learnt cell's splits; None where not recorded."""
        pool, test = (nanmean(self.values(name)[cell.done]) for name in ("num_pool", "num_test"))
        return (pool, test) if pool > 0 and test > 0 else None

    def over_groups(self, cell: Cell) -> Interval:
        """The interval over test groups, pooled over splits: what would other subjects or sources give?"""
        return over_group_means(group_differences(self.units(cell), None)[0], self.group_kind(cell))

    def over_runs(self, cell: Cell, metric: str) -> Interval:
        """The interval of any metric over a cell's complete runs: over seeds, or over splits where those differ."""
        values = self.values(metric)[cell.done].astype(float)
        splits = self.values("split")[cell.done]
        if len(set(splits)) > 1 and cell.key.needs_train and (sizes := self.sizes(cell)):
            by_split = pd.Series(values).groupby(splits, sort=False).mean().tolist()
            return over_splits(by_split, *sizes)
        if cell.key.is_control:
            if cell.key.bank_control == "shuffled":
                return over_seeds(values.tolist(), "other shuffles of the descriptions", "shuffle")
            return over_seeds(values.tolist(), "other draws of the statements", "draw")
        if cell.key.shots:
            other = "other draws of shots and initialisation"
        else:
            other = "other initialisations"
        return over_seeds(values.tolist(), other)

    def compare(self, a: Cell, b: Cell) -> PairedTest:
        """Paired test of two complete cells on the videos of both, positive where `a` is better.

        Learnt cells on several overlapping splits: Nadeau-Bengio on the differences of splits. Single runs on independent
        videos: exact McNemar. Otherwise t on the differences of group means.
        """
        first, second = self.units(a), self.units(b)
        differences, by_split, num, most = group_differences(first, second)
        if not num:
            return PairedTest(math.nan, math.nan, math.nan, math.nan, 0, "not testable: no video in common")
        kind = self.group_kind(a)
        learnt = a.key.needs_train or b.key.needs_train
        if len(by_split) > 1 and learnt and (sizes := self.sizes(a if a.key.needs_train else b)):
            test = paired_over_splits(by_split, *sizes)
        elif kind == "video" and len(a.done) == len(b.done) == 1:
            test = mcnemar_exact(*first[0].both(second[0]))
        else:
            test = paired_over_group_means(differences, kind)
        if num == most:
            return test
        words = f"{test.test}, on the {num} of {most} videos of both"
        return PairedTest(test.difference, test.low, test.high, test.p_value, test.num_groups, words)

    def ties(self, families: Iterable[Sequence[Cell]]) -> dict[Key, Verdict]:
        """Which cells are best, or tied with the best, of their family of comparable cells.

        Those without a number are left out, and so are those that are alone in their family. Tied means that the best is not
        significantly better at .05 after Holm's correction over all these families together. A cell that cannot be tested
        counts as tied only where its number is the same. Where a test, on what both cells were tested on, finds the one with
        the lower number significantly better, that one is bold too, and has a caveat.
        """
        verdicts: dict[Key, Verdict] = {}
        pairs: list[tuple[Cell, Cell, PairedTest]] = []
        for cells in families:
            done = [cell for cell in cells if cell.status == "complete" and not math.isnan(cell.top1)]
            if len(done) > 1:  # what stands alone is the best of nothing
                best = max(done, key=lambda cell: cell.top1)
                verdicts[best.key] = Verdict(True, math.nan, "best")
                pairs += [(best, cell, self.compare(best, cell)) for cell in done if cell is not best]
        for (best, cell, test), p in zip(pairs, holm([test.p_value for _, _, test in pairs]), strict=True):
            bold = cell.top1 == best.top1 if math.isnan(p) else p >= ALPHA or test.difference <= 0
            turned = f"better than {best.name} on what both were tested on, by {-100 * test.difference:.1f} points"
            verdicts[cell.key] = Verdict(bold, p, test.test, turned if p < ALPHA and test.difference < 0 else "")
        return verdicts

    def _cell(self, key: Key, name: str, rows: np.ndarray) -> Cell:
        rows = rows[np.lexsort((self.values("run_id")[rows], self.values("split")[rows], self.values("seed")[rows]))]
        status = self.values("status")[rows]
        done = rows[status == "complete"]
        problems = self._unfinished(rows, status) if len(done) < len(rows) else []
        if not len(done):
            return Cell(key, name, _worst(status), math.nan, None, tuple(problems), rows, done)
        if other := self._other_settings(done):
            problems.append(
                f"runs that differ in more than seed and split lie under one name, so no number: {other} "
                f"({self._sides(done)}). {APART}"
            )
            return Cell(key, name, "mixed", math.nan, None, tuple(problems), rows, done[:0])
        once = set(zip(self.values("seed")[done].tolist(), self.values("split")[done].tolist(), strict=True))
        if len(once) < len(done):
            ids = ", ".join(self.values("run_id")[done])
            problems.append(
                f"runs with other settings or versions lie under one name and seed, so no number: {ids}. {APART}"
            )
            return Cell(key, name, "mixed", math.nan, None, tuple(problems), rows, done[:0])
        scored = ~np.isnan(self.values("top1")[done].astype(float))
        if not scored.all():
            ids = ", ".join(self.values("run_id")[done[~scored]])
            problems.append(f"no top-1 among the scores, so not counted: {ids}; python -m bench rescore mends that")
            done = done[scored]
            if not len(done):
                return Cell(key, name, "failed", math.nan, None, tuple(problems), rows, done)
        cell = Cell(key, name, "complete", nanmean(self.values("top1")[done]), None, tuple(problems), rows, done)
        return Cell(key, name, "complete", cell.top1, self._interval(cell), cell.problems, rows, done)

    def _other_settings(self, done: np.ndarray) -> str:
        """In what the runs of one cell differ that they must not, in words; "" where in nothing."""
        told = []
        for column, words in SAME.items():
            values = self.values(column)[done]
            if len({str(value) for value in values.tolist() if not _missing(value)}) > 1:
                told.append(words)
        return " and ".join(told)

    def _sides(self, done: np.ndarray) -> str:
        """Which runs of one cell belong together, those that agree in all of `SAME`, by their ids."""
        sides = grouped(done.tolist(), lambda row: tuple(str(self.values(column)[row]) for column in SAME))
        ids = self.values("run_id")
        return " against ".join(
            ", ".join(ids[rows[:MOST_IDS]]) + (f" and {len(rows) - MOST_IDS} more" if len(rows) > MOST_IDS else "")
            for rows in sides.values()
        )

    def _interval(self, cell: Cell) -> Interval:
        """Over seeds or overlapping splits where something was drawn anew for each run, otherwise over the test groups."""
        return self.over_runs(cell, "top1") if self.repeated(cell) else self.over_groups(cell)

    def _unfinished(self, rows: np.ndarray, status: np.ndarray) -> list[str]:
        """A text such as "failed (seed 1, seed 3): why" for each reason among the runs that are not complete."""
        several = len(set(self.values("split")[rows])) > 1
        reasons, seeds, splits = (self.values(name)[rows] for name in ("reason", "seed", "split"))
        places: dict[tuple[str, str], list[str]] = {}
        for state, reason, seed, split in zip(status, reasons, seeds, splits, strict=True):
            if state != "complete":
                place = f"seed {seed} on split {split}" if several else f"seed {seed}"
                places.setdefault((state, reason), []).append(place)
        found = []
        for (state, reason), where in places.items():
            place = "" if len(where) == len(rows) else f" ({', '.join(where)})"
            said = str(reason).removeprefix(_NOT_APPLICABLE) if state == "n/a" else reason
            found.append(f"{state}{place}: {said or 'no reason was recorded'}")
        return found


_boards: WeakKeyDictionary[Any, Board] = WeakKeyDictionary()


def board(results: ResultsView) -> Board:
    """The board of some results: made once for all tables and plots of one rendering."""
    known = _boards.get(results)
    if known is None or known.source is not results.runs:
        known = _boards[results] = Board(results)
    return known


def grouped(items: Iterable[Item], by: Callable[[Item], T]) -> dict[T, list[Item]]:
    """Cells, or anything else, by a property, in order of first appearance."""
    found: dict[T, list[Item]] = {}
    for item in items:
        found.setdefault(by(item), []).append(item)
    return found


def nanmean(values: np.ndarray) -> float:
    """Mean of the numbers among the values; NaN where there is none."""
    numbers = np.asarray([value for value in values.tolist() if not _missing(value)], dtype=float)
    return float(numbers.mean()) if len(numbers) else math.nan


def _worst(status: np.ndarray) -> str:
    """What a cell without a complete run is called: the gravest of its runs' states."""
    known = [state for state in ("failed", "damaged") if state in status]
    return known[0] if known else "n/a"


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
