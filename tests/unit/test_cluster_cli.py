"""What the commands for submissions say, from folders that stand for submissions; Slurm is replaced by a function."""

import pytest
from commands import bench

from bench import jobs, slurm, worker
from bench.cli import _submissions, cluster
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
    for name in (RUN, RUN[:4]):
        code, out, _ = bench(capsys, monkeypatch, "logs", name)
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
    job = submitted(tmp_path)
    running = {job.job_id: {"RUNNING": 1}}
    answers = [running, BenchError("squeue does not answer within 30 s"), running, {}]

    def queue():
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(slurm, "queue", queue)
    monkeypatch.setattr(cluster, "POLL_S", 0)
    cluster.wait(job)
    assert not answers and "squeue does not answer" in capsys.readouterr().err


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def queue(monkeypatch):
    """Array id -> name and states of its jobs, as Slurm has them in its queue; what is cancelled leaves it."""
    arrays = {}

    def ask(*words):
        if words[0] == "squeue":
            jobs = [(array, state, name) for array, (name, states) in arrays.items() for state in states]
            return "".join(
                " ".join(job) + "\n" for job in [*jobs, ("98", "RUNNING", ""), ("99", "RUNNING", "of somebody else")]
            )
        assert words[0] == "scancel"
        for array in words[1:]:
            del arrays[array]
        return ""

    monkeypatch.setattr(slurm, "ask", ask)
    return arrays


def waiting(home):
    lease = f"{len(jobs.all_ids(home)):012x}"
    return jobs.create(home, {"features": [], "runs": [{"lease": lease}]}, {"where": "slurm"})


def of(job, *states):
    """What Slurm has of a submission."""
    return f"kpbench-{job.job_id}-runs", states


def test_cancel_takes_the_last_that_is_in_the_queue(home, queue, monkeypatch, capsys):
    first, second = sorted((waiting(home), waiting(home)), key=lambda job: job.job_id)
    queue |= {"7": of(first, *["PENDING"] * 4), "8": of(first, "RUNNING")}
    code, out, _ = bench(capsys, monkeypatch, "cancel")
    assert code == 0 and f"cancelled {first.job_id}" in out and queue == {}
    assert first.is_cancelled and not second.is_cancelled
    for words in (("cancel",), ("cancel", second.job_id)):
        code, _, err = bench(capsys, monkeypatch, *words)
        assert code == 2 and f"{second.job_id} has no jobs in Slurm's queue" in err and not second.is_cancelled


def test_who_stops_waiting_is_told_that_the_jobs_go_on(home, queue, monkeypatch, capsys):
    job = waiting(home)
    queue["1"] = of(job, "RUNNING")

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster.time, "sleep", interrupted)
    with pytest.raises(cluster.typer.Exit) as ended:
        cluster.wait(job)
    said = capsys.readouterr().err
    assert ended.value.exit_code == 130 and f"{job.job_id} goes on in Slurm" in said and f"cancel {job.job_id}" in said


def test_the_logs_of_a_submission_are_those_of_all_its_workers(home, monkeypatch, capsys):
    job = waiting(home)
    (job.folder / "submitit").mkdir()
    for name in ("1_0", "2_0"):
        (job.folder / "submitit" / f"{name}_0_log.err").write_text(f"of {name}\n")
    code, out, _ = bench(capsys, monkeypatch, "logs", job.job_id)
    assert code == 0 and "of 1_0" in out and "of 2_0" in out


def test_a_log_gets_each_change_that_is_watched(home, queue, monkeypatch, capsys):
    job = waiting(home)
    queue["1"] = of(job, "PENDING")
    later = iter(["PENDING", "RUNNING", None])

    def sleep(seconds):
        state = next(later)
        queue.update({"1": of(job, state)}) if state else queue.clear()

    monkeypatch.setattr(_submissions.time, "sleep", sleep)
    assert _submissions.watch(home) == _submissions.FAILED, "its run is not done"
    said = capsys.readouterr().out
    assert said.count("1 pending") == 1 == said.count("1 running") and "python -m bench resume" in said


