"""Several data sets: does one method beat another on data sets like these, and which methods cannot be told apart?

Shape legend: D data sets, M methods. Each data set is one observation, however many videos it has (Demsar, 2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bench.contracts import BenchError
from bench.stats import ALPHA, LEVEL, PairedTest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

DECIMALS = 12  # scores that agree so far are the same number, seen through rounding
FEWEST = 6  # data sets that an exact signed-rank test needs for p < .05: 2 / 2^5 is .0625


@dataclass(frozen=True)
class Ranking:
    """Who ranks where over D data sets, and how far apart mean ranks must lie to count as different.

    `mean_ranks` `(M,)`, 1 is best. Two methods differ where their mean ranks differ by more than `critical_difference`
    (Nemenyi, 5 % over all pairs). `tied` are the largest sets of neighbours that do not: tuples of method numbers, best
    first. `friedman_p` asks whether any method differs at all; where it is not below .05, no pair is to be told apart.
    `test` says all that in words.
    """

    mean_ranks: tuple[float, ...]
    critical_difference: float
    friedman_p: float
    tied: tuple[tuple[int, ...], ...]
    num_datasets: int
    test: str


def critical_difference(scores: ArrayLike) -> Ranking:
    """Friedman's test and Nemenyi's critical difference of mean ranks (Demsar, 2006, JMLR 7, section 3.2.2).

    Args:
        scores: `(D, M)`, a data set a row, a method a column; larger is better. Equal scores share their mean rank.

    Raises:
        BenchError: less than two data sets or three methods, or a score that is missing or not finite.
    """
    from scipy import stats  # half a second that the other tables need not wait for

    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise BenchError(
            f"a ranking needs at least 2 data sets and 3 methods, not scores of shape {table.shape}; "
            "two methods are compared by wilcoxon"
        )
    if not np.isfinite(table).all():
        raise BenchError(
            f"{(~np.isfinite(table)).sum()} of {table.size} scores are missing; "
            "rank the data sets that every method has a score on, or leave methods out"
        )
    num, methods = table.shape
    table = np.round(table, DECIMALS)
    means = stats.rankdata(-table, axis=1).mean(axis=0)
    same = bool((np.ptp(table, axis=1) == 0).all())  # Friedman's statistic is 0 / 0 there
    p_value = 1.0 if same else float(stats.friedmanchisquare(*table.T).pvalue)
    distance = _nemenyi(methods) * math.sqrt(methods * (methods + 1) / (6 * num))
    words = f"Friedman over {num} data sets, {methods} methods; Nemenyi at .05"
    return Ranking(tuple(means.tolist()), distance, p_value, _tied(means, distance), num, words)


def wilcoxon(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Exact signed-rank test over data sets: does `a` beat `b` on data sets like these?

    The statistic counts means of pairs of differences (Walsh averages, each difference with itself too); that of a true null is
    the sum of ranks 1 to D with random signs. A mean of exactly 0, from differences that are 0 or cancel, speaks for the null on
    either side: p is the largest that breaking such ties in any way could give, and the usual one where there are none.

    Args:
        a: `(D,)` one score a data set.
        b: the same of the other method, in the same order.

    Returns:
        `difference` is the Hodges-Lehmann estimate, the median of the Walsh averages, with the interval that inverts this very
        test (at least 95 %): it leaves out 0 just where p < .05. NaN bounds below 6 data sets, and where nearly all differences
        are the same, so that it would have no width. `num_groups` is D.

    Raises:
        BenchError: no data sets, lengths that differ, or a score that is missing or not finite.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise BenchError(f"a pair needs one score a data set each, not shapes {first.shape} and {second.shape}")
    differences = np.round(first - second, DECIMALS)
    if not np.isfinite(differences).all():
        raise BenchError(
            f"{(~np.isfinite(differences)).sum()} data sets lack a score; compare on those that both methods have"
        )
    num, equal = len(differences), int((differences == 0).sum())
    pairs = np.round((differences[:, None] + differences[None, :])[np.triu_indices(num)], DECIMALS)
    walsh = np.sort(pairs) / 2
    tails = np.minimum(1.0, 2 * _lower_tails(num))  # two-sided p where the lesser side has 0, 1, ... of the means
    lesser = min((walsh <= 0).sum(), (walsh >= 0).sum())
    rank = int((tails < ALPHA).sum())  # so many means on a side still reject
    low, high = (float(walsh[rank - 1]), float(walsh[-rank])) if rank else (math.nan, math.nan)
    name = f"exact signed-rank over {num} data set{'s' * (num > 1)}"
    if equal:
        name += f", {equal} of them without difference"
    if tails[equal * (equal + 1) // 2] >= ALPHA:
        name += ", too few for p < .05"
    if low == high:
        low, high, name = math.nan, math.nan, f"{name}, so many with the same difference that there is no interval"
    return PairedTest(float(np.median(walsh)), low, high, float(tails[lesser]), num, name)


def _lower_tails(num: int) -> NDArray[np.float64]:
    """Chance of at most 0, 1, ... as the sum of those of the ranks 1 to `num` that fall on heads, one fair coin each."""
    chances = np.ones(1)
    for rank in range(1, num + 1):
        wider = np.zeros(len(chances) + rank)
        wider[: len(chances)] = chances
        wider[rank:] += chances
        chances = wider / 2
    return np.cumsum(chances)


@lru_cache
def _nemenyi(methods: int) -> float:
    """Q of Demsar's table 5a: the studentized range at 5 % and infinite degrees of freedom, divided by sqrt(2)."""
    from scipy import stats

    return float(stats.studentized_range.ppf(LEVEL, methods, np.inf)) / math.sqrt(2)


def _tied(means: NDArray[np.float64], distance: float) -> tuple[tuple[int, ...], ...]:
    """The largest runs of neighbours by mean rank that lie within `distance` of each other, of two methods or more."""
    order = np.argsort(means, kind="stable")
    ends = np.searchsorted(means[order], means[order] + distance, side="right")
    found, reached = [], 0
    for start, end in enumerate(ends.tolist()):
        if end > reached and end - start > 1:
            found.append(tuple(order[start:end].tolist()))
        reached = max(reached, end)
    return tuple(found)
