"""Which cells are ranked over data sets, which are not and why: what the ranking's table and its figure both rest on.

Shape legend: D data sets, M methods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.ranking import DECIMALS, critical_difference
from bench.stats import ALPHA
from results import _grid
from results._data import grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from results._data import Board, Cell


@dataclass(frozen=True, eq=False)
class Method:
    """One row over data sets: `cells` has the cell of each data set that it was tried on."""

    name: str
    cells: Mapping[str, Cell]

    def has(self, dataset: str) -> bool:
        """Whether there is a number on this data set."""
        return dataset in self.cells and not math.isnan(self.cells[dataset].top1)

    def lacks(self, datasets: Sequence[str]) -> str:
        """What became of it on those of the data sets that it has no number on: "failed on c, no run on d"."""
        missing = [dataset for dataset in datasets if not self.has(dataset)]
        states = {dataset: self.cells[dataset].status if dataset in self.cells else "no run" for dataset in missing}
        parts: dict[str, list[str]] = {}
        for dataset, state in states.items():
            parts.setdefault("no number" if state == "complete" else state, []).append(dataset)
        return ", ".join(f"{state} on {', '.join(where)}" for state, where in parts.items())


@dataclass(frozen=True, eq=False)
class Group:
    """The methods of one protocol on one backbone, ranked over `datasets`, or not and `why`.

    `methods` are ranked, best first; `scores` `(D, M)` are their top-1 in [0, 1], `mean_ranks` `(M,)`. `left_out` are not
    complete on all of `datasets`; on `thin` data sets fewer than two methods are complete. Two methods have no
    `friedman_p` and no `critical_difference`: NaN. `tied` are mean ranks of the first and last of methods that cannot be
    told apart, all methods where Friedman's test finds nothing.
    """

    setting: tuple[str, int]
    column: tuple[str, int, int, str]
    datasets: tuple[str, ...]
    thin: tuple[str, ...]
    methods: tuple[Method, ...]
    left_out: tuple[Method, ...]
    why: str
    scores: np.ndarray
    mean_ranks: np.ndarray
    friedman_p: float = math.nan
    critical_difference: float = math.nan
    tied: tuple[tuple[float, float], ...] = ()

    @property
    def where(self) -> str:
        """Protocol and backbone in words."""
        return f"{protocol_name(*self.setting)} on {column_name(self.column)}"

    def like_the_best(self) -> np.ndarray:
        """Which of three or more methods are not told apart from the best-ranked, bool `(M,)`."""
        return (self.mean_ranks <= self.mean_ranks[0] + self.critical_difference) | (self.friedman_p >= ALPHA)


def groups(whole: Board) -> list[Group]:
    """Every protocol on every backbone, in the order of the tables; base-to-novel is left out."""
    found = []
    plain = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]  # whose score is not one top-1
    for part in _grid.by_setting(plain):
        columns = grouped(part, lambda cell: cell.key.column)
        found += [_group(columns[column]) for column in sorted(columns)]
    return found


def _group(cells: Sequence[Cell]) -> Group:
    rows = grouped(cells, _row).values()
    methods = [Method(row[0].name, {cell.key.dataset: cell for cell in row}) for row in rows]
    known = list(dict.fromkeys(cell.key.dataset for cell in cells))
    datasets = tuple(dataset for dataset in known if sum(method.has(dataset) for method in methods) > 1)
    thin = tuple(dataset for dataset in known if dataset not in datasets)
    whole = [method for method in methods if all(map(method.has, datasets))]
    why = _why(datasets, len(whole))
    ranked = [] if why else whole
    left_out = tuple(method for method in methods if method not in ranked)
    setting, column = cells[0].key.setting, cells[0].key.column
    if why:
        return Group(setting, column, datasets, thin, (), left_out, why, np.empty((len(datasets), 0)), np.empty(0))
    scores = np.array([[method.cells[dataset].top1 for method in ranked] for dataset in datasets])
    means, p, distance, tied = _ranked(scores)
    tops = np.round(scores.mean(axis=0), DECIMALS)
    order = sorted(range(len(ranked)), key=lambda i: (means[i], -tops[i], ranked[i].name))
    best_first = tuple(ranked[i] for i in order)
    numbers = scores[:, order], means[order], p, distance, tied
    return Group(setting, column, datasets, thin, best_first, left_out, "", *numbers)


def _ranked(scores: np.ndarray) -> tuple[np.ndarray, float, float, tuple[tuple[float, float], ...]]:
    """Mean ranks, Friedman's p, the critical difference and what is tied, of scores `(D, M)`."""
    if scores.shape[1] == 2:
        lead = np.sign(np.round(scores[:, 0] - scores[:, 1], DECIMALS)).mean() / 2
        return np.array([1.5 - lead, 1.5 + lead]), math.nan, math.nan, ()
    ranking = critical_difference(scores)
    means, p = np.array(ranking.mean_ranks), ranking.friedman_p
    ends = [(means[run[0]], means[run[-1]]) for run in ranking.tied] if p < ALPHA else [(means.min(), means.max())]
    return means, p, ranking.critical_difference, tuple((float(low), float(high)) for low, high in ends)


def _why(datasets: Sequence[str], methods: int) -> str:
    """Why there is nothing to rank; "" where there is."""
    if not datasets:
        return "no data set has two complete methods"
    if len(datasets) == 1:
        return f"only {datasets[0]} has two complete methods"
    return "" if methods > 1 else f"no two methods are complete on all of {', '.join(datasets)}"


def _row(cell: Cell) -> tuple[Hashable, ...]:
    """One method over data sets, although each has a bank of its own; as in the leaderboard."""
    return cell.key.needs_train, cell.key.method, cell.name, cell.key.bank_control
