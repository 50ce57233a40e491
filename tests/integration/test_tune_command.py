"""The command tune, in this process and with workers: the same studies, whoever is killed, and test videos only at the end."""

import json
import os
import subprocess
import sys
import time

import pytest
from commands import DEADLINE_S, bench, kill
from fakes import plug_in_adapter
from made_runs import files
from tuned import plug_in_method, spec

from bench import extraction, launch, stopping, store, trials, tuner, tuning
from bench.contracts import BenchError
from bench.failures import kind
from bench.features import FeatureStore
from bench.plugins import ROOT
from bench.stored_results import Results

WORDS = "tune --dataset folder --backbones fake --methods linear_probe --trials 6 --seeds 1,2 --shots 2".split()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture
def adapter(monkeypatch):
    return plug_in_adapter(monkeypatch)


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: bench(capsys, monkeypatch, *words)


def study_files(home):
    """What is written of the studies; left-overs of writers that were killed do not count."""
    return {name: content for name, content in files(home / "studies").items() if not name.endswith(".tmp")}


def test_methods_are_tuned_on_one_budget_then_the_best_is_run_on_test(home, adapter, videos, command, monkeypatch):
    plug_in_method(monkeypatch)
    words = [w if w != "linear_probe" else "linear_probe,tunable" for w in WORDS]
    code, out, err = command(*words, "--where", "debug", "--root", videos)
    assert code == 0, err
    assert "2 studies of 6 trials each on folder" in out
    records = Results(home).studies
    assert {(r.columns["method"], len(r.trials), r.finished) for r in records} == {
        ("linear_probe", 6, True),
        ("tunable", 6, True),
    }
    runs = Results(home).runs
    assert sorted(zip(runs["method"], runs["seed"], strict=True)) == [
        (m, s) for m in ("linear_probe", "tunable") for s in (1, 2)
    ]
    assert set(runs["study"]) == {r.study_id for r in records} and set(runs["tuning_trials"]) == {6}
    for record in records:
        settings = {config for config in runs.loc[runs["study"] == record.study_id, "config"]}
        assert len(settings) == 1 and record.best.proposed.items() <= json.loads(settings.pop()).items()
        assert (
            f"study {record.study_id}: {record.columns['method']} on fake: trial {record.best.number + 1} of 6" in out
        )
    assert "| Data set" in out and "linear probe" in out and "tunable" in out
    assert (home / "report" / f"tuning-history-{videos.name}.png").is_file()

    seen, before = adapter.num_encoded, files(home / "runs")
    code, out, err = command(*words, "--where", "debug", "--root", videos)
    assert code == 0 and adapter.num_encoded == seen and files(home / "runs") == before, "nothing was left to do"


def test_a_dry_run_says_how_far_each_study_is_and_starts_nothing(home, adapter, videos, command):
    words = [*WORDS, "--root", videos, "--where", "debug"]
    code, out, err = command(*words, "--dry-run")
    assert code == 0 and "fake linear_probe 0 of 6 trials complete, then 2 runs on test" in out, err
    assert "; 8 runs: how long is not known" in out and "8 of these runs was done here yet" in out
    assert adapter.num_encoded == 0 and not [p for p in ("studies", "runs", "jobs", "report") if (home / p).exists()]
    assert command(*words)[0] == 0
    before = study_files(home)
    code, out, _ = command(*words, "--dry-run")
    assert code == 0 and "complete fake linear_probe 6 of 6 trials" in out and "videos to encode" not in out
    final = next(i for i, s in Results(home).runs[["run_id", "seed"]].itertuples(index=False) if s == 2)
    (store.run_folder(home, final) / "COMPLETE").unlink()
    code, out, _ = command(*words, "--dry-run")
    assert code == 0 and "to do fake linear_probe 6 of 6 trials" in out and "; 1 runs: " in out
    assert study_files(home) == before


