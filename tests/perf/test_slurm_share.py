"""How much of a cluster's time runs get, and what Slurm is asked, on a real Slurm of 4 nodes with 8 slots; printed, never asserted on.

The cluster is started here (tests/slurm/local_cluster.sh); where it cannot be, this fails and says what is missing. `make perf`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fakes import write_classes
from on_slurm import CLASSES, LOCAL_CLUSTER, PER_SIDE, Home, site_package

from bench.plugins import ROOT

pytestmark = pytest.mark.perf
NODES, SLOTS, RUNS, ALONE = 4, 8, 1000, 100
SHORTEST_S, LONGEST_S = 0.1, 10.0
COUNTED = ("sbatch", "sacct", "squeue", "scontrol")

# Each run as a job of its own, the way submitit is used by hand: one submit a run, then wait for the results.
ONE_EACH = """
import json, sys
from pathlib import Path
import submitit
from bench.specs import resolved_from_dict
from bench.runner import execute

home, tasks, folder = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
executor.update_parameters(timeout_min=30, cpus_per_task=1, mem_gb=1, name="alone")
jobs = [executor.submit(execute, resolved_from_dict(task), home) for task in tasks]
[job.result() for job in jobs]
"""


@pytest.fixture
def cluster(monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="kpbench-slurm-"))  # pytest's own are closed to the database's user
    monkeypatch.setenv("SLURM_LOCAL_DIR", str(folder))
    monkeypatch.setenv("SLURM_CONF", str(folder / "etc" / "slurm.conf"))
    subprocess.run([str(LOCAL_CLUSTER), "install"], check=True)
    try:
        subprocess.run([str(LOCAL_CLUSTER), "up", str(NODES)], check=True)
        yield
    finally:
        subprocess.run([str(LOCAL_CLUSTER), "down"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def counting(tmp_path):
    """A $PATH on which Slurm's commands write down each call, and what counts the calls since it last did."""
    log, folder, seen = tmp_path / "calls", tmp_path / "counting", 0
    folder.mkdir()
    log.touch()
    for name in COUNTED:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho {name} >>"{log}"\nexec "{shutil.which(name) or name}" "$@"\n')
        script.chmod(0o755)

    def count():
        nonlocal seen
        lines = log.read_text().split()
        found, seen = Counter(lines[seen:]), len(lines)
        return ", ".join(f"{name} {found[name]}" for name in COUNTED)

    return f"{folder}{os.pathsep}{os.environ['PATH']}", count


def told(what, work_s, wall_s, calls):
    load = " ".join(f"{x:.2f}" for x in os.getloadavg())
    share = work_s / (SLOTS * wall_s)
    print(
        f"{what}: {work_s:.0f} s of work in {wall_s:.0f} s on {SLOTS} slots: {share:.3f}; {calls}; load {load}",
        flush=True,
    )


def test_a_thousand_runs(cluster, counting, tmp_path):
    lengths = np.exp(np.random.default_rng(1).uniform(np.log(SHORTEST_S), np.log(LONGEST_S), RUNS)).round(3)
    package, bytecode = site_package(tmp_path / "site"), tmp_path / "bytecode"
    videos = write_classes(tmp_path / "videos", CLASSES, PER_SIDE)
    path, calls = counting
    home = Home(tmp_path, package, videos, bytecode, runs="1x0", PATH=path)
    home.site(max_jobs=SLOTS)
    home.submit()  # features, and Python's bytecode: the runs alone are timed, on both sides
    home.finish()
    calls()
    home.env["SLOW_RUNS"] = ",".join(f"1x{s}" for s in lengths)
    start = time.perf_counter()
    home.submit()
    submitted, at = time.perf_counter(), time.time()
    home.finish(seconds=1800)
    ended = time.perf_counter()
    assert len(home.predictions) == RUNS + 1
    print(f"\nplanned and submitted in {submitted - start:.0f} s")
    asked = calls()
    done = max(marker.stat().st_mtime for marker in home.home.glob("runs/*/*/COMPLETE")) - at
    told(f"{RUNS} runs, packed, from the submission to the last run", lengths.sum(), done, asked)
    told("the same, until the queue is empty", lengths.sum(), ended - submitted, asked)

    alone = tmp_path / "alone"
    alone.mkdir()
    kept = shutil.ignore_patterns("runs", "jobs", "leases", "checkpoints", "index")
    shutil.copytree(home.home, alone / "home", ignore=kept)
    tasks = [task["run"] for task in home.job.stages["runs"]][:: RUNS // ALONE]
    (alone / "tasks.json").write_text(json.dumps(tasks))
    seconds = sum(dict(task["config"])["pause_s"] for task in tasks)
    start = time.perf_counter()
    words = [sys.executable, "-c", ONE_EACH, alone / "home", alone / "tasks.json", alone / "jobs"]
    subprocess.run(list(map(str, words)), cwd=ROOT, env=home.env, check=True)
    told(f"{ALONE} of them, a submitit job each", seconds, time.perf_counter() - start, calls())
    assert len(list((alone / "home").glob("runs/*/*/COMPLETE"))) == ALONE
