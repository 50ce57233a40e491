"""How answers are judged: lists, scores, names of classes, and the parts of base-to-novel."""

import json

import numpy as np
import pytest
from imported import CLASSES, IDS, LABELS, NUM, good, judge

from bench import answers, judging, metrics
from bench.contracts import BenchError


def test_videos_answered_twice_in_the_same_way_are_named():
    assert judge([*good(), good()[2], good()[2]]).report["twice"] == [IDS[2]]


def test_videos_answered_twice_in_two_ways_are_an_error_with_both_lines():
    with pytest.raises(BenchError, match="line 15: another answer on 'test0.mp4' than line 1"):
        judge([*good(), {"video_id": IDS[0], "ranked": ["run"]}])


@pytest.mark.parametrize("label", range(7))
@pytest.mark.parametrize("said", [["?"], ["?", 0], ["?", 6, 5, 4, 3, 2, 1, 0], []])
def test_an_answer_that_is_no_class_is_never_right(label, said):
    answer = answers.Answer("line 1", "v", ranked=tuple(said))
    found = judging.judge([answer], ["v"], np.array([label]), CLASSES, "ranking")
    assert found.logits[0].argmax() != label and np.isfinite(found.logits).all()


def test_of_two_classes_too():
    for label in (0, 1):
        for said in (
            ["?"],
            ["?", 0, 1],
            ["?", 1, 0],
            ["?", "?", label],
            *(["?"] * k + [1 - label] for k in range(1, 13)),
        ):
            answer = answers.Answer("line 1", "v", ranked=tuple(said))
            assert judging.judge([answer], ["v"], np.array([label]), ("a", "b"), "ranking").logits[0].argmax() != label


def test_a_list_puts_classes_in_its_order_and_the_others_below():
    logits = judge([{"video_id": IDS[0], "ranked": ["dive", "wave", "jump"]}]).logits[0]
    order = np.argsort(-logits, kind="stable").tolist()
    assert order == [2, 6, 3, 1, 4, 5, 0]  # its own, which it does not name, last of all


def test_scores_are_an_order_unless_said_otherwise():
    entries = [{"video_id": v, "scores": {"run": 0.1, "clap": 0.7, "wave": 0.7}} for v in IDS]
    logits = judge(entries).logits[1]
    assert logits[1] == logits[6] == 0 and logits[4] == -1 and logits.argmax() == 1
    assert "--scores" in judge(entries).not_scored["nll"], "they may be logits"
    assert "--scores" not in judge(good()).not_scored["nll"], "lists are an order, whatever is said"


@pytest.mark.parametrize("name", ["apply_lipstick", "ApplyLipstick", 0, "0", "APPLY LIPSTICK"])
def test_a_class_is_found_by_number_and_whatever_its_case_and_signs(name):
    found = judging.judge([answers.Answer("", "v", (name,))], ["v"], np.array([0]), CLASSES, "ranking")
    assert found.logits[0].argmax() == 0 and not found.report["unknown_classes"]


def test_a_name_that_is_a_number_goes_before_the_number():
    match = judging.Matcher(("1", "0"))
    assert (match("0"), match("1")) == (1, 0) and not match.by_number
    assert (match(0), match(1)) == (0, 1) and match.by_number == {0, 1}


@pytest.mark.parametrize(
    ("said", "near"),
    [
        ("The person in this video seems to swim, I think.", "swim"),
        ("I would say: apply_lipstick (makeup)", "Apply Lipstick"),
        ("aply lipstik", "Apply Lipstick"),
        ("the swimmers are swimming in some pool", ""),
    ],
)
def test_the_nearest_of_a_sentence_is_the_class_that_stands_in_it(said, near):
    assert judging.Matcher(CLASSES).nearest(said) == near


def test_probabilities_give_their_own_nll():
    p = np.random.default_rng(0).dirichlet(np.ones(7), NUM)
    found = judge([{"video_id": v, "scores": row} for v, row in zip(IDS, p.tolist(), strict=True)], "probabilities")
    nll = metrics.compute(found.logits, LABELS)["nll"]
    assert nll == pytest.approx(-np.log(p[np.arange(NUM), LABELS]).mean(), rel=1e-5) and not found.not_scored