@pytest.mark.parametrize("words", [["--where", "debug", "--wait"], ["--where", "local", "--snapshot"]])
def test_what_is_for_slurm_alone_is_refused_elsewhere(home, adapter, videos, command, words):
    code, _, err = command(*WORDS, "--root", videos, *words)
    assert code == 2 and f"{words[-1]} is for --where slurm" in err and not (home / "studies").exists()


def test_no_trial_opens_a_test_video(home, adapter, videos, command, monkeypatch):
    opened, real = [], FeatureStore.load

    def load(self, rows, positions):
        ended = len(list((home / "studies").glob("*/trials/*")))
        opened.append((ended, set(rows.rows["split:1"].iloc[list(positions)])))
        return real(self, rows, positions)

    monkeypatch.setattr(FeatureStore, "load", load)
    code, _, err = command(*WORDS, "--where", "debug", "--root", videos)
    assert code == 0, err
    assert {"test"} in [sides for _, sides in opened]
    assert all(num == 6 for num, sides in opened if "test" in sides), "only once all trials have ended"


def test_a_method_without_a_result_is_told_and_the_others_are_done(home, adapter, videos, command, monkeypatch):
    def no_luck(*args):
        raise RuntimeError("no luck")

    plug_in_method(monkeypatch, "bad", fit=no_luck)
    words = [w if w != "linear_probe" else "bad,linear_probe" for w in WORDS]
    code, out, err = command(*words, "--where", "debug", "--root", videos)
    assert code == 1 and "bad on fake: no trial has a result; the first: RuntimeError: no luck" in err
    assert "linear_probe on fake: trial" in out
    assert {r.columns["method"]: (r.finished, r.best is None) for r in Results(home).studies} == {
        "bad": (True, True),
        "linear_probe": (True, False),
    }


def test_what_cannot_run_on_a_backbone_is_left_out_and_said(home, adapter, videos, command, monkeypatch):
    plug_in_method(monkeypatch, "seer", NEEDS=frozenset({"train", "sight"}))
    words = [w if w != "linear_probe" else "seer,linear_probe" for w in WORDS]
    code, out, _ = command(*words, "--where", "debug", "--root", videos)
    assert code == 0 and "n/a seer needs sight, which fake does not have" in out and "1 studies of 6 trials" in out
    code, _, err = command(*[w if w != "linear_probe" else "seer" for w in WORDS], "--root", videos)
    assert code == 2 and "none of these methods can run on any of these backbones" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--where", "moon"], "unknown place 'moon'"),
        (["--trials", "0"], "0 trials"),
        (["--objective", "speed"], "the objectives are accuracy"),
        (["--sampler", "grid"], "unknown sampler 'grid'"),
        (["--methods", "linear_prob"], "did you mean linear_probe"),
        (["--methods", "zero_shot"], "zero_shot has nothing to tune"),
        (["--protocol", "zero_shot"], "no validation videos"),
        (["--seeds", "a"], "whole numbers"),
        (["--where", "debug", "--workers", "0"], "0 workers"),
    ],
)
def test_bad_words_are_one_line(home, adapter, videos, command, words, told):
    code, _, err = command(*WORDS, "--root", videos, *words)
    assert code == 2 and told in err and err.startswith("error: ")


def test_the_older_words_for_one_method_still_do(home, adapter, videos, command):
    words = "tune --dataset folder --backbone fake --method linear_probe --trials 2 --shots 1 --seeds 1 --where debug".split()
    code, _, err = command(*words, "--root", videos)
    assert code == 0, err


# --- workers -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(home, adapter, videos):

    found = tuning.new(spec(videos, "linear_probe"), home, 6)

    extraction.extract([found.resolved, *found.on_test(home, [1])], home)
    return found


