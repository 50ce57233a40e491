"""What is put in the place of knowledge: how much of it, whose, and that nothing else changes."""

from collections import Counter

import pytest
from scipy.stats import chisquare

from bench.contracts import BenchError
from bench.knowledge import bank_names, controls, load, statements
from bench.knowledge.bank import Statement, used
from bench.specs import BANK_CONTROLS, RunSpec

NAMES = ("clap", "jump", "wave", "sit", "walk", "bow")
ROWS = [
    tuple(
        Statement(f"{c} says {n} things.", ("motion", "appearance", "body part")[n % 3], "me", "accepted")
        for n in range(5)
    )
    for c in NAMES
]
DRAWN = ("shuffled", "other_class", "random_words", "wrong:4", "count:2")


def texts(control, seed=1, rows=ROWS):
    return [tuple(s.text for s in of) for of in controls.apply(list(rows), control, seed, NAMES)]


PLAIN = texts("none")


def test_without_a_control_nothing_changes():
    assert PLAIN == [tuple(s.text for s in of) for of in ROWS]


@pytest.mark.parametrize("control", DRAWN)
def test_a_seed_decides_and_decides_alike(control):
    assert texts(control, 3) == texts(control, 3)
    assert len({str(texts(control, seed)) for seed in range(1, 9)}) >= 6
    assert RunSpec(dataset="toy", backbone="b", method="m", bank_control=control).draws_statements


@pytest.mark.parametrize("seed", range(1, 8))
def test_shuffled_deals_whole_classes_and_loses_none(seed):
    made = texts("shuffled", seed)
    assert sorted(made) == sorted(PLAIN) and all(a != b for a, b in zip(made, PLAIN, strict=True))


def test_every_deal_without_an_own_class_is_as_likely():
    four = ROWS[:4]
    deals = Counter(
        tuple(four.index(of) for of in controls.apply(list(four), "shuffled", seed, NAMES[:4])) for seed in range(1800)
    )
    assert len(deals) == 9  # derangements of four
    assert chisquare(list(deals.values())).pvalue > 1e-3


def test_one_class_alone_cannot_be_dealt_to_others():
    for control in ("shuffled", "other_class", "wrong:4"):
        with pytest.raises(BenchError, match="two classes|a second class"):
            controls.apply(ROWS[:1], control, 1, NAMES[:1])


@pytest.mark.parametrize("seed", range(1, 8))
def test_another_classs_statements_are_never_its_own(seed):
    made = texts("other_class", seed)
    assert sorted(made) == sorted(PLAIN) and all(a != b for a, b in zip(made, PLAIN, strict=True))


@pytest.mark.parametrize("seed", range(1, 4))
def test_random_words_keep_the_number_of_words_and_take_them_from_the_bank(seed):
    known = {word.strip(".").lower() for of in PLAIN for text in of for word in text.split()}
    for of, before in zip(texts("random_words", seed), PLAIN, strict=True):
        assert [len(t.split()) for t in of] == [len(t.split()) for t in before] and of != before
        assert {word.strip(".") for t in of for word in t.split()} <= known


def test_random_words_are_bare():
    rows = [(Statement("Up, DOWN; left: right.", "motion", "me", "accepted"),)] * len(NAMES)
    for (text,), *_ in (texts("random_words", seed, rows) for seed in range(1, 5)):
        assert text.endswith(".") and set(text[:-1].split()) <= {"up", "down", "left", "right"}


def test_which_statements_are_wrong_is_drawn():
    places = {
        tuple(n for n in range(5) if made[n] != before[n])
        for seed in range(1, 9)
        for made, before in zip(texts("wrong:4", seed), PLAIN, strict=True)
    }
    assert len(places) >= 6


def test_a_share_that_makes_nothing_wrong_is_an_error():
    few = [of[:4] for of in ROWS]
    with pytest.raises(BenchError, match="wrong:1 makes none of 4 statements wrong"):
        texts("wrong:1", rows=few)
    assert all(
        sum(a != b.text for a, b in zip(made, of, strict=True)) == 1
        for made, of in zip(texts("wrong:2", rows=few), few, strict=True)
    )


@pytest.mark.parametrize(
    ("control", "wrong"),
    [("wrong:1", 1), ("wrong:2", 1), ("wrong:3", 2), ("wrong:4", 2), ("wrong:5", 3), ("wrong:10", 5)],
)
def test_so_many_of_ten_statements_are_another_classs(control, wrong):
    for name, of, before in zip(NAMES, texts(control, 2), PLAIN, strict=True):
        assert len(of) == 5 and sum(a != b for a, b in zip(of, before, strict=True)) == wrong
        assert sum(not text.startswith(name) for text in of) == wrong and len(set(of)) == 5


def test_a_wrong_sentence_is_none_that_the_class_has_itself():
    shared = Statement("Everyone does this.", "motion", "me", "accepted")
    rows = [(shared, *of[:4]) for of in ROWS]
    for seed in range(1, 30):
        for name, of in zip(NAMES, texts("wrong:10", seed, rows), strict=True):
            assert shared.text not in of and not any(text.startswith(name) for text in of)
    with pytest.raises(BenchError, match="finds no sentence that a class does not have itself"):
        texts("wrong:4", 1, [rows[0]] * len(NAMES))


def test_a_count_takes_so_many_in_the_banks_order():
    for of, before in zip(texts("count:3", 5), PLAIN, strict=True):
        assert len(of) == 3 and [before.index(t) for t in of] == sorted(before.index(t) for t in of)
    with pytest.raises(BenchError, match=r"count:6 asks for more statements than a class has \(5\)"):
        texts("count:6")


def test_a_kind_is_one_kind_and_the_same_for_every_seed():
    assert texts("kind:appearance", 1) == texts("kind:appearance", 2) == [(of[1], of[4]) for of in PLAIN]
    assert texts("kind:body_part") == [(of[2],) for of in PLAIN]
    assert not RunSpec(dataset="toy", backbone="b", method="m", bank_control="kind:motion").draws_statements
    with pytest.raises(BenchError, match="no statements of the kind 'feeling'"):
        texts("kind:feeling")
    with pytest.raises(BenchError, match="kind:object leaves the class 'clap' without a statement"):
        texts("kind:object")


@pytest.mark.parametrize(
    "odd", ["reversed", "wrong", "wrong:", "wrong:0", "wrong:11", "wrong:x", "count:-1", "shuffled:3", "none:"]
)
def test_a_control_that_does_not_exist_is_an_error(odd):
    with pytest.raises(BenchError, match="unknown bank_control|needs a value|takes no value|no whole number"):
        RunSpec(dataset="toy", backbone="b", method="m", bank_control=odd)
        texts(odd)


def test_every_control_of_a_spec_is_made_here_and_has_words():
    assert set(controls.CONTROLS) == set(BANK_CONTROLS) - {"none"}
    spec = RunSpec(dataset="toy", backbone="b", method="m", bank_control="wrong:4")
    assert spec.control_words == "4 of 10 wrong"
    assert (
        RunSpec(dataset="toy", backbone="b", method="m", bank_control="kind:body_part").control_words
        == "body part only"
    )


@pytest.mark.parametrize("bank", bank_names())
@pytest.mark.parametrize("control", [*DRAWN, "kind:motion", "kind:appearance", "count:6"])
def test_every_bank_that_ships_can_be_put_under_every_control(bank, control):
    names = list(load(bank).classes)
    assert len(statements(bank, names, control, 1)) == len(names)
    assert all(used(rows) for rows in load(bank).classes.values())
