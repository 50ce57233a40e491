import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from bench.contracts import BenchError
from bench.stats import (
    group_means,
    holm,
    mcnemar_exact,
    over_group_means,
    over_groups,
    over_seeds,
    over_splits,
    paired_over_group_means,
    paired_over_groups,
    paired_over_splits,
)


def grouped(num_groups=6, per=5, seed=0):
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"s{i}" for i in range(num_groups)], per)
    return rng.random(len(groups)) < 0.7, rng.random(len(groups)) < 0.5, groups


def test_over_seeds_by_hand():
    # mean .5, standard deviation .1, t(.975, 2) = 4.3027: half width .1 / sqrt(3) * 4.3027
    interval = over_seeds([0.4, 0.5, 0.6])
    assert interval.mean == pytest.approx(0.5)
    assert interval.half_width == pytest.approx(0.1 / math.sqrt(3) * 4.302652729911275)
    assert (interval.num, interval.over) == (3, "3 seeds: other draws of shots and initialisation")


def test_over_seeds_against_statsmodels():
    values = np.random.default_rng(1).random(7)
    interval = over_seeds(list(values), "other orders", "shuffle")
    assert (interval.low, interval.high) == pytest.approx(DescrStatsW(values).tconfint_mean())
    assert interval.over == "7 shuffles: other orders"


