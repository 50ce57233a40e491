"""What `tune` says of a study at its end, and whether that is a success; the study is made up."""

from types import SimpleNamespace

import pytest

from bench import store, trials
from bench.cli import tune
from bench.trials import Record, Trial

RUN = "0123456789ab"


def trial(number, state, **more):
    return Trial(number=number, proposed={}, params={}, distributions={}, state=state, **more)


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Makes a study of 2 trials with these states, whose one final run is in this state; whether it is a success, and what is said."""

    def make(*states, final=None):
        done = {"scores": (0.5,), "values": (0.5,), "runs": (RUN,)}
        found = [trial(n, s, **(done if s == "complete" else {"reason": s})) for n, s in enumerate(states)]
        record = Record(study_id="s", told={"trials": 2, "objectives": ["accuracy"]}, trials=tuple(found))
        monkeypatch.setattr(trials, "read", lambda home, study_id: record)
        monkeypatch.setattr(store, "is_complete", lambda home, run_id: final == "complete")
        failed = {"status": "failed", "reason": "the loss is nan"} if final == "failed" else None
        monkeypatch.setattr(store, "failure", lambda home, run_id: failed)
        resolved = SimpleNamespace(spec=SimpleNamespace(method="coop"), backbone="clip")
        runs = [SimpleNamespace(run_id=RUN)]
        study = SimpleNamespace(study_id="s", resolved=resolved, trials=2, final_runs=lambda home, seeds: runs)
        success = tune._told(study, tmp_path, [1])
        return success, " ".join("".join(capsys.readouterr()).split())

    return make


def test_all_is_done(told):
    success, said = told("complete", "failed", final="complete")
    assert success and "trial 1 of 2: as it stands; validation top-1 50.0 %; 1 failed" in said


@pytest.mark.parametrize("states", [(), ("open",), ("open", "open")])
def test_a_study_whose_workers_were_lost_before_the_first_trial(told, states):
    success, said = told(*states)
    assert not success and "no trial has a result: 2 of 2 were not done; start the same command again" in said


@pytest.mark.parametrize("states", [("complete",), ("complete", "open")])
def test_a_study_that_was_cancelled_half_way_is_no_success_and_its_best_is_not_told_as_the_result(told, states):
    success, said = told(*states)
    assert not success and "1 of 2 trials were not done; start the same command again" in said


def test_a_final_run_that_was_lost_is_no_success(told):
    success, said = told("complete", "complete")
    assert not success and f"lost {RUN}" in said and "start the same command again" in said


def test_a_final_run_that_failed(told):
    success, said = told("complete", "complete", final="failed")
    assert not success and f"failed {RUN} the loss is nan" in said


def test_nothing_that_was_tried_worked(told):
    success, said = told("failed", "failed")
    assert not success and "no trial has a result; the first: failed" in said
