"""What the intervals and tests promise, counted on made-up data whose truth is known. Run with -s to see the figures.

Group model: a method's accuracy in a group is Beta-distributed over groups with mean .7 and standard deviation .12, and each of
30 videos a group is right with that chance; two methods draw theirs independently, so that their accuracies over all groups are
the same (a true null) while each group favours one of them. 10,000 repetitions: a share of 5 in 100 has a standard error of .22;
what is held against 5.5 is repeated 40,000 times, standard error .11; McNemar on the first 4,000 of these, standard error below .75.
"""

import numpy as np
import pytest

from bench.stats import (
    mcnemar_exact,
    over_group_means,
    over_seeds,
    over_splits,
    paired_over_group_means,
    paired_over_groups,
    paired_over_splits,
)

TIMES = 10_000
MEAN, DEVIATION, PER_GROUP = 0.7, 0.12, 30
GROUPS = (5, 10, 44)


def show(capsys, what, **shares):
    with capsys.disabled():
        told = "   ".join(f"{name.replace('_', ' ')} {100 * share:5.2f}" for name, share in shares.items())
        print(f"\n  in 100: {what:36} {told}", end="")


def draw(rng, num_groups, methods, times):
    """Right or wrong, bool `(times, methods, num_groups, PER_GROUP)`."""
    strength = MEAN * (1 - MEAN) / DEVIATION**2 - 1
    accuracy = rng.beta(MEAN * strength, (1 - MEAN) * strength, (times, methods, num_groups, 1))
    return rng.random((times, methods, num_groups, PER_GROUP), dtype=np.float32) < accuracy


def covers(interval, truth):
    return interval.low <= truth <= interval.high


def test_three_seeds_cover(capsys):
    # Each seed's accuracy scatters by 2 points about .7, on 1,000 test videos.
    rng = np.random.default_rng(11)
    values = rng.binomial(1000, rng.normal(MEAN, 0.02, (TIMES, 3))) / 1000
    covered = np.mean([covers(over_seeds(row), MEAN) for row in values])
    show(capsys, "3 seeds, interval over seeds", covered=covered)
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("num_groups", GROUPS)
def test_group_intervals_cover(capsys, num_groups):
    means = draw(np.random.default_rng(num_groups), num_groups, 1, TIMES)[:, 0].mean(axis=2)
    covered = np.mean([covers(over_group_means(row), MEAN) for row in means])
    show(capsys, f"{num_groups} groups, interval over groups", covered=covered)
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("num_groups", GROUPS)
def test_the_group_test_holds_its_level_where_mcnemar_does_not(capsys, num_groups):
    rng = np.random.default_rng(100 + num_groups)
    right = draw(rng, num_groups, 2, 4000)
    parts = [right, *(draw(rng, num_groups, 2, 4000) for _ in range(9))]
    differences = np.concatenate([part[:, 0].mean(axis=2) - part[:, 1].mean(axis=2) for part in parts])
    rejected = np.mean([paired_over_group_means(row).p_value < 0.05 for row in differences])
    videos = right.reshape(4000, 2, -1)
    by_mcnemar = np.mean([mcnemar_exact(a, b).p_value < 0.05 for a, b in videos])
    show(capsys, f"{num_groups} groups, true null rejected by", paired_t=rejected, McNemar=by_mcnemar)
    assert rejected <= 0.055
    assert 0.13 <= by_mcnemar <= 0.31
    groups = np.repeat(np.arange(num_groups), PER_GROUP)  # the way by videos is the way by means
    assert paired_over_groups(*videos[0], groups).p_value == pytest.approx(
        paired_over_group_means(differences[0]).p_value
    )


def test_overlapping_splits_need_the_correction(capsys):
    """One data set of 90 videos, cut ten times into 60 for training and 30 for test.

    The videos of two equally frequent classes have two features, equally good and independent given the class; each method is a
    nearest-class-mean classifier on one of them, so both learn equally well: a true null. 4,000 data sets: a share of 5 in 100 has
    a standard error of .34.
    """
    rng, times, num, train, splits = np.random.default_rng(12), 4000, 90, 60, 10
    label = np.repeat([-1.0, 1.0], num // 2)
    features = rng.normal(0.7 * label[:, None], 1.0, (times, num, 2))
    by_split = np.empty((times, splits, 2))
    for split in range(splits):
        order = rng.permutation(num)
        learnt, tested = order[:train], order[train:]
        means = [features[:, learnt[label[learnt] == sign]].mean(axis=1) for sign in (-1, 1)]
        near = np.abs(features[:, tested] - means[1][:, None]) < np.abs(features[:, tested] - means[0][:, None])
        by_split[:, split] = (near == (label[tested] > 0)[:, None]).mean(axis=1)
    differences = by_split[..., 0] - by_split[..., 1]
    plain = np.mean([paired_over_group_means(row).p_value < 0.05 for row in differences])
    corrected = np.mean([paired_over_splits(row, train, num - train).p_value < 0.05 for row in differences])
    truth = by_split[..., 0].mean()  # over 4,000 data sets: known to .1 points
    plainly = np.mean([covers(over_seeds(row), truth) for row in by_split[..., 0]])
    covered = np.mean([covers(over_splits(row, train, num - train), truth) for row in by_split[..., 0]])
    show(capsys, "10 splits, true null rejected by", plain_t=plain, Nadeau_Bengio=corrected)
    show(capsys, "10 splits, interval covers", plain_t=plainly, Nadeau_Bengio=covered)
    assert plain > 0.2
    assert corrected <= 0.055
    assert plainly < 0.85
    assert 0.93 <= covered
