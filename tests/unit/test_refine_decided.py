"""Who decides on a statement, and what is said of classes with too few."""

import pytest
from refining import bank, fallen, judged, row

# --- who decides -------------------------------------------------------------------------------------------------


FAULTY = {
    "near-duplicate": ["x1 x2", "x2 x1"],
    "name leak": ["x1", "x2 waves"],
    "too long": ["x1", "x2 " * 20],
    "confusable": ["x1", "y1"],
}


@pytest.mark.parametrize("status", ["accepted", "edited"])
@pytest.mark.parametrize("rule", FAULTY)
def test_what_a_person_let_through_is_told_and_stays(rule, status):
    rows = [row("x1"), row("x1 x3"), *(row(t.strip(), status, reason="accepted in review by J") for t in FAULTY[rule])]
    made = bank(wave=rows if rule == "confusable" else rows[2:], bow=["y1 y2", "y1 y3", "y1 y2 y4"])
    settings = {"near_duplicate": 0.9, "min_margin": 0 if rule == "confusable" else -2}
    found = judged(made, **settings)
    told = [f for f in found.faults if f.rule == rule]
    assert [(f.number, f.fell) for f in told] == [(len(made.classes["wave"]), False)]
    last = found.bank.classes["wave"][-1]
    assert (last.status, last.reason) == (status, "accepted in review by J") and last.scores
    again = judged(made, recheck=True, **settings).bank.classes["wave"][-1]
    assert again.status == "rejected" and again.reason.startswith(f"{rule}: ")
    assert again.reason.endswith(f"; before: {status}, accepted in review by J")


def test_what_stays_is_proposed_still_unless_refinement_may_accept():
    made = bank(
        about="Mine.", wave=["x1", "x2 waves", row("x3", "accepted", reason="good")], bow=[row("y1", "edited", was="y")]
    )
    found = judged(made)
    assert [s.status for s in found.bank.classes["wave"]] == ["proposed", "rejected", "accepted"]
    assert found.bank.about == "Mine. [refine: scores by fake]" and found.accepted == 0
    found = judged(made, accept=True)
    kept, fell, mine = found.bank.classes["wave"]
    assert (kept.status, kept.reason) == ("accepted", "accepted by refinement, without a person (fake)")
    assert fell.status == "rejected" and (mine.status, mine.reason) == ("accepted", "good") and found.accepted == 1
    assert found.bank.classes["bow"][0].status == "edited" and found.bank.classes["bow"][0].was == "y"
    assert found.bank.about == "Mine. [refine: scores by fake; 1 statement accepted by refinement, without a person]"
    again = judged(found.bank, accept=True)
    assert again.bank == found.bank and again.accepted == 0


def test_what_refinement_accepted_is_no_persons_decision():
    found = judged(bank(wave=["x1 x2 x3 x4", "x1 x2 x3 x5"], bow=["y1"]), accept=True)
    assert fallen(judged(found.bank, near_duplicate=0.7)) == [("wave", 2, "near-duplicate")]


def test_rejected_ones_are_left_alone_and_count_for_nothing():
    gone = row("z1 z2", "rejected", scores={"tpp": 9.0}, reason="a person said so")
    plain, found = (judged(bank(wave=["x1 x2", "x1", *more], bow=["y1", "y2"])) for more in ((), (gone,)))
    assert found.bank.classes["wave"][2] == gone and found.faults == ()
    assert [s.scores for s in found.bank.classes["wave"][:2]] == [s.scores for s in plain.bank.classes["wave"]]
    assert found.classes[0].before == 2


def test_scores_of_others_stay():
    (s,) = judged(bank(wave=[row("x1", scores={"votes": 3.0, "margin": 1.0})], bow=["y1"])).bank.classes["wave"]
    assert s.scores["votes"] == 3.0 and set(s.scores) == {"votes", "discriminability", "diversity", "tpp"}


# --- enough ------------------------------------------------------------------------------------------------------


def test_a_class_with_too_few_left_is_told_and_nothing_of_it_is_gone():
    made = bank(wave=["x1", "x2 waves", "x3"], bow=["y1", "y2", "y3"])
    found = judged(made, min_statements=3)
    assert [(c.name, c.before, c.left) for c in found.short] == [("wave", 3, 2)]
    assert [s.text for s in found.bank.classes["wave"]] == ["x1", "x2 waves", "x3"]
    assert judged(made, min_statements=2).short == ()


def test_only_the_classes_of_the_data_set_compete():
    made = bank(wave=["y1", "x1", "sit x2"], sit=["y1 y2", "y1"], bow=["x3", "x4"])
    found = judged(made, class_names=("wave", "bow", "hug"), min_statements=1)
    assert found.faults == () and found.bank.classes["sit"] == made.classes["sit"]
    assert [(c.name, c.left) for c in found.short] == [("hug", 0)] and "hug" not in found.bank.classes
    assert found.notes == ("1 of the bank's classes are none of the data set's and stay as they are",)