@pytest.mark.parametrize(
    ("scores", "kind", "said"),
    [
        ([0.5] * 7, "probabilities", "line 1: its scores are no probabilities: the least is 0.5, their sum 3.5"),
        ([-0.5, 1.5, 0, 0, 0, 0, 0], "probabilities", "the least is -0.5"),
        ([1.0] * 6, "logits", "line 1: logits are a number for each of the 7 classes"),
        ([1e300] * 7, "logits", "line 1: a score is too large for float32"),
        ([1.0] * 7, "odds", "unknown kind of scores 'odds'"),
    ],
)
def test_scores_that_are_not_what_was_said_are_refused(scores, kind, said):
    with pytest.raises(BenchError, match=said):
        judge([{"video_id": v, "scores": scores} for v in IDS], kind)


def test_logits_of_some_videos_and_of_lists_are_refused():
    with pytest.raises(BenchError, match="13 test videos have no logits, such as 'test1.mp4'"):
        judge([{"video_id": IDS[0], "scores": [1.0] * 7}], "logits")
    with pytest.raises(BenchError, match="ranked lists are no logits"):
        judge(good(), "logits")


# --- base to novel ---------------------------------------------------------------------------------------------------

BASE = (0, 2, 3, 6)  # Apply Lipstick, dive, jump, wave; the novel ones are clap, run and swim


def told_apart(entries, kind="ranking", labels=(2, 5)):
    """Judged answers on the videos "base" (a dive, or the first of `labels`) and "novel" (a swim, or the second)."""
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    found = answers.parse(lines.encode(), ".jsonl")
    return judging.judge(found, ["base", "novel"], np.array(labels), CLASSES, kind, BASE)


def test_a_video_is_told_apart_among_the_classes_of_its_part():
    said = ["swim", "run", "jump", "dive", "clap"]
    logits = told_apart([{"video_id": v, "ranked": said} for v in ("base", "novel")]).logits
    own = np.isin(np.arange(7), BASE)
    assert np.isneginf(logits[0][~own]).all() and np.isfinite(logits[0][own]).all()
    assert np.isneginf(logits[1][own]).all() and np.isfinite(logits[1][~own]).all()
    assert (logits[0][3], logits[0][2]) == (0, -1) and (logits[1][5], logits[1][4], logits[1][1]) == (0, -1, -2)


@pytest.mark.parametrize("said", [[], ["swim"], ["swim", "run", "clap"], ["?"], ["?", "dive"]])
def test_an_answer_without_a_class_of_the_part_at_its_head_is_wrong(said):
    found = told_apart([{"video_id": v, "ranked": said} for v in ("base", "novel")])
    assert found.logits[0].argmax() != 2 and found.logits[0].argmax() in BASE
    assert "macro_f1" in found.not_scored


def test_scores_may_be_of_all_classes_or_of_the_part_alone():
    whole = {c: float(i) for i, c in enumerate(CLASSES)}
    parts = [{c: whole[c] for i, c in enumerate(CLASSES) if (i in BASE) == base} for base in (True, False)]
    first = told_apart([{"video_id": v, "scores": whole} for v in ("base", "novel")], "logits").logits
    alone = told_apart(
        [{"video_id": v, "scores": s} for v, s in zip(("base", "novel"), parts, strict=True)], "logits"
    ).logits
    assert first[0].tolist() == [0, -np.inf, 2, 3, -np.inf, -np.inf, 6] and np.array_equal(first, alone)
    for wrong in ({"dive": 1.0}, {**parts[0], "clap": 1.0}, parts[1]):
        with pytest.raises(BenchError, match="each of the 7 classes, or of the 4 of its part, and no other"):
            told_apart([{"video_id": v, "scores": wrong} for v in ("base", "novel")], "logits")


def test_probabilities_of_a_part_are_taken_as_they_are():
    shares = {"dive": 0.5, "jump": 0.25, "wave": 0.25, "Apply Lipstick": 0}
    both = [{"video_id": "base", "scores": shares}, {"video_id": "novel", "scores": {"clap": 1, "run": 0, "swim": 0}}]
    found = told_apart(both, "probabilities")
    assert metrics.compute(found.logits, np.array([2, 1]), ["base", "novel"])["nll"] == pytest.approx(np.log(2) / 2)
