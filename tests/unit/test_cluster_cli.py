"""What the commands for submissions say, from folders that stand for submissions; Slurm is replaced by a function."""

import pytest
from commands import bench

from bench import jobs, slurm
from bench.cli import cluster
from bench.contracts import BenchError
from bench.leases import Leases

RUN = "0123456789ab"


def submitted(home, log=None):
    job = jobs.create(home, {"runs": [{"lease": RUN}]}, {"where": "slurm"})
    (job.folder / "submitit").mkdir()
    if log:
        (job.folder / "submitit" / log).write_text(f"done by {log}\n")
    return job


@pytest.fixture
def two(tmp_path, monkeypatch):
    """The same sweep twice: the names of submissions tell their order."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    times = iter(["20250101-000000", "20250101-000000", "20250102-000000", "20250102-000000"])
    monkeypatch.setattr(jobs.time, "strftime", lambda form: next(times))
    return submitted(tmp_path, "1_0_log.err"), submitted(tmp_path, "2_0_log.err")


def test_logs_of_a_run_that_the_earlier_of_two_submissions_did(two, monkeypatch, capsys):
    two[0].close("runs", 0, {"run_id": RUN, "log": "1_0_log.err"})
    code, out, _ = bench(capsys, monkeypatch, "logs", RUN)
    assert code == 0 and "done by 1_0_log.err" in out


def test_logs_of_a_run_that_a_worker_of_the_earlier_one_has_in_hand(two, tmp_path, monkeypatch, capsys):
    with Leases(tmp_path / "leases", job="1_0_log.err") as leases:
        leases.take(RUN)
        code, out, _ = bench(capsys, monkeypatch, "logs", RUN)
    assert code == 0 and "done by 1_0_log.err" in out


def test_logs_of_a_run_that_nobody_has_begun(two, monkeypatch, capsys):
    code, _, err = bench(capsys, monkeypatch, "logs", RUN)
    assert code == 2 and f"no worker has begun {RUN} of {two[1].job_id} yet" in err


def test_waiting_outlasts_a_slurm_that_is_away_for_a_moment(tmp_path, monkeypatch, capsys):
    answers = [{"7": {"RUNNING": 1}}, BenchError("squeue does not answer within 30 s"), {"7": {"RUNNING": 1}}, {}]

    def queue():
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    job = submitted(tmp_path)
    (job.folder / slurm.IDS).write_text('{"runs": ["7"]}')
    monkeypatch.setattr(slurm, "queue", queue)
    monkeypatch.setattr(cluster, "POLL_S", 0)
    cluster.wait(job)
    assert not answers and "squeue does not answer" in capsys.readouterr().err
