"""Studies: the same whoever goes on with them and however often they were killed, within their budget, on validation videos alone."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from fakes import plug_in_adapter
from made_runs import files
from tuned import Config, brought_to_end, forked, launch, plug_in_method, spec, suggest, waited

from bench import reporting, store, trials, tuning
from bench.ask_tell import Replay
from bench.contracts import BenchError, NotApplicable
from bench.plugins import ROOT


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture(autouse=True)
def method(monkeypatch):
    plug_in_adapter(monkeypatch)
    return plug_in_method(monkeypatch)


def done(videos, home, num=10, calls=None, outcomes=None, **how):
    """A finished study, and what its files say."""
    study = tuning.new(spec(videos), home, num, **how)
    brought_to_end([study], home, launch(home, calls, **(outcomes or {})))
    return study, trials.read(home, study.study_id)


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


# --- killed, twice, changed ----------------------------------------------------------------------------------------------


def test_a_coordinator_killed_at_any_write_leaves_the_same_study(videos, tmp_path, monkeypatch):
    """Killed right before and right after each file of the study that it puts in its place, so between each ask and tell too."""
    study, _ = done(videos, tmp_path / "whole", 6)
    whole = files(tmp_path / "whole" / "studies")
    replace_file = os.replace
    died = 0
    for point in range(100):
        home = tmp_path / f"{point}"

        def work(home=home, point=point):
            count = 0

            def dying(source, target):
                nonlocal count
                if "studies" in str(target):
                    if count == point:
                        os._exit(9)
                    count += 2
                replace_file(source, target)
                if "studies" in str(target) and count == point + 1:
                    os._exit(9)

            monkeypatch.setattr(os, "replace", dying)
            done(videos, home, 6)

        code = waited(forked(work))
        died += code == 9
        again, _ = done(videos, home, 6)
        left = {name: content for name, content in files(home / "studies").items() if not name.endswith(".tmp")}
        assert again.study_id == study.study_id and left == whole, point
        assert sorted(store.run_ids(home)) == sorted(store.run_ids(tmp_path / "whole"))
        if code == 0:
            break
    assert died == 2 * (1 + 6 + 6), "the study's file, and proposal and end of each trial"


def test_two_coordinators_at_once_make_one_study(videos, tmp_path):
    study, _ = done(videos, tmp_path / "whole", 8)
    whole = files(tmp_path / "whole" / "studies")
    for attempt in range(3):
        home = tmp_path / f"{attempt}"
        home.mkdir()

        def work(delay, home=home):
            mine = tuning.new(spec(videos), home, 8)
            # Runs are done by turns, so that each finds results of the other at places where it did not expect them.
            while open_runs := mine.open_runs(home):
                launch(home)(open_runs[: 1 + delay])
                time.sleep(0.002 * delay)

        assert [waited(child) for child in [forked(lambda n=n: work(n)) for n in range(3)]] == [0, 0, 0]
        assert files(home / "studies") == whole
        assert tuning.Study.load(home, study.study_id).finished(home)


def test_the_study_is_rebuilt_from_its_files_alone(videos, tmp_path, home):
    """Results are told from the trials' files: the folders of the runs may be gone."""
    study, record = done(videos, home, 8)
    for run_id in list(store.run_ids(home)):
        store.remove(home, run_id)
    assert tuning.Study.load(home, study.study_id) == study
    assert study.open_runs(home) == []
    longer = trials.folder(home, study.study_id)
    (longer / "trials" / "7.json").unlink()
    assert [r.run_id for r in study.open_runs(home)] == list(record.trials[7].runs)


def test_one_that_waits_goes_on_as_one_that_begins_anew(videos, tmp_path, home):
    study, _ = done(videos, tmp_path / "whole", 12, prune=True)
    mine = tuning.new(spec(videos), home, 12, prune=True)
    replay = Replay(mine, home)
    while open_runs := replay.open_runs():
        assert [r.run_id for r in mine.open_runs(home)] == [r.run_id for r in open_runs]
        launch(home)(open_runs[:2])
    assert files(home / "studies") == files(tmp_path / "whole" / "studies")


def test_another_proposal_than_the_one_on_disk_is_refused(videos, home, method, monkeypatch):
    study, _ = done(videos, home, 5)
    path = trials.folder(home, study.study_id) / "trials" / "2.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"proposed": told["proposed"] | {"rate": 0.5}}))
    with pytest.raises(BenchError, match=r"trial 2 of .*'rate': 0\.5.* delete the folder and tune again"):
        study.open_runs(home)
    path.write_text(json.dumps(told))
    more = {"epochs": 20}
    monkeypatch.setattr(method, "suggest", lambda trial: {**suggest(trial), **more})
    with pytest.raises(BenchError, match="what tunable suggests has changed"):
        study.open_runs(home)


def test_another_result_than_before_is_refused_where_it_changes_what_came_after(videos, home):
    study, _ = done(videos, home, 12)
    for number in range(1, 4):
        path = trials.folder(home, study.study_id) / "trials" / f"{number}.json"
        told = json.loads(path.read_text())
        path.write_text(
            json.dumps(told | {"values": [0.999 - 0.1 * number], "state": "complete", "scores": [0.9], "reason": ""})
        )
    with pytest.raises(BenchError, match="or a result"):
        study.open_runs(home)


