"""What is submitted, in which parts, and what stays in the queue where Slurm takes only some of it; sbatch is replaced by a function."""

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
