"""Which statements refinement lets fall, and why."""

import pytest
import torch
import torch.nn.functional as F
from refining import Bag, bank, fallen, judged, only, row, vector

from bench.contracts import PROMPTS, TEXT, BenchError
from bench.knowledge.refine import Settings, refine

# --- near-duplicates ---------------------------------------------------------------------------------------------


def test_the_same_words_are_one_statement_whatever_their_case_and_punctuation():
    found = judged(bank(wave=["x1 x2, x3.", "x4", "X1 X2 x3!"], bow=["X1 x2 x3"]), Hashed())
    assert fallen(found) == [("wave", 3, "near-duplicate")]
    assert 'has the same words as "x1 x2, x3."' in only(found).reason
    assert found.bank.classes["wave"][2].reason.startswith("near-duplicate: has the same words as")


class Hashed(Bag):
    """Every text has a direction of its own, whatever its words."""

    def encode_text(self, texts):
        return torch.stack([vector(text) for text in texts])


def test_statements_over_the_threshold_are_one_and_the_numbers_are_told():
    made = bank(wave=["x1 x2 x3 x4", "x1 x2 x3 x5"], bow=["y1"])
    assert fallen(judged(made, near_duplicate=0.76)) == []
    found = judged(made, near_duplicate=0.74)
    assert fallen(found) == [("wave", 2, "near-duplicate")]
    assert 'nearly repeats, with a cosine of 0.750 (over 0.74), "x1 x2 x3 x4" (TPP' in only(found).reason


def test_the_better_ranked_of_two_stays():
    """The second says a word of the global text, so that its TPP is higher."""
    found = judged(bank(wave=["x1 x2 x3", "x1 x2 x3 video"], bow=["y1"]), near_duplicate=0.8)
    assert fallen(found) == [("wave", 1, "near-duplicate")]
    low, high = (s.scores["tpp"] for s in found.bank.classes["wave"])
    assert (
        f"(TPP {low:.3f} beside {found.faults[0].reason.split('beside ')[1][:5]})" in found.faults[0].reason and low < 1
    )


def test_a_statement_that_falls_anyhow_takes_no_other_with_it():
    made = bank(wave=["x1 x2 x3 wave", "x1 x2 x3"], bow=["y1"])
    found = judged(made, near_duplicate=0.8)
    assert fallen(found) == [("wave", 1, "near-duplicate")], "the first reason is told, though it says its class too"
    assert fallen(judged(made)) == [("wave", 1, "name leak")]


def test_a_proposed_one_falls_beside_one_that_a_person_let_through():
    found = judged(bank(wave=["x1 x2 x3 video", row("x1 x2 x3", "accepted")], bow=["y1"]), near_duplicate=0.8)
    assert fallen(found) == [("wave", 1, "near-duplicate")]


# --- names and length --------------------------------------------------------------------------------------------


def test_a_statement_that_says_a_name_falls():
    found = judged(bank(wave=["x1 waves", "x2", "x3 bowing"], bow=["x4"]))
    assert fallen(found) == [("wave", 1, "name leak"), ("wave", 3, "name leak")]
    assert [f.reason for f in found.faults] == [
        'says the name of its own class: "wave"',
        "says the name of the class 'bow': \"bow\"",
    ]


@pytest.mark.parametrize(
    ("num_words", "context", "class_name", "falls"),
    [(13, 16, True, False), (14, 16, True, True), (15, 16, False, False), (16, 16, False, True), (30, 0, True, True)],
)
def test_a_statement_must_fit_with_prompt_and_name(num_words, context, class_name, falls):
    """The fake takes 32 tokens, one of them for the end; the name "big_wave" is two words."""
    made = bank(big_wave=[" ".join(f"x{i}" for i in range(num_words))], bow=["y1"])
    found = judged(made, num_context_tokens=context, with_class_name=class_name)
    assert fallen(found) == ([("big_wave", 1, "too long")] if falls else [])
    if falls:
        name = " and the class's name" if class_name else ""
        assert f"with {context} context tokens{name} it does not fit the 32 tokens of fake" in only(found).reason


def test_a_backbone_that_takes_no_prompt_says_that_length_was_not_checked():
    found = judged(bank(wave=["x1 " * 40], bow=["y1"]), Bag(capabilities=frozenset({TEXT})))
    assert fallen(found) == [] and "whether statements are too long was not checked" in found.notes[0]
    assert judged(bank(wave=["x1"], bow=["y1"])).notes == ()


# --- where statements stand --------------------------------------------------------------------------------------


def test_a_statement_closer_to_another_class_falls_and_the_reason_names_it():
    made = bank(wave=["x1 x2", "x1 x3", "y1 y2"], bow=["y1 y2 y3", "y1 y3"], sit=["z1 z2", "z1 z3"])
    found = judged(made, min_margin=0)
    assert fallen(found) == [("wave", 3, "confusable")]
    assert only(found).reason.startswith(
        "closer to the class 'bow' than to its own: cosine 0.691 with that class's mean, 0.000 "
    )
    assert "at least +0.000 is asked for" in only(found).reason
    assert found.bank.classes["wave"][2].status == "rejected" and found.bank.classes["wave"][2].scores[
        "margin"
    ] == pytest.approx(-0.691, abs=1e-3)


