"""A study is its files: whoever is killed, changes them or fails, it goes on or says why not."""

import json
import os
import time

import pytest
from made_runs import files
from tuned import brought_to_end, done, forked, launch, spec, suggest, waited

from bench import reporting, store, trials, tuning
from bench.ask_tell import Replay
from bench.contracts import BenchError

pytestmark = pytest.mark.usefixtures("tunable")


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


def test_another_proposal_than_the_one_on_disk_is_refused(videos, home, tunable, monkeypatch):
    study, _ = done(videos, home, 5)
    path = trials.folder(home, study.study_id) / "trials" / "2.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"proposed": told["proposed"] | {"rate": 0.5}}))
    with pytest.raises(BenchError, match=r"trial 2 of .*'rate': 0\.5.* delete the folder and tune again"):
        study.open_runs(home)
    path.write_text(json.dumps(told))
    more = {"epochs": 20}
    monkeypatch.setattr(tunable, "suggest", lambda trial: {**suggest(trial), **more})
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


def test_a_pruned_study_that_was_killed_goes_on_the_same(videos, tmp_path, home):
    study, _ = done(videos, tmp_path / "whole", 12, prune=True)
    mine = tuning.new(spec(videos), home, 12, prune=True)
    while open_runs := tuning.Study.load(home, mine.study_id).open_runs(home):
        launch(home)(open_runs[:1])  # and then somebody else goes on
    assert files(home / "studies") == files(tmp_path / "whole" / "studies")
