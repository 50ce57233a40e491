"""What is submitted, in which parts, and what stays in the queue where Slurm takes only some of it; sbatch is replaced by a function."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from bench import jobs, sites, slurm
from bench.contracts import BenchError

REFUSED = subprocess.CalledProcessError(1, "sbatch", stderr=b"sbatch: error: QOSMaxSubmitJobPerUserLimit")


@pytest.fixture
def job(tmp_path):
    stages = {"features": [{"lease": f"f{n}"} for n in range(5)], "runs": [{"lease": f"{n:012x}"} for n in range(3)]}
    return jobs.create(tmp_path, stages, {"where": "slurm"})


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site.toml").write_text("max_jobs = 5\n")
    return sites.load(tmp_path / "site.toml")


@pytest.fixture
def taken(monkeypatch):
    """Arrays that were submitted, as (name, jobs, after), of at most 2 jobs each; `of` is how many of them Slurm takes."""
    found = SimpleNamespace(arrays=[], gone=[], of=100)

    def array(calls, job, one, site, after, root):
        if len(found.arrays) == found.of:
            raise REFUSED
        found.arrays.append((one.name, len(calls), list(after)))
        return str(len(found.arrays))

    monkeypatch.setattr(slurm, "_array", array)
    monkeypatch.setattr(slurm, "_max_array", lambda: 2)
    monkeypatch.setattr(slurm, "_scancel", found.gone.extend)
    monkeypatch.setattr(slurm, "_queued", lambda: iter(()))
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    return found


def test_arrays_are_cut_to_what_the_cluster_takes_and_wait_for_all_parts_of_the_ones_before(job, site, taken):
    ids = slurm.submit(job, site)
    assert ids == {"features": ["1", "2", "3"], "runs": ["4", "5"], "round 1": ["6", "7"], "round 2": ["8", "9"]}
    assert taken.arrays[:5] == [
        *[("features", n, []) for n in (2, 2, 1)],
        *[("runs", n, ["1", "2", "3"]) for n in (2, 1)],
    ]
    assert not taken.gone


@pytest.mark.parametrize("of", range(9))
def test_where_slurm_takes_only_some_nothing_stays_in_the_queue(job, site, taken, of):
    taken.of = of
    with pytest.raises(
        BenchError, match=r"Slurm does not take the job \(QOSMaxSubmitJobPerUserLimit\), which asks for 2 CPUs, 240 min"
    ):
        slurm.submit(job, site)
    assert sorted(taken.gone) == [str(n + 1) for n in range(of)]


def test_what_slurm_took_while_its_answer_was_not_heard_is_taken_out_of_the_queue_too(job, site, taken, monkeypatch):
    def interrupted(calls, job, one, site, after, root):
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm, "_array", interrupted)
    found = [(job.job_id, "7", "PENDING"), (job.job_id, "7", "RUNNING"), ("20250101-000000-abcdef", "8", "PENDING")]
    monkeypatch.setattr(slurm, "_queued", lambda: iter(found))
    with pytest.raises(KeyboardInterrupt):
        slurm.submit(job, site)
    assert taken.gone == ["7"]

    def away():
        raise BenchError("squeue does not answer within 30 s")

    monkeypatch.setattr(slurm, "_queued", away)
    with pytest.raises(KeyboardInterrupt):
        slurm.submit(job, site)
    assert taken.gone == ["7"]


def test_no_name_of_the_user_s_takes_the_place_of_the_one_that_jobs_are_found_by(job, site, taken, monkeypatch):
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    seen = []
    monkeypatch.setattr(slurm, "_array", lambda *_: seen.append(os.environ.get("SBATCH_JOB_NAME")) or "1")
    slurm.submit(job, site)
    assert set(seen) == {None} and os.environ["SBATCH_JOB_NAME"] == "mine"