def test_scores_are_what_the_page_says():
    rows = {"wave": ["x1 x2 video", "x1 x3", "x1 y1 y2"], "bow": ["y1 y2 y3", "y1 y3"], "sit": ["z1"]}
    templates = ("a video of {}", "{} x1")
    found = judged(bank(**rows), templates=templates)
    unit = {c: F.normalize(Bag().encode_text(texts), dim=-1) for c, texts in rows.items()}
    for c, statements in found.bank.classes.items():
        text = F.normalize(Bag().encode_text([t.format(c) for t in templates]), dim=-1).mean(dim=0)
        for i, s in enumerate(statements):
            e = unit[c][i]
            others = torch.cat([unit[c][:i], unit[c][i + 1 :]])
            sim = float(F.cosine_similarity(e, text, dim=0))
            diversity = 1 - float((others @ e).mean()) if len(others) else 0
            assert s.scores["discriminability"] == pytest.approx(sim, abs=1e-6)
            assert s.scores["diversity"] == pytest.approx(diversity, abs=1e-6)
            assert s.scores["tpp"] == pytest.approx(sim + diversity, abs=1e-6)
            if not len(others):
                assert "margin" not in s.scores
                continue
            foreign = max(float(F.cosine_similarity(e, unit[d].mean(dim=0), dim=0)) for d in rows if d != c)
            own = float(F.cosine_similarity(e, others.mean(dim=0), dim=0))
            assert s.scores["margin"] == pytest.approx(own - foreign, abs=1e-6)


def test_the_worst_falls_first_and_the_rest_is_asked_again_without_it():
    """ "x1 y1" is nearer to bow only as long as the foreign "z1 z2" thins its own class's mean."""
    made = bank(wave=["x1 x2", "x1 y1", "z1 z2"], bow=["y1 y2 y3", "y2 y1 y3"], sit=["z1 z2 z3", "z1 z2 z4"])
    alone = judged(made)
    assert alone.bank.classes["wave"][1].scores["margin"] < 0, "else this test shows nothing"
    found = judged(made, min_margin=0)
    assert fallen(found) == [("wave", 3, "confusable")]
    assert found.bank.classes["wave"][1].scores["margin"] > 0, "of what is left"


def test_a_lone_statement_or_class_has_no_margin_and_stays():
    assert fallen(judged(bank(wave=["y1"], bow=["y1 y2", "y1"]), min_margin=0)) == [("bow", 2, "confusable")]
    found = judged(bank(wave=["x1", "x2"]), min_margin=2)
    assert fallen(found) == [] and "margin" not in found.bank.classes["wave"][0].scores
    assert found.classes[0].nearest == ""
    found = judged(bank(wave=["x1", "x2"], empty=[]), min_margin=2)
    assert "margin" not in found.bank.classes["wave"][0].scores, "a class without statements is nowhere"


def test_each_statement_keeps_the_class_that_it_is_closest_to_besides_its_own():
    found = judged(bank(wave=["x1", "x1 x2", "y1"], bow=["y1 y2", "y1 y3"], sit=["z1", "z1 z2"]), min_margin=0)
    assert [s.nearest for s in found.bank.classes["wave"]][2] == "bow" and found.bank.classes["wave"][
        2
    ].status == "rejected"
    assert found.bank.classes["bow"][0].nearest == "wave" or found.bank.classes["bow"][0].nearest == "sit"
    assert judged(bank(wave=["x1", "x2"])).bank.classes["wave"][0].nearest == ""


@pytest.mark.parametrize(("min_margin", "told"), [(2, True), (0, False)])
def test_a_threshold_by_which_most_fall_is_questioned(min_margin, told):
    found = judged(bank(wave=["x1", "x1 x2", "y1"], bow=["y1 y2", "y1 y3"]), min_margin=min_margin)
    assert any("question the backbone or the threshold" in note for note in found.notes) == told


def test_the_nearest_class_of_each_is_told():
    states = judged(bank(wave=["x1"], bow=["x1 y1"], sit=["y1 z1 z2"], empty=[])).classes
    assert [c.nearest for c in states] == ["bow", "wave", "bow", ""]
    assert states[0].cosine == pytest.approx(2**-0.5)


# --- the best ----------------------------------------------------------------------------------------------------


def test_the_best_of_each_kind_stay():
    made = bank(
        wave=[
            row("x1 x2 x3"),
            row("x4 video"),
            row("x5 x6 video a"),
            row("x7", kind="object"),
            row("x8 of a", kind="object"),
        ],
        bow=["y1"],
    )
    found = judged(made, keep=1)
    assert fallen(found) == [("wave", 1, "surplus"), ("wave", 2, "surplus"), ("wave", 4, "surplus")]
    first, second, _ = found.faults
    assert first.reason.startswith(
        "not among the best 1 motion statement of its class: TPP "
    ) and first.reason.endswith("last of 3")
    assert second.reason.endswith("last of 2")
    assert [c.left for c in judged(made, keep=2).classes] == [4, 1]
    kept = bank(wave=[row(s.text, "accepted", s.kind) for s in made.classes["wave"]], bow=["y1"])
    assert judged(kept, keep=1).faults == ()


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"near_duplicate": 1.01},
        {"near_duplicate": float("nan")},
        {"min_margin": -3},
        {"num_context_tokens": -1},
        {"min_statements": 0},
        {"keep": 0},
    ],
)
def test_a_setting_out_of_its_range_is_an_error(wrong):
    (name,) = wrong
    with pytest.raises(BenchError, match=f"{name} is .*; it is from"):
        Settings(**wrong)


def test_a_backbone_without_text_or_a_bank_without_classes_is_an_error():
    with pytest.raises(BenchError, match="fake has no text side"):
        refine(bank(wave=["x1"]), Bag(capabilities=frozenset()))
    with pytest.raises(BenchError, match="no text side"):
        refine(bank(wave=["x1"]), Bag(capabilities=frozenset({PROMPTS})))
    with pytest.raises(BenchError, match="the bank has no classes"):
        refine(bank(), Bag())
    assert refine(bank(wave=[]), Bag()).classes[0].left == 0
