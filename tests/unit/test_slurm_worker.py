"""How a worker on Slurm ends, and whether it puts its job back into the queue; the work itself is replaced by a function."""

import pytest

from bench import jobs, slurm_worker, stopping, worker
from bench.slurm_worker import SlurmWorker


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return jobs.create(tmp_path, {"runs": [{"lease": "0" * 12}]}, {})


@pytest.fixture
def requeued(monkeypatch):
    found = []
    monkeypatch.setattr(slurm_worker, "requeue", lambda: found.append(1))
    return found


def ends(monkeypatch, error):
    def work(*_):
        raise error

    monkeypatch.setattr(worker, "work", work)


@pytest.mark.parametrize(("reason", "again"), [("SIGUSR2", 1), ("SIGTERM", 0)])
def test_before_its_time_limit_it_goes_back_into_the_queue(job, requeued, monkeypatch, reason, again):
    ends(monkeypatch, stopping.Stopped(reason))
    assert SlurmWorker(str(job.folder), "runs", 0, 1, 0.0)() == f"stopped by {reason}" and len(requeued) == again
    job.cancel()
    assert SlurmWorker(str(job.folder), "runs", 0, 1, 0.0)() == "nothing to do" and len(requeued) == again


@pytest.mark.parametrize(
    ("error", "again"),
    [(RuntimeError("CUDA error: device-side assert"), 1), (OSError(28, "No space left on device"), 0)],
)
def test_after_its_gpu_failed_another_process_goes_on(job, requeued, monkeypatch, error, again):
    ends(monkeypatch, error)
    with pytest.raises(type(error)):
        SlurmWorker(str(job.folder), "runs", 0, 1, 0.0)()
    assert len(requeued) == again
