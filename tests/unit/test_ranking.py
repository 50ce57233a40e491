import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.contracts import BenchError
from bench.ranking import critical_difference, wilcoxon

# Demsar (2006), table 5a, q at .05 for 3 to 10 methods; the last digit is off by up to one in the table.
Q05 = {3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}

# Demsar (2006), table 2: AUC of C4.5 without and with tuned m, cf, both, on 14 data sets.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


@pytest.mark.parametrize(("methods", "q"), Q05.items())
def test_critical_difference_has_the_published_q(methods, q):
    scores = np.random.default_rng(methods).random((12, methods))
    distance = critical_difference(scores).critical_difference
    assert distance / math.sqrt(methods * (methods + 1) / (6 * 12)) == pytest.approx(q, abs=1.1e-3)


def test_the_worked_example_of_the_paper():
    ranking = critical_difference(DEMSAR)
    assert ranking.mean_ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=6e-4)
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
    # The paper's 9.28 leaves ties uncorrected; scipy, with them corrected, has a little more.
    assert ranking.friedman_p == pytest.approx(scipy_stats.friedmanchisquare(*DEMSAR.T).pvalue)
    assert ranking.friedman_p < float(scipy_stats.chi2.sf(9.28, 3))
    assert ranking.tied == ((3, 1, 2, 0),)
    assert (ranking.num_datasets, ranking.test) == (14, "Friedman over 14 data sets, 4 methods; Nemenyi at .05")


def test_ties_are_the_largest_sets_of_neighbours():
    # 20 data sets with one order of five: ranks 1 to 5, critical difference 2.728 * sqrt(30 / 120) = 1.364
    ranking = critical_difference(np.tile([0.9, 0.5, 0.7, 0.8, 0.6], (20, 1)))
    assert ranking.mean_ranks == (1, 5, 3, 2, 4)
    assert ranking.critical_difference == pytest.approx(1.364, abs=0.001)
    assert ranking.tied == ((0, 3), (3, 2), (2, 4), (4, 1))
    # With 200 data sets even neighbours differ.
    assert critical_difference(np.tile([0.9, 0.5, 0.7, 0.8, 0.6], (200, 1))).tied == ()


def test_equal_scores_share_a_rank_seen_through_rounding_too():
    ranking = critical_difference([[0.1 + 0.2, 0.3, 0.1], [0.3, 0.3, 0.1]])
    assert ranking.mean_ranks == (1.5, 1.5, 3)
    assert critical_difference(np.full((4, 3), 0.5)).friedman_p == 1


def test_wilcoxon_against_scipy():
    rng = np.random.default_rng(0)
    for num in (1, 2, 5, 6, 9, 14, 25):
        a, b = rng.random(num) + 0.15, rng.random(num)
        test = wilcoxon(a, b)
        assert test.p_value == pytest.approx(scipy_stats.wilcoxon(a, b, method="exact").pvalue)
        assert test.num_groups == num


TIED = [
    [0.02, 0.02, -0.01, 0.03, 0.03, 0.03, -0.02],
    [0.01, 0.01, -0.01, 0.02, 0.02, 0.05, 0.06, -0.03, 0.07],
    [0.01, 0.01, 0.01, -0.02, 0.03, 0.04, 0.04, 0.05],
    [0.0, 0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06],
    [0.0, -0.01, 0.01, 0.02, 0.02, 0.03, 0.04],
    [0.0] * 7,
]


@pytest.mark.parametrize("differences", TIED[:-1])
def test_wilcoxon_with_ties_and_zeros_is_the_worst_of_all_ways_to_break_them(differences):
    rng, d = np.random.default_rng(0), np.array(differences)
    p = wilcoxon(d + 0.5, np.full(len(d), 0.5)).p_value
    broken = [scipy_stats.wilcoxon(d + rng.normal(0, 1e-6, len(d)), method="exact").pvalue for _ in range(200)]
    assert max(broken) <= p + 1e-12
    # the worst ways are those where all that is tied goes to one side
    aside = [d + side * 1e-5 + rng.normal(0, 1e-9, len(d)) for side in (-1, 1)]
    assert p == pytest.approx(max(scipy_stats.wilcoxon(x, method="exact").pvalue for x in aside))


