"""The commands beside a submission, with what Slurm would answer put in its place."""

import json

import pytest
from commands import bench

from bench import jobs, slurm
from bench.cli import cluster


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def queue(monkeypatch):
    """Array id -> states, as in Slurm's queue; what is cancelled leaves it."""
    states = {}

    def ask(*words):
        assert words[0] == "scancel"
        for array in words[1:]:
            states.pop(array, None)
        return ""

    monkeypatch.setattr(slurm, "queue", lambda: states)
    monkeypatch.setattr(slurm, "ask", ask)
    return states


def submitted(home, *arrays):
    job = jobs.create(
        home, {"features": [], "runs": [{"lease": f"{len(jobs.all_ids(home)):012x}"}]}, {"where": "slurm"}
    )
    (job.folder / slurm.IDS).write_text(json.dumps({"runs": list(arrays)}))
    return job


def test_cancel_takes_the_last_that_is_in_the_queue(home, queue, monkeypatch, capsys):
    first, second = sorted((submitted(home, "1"), submitted(home, "2")), key=lambda job: job.job_id)
    alive = slurm.arrays(first)["runs"][0]
    queue[alive] = {"PENDING": 4}
    code, out, _ = bench(capsys, monkeypatch, "cancel")
    assert code == 0 and f"cancelled {first.job_id}" in out and queue == {}
    assert first.is_cancelled and not second.is_cancelled
    for words in (("cancel",), ("cancel", second.job_id)):
        code, _, err = bench(capsys, monkeypatch, *words)
        assert code == 2 and f"{second.job_id} has no jobs in Slurm's queue" in err and not second.is_cancelled


def test_who_stops_waiting_is_told_that_the_jobs_go_on(home, queue, monkeypatch, capsys):
    job = submitted(home, "1")
    queue["1"] = {"RUNNING": 1}

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster.time, "sleep", interrupted)
    with pytest.raises(cluster.typer.Exit) as ended:
        cluster.wait(job)
    said = capsys.readouterr().err
    assert ended.value.exit_code == 130 and f"{job.job_id} goes on in Slurm" in said and f"cancel {job.job_id}" in said


def test_the_logs_of_a_submission_are_those_of_all_its_workers(home, monkeypatch, capsys):
    job = submitted(home, "1")
    (job.folder / "submitit").mkdir()
    for name in ("1_0", "2_0"):
        (job.folder / "submitit" / f"{name}_0_log.err").write_text(f"of {name}\n")
    code, out, _ = bench(capsys, monkeypatch, "logs", job.job_id)
    assert code == 0 and "of 1_0" in out and "of 2_0" in out


def test_a_log_gets_each_change_that_is_watched(home, queue, monkeypatch, capsys):
    submitted(home, "1")
    queue["1"] = {"PENDING": 1}
    later = iter([{"PENDING": 1}, {"RUNNING": 1}, None])

    def sleep(seconds):
        state = next(later)
        queue.update({"1": state}) if state else queue.clear()

    monkeypatch.setattr(cluster.time, "sleep", sleep)
    assert cluster.watch(home) == cluster.FAILED, "its run is not done"
    said = capsys.readouterr().out
    assert said.count("1 pending") == 1 == said.count("1 running") and "python -m bench resume" in said