def test_a_machines_fault_ends_no_trial(home, study, monkeypatch):
    real, times = tuner.runner.execute, []

    def full(resolved, home):
        times.append(resolved.run_id)
        if len(times) == 3:
            raise OSError(28, "No space left on device")
        real(resolved, home)

    monkeypatch.setattr(tuner.runner, "execute", full)
    with pytest.raises(OSError, match="No space left") as raised:
        tuner.pursue(study.study_id, [1], home)
    assert kind(raised.value) == "infrastructure"
    assert [t.state for t in trials.read(home, study.study_id).trials[:4]].count("complete") <= 2
    tuner.pursue(study.study_id, [1], home)
    record = trials.read(home, study.study_id)
    assert record.finished and all(t.state == "complete" for t in record.trials)
    assert times[2] in times[3:] and len(set(times)) == 6 + 1, "only what was not done is done again"


def test_a_worker_that_is_asked_to_stop_ends_between_trials(home, study, monkeypatch):
    real = tuner.runner.execute

    def stops(resolved, home):
        real(resolved, home)
        stopping.request("a test")

    monkeypatch.setattr(tuner.runner, "execute", stops)
    try:
        with pytest.raises(stopping.Stopped):
            tuner.pursue(study.study_id, [1], home)
    finally:
        stopping.forget()
    assert len(list(store.run_ids(home))) == 1 and not list((home / "leases").iterdir())


def test_what_another_worker_holds_is_waited_for_and_not_done_twice(home, study, monkeypatch):
    first = study.open_runs(home)[0]
    waits, real, done = [], tuner.runner.execute, []
    monkeypatch.setattr(tuner.runner, "execute", lambda r, h: (done.append(r.run_id), real(r, h)))
    with tuner.Leases(home / "leases") as others:
        lease = others.take(first.run_id)

        def wait(seconds):
            waits.append(len(done))
            real(first, home)
            lease.release()

        monkeypatch.setattr(tuner.stopping, "wait", wait)
        tuner.pursue(study.study_id, [1], home)
    assert waits == [3], "the other three of its batch were done meanwhile"
    assert first.run_id not in done and trials.read(home, study.study_id).finished
    (final,) = study.final_runs(home, [1])
    assert trials.final_runs(home, study.study_id) == {1: final.run_id}
    assert trials.is_done(home, study.study_id, [1]) and not trials.is_done(home, study.study_id, [1, 2])


def test_studies_of_different_budgets_are_not_launched(home, study, videos):

    other = tuning.new(spec(videos, "linear_probe"), home, 5)
    with pytest.raises(BenchError, match="different budgets"):
        launch.launch_studies([study, other], [1], home, "debug")


@pytest.fixture
def place(tmp_path, package):
    """Runs the command in processes of its own, with a fake backbone that they find."""

    def start(home, *words):
        (tmp_path / "log").touch()
        env = {
            **os.environ,
            "BENCH_HOME": str(home),
            "FAKE_PLACE": str(tmp_path),
            "PYTHONPATH": str(package),
            "OMP_NUM_THREADS": "1",
        }
        output = (tmp_path / "output").open("ab")
        with output:
            return subprocess.Popen(
                [sys.executable, "-m", "bench", *words],
                cwd=ROOT,
                env=env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    return start


@pytest.mark.slow
def test_two_commands_at_once_with_workers_one_of_them_killed_make_the_undisturbed_study(tmp_path, videos, place):
    words = [*WORDS, "--root", str(videos)]
    assert place(tmp_path / "whole", *words, "--where", "debug").wait(DEADLINE_S) == 0, (
        tmp_path / "output"
    ).read_text()
    home = tmp_path / "home"
    one, two = (place(home, *words, "--where", "local", "--workers", "2") for _ in range(2))
    until = time.monotonic() + DEADLINE_S
    while len(list(home.glob("studies/*/trials/*.json"))) < 2 and one.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    kill(one)
    assert two.wait(DEADLINE_S) == 0, (tmp_path / "output").read_text()
    assert study_files(home) == study_files(tmp_path / "whole")
    assert sorted(store.run_ids(home)) == sorted(store.run_ids(tmp_path / "whole"))
    for run_id in store.run_ids(home):
        mine, undisturbed = (store.run_folder(h, run_id) / "predictions.npz" for h in (home, tmp_path / "whole"))
        assert mine.read_bytes() == undisturbed.read_bytes()
