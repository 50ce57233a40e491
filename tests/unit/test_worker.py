"""Who does which task, how often, and what is told of it; what a task does is replaced by a function."""

import json
import os
import signal

import pytest

from bench import jobs, stopping, store, worker
from bench.contracts import BenchError
from bench.failures import InfrastructureError, MissingFeaturesError
from bench.leases import Leases
from bench.provenance import source_digest

IDS = [f"{n:012x}" for n in range(1, 6)]


@pytest.fixture(autouse=True)
def nobody_stops():
    stopping.forget()
    yield
    stopping.forget()


@pytest.fixture
def job(tmp_path):
    features = [{"lease": f"features-{n}", "run": {"backbone": "clip"}} for n in range(2)]
    runs = [{"lease": i, "run": {"backbone": "clip"}} for i in IDS]
    return jobs.create(tmp_path, {"features": features, "runs": runs}, {"source": source_digest()})


@pytest.fixture
def done(monkeypatch, job):
    """What was done, in order: a feature task by its lease; a run, which is complete then."""
    found = []

    def do(stage, task, home, count):
        found.append(task["lease"])
        if stage == "runs":
            finish(home, task["lease"])
            return {}
        return {"encoded": 3, "failed": 0}

    monkeypatch.setattr(worker, "_do", do)
    return found


def finish(home, run_id):
    folder = store.run_folder(home, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "COMPLETE").touch()


def test_a_worker_does_all_features_then_all_runs_once(job, done):
    ticks = []
    worker.work(str(job.folder), "runs", tick=lambda: ticks.append(1))
    assert done == ["features-0", "features-1", *IDS] and len(ticks) == 7
    assert not list((job.home / "leases").iterdir()) and job.total_attempts("runs") == 0
    worker.work(str(job.folder), "runs")
    assert len(done) == 7, "nothing is done again"


def test_the_log_of_a_worker_tells_its_tasks_and_a_launcher_s_bars_are_left_alone(job, done, monkeypatch, capsys):
    fail(monkeypatch, BenchError("the loss is nan"))
    worker.work(str(job.folder), "features")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(worker, "_log_name", lambda: "1_0_log.err")
    worker.work(str(job.folder), "runs")
    told = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told[:4] == [
        f"{IDS[0]} begun",
        f"{IDS[0]} done",
        f"{IDS[1]} begun",
        f"{IDS[1]} failed: BenchError: the loss is nan",
    ]