@pytest.mark.parametrize("differences", TIED)
def test_wilcoxon_holds_every_level_over_all_signs(differences):
    sizes = np.abs(differences)
    found = np.array(
        [wilcoxon(sizes * s, 0 * sizes).p_value for s in itertools.product([-1, 1], repeat=len(differences))]
    )
    assert all((found <= level + 1e-12).mean() <= level + 1e-12 for level in np.unique(found))


def test_wilcoxon_says_how_many_data_sets_do_not_differ_and_where_too_few_do():
    a = np.array([0.5, 0.5, 0.61, 0.72, 0.83, 0.94, 0.65, 0.76])
    b = np.array([0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 0.6, 0.7])
    test = wilcoxon(a, b)
    # three means of pairs are 0; of the ranks 1 to 8, five sets sum to at most 3: {}, 1, 2, 3, 1 + 2
    assert test.p_value == pytest.approx(2 * 5 / 2**8)
    assert test.test == "exact signed-rank over 8 data sets, 2 of them without difference"
    assert test.low > 0
    assert wilcoxon(a[1:7], b[1:7]).test.endswith("6 data sets, 1 of them without difference, too few for p < .05")
    assert wilcoxon([0.5, 0.5], [0.5, 0.5]).p_value == 1


def test_an_interval_without_width_is_none():
    same = wilcoxon([0.9] * 8, [0.6] * 8)
    assert same.difference == pytest.approx(0.3) and same.p_value == pytest.approx(2 / 2**8)
    assert math.isnan(same.low) and math.isnan(same.high)
    assert same.test.endswith("over 8 data sets, so many with the same difference that there is no interval")


def test_five_data_sets_cannot_reach_the_level_and_the_test_says_so():
    five = wilcoxon(np.arange(1, 6) / 10, np.zeros(5))
    assert five.p_value == pytest.approx(2 / 2**5)
    assert math.isnan(five.low)
    assert five.test == "exact signed-rank over 5 data sets, too few for p < .05"
    six = wilcoxon(np.arange(1, 7) / 10, np.zeros(6))
    assert (six.p_value, six.test) == (pytest.approx(2 / 2**6), "exact signed-rank over 6 data sets")
    assert (six.low, six.high) == pytest.approx((0.1, 0.6))


@pytest.mark.parametrize("draw", ["smooth", "with ties and zeros"])
def test_the_interval_leaves_out_zero_just_where_it_is_significant(draw):
    rng = np.random.default_rng(1)
    decided = set()
    for _ in range(600):
        num = int(rng.integers(6, 13))
        differences = rng.normal(0.6, 1, num) if draw == "smooth" else rng.integers(-2, 5, num) / 100
        test = wilcoxon(differences, np.zeros(num))
        if math.isnan(test.low):  # of no width
            continue
        assert (test.p_value < 0.05) == (not test.low <= 0 <= test.high), differences
        assert test.low <= test.difference <= test.high
        decided.add(test.p_value < 0.05)
    assert decided == {True, False}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: critical_difference([[1, math.nan, 2], [1, 2, 3]]), "1 of 6 scores are missing"),
        (lambda: critical_difference([[1, 2], [1, 2]]), "wilcoxon"),
        (lambda: critical_difference([[1, 2, 3]]), "at least 2 data sets"),
        (lambda: wilcoxon([1, math.nan], [1, 2]), "1 data sets lack a score"),
        (lambda: wilcoxon([1], [1, 2]), "one score a data set"),
        (lambda: wilcoxon([], []), "one score a data set"),
    ],
)
def test_bad_input_says_what_is_wrong(call, said):
    with pytest.raises(BenchError, match=said):
        call()
