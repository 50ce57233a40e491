"""The table and the plots of tuning: what they count, choose and leave out, and that the pictures can be read."""

import io

import numpy as np
import pandas as pd
import pytest
from drawn import faults, figures
from fake_results import FEW, FakeResults
from golden_runs import proposals, tuned

from bench.contracts import UNTRAINED
from bench.stored_results import Results
from bench.trials import Record, Trial
from results import tuning, tuning_history, tuning_importance

PLOTS = (tuning_history, tuning_importance)
LONG = "a method with a name that goes on and on, and on "


def row(results, **where):
    (found,) = (
        line for line in tuning.table(results).frame.to_dict("records") if all(line[k] == v for k, v in where.items())
    )
    return found


def some(scores, **how):
    """A study of one setting whose trials reach these scores; a text is why one failed, None one that is open."""
    results = FakeResults()
    trials = [
        ({"c": float(n)}, None, ())
        if s is None
        else ({"c": float(n)}, (), s)
        if isinstance(s, str)
        else ({"c": float(n)}, s, ())
        for n, s in enumerate(scores)
    ]
    return results, results.add_study(trials, **how)


# --- the record -------------------------------------------------------------------------------------------------------


def of_values(*values, objectives=("accuracy", "cost")):
    trials = tuple(
        Trial(number=n, proposed={}, params={}, distributions={}, state="complete" if v else "failed", values=v or ())
        for n, v in enumerate(values)
    )
    return Record(study_id="a" * 12, told={"objectives": list(objectives), "trials": len(values)}, trials=trials)


@pytest.mark.parametrize(
    ("values", "front"),
    [
        ([(0.5, 1.0), (0.7, 2.0), (0.6, 3.0)], [1, 0]),
        ([(0.5, 1.0), (0.5, 1.0)], [0]),
        ([(0.5, 2.0), (0.5, 1.0)], [1]),
        ([None, (0.5, 2.0), (0.9, 9.0), (0.4, 2.0), (0.3, 1.0)], [2, 1, 4]),
        ([None, None], []),
    ],
)
def test_the_front_is_what_none_beats_the_most_accurate_first(values, front):
    assert [t.number for t in of_values(*values).front] == front


def test_the_best_of_equals_is_the_first():
    assert of_values((0.5,), (0.8,), (0.8,), objectives=("accuracy",)).best.number == 1


# --- the table ----------------------------------------------------------------------------------------------------------


def test_a_row_has_budget_best_configuration_and_validation_and_test_scores():
    results = tuned()
    coop = row(results, backbone="siglip", method="coop")
    assert (
        coop["tuning_trials"] == coop["num_complete"] == 12
        and coop["proposed"] == '{"learning_rate": 0.025119, "num_context_tokens": 8}'
    )
    assert coop["validation_top1_untuned"] == pytest.approx(0.45) and coop["validation_top1"] == pytest.approx(0.75)
    assert coop["top1"] == pytest.approx(np.mean([0.6, 0.6, 0.7])) and coop["num_runs"] == 3
    pruned = row(results, backbone="clip", method="knowledge_prompt", dataset="gait_100%")
    assert (pruned["num_complete"], pruned["num_pruned"], pruned["num_failed"]) == (2, 9, 1)
    assert np.isnan(pruned["validation_top1_untuned"]), "it was pruned"


def test_a_front_has_a_line_for_each_of_its_trials_and_test_scores_for_the_best_alone():
    results = FakeResults()
    costs = [(0.5, 1.0), (0.9, 5.0), (0.7, 2.0), (0.6, 9.0)]
    study = results.add_study([({"c": v}, (v,), (cost,)) for v, cost in costs], objectives=("accuracy", "cost"))
    results.add((0.8, 0.8, 0.8), **{**FEW, "method": "coop", "label": "CoOp, tuned in 4 trials", "study": study})
    found = tuning.table(results)
    assert found.frame["trial"].tolist() == [2, 3, 1] and found.frame["is_best"].tolist() == [True, False, False]
    assert found.frame["objective_cost"].tolist() == [5.0, 2.0, 1.0] and found.frame["top1"].notna().tolist() == [
        True,
        False,
        False,
    ]
    assert found.header[-1] == "Seconds to fit" and len(found.blocks[0]) == 3


def test_studies_of_one_place_are_told_apart_and_each_has_its_own_test_runs():
    results = FakeResults()
    one = results.add_study([({"c": 1.0}, (0.5,), ())])
    two = results.add_study([({"c": 2.0}, (0.6,), ())] * 2)
    results.add((0.8, 0.8, 0.8), **{**FEW, "method": "coop", "label": "CoOp, tuned in 2 trials", "study": two})
    found = tuning.table(results)
    assert found.frame["shown_as"].tolist() == [f"CoOp (study {s[:6]})" for s in (one, two)]
    assert found.frame["top1"].isna().tolist() == [True, False]
    assert any("Budgets or objectives differ on toy, few-shot, K = 4" in note for note in found.notes)