def test_a_log_that_takes_no_more_ends_no_worker(job, done, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        flush = write

    monkeypatch.setattr(worker, "_log_name", lambda: "1_0_log.err")
    monkeypatch.setattr("sys.stdout", Full())
    worker.work(str(job.folder), "runs")
    assert done == ["features-0", "features-1", *IDS] and job.total_attempts("runs") == 0


def test_the_stage_of_features_leaves_the_runs_alone(job, done):
    worker.work(str(job.folder), "features")
    assert done == ["features-0", "features-1"] and job.open_tasks("runs") == [0, 1, 2, 3, 4]
    assert [r["encoded"] for r in job.results("features")] == [3, 3]


def test_videos_are_counted_while_they_are_encoded(tmp_path, monkeypatch):
    features = [{"lease": f"features-{n}", "positions": list(range(64))} for n in range(2)]
    job = jobs.create(tmp_path, {"features": features}, {"source": source_digest()})
    seen = []

    def do(stage, task, home, count):
        for _ in range(4):
            count(16)
        return {"encoded": 64, "failed": 0}

    monkeypatch.setattr(worker, "_do", do)
    monkeypatch.setattr(worker, "NOTE_S", 0)
    assert job.num_videos() == (0, 128)
    job.attempt("features", 1)  # of a worker that died before it noted anything
    worker.work(str(job.folder), "features", tick=lambda: seen.append(job.num_videos()))
    assert seen == [(n, 128) for n in (16, 32, 48, 64, 64, 80, 96, 112, 128, 128)]


def test_checkpoints_of_complete_runs_go_and_those_of_the_others_stay(job, done):
    for run_id in (IDS[0], IDS[1], "f" * 12):
        (job.home / "checkpoints" / run_id).mkdir(parents=True)
    finish(job.home, IDS[0])
    worker.work(str(job.folder), "features")
    assert sorted(p.name for p in (job.home / "checkpoints").iterdir()) == [IDS[1], "f" * 12], (
        "a training goes on there"
    )


def test_each_worker_begins_with_its_own_share_and_looks_at_every_task():
    assert worker.share(5, 0, 2) == [0, 2, 4, 1, 3] and worker.share(5, 1, 2) == [1, 3, 0, 2, 4]
    assert worker.share(2, 3, 4) == [0, 1]
    assert worker.share(0, 0, 1) == []
    for count in (1, 2, 3, 7):
        for index in range(count):
            assert sorted(worker.share(5, index, count)) == [0, 1, 2, 3, 4]


def test_what_another_holds_is_left_and_waited_for_no_longer_than_told(job, done, monkeypatch):
    monkeypatch.setattr(worker, "POLL_S", 0.01)
    with Leases(job.home / "leases") as other:
        held = other.take(IDS[2])
        worker.work(str(job.folder), "runs", linger_s=0)
        assert set(IDS) - set(done) == {IDS[2]} and job.open_tasks("runs") == [2]
        held.release()
    worker.work(str(job.folder), "runs", linger_s=0)
    assert done[-1] == IDS[2] and not job.open_tasks("runs")


def test_a_worker_that_waits_takes_over_what_another_leaves(job, done, monkeypatch):
    with Leases(job.home / "leases") as other:
        held = other.take(IDS[2])
        monkeypatch.setattr(stopping, "wait", lambda seconds: held.release())
        worker.work(str(job.folder), "runs")
    assert done[-1] == IDS[2]


def test_runs_wait_for_features_that_another_has_in_hand_however_little_they_wait_for_runs(job, done, monkeypatch):
    with Leases(job.home / "leases") as other:
        held, waited = other.take("features-1"), []

        def wait(seconds):
            waited.append(list(done))
            if len(waited) == 3:
                held.release()

        monkeypatch.setattr(stopping, "wait", wait)
        worker.work(str(job.folder), "runs", linger_s=0)
    assert waited == [["features-0"]] * 3 and done == ["features-0", "features-1", *IDS]


def test_features_that_another_home_has_in_hand_are_waited_for_where_both_share_them(
    job, done, monkeypatch, tmp_path, capsys
):
    group = tmp_path / "group"
    group.mkdir()
    monkeypatch.setenv("BENCH_HOME", str(job.home))
    (job.home / "site.toml").write_text(f'[places]\nfeatures = "{group}"\n')
    with Leases(group / "leases") as colleague:
        held, waited = colleague.take("features-1"), []
        assert colleague.take(IDS[0]), "runs are a home's own: nobody is kept from them"

        def wait(seconds):
            waited.append(list(done))
            if len(waited) == 2:
                held.release()

        monkeypatch.setattr(stopping, "wait", wait)
        monkeypatch.setattr(worker, "_log_name", lambda: "1_0_log.err")
        worker.work(str(job.folder), "runs", linger_s=0)
    assert waited == [["features-0"]] * 2 and done == ["features-0", "features-1", *IDS]
    assert capsys.readouterr().out.count("waiting for 1 tasks of features that others have in hand") == 1
    assert not list((group / "leases").iterdir()) and not list((job.home / "leases").iterdir())


def test_a_run_that_somebody_finished_before_the_lease_was_ours_is_not_done_again(job, done, monkeypatch):
    take = Leases.take

    def late(self, key):
        if key == IDS[0]:
            finish(job.home, key)
        return take(self, key)

    monkeypatch.setattr(Leases, "take", late)
    worker.work(str(job.folder), "runs")
    assert done == ["features-0", "features-1", *IDS[1:]]


def fail(monkeypatch, error, at=IDS[1]):
    do, tries = worker._do, []

    def failing(stage, task, home, count):
        if task["lease"] == at:
            tries.append(1)
            raise error
        return do(stage, task, home, count)

    monkeypatch.setattr(worker, "_do", failing)
    return tries


def test_a_failure_of_the_method_is_told_once_and_the_others_go_on(job, done, monkeypatch):
    tries = fail(monkeypatch, BenchError("the loss is nan"))
    worker.work(str(job.folder), "runs")
    assert len(tries) == 1 and len(done) == 6
    told = job.result("runs", 1)
    assert told["error"] == "BenchError: the loss is nan" and "failing" in told["traceback"] and "lost" not in told


def test_the_machine_s_failure_is_tried_again_and_given_up_after_so_many_times(job, done, monkeypatch):
    waited = []
    monkeypatch.setattr(stopping, "wait", waited.append)
    tries = fail(monkeypatch, OSError(28, "No space left on device"))
    worker.work(str(job.folder), "runs")
    told = job.result("runs", 1)
    assert len(tries) == jobs.ATTEMPTS and told["lost"] and "No space left on device" in told["error"]
    assert len(done) == 6, "the other runs are done"
    assert waited == [2, 2, 4, 8], "what is away for a moment may come back; a success in between begins anew"


def test_a_disk_that_stays_full_does_not_keep_the_workers_for_ever(job, done, monkeypatch):
    def full(stage, task, home, count):
        raise OSError(28, "No space left on device")

    waited = []
    monkeypatch.setattr(stopping, "wait", waited.append)
    monkeypatch.setattr(worker, "_do", full)
    worker.work(str(job.folder), "runs")
    assert waited == [2, 4, 8, 16, 32] * 2, "once for the features, once for the runs"
    assert all(r["lost"] for stage in jobs.STAGES for r in job.results(stage))


def test_runs_whose_features_failed_are_lost_at_once_and_say_why(job, done, monkeypatch):
    monkeypatch.setattr(stopping, "wait", lambda seconds: pytest.fail("nothing comes of waiting"))
    job.close("features", 0, {"error": "BenchError: frames that are infinite", "traceback": ""})
    tries = fail(monkeypatch, MissingFeaturesError("64 of 128 videos have no features"))
    worker.work(str(job.folder), "runs")
    told = job.result("runs", 1)
    assert len(tries) == 1 and told["lost"] and "features could not be computed" in told["error"]
    assert "frames that are infinite" in told["error"]


def test_features_of_another_backbone_that_failed_are_no_reason(job, done, monkeypatch):
    monkeypatch.setattr(stopping, "wait", lambda seconds: None)
    other = {"lease": "features-0", "run": {"backbone": "siglip"}}
    job = jobs.create(job.home, {"features": [other], "runs": list(job.stages["runs"])}, job.submission)
    job.close("features", 0, {"error": "BenchError: frames that are infinite", "traceback": ""})
    tries = fail(monkeypatch, MissingFeaturesError("64 of 128 videos have no features"))
    worker.work(str(job.folder), "runs")
    assert len(tries) == jobs.ATTEMPTS and "frames that are infinite" not in job.result("runs", 1)["error"]


def test_a_gpu_that_failed_ends_the_worker_for_the_next_would_fail_too(job, done, monkeypatch):
    fail(monkeypatch, RuntimeError("CUDA error: unspecified launch failure"))
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        worker.work(str(job.folder), "runs")
    assert done == ["features-0", "features-1", IDS[0]] and job.open_tasks("runs") == [1, 2, 3, 4]
    assert job.num_attempts("runs", 1) == 1 and not list((job.home / "leases").iterdir())
    for _ in range(jobs.ATTEMPTS - 2):
        job.attempt("runs", 1)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        worker.work(str(job.folder), "runs")
    assert job.result("runs", 1)["lost"] and job.open_tasks("runs") == [2, 3, 4], "after the last try as well"


def test_a_node_without_its_gpu_takes_no_task(job, done, monkeypatch):
    def choose():
        raise InfrastructureError("$BENCH_DEVICE is cuda, but torch finds no GPU")

    monkeypatch.setattr(worker.devices, "choose", choose)
    with pytest.raises(InfrastructureError, match="finds no GPU"):
        worker.work(str(job.folder), "runs")
    assert not done and not job.results("runs") and job.total_attempts("runs") == 0


def test_a_task_whose_workers_died_so_many_times_is_given_up(job, done):
    for _ in range(jobs.ATTEMPTS):
        job.attempt("runs", 3)
    worker.work(str(job.folder), "runs")
    assert IDS[3] not in done and len(done) == 6
    assert job.result("runs", 3)["lost"] and "given up after 5 tries" in job.result("runs", 3)["error"]


def test_being_stopped_counts_for_no_try_and_frees_what_was_held(job, done, monkeypatch):
    fail(monkeypatch, stopping.Stopped("SIGTERM"))
    with pytest.raises(stopping.Stopped):
        worker.work(str(job.folder), "runs")
    assert job.num_attempts("runs", 1) == 0 and job.is_open("runs", 1) and job.result("runs", 1) is None
    assert not list((job.home / "leases").iterdir())


def test_a_signal_ends_it_after_the_task_in_hand(job, done, monkeypatch):
    do = worker._do

    def signalled(stage, task, home, count):
        result = do(stage, task, home, count)
        if task["lease"] == IDS[1]:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(worker, "_do", signalled)
    before = signal.getsignal(signal.SIGTERM)
    worker.stoppable(str(job.folder), "runs", 0, 1)
    assert done == ["features-0", "features-1", *IDS[:2]] and stopping.requested() == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before and job.open_tasks("runs") == [2, 3, 4]


def test_what_starts_is_what_was_submitted(job, done):
    path = job.folder / "submission.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "another"}))
    with pytest.raises(BenchError, match=r"the source tree changed since .* was submitted \(digest another then, "):
        worker.work(str(job.folder), "runs")
    assert not done
