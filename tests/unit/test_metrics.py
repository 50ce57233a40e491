import math

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, top_k_accuracy_score

from bench.contracts import BenchError
from bench.metrics import compute


def random_scores(num=200, classes=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, classes)).astype(np.float32) * 3, rng.integers(0, classes, num)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("num", "classes"), [(200, 9), (12, 9), (300, 101), (40, 2)])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_against_scikit_learn(num, classes, tied, seed):
    logits, labels = random_scores(num, classes, seed)
    logits = logits.round() if tied else logits
    predicted = logits.argmax(axis=1)
    scores = compute(logits, labels)
    assert set(scores) - {"top5"} == {"top1", "mean_class_accuracy", "macro_f1", "nll", "ece"}
    assert ("top5" in scores) == (classes > 5)
    close = {"rel": 1e-12, "abs": 1e-15}
    assert scores["top1"] == pytest.approx(accuracy_score(labels, predicted), **close)
    if classes > 5:
        best = np.argsort(-logits, axis=1, kind="stable")[:, :5]  # top_k_accuracy_score lets the last class win a tie
        assert scores["top5"] == pytest.approx((best == labels[:, None]).any(axis=1).mean(), **close)
    if classes > 5 and not tied:
        assert scores["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=range(classes)))
    assert scores["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted), **close)
    assert scores["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0), **close)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    assert scores["nll"] == pytest.approx(log_loss(labels, probabilities, labels=range(classes)))
    assert all(type(value) is float for value in scores.values())


def test_by_hand():
    logits = np.log(np.array([[0.9, 0.1], [0.7, 0.3], [0.3, 0.7], [0.1, 0.9]], dtype=np.float32))
    scores = compute(logits, np.array([0, 1, 1, 1]))  # right, wrong, right, right
    assert scores["top1"] == 0.75
    assert "top5" not in scores
    assert scores["mean_class_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores["nll"] == pytest.approx(-np.log([0.9, 0.3, 0.7, 0.9]).mean(), rel=1e-6)
    # one bin holds .9 twice (both right: a gap of .1), another .7 twice (one right: a gap of .2)
    assert scores["ece"] == pytest.approx((2 * 0.1 + 2 * 0.2) / 4, abs=1e-6)


def test_five_classes_have_no_top5_and_six_do():
    assert "top5" not in compute(*random_scores(classes=5))
    assert "top5" in compute(*random_scores(classes=6))


def test_a_class_that_never_occurs_does_not_count_in_the_mean_recall():
    logits = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    assert compute(logits, np.array([0, 0, 1, 1]))["mean_class_accuracy"] == pytest.approx(0.75)


def test_ties_go_to_the_first_class_in_top1_and_top5_alike():
    scores = compute(np.zeros((2, 8), dtype=np.float32), np.array([0, 5]))
    assert scores["top1"] == scores["top5"] == 0.5


def test_certain_and_right_costs_nothing_and_huge_logits_stay_finite():
    logits = np.eye(7, dtype=np.float32) * 1e30
    assert compute(logits, np.arange(7)) == pytest.approx(
        {"top1": 1, "top5": 1, "mean_class_accuracy": 1, "macro_f1": 1, "nll": 0, "ece": 0}
    )
    assert math.isfinite(compute(logits, (np.arange(7) + 1) % 7)["nll"])


def test_scores_stay_in_their_range():
    for seed in range(5):
        scores = compute(*random_scores(num=30, seed=seed))
        assert scores.pop("nll") >= 0
        assert all(0 <= value <= 1 for value in scores.values())


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "nothing to score"),
        (np.array([[0.0, math.nan], [0.0, 1.0]]), np.array([0, 1]), "1 of 2 videos have NaN or infinite"),
        (np.array([[0.0, math.inf]]), np.array([0]), "NaN or infinite"),
        (np.zeros((2, 3)), np.array([0]), r"\(N, C\)"),
        (np.zeros(3), np.array([0, 1, 2]), r"\(N, C\)"),
        (np.zeros((1, 3)), np.array([3]), "labels span"),
        (np.zeros((1, 3)), np.array([-1]), "labels span"),
        (np.zeros((1, 3)), np.array([0.0]), "integers"),
    ],
)
def test_bad_input_says_what_is_wrong(logits, labels, said):
    with pytest.raises(BenchError, match=said):
        compute(logits.astype(np.float32), labels)


def test_base_and_novel_are_told_apart_among_their_own_classes():
    no = -np.inf
    logits = np.array(
        [[2, 1, no, no], [2, 1, no, no], [no, no, 1, 2], [no, no, 2, 1], [no, no, 1, 2], [no, no, 2, 1]],
        dtype=np.float32,
    )
    labels, parts = np.array([0, 1, 3, 3, 3, 3]), ["base"] * 2 + ["novel"] * 4
    scores = compute(logits, labels, parts)
    assert (scores["base_top1"], scores["novel_top1"]) == (0.5, 0.5)
    labels = np.array([0, 1, 3, 2, 3, 3])
    scores = compute(logits, labels, parts)
    assert (scores["base_top1"], scores["novel_top1"]) == (0.5, 0.75)
    assert scores["harmonic_mean"] == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert scores["top1"] == pytest.approx(4 / 6)
    softmaxed = np.exp(2) / (np.exp(1) + np.exp(2))
    assert scores["nll"] == pytest.approx(-(4 * np.log(softmaxed) + 2 * np.log(1 - softmaxed)) / 6, rel=1e-6)
    assert "top5" not in scores


def test_nothing_right_in_one_part_makes_the_harmonic_mean_nothing():
    logits = np.where(np.eye(2, dtype=bool)[[0, 0, 1, 1]].repeat(2, axis=1), [1, 2, 1, 2], -np.inf).astype(np.float32)
    scores = compute(logits, np.array([0, 0, 3, 3]), ["base", "base", "novel", "novel"])
    assert (scores["base_top1"], scores["novel_top1"], scores["harmonic_mean"]) == (0, 1, 0)


def test_top5_where_each_part_has_more_than_five_classes():
    logits = np.where(np.eye(2, dtype=bool)[[0, 1]].repeat(6, axis=1), np.arange(12), -np.inf).astype(np.float32)
    scores = compute(logits, np.array([0, 6]), ["base", "novel"])
    assert scores["top5"] == 0
    assert compute(logits, np.array([1, 7]), ["base", "novel"])["top5"] == 1


@pytest.mark.parametrize("base, novel, has", [(5, 5, False), (6, 5, False), (5, 6, False), (6, 6, True)])
def test_top5_needs_more_than_five_classes_in_each_part_however_many_there_are_together(base, novel, has):
    of_base = np.arange(base + novel) < base
    logits = np.where([of_base, ~of_base], np.arange(base + novel), -np.inf).astype(np.float32)
    assert ("top5" in compute(logits, np.array([0, base]), ["base", "novel"])) == has


@pytest.mark.parametrize(
    "logits, labels, parts, says",
    [
        ([[1, 2, -np.inf, -np.inf]] * 2, [0, 1], ["base", "base"], "both have videos"),
        ([[1, 2, -np.inf, -np.inf]] * 2, [0, 1], ["base", "new"], "base or novel"),
        ([[1, 2, -np.inf, -np.inf]] * 2, [0, 1], ["base"], "both have videos"),
        ([[1, 2, 3], [-np.inf, 2, 3]], [0, 1], ["base", "novel"], "same classes"),
        ([[1, -np.inf], [-np.inf, 1]], [0, 0], ["base", "novel"], "own class"),
        ([[1, -np.inf, -np.inf], [-np.inf, 1, np.nan]], [0, 1], ["base", "novel"], "NaN or infinite"),
        (
            [[1, 1, -np.inf], [1, -np.inf, -np.inf], [-np.inf, -np.inf, 1]],
            [0, 0, 2],
            ["base"] * 2 + ["novel"],
            "NaN or",
        ),
        ([[1, -np.inf], [1, 2]], [0, 0], None, "NaN or infinite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(logits, labels, parts, says):
    with pytest.raises(BenchError, match=says):
        compute(np.array(logits, dtype=np.float32), np.array(labels), parts)