def test_random_weights_are_told_with_the_backbone():
    results = FakeResults()
    results.add_study([({"c": 1.0}, (0.5,), ())], backbone="tsm", pretraining=UNTRAINED)
    (line,) = [row for block in tuning.table(results).blocks for row in block]
    assert line[1].text == "tsm, random weights (8 × 1)"


def test_equal_budgets_are_not_complained_of():
    results = FakeResults()
    for method in ("coop", "linear_probe"):
        results.add_study([({"c": 1.0}, (0.5,), ())] * 3, method=method, label=method)
    assert not any("differ" in note for note in tuning.table(results).notes)


def test_failures_and_what_goes_on_are_told():
    text = tuning.text(some([(0.5,), "no luck", None], budget=5)[0])
    assert "2 of 5" in text and "1 failed, the first: no luck" in text and "still going on" in text
    assert "not run on test videos yet" in text
    text = tuning.text(some(["no luck"] * 3)[0])
    assert "3 failed, the first: no luck" in text


# --- the plots ----------------------------------------------------------------------------------------------------------


def csv(plugin, results):
    (found,) = (a.content for a in plugin.render(results) if a.name.endswith(".csv"))
    return pd.read_csv(io.StringIO(found))


def test_the_history_is_of_complete_trials_and_leaves_out_open_ones():
    scores = [(0.5,), (0.9,), "no luck", (0.2, 0.3), (0.7, 0.7), None]
    frame = csv(tuning_history, some(scores, divisors=(3, 1))[0])
    assert frame["state"].tolist() == ["pruned", "pruned", "failed", "complete", "complete"]
    assert frame["best_so_far"].tolist()[3:] == [0.3, 0.7] and frame["best_so_far"].isna().tolist()[:3] == [True] * 3
    assert frame["validation_top1"].tolist()[:2] == [0.5, 0.9] and frame["trial"].tolist() == [1, 2, 3, 4, 5]


def study_of(score, num=16, **how):
    results = FakeResults()
    results.add_study([(p, (score(p),), ()) for p in proposals(num)], **how)
    return results.studies[0]


def test_what_decides_is_important_and_shares_add_up():
    rate = tuning_importance.importances(study_of(lambda p: 1 / (1 + abs(np.log10(p["learning_rate"]) + 2))))
    assert next(iter(rate)) == "learning_rate" and rate["learning_rate"] > 0.7
    assert sum(rate.values()) == pytest.approx(1) and all(0 <= share <= 1 for share in rate.values())
    kind = tuning_importance.importances(
        study_of(lambda p: (0.2 if p["context_init"] == "random" else 0.9) + p["num_context_tokens"] / 1e3)
    )
    assert next(iter(kind)) == "context_init"


def test_where_nothing_differs_or_trials_are_few_no_importance_is_made_up():
    assert tuning_importance.importances(study_of(lambda p: 1.0)) == {}
    assert tuning_importance.importances(study_of(lambda p: p["learning_rate"], num=7)) == {}
    assert tuning_importance.importances(some([(n / 20,) for n in range(12)])[0].studies[0]) == {}, "one setting"


def test_a_pruned_study_is_judged_by_what_all_its_trials_had():
    results = FakeResults()
    trials = [
        (p, (p["learning_rate"],) if n % 3 else (p["learning_rate"], 0.5), ()) for n, p in enumerate(proposals(16))
    ]
    results.add_study(trials, divisors=(3, 1))
    assert next(iter(tuning_importance.importances(results.studies[0]))) == "learning_rate"


@pytest.mark.parametrize("plugin", PLOTS)
def test_pictures_can_be_read_and_are_the_same_bytes_each_time(plugin):
    results = tuned()
    for n in range(3):
        facts = {
            "dataset": "long",
            "label": LONG * 2 + str(n),
            "method": f"m{n}",
            "backbone": f"{LONG}{n}",
            "toy_scale": True,
        }
        trials = [({f"{LONG}{k}": v for k, v in p.items()}, (0.1 + p["learning_rate"],), ()) for p in proposals(12)]
        results.add_study(trials, **facts)
    found = {a.name: a.content for a in plugin.render(results)}
    assert sum(name.endswith(".png") for name in found) == sum(name.endswith(".csv") for name in found) >= 2
    assert found == {a.name: a.content for a in plugin.render(tuned_again(results))}
    for name, figure in figures(plugin, results).items():
        assert not faults(figure), name


def tuned_again(results):
    again = FakeResults()
    again.rows, again._tested, again._told, again.studies = (
        results.rows,
        results._tested,
        results._told,
        results.studies,
    )
    return again


@pytest.mark.parametrize("plugin", PLOTS)
def test_without_studies_it_says_so(plugin):
    ((name, text),) = ((a.name, a.content) for a in plugin.render(FakeResults()))
    assert name.endswith(".md") and "Nothing to draw" in text


def test_a_home_without_studies_has_none(tmp_path):
    assert Results(tmp_path).studies == ()
