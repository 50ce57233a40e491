"""Studies: the same whoever goes on with them and however often they were killed, within their budget, on validation videos alone."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from tuned import Config, brought_to_end, done, launch, plug_in_method, spec

from bench import trials, tuning
from bench.contracts import BenchError, NotApplicable
from bench.plugins import ROOT

pytestmark = pytest.mark.usefixtures("tunable")


# --- what is proposed --------------------------------------------------------------------------------------------------


def test_a_study_spends_its_budget_in_batches_beginning_with_the_method_as_it_stands(videos, home):
    calls = []
    study, record = done(videos, home, 10, calls)
    assert [len(batch) for batch in calls] == [4, 4, 2]
    assert record.finished and study.finished(home) and [t.number for t in record.trials] == list(range(10))
    assert dict(calls[0][0][0]) == vars(Config())
    assert record.trials[0].proposed == {"rate": 0.01, "kind": "flat"} == record.trials[0].params
    assert all(t.state in ("complete", "failed") for t in record.trials)


def test_it_finds_what_is_best(videos, home):
    _, record = done(videos, home, 40)
    assert record.best.proposed["kind"] == "deep" and record.best.scores[0] > 0.7
    assert record.best.scores[0] == max(t.scores[0] for t in record.trials if t.scores)


def test_spaces_are_categorical_conditional_and_logarithmic(videos, home):
    _, record = done(videos, home, 40, sampler="random")
    proposed = [t.proposed for t in record.trials]
    assert {p["kind"] for p in proposed} == {"flat", "deep", "odd"}
    assert all(("depth" in p) == (p["kind"] == "deep") for p in proposed)
    assert 10 < sum(p["rate"] < 1e-2 for p in proposed[1:]) < 30
    assert record.trials[1].distributions["rate"]["attributes"]["log"] is True


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_same_seed_and_results_give_the_same_proposals(videos, tmp_path, sampler):
    def proposals(name, **how):
        _, record = done(videos, tmp_path / name, 12, sampler=sampler, **how)
        return [t.proposed for t in record.trials]

    first = proposals("a", seed=1)
    assert proposals("b", seed=1) == first
    assert proposals("c", seed=2) != first


def test_what_is_proposed_does_not_depend_on_the_hash_seed():
    code = """
import optuna
from types import SimpleNamespace
from bench.ask_tell import _sampler
def space(trial):
    x, kind = trial.suggest_float("x", 1e-4, 1, log=True), trial.suggest_categorical("kind", ["a", "b", "c"])
    return x + (trial.suggest_float("y", 0, 1) if kind == "a" else trial.suggest_int("z", 0, 9) if kind == "b" else 0)
for name in ("tpe", "nsga2"):
    study = optuna.create_study(sampler=_sampler(SimpleNamespace(sampler=name, seed=3)))
    for _ in range(10):
        batch = [study.ask() for _ in range(4)]
        values = [space(t) for t in batch]
        for trial, value in zip(batch, values):
            study.tell(trial, value)
    print([t.params for t in study.trials])
