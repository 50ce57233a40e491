"""How sure a number is: intervals and paired tests, each of which says in words what it is over.

Every interval covers 95 %. Values that are all the same leave no spread to measure: they have no interval, and differences that
are all the same have the p value of the exact sign-flip test (docs/statistics.md). Shape legend: N videos, G groups (subjects,
source videos).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from bench.contracts import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
ALPHA = 0.05
SAME = 1e-12  # accuracies that differ by less are the same number, seen through rounding


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, in the unit of the values.

    `low` and `high` are NaN where one value, or several that are all the same, allow no interval. `num` counts what it is
    over (seeds, groups); `over` says in words what other outcomes the interval speaks of.
    """

    mean: float
    low: float
    high: float
    num: int
    over: str

    @property
    def half_width(self) -> float:
        """Half of the interval's length; NaN where there is none."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class PairedTest:
    """`a - b` on the same videos, in [-1, 1], with 95 % interval and two-sided p value.

    All three are NaN where nothing can be tested; the interval alone where the differences are all the same.
    """

    difference: float
    low: float
    high: float
    p_value: float
    num_groups: int
    test: str


def over_seeds(
    values: Sequence[float], other: str = "other draws of shots and initialisation", kind: str = "seed"
) -> Interval:
    """t-interval over one value a seed; `other` names what differs between seeds, `kind` what a seed is of, in the singular.

    One seed, or seeds that agree exactly, give NaN bounds, and `over` says so.

    Raises:
        BenchError: no values, or values that are not finite.
    """
    return _t_interval(_finite(values, "values"), kind, other)


def over_groups(correct: ArrayLike, groups: ArrayLike, kind: str = "group") -> Interval:
    """t-interval with G - 1 degrees of freedom on group means: what would other groups of this `kind` give?

    Args:
        correct: `(N,)` in [0, 1]: right or wrong, or the share of seeds that were right.
        groups: `(N,)` names of the groups, in the same order.
        kind: what a group is, in the singular ("subject").

    Returns:
        The mean of the G group means, which is the accuracy over videos where groups are equally large. One group, or
        groups that are all the same, give NaN bounds, and `over` says so.

    Raises:
        BenchError: no videos, lengths that differ, a video without group, or values that are not finite.
    """
    return over_group_means(_named_group_means(_finite(correct, "correct"), groups), kind)


def over_group_means(means: ArrayLike, kind: str = "group") -> Interval:
    """`over_groups` from the means `(G,)` of the groups.

    Raises:
        BenchError: no groups, or means that are not finite.
    """
    array = _finite(means, "group means")
    return _t_interval(array, kind, f"other {kind}s (t, {_freedom(len(array))})")


def over_splits(
    values: Sequence[float],
    num_train: float,
    num_test: float,
    other: str = "other splits, draws of shots and initialisation",
) -> Interval:
    """Corrected t-interval over one value a split, where splits share videos and so are no independent draws.

    The variance of the mean is s^2 (1/J + num_test / num_train), with J - 1 degrees of freedom (Nadeau and Bengio, 2003,
    the corrected resampled t). One split, or splits that are all the same, give NaN bounds, and `over` says so.

    Args:
        values: one a split.
        num_train: videos on the training side of a split, those that were not drawn as shots too.
        num_test: videos on its test side.
        other: what differs between splits.

    Raises:
        BenchError: no values, values that are not finite, or a side without videos.
    """
    array, inflation = _finite(values, "values"), _overlap(num_train, num_test, len(values))
    return _t_interval(array, "overlapping split", f"{other} (Nadeau-Bengio, {_freedom(len(array))})", inflation)


def paired_over_groups(a: ArrayLike, b: ArrayLike, groups: ArrayLike, kind: str = "group") -> PairedTest:
    """Paired t-test on group means of `a - b`, G - 1 degrees of freedom: does `a` beat `b` for other groups too?

    One group cannot be tested: p is NaN. The same difference in every group leaves t without a scale: p is that of the
    exact sign-flip test, 2 / 2^G, or 1 where it is none, and there is no interval.

    Args:
        a: `(N,)` in [0, 1]: right or wrong, or the share of seeds that were right.
        b: the same of the other method, on the same videos in the same order.
        groups: `(N,)` names of the groups.
        kind: what a group is, in the singular.

    Raises:
        BenchError: no videos, lengths that differ, a video without group, or values that are not finite.
    """
    return paired_over_group_means(_named_group_means(_paired(a, b), groups), kind)


def paired_over_group_means(differences: ArrayLike, kind: str = "group") -> PairedTest:
    """`paired_over_groups` from the mean differences `(G,)` of the groups.

    Raises:
        BenchError: no groups, or differences that are not finite.
    """
    array = _finite(differences, "differences")
    return _t_test(array, kind, f"paired t over {len(array)} {kind}s, {_freedom(len(array))}")


def paired_over_splits(differences: ArrayLike, num_train: float, num_test: float) -> PairedTest:
    """Corrected resampled t-test on one difference a split, where splits share videos (see `over_splits`).

    One split cannot be tested: p is NaN. The same difference in every split: as in `paired_over_groups`. `num_groups` is
    the number of splits.

    Raises:
        BenchError: no differences, differences that are not finite, or a side without videos.
    """
    array = _finite(differences, "differences")
    num, inflation = len(array), _overlap(num_train, num_test, len(array))
    name = f"Nadeau-Bengio over {num} overlapping splits, {_freedom(num)}"
    return _t_test(array, "overlapping split", name, inflation)


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Exact McNemar test of right or wrong `(N,)`: only for videos that are independent of each other.

    The interval is the exact (Clopper-Pearson) one of the share that `a` wins among discordant videos, given their
    number; it leaves out 0 just where p < .05, and there is none without discordant videos. `num_groups` is N.

    Raises:
        BenchError: no videos, lengths that differ, or anything but right (1) and wrong (0).
    """
    differences, first = _paired(a, b), np.asarray(a, dtype=np.float64)
    second = first - differences
    if not (((first == 0) | (first == 1)) & ((second == 0) | (second == 1))).all():
        raise BenchError(
            "McNemar's test needs right or wrong (1 or 0) a video; for means over seeds use paired_over_groups"
        )
    num, wins, losses = len(differences), int((differences > 0).sum()), int((differences < 0).sum())
    discordant = wins + losses
    if discordant == 0:
        return _sign_flips(0.0, num, "video")
    p_value = min(1.0, 2 * float(special.bdtr(min(wins, losses), discordant, 0.5)))
    tail = (1 - LEVEL) / 2  # Clopper and Pearson, 1934, by the beta distribution
    least = float(special.betaincinv(wins, losses + 1, tail)) if wins else 0.0
    most = float(special.betaincinv(wins + 1, losses, 1 - tail)) if losses else 1.0
    low, high = ((2 * bound - 1) * discordant / num for bound in (least, most))
    name = f"exact McNemar over {num} videos, {discordant} discordant"
    return PairedTest((wins - losses) / num, low, high, p_value, num, name)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p values, in the given order; NaN (not testable) stays NaN and does not count as a test.

    Raises:
        BenchError: a p value outside [0, 1].
    """
    array = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(array)
    if ((array[tested] < 0) | (array[tested] > 1)).any():
        raise BenchError(f"p values lie in [0, 1]: {list(p_values)}")
    # By hand, because statsmodels' multipletests collects all garbage at each call, 45 ms a time: minutes in a large table.
    order = np.argsort(array[tested], kind="stable")
    steps = np.maximum.accumulate(array[tested][order] * np.arange(len(order), 0, -1))
    corrected = np.full(len(array), math.nan)
    corrected[np.flatnonzero(tested)[order]] = np.minimum(steps, 1.0)
    return [float(p) for p in corrected]


def _freedom(num: int) -> str:
    return "1 degree of freedom" if num == 2 else f"{num - 1} degrees of freedom"


def _t_interval(values: NDArray[np.float64], unit: str, other: str, inflation: float = 1.0) -> Interval:
    """95 % t-interval of the mean over values of a `unit` each; NaN bounds for one, and where they are all the same."""
    num, mean = len(values), float(values.mean())
    if num == 1:
        return Interval(mean, math.nan, math.nan, 1, f"1 {unit}: no interval")
    if np.ptp(values) <= SAME:
        return Interval(mean, math.nan, math.nan, num, f"{num} {unit}s, all the same: no interval")
    half = _half_width(values, inflation)
    return Interval(mean, mean - half, mean + half, num, f"{num} {unit}s: {other}")


def _t_test(differences: NDArray[np.float64], unit: str, name: str, inflation: float = 1.0) -> PairedTest:
    """t-test, called `name`, of differences of a `unit` each; where they are all the same, that of sign flips."""
    num, mean = len(differences), float(differences.mean())
    if num == 1:
        return PairedTest(mean, math.nan, math.nan, math.nan, 1, f"not testable: one {unit}")
    if np.ptp(differences) <= SAME:
        return _sign_flips(mean, num, unit)
    half = _half_width(differences, inflation)
    t = abs(mean) / _standard_error(differences, inflation)
    return PairedTest(mean, mean - half, mean + half, float(2 * special.stdtr(num - 1, -t)), num, name)


def _sign_flips(difference: float, num: int, unit: str) -> PairedTest:
    """Exact two-sided test of `num` equal differences over all 2^num signs. They show no spread, so there is no interval."""
    if abs(difference) <= SAME:
        return PairedTest(0.0, math.nan, math.nan, 1.0, num, f"no difference in any of {num} {unit}s")
    name = f"sign flips over {num} {unit}s, all with the same difference"
    return PairedTest(difference, math.nan, math.nan, 2.0 ** (1 - num), num, name)


def _half_width(values: NDArray[np.float64], inflation: float) -> float:
    return float(special.stdtrit(len(values) - 1, 0.5 + LEVEL / 2)) * _standard_error(values, inflation)


def _standard_error(values: NDArray[np.float64], inflation: float) -> float:
    return float(values.std(ddof=1)) * math.sqrt(inflation / len(values))


def _overlap(num_train: float, num_test: float, num_splits: int) -> float:
    """By what the variance of a mean over splits exceeds that of independent draws: (1/J + test / train) / (1/J)."""
    if not (num_train > 0 and num_test > 0):
        raise BenchError(f"splits have videos on both sides, not {num_train} for training and {num_test} for test")
    return 1 + num_splits * num_test / num_train


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """The values as float64 `(n,)`, n > 0, all finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise BenchError(f"{name} must be one number each, at least one, not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise BenchError(f"{name} hold NaN or infinity")
    return array


def _paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """`a - b`, float64 `(N,)`."""
    first, second = _finite(a, "a"), _finite(b, "b")
    if len(first) != len(second):
        raise BenchError(f"a pair needs the same videos: {len(first)} and {len(second)}")
    return first - second


def group_means(values: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of `values` `(N,)` in each group: float64 `(G,)`; `codes` `(N,)` in [0, G) number the groups, none empty."""
    return np.asarray(np.bincount(codes, weights=values) / np.bincount(codes), dtype=np.float64)


def _named_group_means(values: NDArray[np.float64], groups: ArrayLike) -> NDArray[np.float64]:
    """Mean of `values` `(N,)` in each group: float64 `(G,)`, in order of first appearance."""
    names: NDArray[Any] = np.asarray(groups, dtype=object)
    if names.shape != values.shape:
        raise BenchError(f"one group a video: {names.shape} groups for {values.shape} values")
    codes = np.asarray(pd.factorize(names)[0])
    if (codes < 0).any():
        raise BenchError(f"{(codes < 0).sum()} videos have no group")
    return group_means(values, codes)
