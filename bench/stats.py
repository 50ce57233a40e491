"""How sure a number is: intervals and paired tests, each of which says in words what it is over.

Every interval covers 95 %. Shape legend: N videos, G groups (subjects, source videos).
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

    `low` and `high` are NaN where one value allows no interval. `num` counts what it is over (seeds, groups); `over`
    says in words what other outcomes the interval speaks of.
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
    """`a - b` on the same videos, in [-1, 1], with 95 % interval and two-sided p value; NaN where not testable."""

    difference: float
    low: float
    high: float
    p_value: float
    num_groups: int
    test: str


def over_seeds(values: Sequence[float], other: str = "other draws of shots and initialisation") -> Interval:
    """t-interval over one value a seed; `other` names what differs between seeds.

    One seed gives NaN bounds and says so. Seeds that agree exactly give an interval of no width, and `over` says that
    this is no certainty.

    Raises:
        BenchError: no values, or values that are not finite.
    """
    array = _finite(values, "values")
    if len(array) == 1:
        return Interval(float(array[0]), math.nan, math.nan, 1, "1 seed: no interval")
    low, high = _t_interval(array)
    over = f"{len(array)} seeds: {other}{_flat(array)}"
    return Interval(float(array.mean()), low, high, len(array), over)


def over_groups(correct: ArrayLike, groups: ArrayLike, kind: str = "group") -> Interval:
    """t-interval with G - 1 degrees of freedom on group means: what would other groups of this `kind` give?

    Args:
        correct: `(N,)` in [0, 1]: right or wrong, or the share of seeds that were right.
        groups: `(N,)` names of the groups, in the same order.
        kind: what a group is, in the singular ("subject").

    Returns:
        The mean of the G group means, which is the accuracy over videos where groups are equally large. One group gives
        NaN bounds and says so.

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
    if len(array) == 1:
        return Interval(float(array[0]), math.nan, math.nan, 1, f"1 {kind}: no interval over {kind}s")
    low, high = _t_interval(array)
    over = f"{len(array)} {kind}s: other {kind}s (t, {_freedom(len(array))}){_flat(array)}"
    return Interval(float(array.mean()), low, high, len(array), over)


def over_splits(
    values: Sequence[float],
    num_train: float,
    num_test: float,
    other: str = "other splits, draws of shots and initialisation",
) -> Interval:
    """Corrected t-interval over one value a split, where splits share videos and so are no independent draws.

    The variance of the mean is s^2 (1/J + num_test / num_train), with J - 1 degrees of freedom (Nadeau and Bengio, 2003,
    the corrected resampled t). One split gives NaN bounds and says so.

    Args:
        values: one a split.
        num_train: videos on the training side of a split, those that were not drawn as shots too.
        num_test: videos on its test side.
        other: what differs between splits.

    Raises:
        BenchError: no values, values that are not finite, or a side without videos.
    """
    array, inflation = _finite(values, "values"), _overlap(num_train, num_test, len(values))
    if len(array) == 1:
        return Interval(float(array[0]), math.nan, math.nan, 1, "1 split: no interval")
    low, high = _t_interval(array, inflation)
    over = f"{len(array)} overlapping splits: {other} (Nadeau-Bengio, {_freedom(len(array))}){_flat(array)}"
    return Interval(float(array.mean()), low, high, len(array), over)


def paired_over_groups(a: ArrayLike, b: ArrayLike, groups: ArrayLike, kind: str = "group") -> PairedTest:
    """Paired t-test on group means of `a - b`, G - 1 degrees of freedom: does `a` beat `b` for other groups too?

    One group cannot be tested: p is NaN. No difference in any group: p is 1. The same difference in every group leaves
    t without a scale; the exact sign-flip test takes its place there (p = 2 / 2^G).

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
    num, difference = len(array), float(array.mean())
    if num == 1:
        return PairedTest(difference, math.nan, math.nan, math.nan, 1, f"not testable: one {kind}")
    if np.ptp(array) <= SAME:
        if abs(difference) <= SAME:
            return PairedTest(0.0, 0.0, 0.0, 1.0, num, f"no difference in any of {num} {kind}s")
        name = f"sign flips over {num} {kind}s, all with the same difference"
        return PairedTest(difference, difference, difference, 2.0 ** (1 - num), num, name)
    low, high = _t_interval(array)
    return PairedTest(difference, low, high, _t_p_value(array), num, f"paired t over {num} {kind}s, {_freedom(num)}")


def paired_over_splits(differences: ArrayLike, num_train: float, num_test: float) -> PairedTest:
    """Corrected resampled t-test on one difference a split, where splits share videos (see `over_splits`).

    One split cannot be tested: p is NaN. The same difference in every split leaves t without a scale: p is 1 where it is
    none, NaN otherwise. `num_groups` is the number of splits.

    Raises:
        BenchError: no differences, differences that are not finite, or a side without videos.
    """
    array = _finite(differences, "differences")
    num, difference, inflation = len(array), float(array.mean()), _overlap(num_train, num_test, len(array))
    if num == 1:
        return PairedTest(difference, math.nan, math.nan, math.nan, 1, "not testable: one split")
    if np.ptp(array) <= SAME:
        if abs(difference) <= SAME:
            return PairedTest(0.0, 0.0, 0.0, 1.0, num, f"no difference in any of {num} splits")
        name = f"not testable: the same difference in all of {num} splits"
        return PairedTest(difference, math.nan, math.nan, math.nan, num, name)
    low, high = _t_interval(array, inflation)
    name = f"Nadeau-Bengio over {num} overlapping splits, {_freedom(num)}"
    return PairedTest(difference, low, high, _t_p_value(array, inflation), num, name)


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Exact McNemar test of right or wrong `(N,)`: only for videos that are independent of each other.

    The interval is the exact (Clopper-Pearson) one of the share that `a` wins among discordant videos, given their
    number; it leaves out 0 just where p < .05. `num_groups` is N.

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
        return PairedTest(0.0, 0.0, 0.0, 1.0, num, f"no difference in any of {num} videos")
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


FLAT = "; all the same here, which is no certainty"  # ends the words of an interval that has no width


def _flat(values: NDArray[np.float64]) -> str:
    return "" if np.ptp(values) > SAME else FLAT


def _t_interval(values: NDArray[np.float64], inflation: float = 1.0) -> tuple[float, float]:
    """95 % t-interval of the mean of at least two values; no width where they are all the same."""
    mean = float(values.mean())
    if np.ptp(values) <= SAME:
        return mean, mean
    half = float(special.stdtrit(len(values) - 1, 0.5 + LEVEL / 2)) * _standard_error(values, inflation)
    return mean - half, mean + half


def _t_p_value(values: NDArray[np.float64], inflation: float = 1.0) -> float:
    """Two-sided p of the mean of at least two different values being 0."""
    t = abs(float(values.mean())) / _standard_error(values, inflation)
    return float(2 * special.stdtr(len(values) - 1, -t))


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