"""
    said = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        said.append(found.stdout)
    assert said[0] == said[1]


def test_a_method_that_stands_outside_of_what_it_suggests_is_tried_first_all_the_same(videos, home, monkeypatch):
    plug_in_method(monkeypatch, "far", suggest=lambda trial: {"rate": trial.suggest_float("rate", 0.1, 1.0, log=True)})
    study = tuning.new(spec(videos, "far"), home, 6)
    calls = []
    brought_to_end([study], home, launch(home, calls))
    record = trials.read(home, study.study_id)
    assert record.trials[0].proposed == {} and calls[0][0][0] == vars(Config())
    assert all(0.1 <= t.proposed["rate"] <= 1 for t in record.trials[1:])
    assert record.best.number == 0 and [dict(r.config) for r in study.final_runs(home, [1])] == [vars(Config())]


# --- budgets and rungs ---------------------------------------------------------------------------------------------------


def test_the_budget_is_the_same_for_all(videos, home, monkeypatch):
    plug_in_method(monkeypatch, "other")
    one, two = tuning.new(spec(videos), home, 6), tuning.new(spec(videos, "other"), home, 5)
    with pytest.raises(BenchError, match="different budgets are no comparison"):
        tuning.check_budgets([one, two])
    two, calls = tuning.new(spec(videos, "other"), home, 6), []
    brought_to_end([one, two], home, launch(home, calls))
    assert [len(batch) for batch in calls] == [8, 4], "batches of all studies are done together"
    assert all(len(trials.read(home, s.study_id).trials) == 6 for s in (one, two))


def test_successive_halving_trains_one_in_three_further(videos, home):
    calls = []
    study, record = done(videos, home, 12, calls, prune=True)
    assert [[divisor for _, divisor in batch] for batch in calls] == [[9] * 9, [3] * 3, [1], [9] * 3, [3], [1]]
    for start in (0, 9):
        batch = [t for t in record.trials[start : start + 9] if t.state != "failed"]
        rungs = [sorted((t.scores[rung] for t in batch if len(t.scores) > rung), reverse=True) for rung in range(3)]
        assert [len(some) for some in rungs] == ([9, 3, 1] if start == 0 else [3, 1, 1])
        for rung in (0, 1):
            further = [t.scores[rung] for t in batch if len(t.scores) > rung + 1]
            assert sorted(further, reverse=True) == rungs[rung][: len(further)], "the best go on"
    assert {t.state for t in record.trials} == {"complete", "pruned"}
    assert all(len(t.runs) == len(t.scores) for t in record.trials)
    assert record.best.state == "complete" and len(record.best.scores) == 3
    assert [r.spec.epoch_divisor for r in study.final_runs(home, [1, 2])] == [1, 1]


def test_failures_do_not_take_the_places_of_those_that_go_on(videos, home):
    failed = {"failed": lambda config: "no luck" if config["kind"] == "flat" else None}
    _, record = done(videos, home, 9, prune=True, outcomes=failed)
    lost = [t for t in record.trials if t.state == "failed"]
    num = 9 - len(lost)
    assert lost and [sum(len(t.scores) > rung for t in record.trials) for rung in range(3)] == [num, -(-num // 3), 1]


def test_a_trial_that_was_told_pruned_stays_so(videos, home):
    study, record = done(videos, home, 9, prune=True)
    loser = next(t for t in record.trials if len(t.scores) == 1)
    trials.write_end(trials.folder(home, study.study_id), replace(loser, scores=(0.999,)))
    with pytest.raises(BenchError, match="ended pruned, and by the results of its batch it is"):
        study.open_runs(home)


def test_a_method_without_epochs_is_trained_whole(videos, home):
    assert tuning.new(spec(videos, "linear_probe"), home, 9, prune=True).divisors == (1,)
    assert tuning.new(spec(videos), home, 9, prune=True).divisors == (9, 3, 1)
    assert tuning.new(spec(videos), home, 9).divisors == (1,)


# --- several objectives, and test ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_the_front_is_what_no_other_trial_beats(videos, home, sampler):
    def facts(config):
        return {"fit_seconds": 10 * config["depth"] + config["rate"]}

    study, record = done(videos, home, 24, outcomes={"facts": facts}, sampler=sampler, objectives=("accuracy", "cost"))
    complete = [t for t in record.trials if t.state == "complete"]
    assert all(t.hardware == "a CPU" and len(t.values) == 2 for t in complete)
    assert len(record.front) > 1
    for trial in complete:
        beaten = any(
            o.values[0] >= trial.values[0] and o.values[1] <= trial.values[1] and o.values != trial.values
            for o in complete
        )
        assert (trial in record.front) != (
            beaten or trial.values in [o.values for o in complete[: complete.index(trial)]]
        )
    accuracies = [t.values[0] for t in record.front]
    assert accuracies == sorted(accuracies, reverse=True) and record.best is record.front[0]
    assert dict(study.final_runs(home, [1])[0].config)["rate"] == record.best.proposed["rate"]


def test_costs_of_different_hardware_are_no_comparison(videos, home):
    seen = []

    def facts(config):
        seen.append(config)
        return {"hardware": f"CPU {len(seen) > 2}"}

    with pytest.raises(BenchError, match="measured on CPU False and on CPU True, which are no comparison"):
        done(videos, home, 4, outcomes={"facts": facts}, objectives=("accuracy", "cost"))
    done(videos, home, 4, outcomes={"facts": facts}, objectives=("accuracy", "parameters"))


def test_the_best_is_run_once_for_each_seed_on_test_on_the_split_that_was_tuned_on(videos, home):
    study, record = done(videos, home, 8)
    final = study.final_runs(home, [1, 2, 3])
    assert [(r.spec.seed, r.spec.split, r.spec.evaluation) for r in final] == [(n, "1", "test") for n in (1, 2, 3)]
    assert {(r.spec.study, r.spec.study_trials) for r in final} == {(study.study_id, 8)}
    assert all(dict(r.config)[k] == v for r in final for k, v in record.best.proposed.items())
    assert not {r.run_id for r in final} & {run_id for t in record.trials for run_id in t.runs}


# --- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"trials": 0}, "0 trials"),
        ({"batch": 0}, "0 at a time"),
        ({"sampler": "grid"}, "unknown sampler 'grid'; it is one of tpe, nsga2, random"),
        ({"objectives": ("speed",)}, "the objectives are accuracy"),
        ({"objectives": ("cost", "accuracy")}, "the objectives are accuracy"),
        ({"objectives": ()}, "the objectives are accuracy"),
        ({"objectives": ("accuracy", "accuracy")}, "the objectives are accuracy"),
        ({"objectives": ("accuracy", "cost"), "prune": True}, "leave out --prune"),
        ({"method": "majority"}, "majority has nothing to tune"),
        ({"protocol": "zero_shot", "shots": None}, "no validation videos"),
    ],
)
def test_what_makes_no_study_is_refused(videos, home, how, words):
    of_spec = {k: how[k] for k in ("method", "protocol", "shots") if k in how}
    rest = {"trials": 4, **{k: v for k, v in how.items() if k not in of_spec}}
    with pytest.raises(BenchError, match=words):
        tuning.new(spec(videos, **of_spec), home, **rest)
    assert not (home / "studies").exists()


def test_a_method_that_cannot_run_on_the_backbone_is_not_tuned_there(videos, home, monkeypatch):
    plug_in_method(monkeypatch, "seer", NEEDS=frozenset({"train", "sight"}))
    with pytest.raises(NotApplicable, match="seer needs sight, which fake does not have"):
        tuning.new(spec(videos, "seer"), home, 4)