def test_one_seed_has_no_interval_and_says_so():
    interval = over_seeds([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.over == "1 seed: no interval"


def test_values_that_are_all_the_same_have_no_interval_whatever_they_are_over():
    for interval, over in (
        (over_seeds([0.1 + 0.2, 0.3, 0.3]), "3 seeds"),
        (over_splits([0.1 + 0.2, 0.3, 0.3], 300, 100), "3 overlapping splits"),
        (over_group_means([0.1 + 0.2, 0.3, 0.3], "subject"), "3 subjects"),
    ):
        assert interval.mean == pytest.approx(0.3) and interval.num == 3
        assert math.isnan(interval.low) and math.isnan(interval.high)
        assert interval.over == f"{over}, all the same: no interval"


def test_over_groups_is_t_on_group_means():
    correct, _, groups = grouped()
    means = pd.Series(correct.astype(float)).groupby(groups).mean()
    interval = over_groups(correct, groups, "subject")
    assert interval.mean == pytest.approx(means.mean())
    assert (interval.low, interval.high) == pytest.approx(DescrStatsW(means).tconfint_mean())
    assert interval.over == "6 subjects: other subjects (t, 5 degrees of freedom)"


def test_over_groups_by_hand_with_unequal_groups():
    # means 1 and .5 of two groups: mean .75, standard error .25, t(.975, 1) = 12.706
    interval = over_groups([1, 0, 1, 1, 1], ["b", "a", "a", "b", "b"])
    assert interval.mean == pytest.approx(0.75)
    assert interval.half_width == pytest.approx(0.25 * 12.706204736432095)
    assert "1 degree of freedom)" in interval.over


def test_one_group_and_groups_that_are_all_right_have_no_interval():
    alone = over_groups([1, 0], ["a", "a"], "subject")
    assert math.isnan(alone.half_width)
    assert alone.over == "1 subject: no interval"
    assert math.isnan(over_groups([1, 1, 1], [1, 2, 3]).half_width)


def test_paired_against_scipy():
    a, b, groups = grouped()
    frame = pd.DataFrame({"a": a, "b": b}).astype(float).groupby(groups).mean()
    test, expected = paired_over_groups(a, b, groups, "subject"), scipy_stats.ttest_rel(frame["a"], frame["b"])
    assert test.p_value == pytest.approx(expected.pvalue)
    assert (test.low, test.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert test.difference == pytest.approx((frame["a"] - frame["b"]).mean())
    assert (test.num_groups, test.test) == (6, "paired t over 6 subjects, 5 degrees of freedom")


def test_paired_edges_are_honest_and_silent():
    alone = paired_over_groups([1, 0], [0, 0], ["a", "a"], "subject")
    assert alone.difference == 0.5
    assert math.isnan(alone.p_value)
    assert alone.test == "not testable: one subject"


@pytest.mark.parametrize("num", [2, 3, 6])
def test_differences_that_are_all_the_same_are_tested_by_sign_flips_over_groups_and_splits_alike(num):
    for test, unit in (
        (paired_over_group_means([0.1 + 0.2] + [0.3] * (num - 1), "subject"), "subjects"),
        (paired_over_splits([0.1 + 0.2] + [0.3] * (num - 1), 300, 100), "overlapping splits"),
    ):
        assert test.difference == pytest.approx(0.3) and test.p_value == pytest.approx(2 / 2**num)
        assert math.isnan(test.low) and math.isnan(test.high)
        assert test.test == f"sign flips over {num} {unit}, all with the same difference"
    for none in (
        paired_over_group_means([0.0] * num),
        paired_over_splits([0.0] * num, 300, 100),
        mcnemar_exact([1, 0] * num, [1, 0] * num),
    ):
        assert (none.difference, none.p_value) == (0, 1) and math.isnan(none.low) and math.isnan(none.high)
        assert none.test.startswith("no difference in any of ")


def test_wins_and_losses_that_cancel_within_groups_are_no_difference():
    test = paired_over_groups([1, 0, 1, 0], [0, 1, 0, 1], ["a", "a", "b", "b"])
    assert (test.difference, test.p_value) == (0, 1)


def test_group_means_are_what_the_long_way_gives():
    a, b, groups = grouped()
    codes = pd.factorize(groups)[0]
    means = group_means(a.astype(float), codes)
    assert means == pytest.approx(pd.Series(a.astype(float)).groupby(codes).mean().to_numpy())
    assert over_group_means(means, "subject") == over_groups(a, groups, "subject")
    differences = group_means(a.astype(float) - b, codes)
    assert paired_over_group_means(differences, "subject") == paired_over_groups(a, b, groups, "subject")


def test_over_splits_by_hand():
    # mean .5, standard deviation .1, three splits of 300 for training and 100 for test:
    # standard error .1 * sqrt(1 / 3 + 1 / 3), t(.975, 2) = 4.3027
    interval = over_splits([0.4, 0.5, 0.6], 300, 100)
    assert interval.mean == pytest.approx(0.5)
    assert interval.half_width == pytest.approx(0.1 * math.sqrt(2 / 3) * 4.302652729911275)
    words = "other splits, draws of shots and initialisation (Nadeau-Bengio, 2 degrees of freedom)"
    assert (interval.num, interval.over) == (3, f"3 overlapping splits: {words}")
    # HMDB51: 3,570 and 1,530. Test videos that are many widen it, training videos that are many do not.
    published = over_splits([0.4, 0.5, 0.6], 3570, 1530)
    assert published.half_width == pytest.approx(0.1 * math.sqrt(1 / 3 + 1530 / 3570) * 4.302652729911275)
    assert over_splits([0.4, 0.6], 9, 1, "other splits").over.startswith("2 overlapping splits: other splits (N")


def test_over_splits_without_a_second_one():
    alone = over_splits([0.5], 300, 100)
    assert (alone.mean, alone.over) == (0.5, "1 overlapping split: no interval")
    assert math.isnan(alone.half_width)


def test_paired_over_splits_against_scipy():
    differences = np.array([0.02, 0.05, -0.01, 0.04, 0.03])
    statistic = differences.mean() / math.sqrt(differences.var(ddof=1) * (1 / 5 + 100 / 300))
    test = paired_over_splits(differences, 300, 100)
    assert test.p_value == pytest.approx(2 * scipy_stats.t.sf(statistic, 4))
    half = scipy_stats.t.ppf(0.975, 4) * differences.mean() / statistic
    assert (test.low, test.high) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert (test.num_groups, test.test) == (5, "Nadeau-Bengio over 5 overlapping splits, 4 degrees of freedom")
    assert paired_over_splits(-differences, 300, 100).p_value == pytest.approx(test.p_value)


def test_paired_over_splits_that_cannot_be_tested():
    alone = paired_over_splits([0.5], 300, 100)
    assert math.isnan(alone.p_value)
    assert (alone.difference, alone.test) == (0.5, "not testable: one overlapping split")


def test_mcnemar_against_statsmodels_and_by_hand():
    a, b, _ = grouped(num_groups=20)
    table = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    test = mcnemar_exact(a, b)
    assert test.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert test.difference == pytest.approx(a.mean() - b.mean())
    assert test.num_groups == 100
    assert mcnemar_exact([1] * 5 + [0], [0] * 6).p_value == pytest.approx(2 / 2**5)


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (3, 0), (7, 7), (12, 30), (900, 1000), (5, 20_000)])
def test_mcnemar_against_scipy(wins, losses):
    a = np.array([1] * wins + [0] * losses + [1] * 10)
    test = mcnemar_exact(a, np.array([0] * wins + [1] * losses + [1] * 10))
    expected, scale = scipy_stats.binomtest(wins, wins + losses), (wins + losses) / len(a)
    assert test.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    share = expected.proportion_ci(method="exact")
    assert (test.low, test.high) == pytest.approx(((2 * share.low - 1) * scale, (2 * share.high - 1) * scale))


@pytest.mark.parametrize("wins", range(21))
def test_mcnemar_interval_leaves_out_zero_just_where_it_is_significant(wins):
    a = np.array([1] * wins + [0] * (20 - wins) + [1] * 30)
    test = mcnemar_exact(a, np.array([0] * wins + [1] * (20 - wins) + [1] * 30))
    assert (test.p_value < 0.05) == (not test.low <= 0 <= test.high)
    assert test.low <= test.difference <= test.high


def test_mcnemar_takes_no_shares():
    with pytest.raises(BenchError, match="paired_over_groups"):
        mcnemar_exact([0.5], [1])
    with pytest.raises(BenchError, match="paired_over_groups"):
        mcnemar_exact([1], [0.5])
    with pytest.raises(BenchError, match="paired_over_groups"):
        mcnemar_exact([2], [1])


def test_holm_by_hand():
    # .01 * 4, .03 * 3 (.04 * 2 is smaller than what came before it, so it takes that), .5 * 1
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []
    assert holm([1.0, 0.9]) == pytest.approx([1, 1])


def test_holm_against_statsmodels():
    p_values = np.random.default_rng(2).random(30) ** 3
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_passes_what_cannot_be_tested():
    corrected = holm([math.nan, 0.02, 0.03])
    assert math.isnan(corrected[0])
    assert corrected[1:] == pytest.approx([0.04, 0.04])
    assert math.isnan(holm([math.nan])[0])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: over_seeds([]), "at least one"),
        (lambda: over_seeds([0.1, math.nan]), "NaN"),
        (lambda: over_groups([1, 0], ["a"]), "one group a video"),
        (lambda: over_groups([1, 0], ["a", None]), "1 videos have no group"),
        (lambda: over_groups([1, 0], ["a", math.nan]), "1 videos have no group"),
        (lambda: paired_over_groups([1], [1, 0], ["a"]), "same videos"),
        (lambda: over_splits([], 3, 1), "at least one"),
        (lambda: over_splits([0.5, 0.6], 0, 1), "videos on both sides"),
        (lambda: paired_over_splits([0.5, 0.6], 3, math.nan), "videos on both sides"),
        (lambda: paired_over_splits([0.5, math.nan], 3, 1), "NaN"),
        (lambda: over_group_means([[0.5]]), "one number each"),
        (lambda: paired_over_group_means([math.inf]), "NaN or infinity"),
        (lambda: holm([1.5]), r"\[0, 1\]"),
    ],
)
def test_bad_input_says_what_is_wrong(call, said):
    with pytest.raises(BenchError, match=said):
        call()


def test_the_group_interval_covers_and_the_group_test_holds_its_level():
    rng = np.random.default_rng(3)
    covered = rejected = rejected_mcnemar = 0
    for _ in range(400):
        group_means = np.clip(rng.normal(0.6, 0.12, (2, 8)), 0, 1)  # a true null: both methods differ by group only
        groups = np.repeat(np.arange(8), 30)
        a, b = (rng.random(240) < means[groups] for means in group_means)
        interval = over_groups(a, groups)
        covered += interval.low <= 0.6 <= interval.high
        rejected += paired_over_groups(a, b, groups).p_value < 0.05
        rejected_mcnemar += mcnemar_exact(a, b).p_value < 0.05
    assert 0.92 <= covered / 400 <= 0.98
    assert rejected / 400 <= 0.08
    assert rejected_mcnemar / 400 > 0.13  # why videos of one subject are not taken for independent
