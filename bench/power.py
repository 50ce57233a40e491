"""How many videos, groups and seeds a difference needs before it is found: power of the tests of `bench.stats`.

Accuracies, differences and spreads are shares in [0, 1] here. Shape legend: N videos, G groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import integrate, optimize, special

from bench.contracts import BenchError
from bench.stats import ALPHA

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST = 10_000_000  # what needs more is not to be found by collecting more


@dataclass(frozen=True)
class Assumptions:
    """What a plan takes for granted. `measured` are the names of those that came from stored runs.

    `accuracy` of the first method; `correlation` between what makes a video hard for one and for the other, in (-1, 1)
    (latent, that is tetrachoric); `spread` is the standard deviation of the true difference between groups, beyond what
    the chance of `videos_per_group` brings; `seed_spread` that of the difference between seeds on the same videos.
    `cautions` say why what was measured may mislead.
    """

    accuracy: float = 0.8
    correlation: float = 0.8
    spread: float = 0.05
    videos_per_group: float = 30
    seed_spread: float = 0.01
    measured: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Available:
    """What the user has; None is not said. `grouped` is false where no groups are known."""

    videos: int | None = None
    groups: int | None = None
    seeds: int | None = None
    grouped: bool = True


def both_right(p: float, q: float, correlation: float) -> float:
    """Chance that both methods are right on a video, where they are right with chance `p` and `q`, in (0, 1).

    A bivariate normal threshold model, by Plackett's identity (1954): the integral over the angle of the correlation.
    """
    h, k = float(special.ndtri(p)), float(special.ndtri(q))

    def slope(angle: float) -> float:
        return math.exp(-(h * h + k * k - 2 * h * k * math.sin(angle)) / (2 * math.cos(angle) ** 2))

    area = integrate.quad(slope, 0.0, math.asin(correlation), epsabs=1e-12)[0]
    return float(p * q + area / (2 * math.pi))


def latent_correlation(p: float, q: float, both: float) -> float:
    """The correlation at which `both_right(p, q, correlation)` is `both`; at most .999 in size."""
    edge = 0.999
    if both >= both_right(p, q, edge):
        return edge
    if both <= both_right(p, q, -edge):
        return -edge
    return float(optimize.brentq(lambda c: both_right(p, q, c) - both, -edge, edge, xtol=1e-9))


def mcnemar_power(num: int, wins: float, losses: float) -> float:
    """Chance that exact McNemar gives p < .05 on `num` independent videos.

    `wins` and `losses` are the chances that only the one or only the other method is right on a video. Summed over the
    number of discordant videos, so nothing is approximated but tails beyond 9 standard deviations.
    """
    share = wins + losses
    middle, reach = num * share, 9 * math.sqrt(num * share * (1 - share)) + 9
    discordant = np.arange(max(0, math.floor(middle - reach)), min(num, math.ceil(middle + reach)) + 1)
    edge = _critical(discordant)
    won = wins / share
    inside = edge >= 0
    found = np.zeros(len(discordant))
    for chance in (won, 1 - won):
        found[inside] += special.bdtr(edge[inside], discordant[inside], chance)
    log_chance = special.gammaln(num + 1) - special.gammaln(discordant + 1) - special.gammaln(num - discordant + 1)
    log_chance += special.xlogy(discordant, share) + special.xlog1py(num - discordant, -share)
    return float((np.exp(log_chance) * found).sum())


def _critical(discordant: NDArray[np.int_]) -> NDArray[np.int_]:
    """The most losses of so many discordant videos with p < .05, -1 where none is."""
    edge: NDArray[np.int_] = np.maximum(-1, np.floor(discordant / 2 - np.sqrt(discordant)).astype(int) - 3)
    for _ in range(8):  # the normal approximation above is at most 5 too low
        edge += 2 * special.bdtr(edge + 1.0, discordant, 0.5) < ALPHA
    return edge


def unpaired_power(num: int, p: float, q: float, wins: float, losses: float) -> float:
    """Chance that a z-test, which takes the two for tested on different videos, gives p < .05 on the same `num` videos."""
    needed = -float(special.ndtri(ALPHA / 2)) * math.sqrt((p * (1 - p) + q * (1 - q)) / num)
    deviation = math.sqrt((wins + losses - (wins - losses) ** 2) / num)
    return float(sum(special.ndtr((sign * (q - p) - needed) / deviation) for sign in (1, -1)))


def t_power(difference: float, deviation: float, num: int) -> float:
    """Chance that a two-sided t-test on `num` values, at least 2, with this mean and standard deviation gives p < .05."""
    shift, edge = difference / deviation * math.sqrt(num), float(special.stdtrit(num - 1, 1 - ALPHA / 2))
    half = (num - 1) / 2

    def found(quantile: float) -> float:
        reach = edge * math.sqrt(special.gammaincinv(half, quantile) / half)
        return float(special.ndtr(shift - reach) + special.ndtr(-shift - reach))

    # Over the quantiles of the sample deviation: scipy's nctdtr is NaN where the difference is many deviations.
    return float(integrate.quad(found, 0.0, 1.0, epsabs=1e-10, limit=200)[0])


def group_deviation(plan: Assumptions, wins: float, losses: float) -> float:
    """Standard deviation of a group's mean difference: what groups differ by, and the chance of so many videos.

    Raises:
        BenchError: a spread that differences of right and wrong cannot have.
    """
    of_video = wins + losses - (wins - losses) ** 2
    if plan.spread**2 > of_video:
        raise BenchError(
            f"a spread of {100 * plan.spread:.1f} points between groups is impossible here: just one of the two methods is right "
            f"on {100 * (wins + losses):.1f} % of the videos, which allows {100 * math.sqrt(of_video):.1f}; lower --spread or --correlation"
        )
    return math.sqrt(plan.spread**2 + (of_video - plan.spread**2) / plan.videos_per_group)


def least(power_of: Callable[[int], float], power: float, first: int = 2) -> int | None:
    """The smallest number from `first` on with so much power, None where that is beyond MOST."""
    low, high = first - 1, first
    while power_of(high) < power:
        if high >= MOST:
            return None
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def plan(difference: float, power: float, assumed: Assumptions, available: Available) -> list[str]:
    """The plan in words, a line each: needed and, for what is `available`, the power that it has.

    Raises:
        BenchError: input that no study can have.
    """
    _check(difference, power, assumed, available)
    p, q = assumed.accuracy, assumed.accuracy + difference
    both = both_right(p, q, assumed.correlation)
    wins, losses = q - both, p - both
    lines = [
        f"a difference of {100 * difference:.1f} points, {100 * q:.1f} % against {100 * p:.1f} %, to be found (two-sided p < .05) "
        f"{100 * power:.0f} times in 100",
        f"  accuracy {100 * p:.1f} % {_source(assumed, 'accuracy')}; latent correlation {assumed.correlation:.2f} "
        f"{_source(assumed, 'correlation')}: just one of the two is right on {100 * (wins + losses):.1f} % of the videos",
    ]

    def by_videos(num: int) -> float:
        return mcnemar_power(num, wins, losses)

    lines.append(f"videos: {_number(least(by_videos, power, 1))} by exact McNemar, where videos are independent")
    if available.videos is not None:
        unpaired = unpaired_power(available.videos, p, q, wins, losses)
        lines.append(
            f"  with {available.videos:,}: found {_times(by_videos(available.videos))}; "
            f"by a z-test that forgets the pairing: {_times(unpaired)}"
        )
    if not available.grouped and available.groups is None:
        lines.append("groups: none are known in these runs; videos of one subject or source are not independent")
    else:
        deviation = group_deviation(assumed, wins, losses)

        def by_groups(num: int) -> float:
            return t_power(difference, deviation, num)

        lines.append(
            f"groups: {_number(least(by_groups, power))} of {assumed.videos_per_group:.4g} videos "
            f"{_source(assumed, 'videos_per_group')} by the paired t over groups, where the true difference varies between groups "
            f"by {100 * assumed.spread:.1f} points (standard deviation) {_source(assumed, 'spread')}"
        )
        lines += _with(available.groups, by_groups)

    def by_seeds(num: int) -> float:
        return t_power(difference, assumed.seed_spread, num)

    lines.append(
        f"seeds: {_number(least(by_seeds, power))} by the paired t over seeds, where the difference varies between seeds "
        f"by {100 * assumed.seed_spread:.1f} points (standard deviation) {_source(assumed, 'seed_spread')}; "
        "speaks of other draws and initialisations on the same test videos"
    )
    lines += _with(available.seeds, by_seeds)
    lines += [f"Beware: {text}" for text in assumed.cautions]
    lines.append(
        "Taken for granted: one comparison (Holm's correction in a table asks for more); groups of equal size (unequal ones need more, "
        "and are not planned for); differences of groups and of seeds that are normally distributed."
    )
    return lines


def _check(difference: float, power: float, assumed: Assumptions, available: Available) -> None:
    def demand(holds: bool, what: str) -> None:
        if not holds:
            raise BenchError(what)

    p, share = assumed.accuracy, 100 * difference
    demand(
        difference > 0, f"--difference is in points and above 0, not {share:g}; no number of videos finds no difference"
    )
    demand(ALPHA < power < 1, f"--power lies between .05 and 1, not {power:g}; 1 would need infinitely many videos")
    demand(0 < p < 1, f"--accuracy is in percent, between 0 and 100, not {100 * p:g}")
    demand(
        p + difference < 1,
        f"{100 * p:g} % and {share:g} points more is not below 100 %; lower --difference or --accuracy",
    )
    demand(-1 < assumed.correlation < 1, f"--correlation lies between -1 and 1, not {assumed.correlation:g}")
    demand(0 <= assumed.spread < math.inf, f"--spread is in points and not below 0, not {100 * assumed.spread:g}")
    demand(
        1 <= assumed.videos_per_group < math.inf, f"--videos-per-group is at least 1, not {assumed.videos_per_group:g}"
    )
    demand(
        0 < assumed.seed_spread < math.inf, f"--seed-spread is in points and above 0, not {100 * assumed.seed_spread:g}"
    )
    for name, num in (("videos", available.videos), ("groups", available.groups), ("seeds", available.seeds)):
        demand(num is None or 1 <= num <= MOST, f"--{name} lies between 1 and {MOST:,}, not {num}")


def _with(num: int | None, power_of: Callable[[int], float]) -> list[str]:
    if num is None:
        return []
    return [f"  with {num:,}: {'not testable' if num < 2 else 'found ' + _times(power_of(num))}"]


def _source(assumed: Assumptions, name: str) -> str:
    return "(measured)" if name in assumed.measured else "(assumed)"


def _times(chance: float) -> str:
    return f"{100 * chance:.0f} times in 100"


def _number(num: int | None) -> str:
    return f"more than {MOST:,}" if num is None else f"{num:,}"
