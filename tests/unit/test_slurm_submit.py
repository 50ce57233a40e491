"""What is submitted, in which parts, with which script, and what stays in the queue where Slurm takes only some of it; no Slurm is here."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from bench import jobs, sites, slurm
from bench.contracts import BenchError
from bench.slurm_worker import SlurmWorker

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


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Lines of the scripts that were given to sbatch, which is a fake."""
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(f'#!/bin/sh\ncat "$1" >> {tmp_path}/scripts\necho Submitted batch job 7\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return lambda: (tmp_path / "scripts").read_text().splitlines()


SITE = """
partition = "gpu"
account = "lab"
gpus = 1
memory_gb = 16
time = "02:00:00"
sbatch = ["--constraint=a100", "--exclusive"]
setup = ["module load cuda"]
[places]
scratch = "$SLURM_TMPDIR"
"""


def test_the_script_asks_for_what_the_site_file_says_and_all_jobs_of_an_array_may_run_at_once(job, tmp_path, scripts):
    (tmp_path / "site.toml").write_text(SITE)
    site, num = sites.load(tmp_path / "site.toml"), 257  # submitit lets 256 run at once, unless told
    calls = [SlurmWorker(str(job.folder), "runs", n, num, 0.0) for n in range(num)]
    one = slurm.Workers("round 1", "runs", num, 0.0, site.runs)
    assert slurm._array(calls, job, one, site, ["3", "4"], tmp_path) == "7"
    told = scripts()
    assert "#SBATCH --array=0-256%257" in told
    assert {
        f"#SBATCH --job-name=kpbench-{job.job_id}-round-1",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --mem=16G",
        "#SBATCH --time=120",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --constraint=a100",
        "#SBATCH --exclusive",
        "#SBATCH --requeue",
        "#SBATCH --dependency=afterany:3:4",
        "#SBATCH --signal=USR2@90",
        f"#SBATCH --chdir={tmp_path}",
    } <= set(told)
    assert [line for line in told if line.startswith(("export TMPDIR", "mkdir", "module"))] == [
        'export TMPDIR="$SLURM_TMPDIR"',
        'mkdir -p "$TMPDIR"',
        "module load cuda",
    ], "in this order, before Python starts"
    assert not any("qos" in line or "gres" in line for line in told), "what is not said is left to the cluster"


def test_an_array_of_one_is_a_job(job, site, tmp_path, scripts):
    one = slurm.Workers("runs", "runs", 1, 0.0, site.runs)
    slurm._array([SlurmWorker(str(job.folder), "runs", 0, 1, 0.0)], job, one, site, [], tmp_path)
    assert not any("--array" in line or "--dependency" in line for line in scripts())