def test_tasks_that_workers_have_in_hand_are_counted(home, queue, monkeypatch, capsys):
    job, other = waiting(home), waiting(home)
    with Leases(home / "leases") as leases:
        leases.take(job.stages["runs"].leases[0])
        _, out, _ = bench(capsys, monkeypatch, "status")
    assert f"{job.job_id} 0/0 0/1 1 0" in out and f"{other.job_id} 0/0 0/1 0 0" in out


def test_what_a_process_had_in_hand_that_is_gone_is_in_no_hands(home, monkeypatch, capsys):
    job = jobs.create(home, {"runs": [{"lease": RUN}]}, {"where": "local"})
    with Leases(home / "leases") as leases:
        leases.take(RUN)
        assert f"{job.job_id} 0/0 0/1 1 0 here\n" in bench(capsys, monkeypatch, "status")[1].replace(" no runs", "\n")
        monkeypatch.setattr("bench.leases.started", lambda pid: "later")
        _, out, _ = bench(capsys, monkeypatch, "status")
    assert f"{job.job_id} 0/0 0/1 0 0 here; where it was broken off, the same command goes on" in out


def test_what_is_on_disk_is_shown_where_slurm_does_not_answer(home, monkeypatch, capsys):
    job = waiting(home)
    monkeypatch.setenv("PATH", str(home))
    code, out, err = bench(capsys, monkeypatch, "status")
    assert code == _submissions.GOING and job.job_id in out and "0/1" in out and "Slurm does not answer" in out
    assert "there is no squeue here" in err and "no runs yet" in out


AWAY, RUNNING = "away", "running"


@pytest.mark.parametrize(
    ("seen", "told"),
    [((RUNNING, AWAY, RUNNING), 1), ((AWAY, RUNNING), 1), ((AWAY, AWAY), 1), ((AWAY, RUNNING, AWAY), 2)],
)
def test_watching_outlasts_a_slurm_that_is_away_for_a_while(home, monkeypatch, capsys, seen, told):
    """From its first look on, and says so each time that it goes away."""
    job = waiting(home)
    as_told = {AWAY: BenchError("squeue does not answer within 30 s"), RUNNING: {job.job_id: {"RUNNING": 1}}}
    answers = iter([*(as_told[one] for one in seen), {}, {}])

    def queue():
        if isinstance(found := next(answers), Exception):
            raise found
        return found

    monkeypatch.setattr(slurm, "queue", queue)
    monkeypatch.setattr(_submissions, "POLL_S", 0)
    assert _submissions.watch(home) == _submissions.FAILED and next(answers, None) is None
    said = capsys.readouterr()
    assert said.err.count("squeue does not answer") == told and "python -m bench resume" in said.out
    assert "not known: Slurm does not answer" in said.out


def test_resume_starts_nothing_where_jobs_are_in_the_queue_or_nothing_is_left(home, queue, monkeypatch, capsys):
    job = waiting(home)
    monkeypatch.setattr(slurm, "submit", None)
    monkeypatch.setattr(worker, "check_source", lambda job: None)
    job.close("runs", 0, {"lost": True, "error": "given up"})
    queue["1"] = of(job, "RUNNING", "PENDING")
    code, _, err = bench(capsys, monkeypatch, "resume")
    assert code == 2 and f"{job.job_id} has 2 jobs in the queue still" in err and job.lost("runs")
    queue.clear()
    job.close("runs", 0, {"error": "the loss is nan"})
    code, out, _ = bench(capsys, monkeypatch, "resume", job.job_id)
    assert code == 0 and f"nothing is left of {job.job_id}" in out and job.is_finished


def test_what_ran_here_is_neither_cancelled_nor_resumed(home, queue, monkeypatch, capsys):
    job = jobs.create(home, {"runs": [{"lease": RUN}]}, {"where": "local"})
    for words, said in (("cancel", "was not submitted to Slurm"), ("resume", "ran here and not on Slurm")):
        code, _, err = bench(capsys, monkeypatch, words)
        assert code == 2 and f"{job.job_id} {said}" in err and not job.is_cancelled