def test_damaged_files_and_other_versions_are_refused(videos, home, monkeypatch):
    study, record = done(videos, home, 4)
    folder = trials.folder(home, study.study_id)
    (folder / "trials" / "1.json").write_text('{"number": 1')
    with pytest.raises(BenchError, match=r"1\.json is damaged .* it is written anew"):
        study.open_runs(home)
    (folder / "trials" / "1.json").unlink()
    assert study.finished(home) and trials.read(home, study.study_id) == record
    with pytest.raises(BenchError, match="there is no study ffffffffffff"):
        tuning.Study.load(home, "f" * 12)
    with pytest.raises(BenchError, match="is no id of a study"):
        tuning.Study.load(home, "../../x")
    told = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(told | {"trials": 400}))
    with pytest.raises(BenchError, match="is not what this version wrote"):
        tuning.Study.load(home, study.study_id)
    (folder / "study.json").write_text(json.dumps(told | {"optuna": "4.9.9"}))
    with pytest.raises(BenchError, match=r"is of Optuna 4\.9\.9"):
        tuning.Study.load(home, study.study_id)


# --- failures ------------------------------------------------------------------------------------------------------------


def test_a_trial_that_fails_counts_and_the_study_goes_on(videos, home):
    def failed(config):
        return "TrainingDiverged: the loss is nan" if config["kind"] == "deep" else None

    study, record = done(videos, home, 16, outcomes={"failed": failed})
    lost = [t for t in record.trials if t.proposed["kind"] == "deep"]
    assert len(record.trials) == 16 and record.finished and lost
    assert all((t.state, t.scores, t.reason) == ("failed", (), "TrainingDiverged: the loss is nan") for t in lost)
    assert record.best.proposed["kind"] != "deep"


def test_the_sampler_is_told_what_became_of_each_trial_in_their_order(videos, home):
    def failed(config):
        return "no luck" if config["kind"] == "flat" else None

    study, record = done(videos, home, 12, outcomes={"failed": failed}, prune=True)
    replay = Replay(study, home)
    assert replay.open_runs() == []
    states = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    assert [t.state.name for t in replay.optuna.trials] == [states[t.state] for t in record.trials]
    assert {t.state for t in record.trials} == set(states)
    for told, trial in zip(replay.optuna.trials, record.trials, strict=True):
        assert told.params == trial.params and told.intermediate_values == dict(enumerate(trial.scores))
        assert told.values == (list(trial.values) if trial.state == "complete" else told.values)
    assert trials.num_ended(home, study.study_id) == 12


def test_a_report_is_out_of_date_once_a_trial_has_ended(videos, home):
    study, _ = done(videos, home, 4)
    path = trials.folder(home, study.study_id) / "trials" / "3.json"
    ended = reporting._stamp(home)
    path.unlink()
    assert reporting._stamp(home) != ended


def test_settings_that_do_not_go_together_fail_without_a_run(videos, home):
    _, record = done(videos, home, 30, sampler="random")
    odd = [t for t in record.trials if t.proposed["kind"] == "odd" and t.proposed["rate"] > 0.1]
    assert odd and all((t.state, t.runs, t.reason) == ("failed", (), "odd takes no rate above .1") for t in odd)
    assert len(list(store.run_ids(home))) == 30 - len(odd)


def test_an_objective_that_is_no_number_is_a_failure(videos, home):
    def facts(config):
        return {"num_trainable": None} if config["kind"] == "flat" else {}

    _, record = done(videos, home, 10, outcomes={"facts": facts}, objectives=("accuracy", "parameters"))
    flat = [t for t in record.trials if t.proposed["kind"] == "flat" and not t.reason.startswith("odd")]
    assert flat and all(t.state == "failed" and "numbers learnt is None" in t.reason for t in flat)


def test_what_was_lost_with_its_machine_is_no_failure_of_a_trial(videos, home):
    study = tuning.new(spec(videos), home, 6)
    lost = {"lost": lambda config: config["kind"] == "deep" or config["rate"] == 0.01}
    launch(home, **lost)(study.open_runs(home))
    assert study.open_runs(home)
    assert {t.state for t in trials.read(home, study.study_id).trials} == {"open", "complete"}
    brought_to_end([study], home, launch(home))
    assert trials.read(home, study.study_id).finished


def test_a_study_without_a_result_has_no_best_and_says_why(videos, home):
    study, record = done(videos, home, 4, outcomes={"failed": lambda config: "RuntimeError: no luck"})
    assert record.finished and record.best is None
    with pytest.raises(BenchError, match="has no result: RuntimeError: no luck"):
        study.final_runs(home, [1])


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


def test_a_pruned_study_that_was_killed_goes_on_the_same(videos, tmp_path, home):
    study, _ = done(videos, tmp_path / "whole", 12, prune=True)
    mine = tuning.new(spec(videos), home, 12, prune=True)
    while open_runs := tuning.Study.load(home, mine.study_id).open_runs(home):
        launch(home)(open_runs[:1])  # and then somebody else goes on
    assert files(home / "studies") == files(tmp_path / "whole" / "studies")


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
