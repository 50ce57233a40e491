"""How long tables take over many runs, and in how much memory; printed beside what was promised, never asserted on. `make perf`."""

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import synthetic

from bench import index, store
from bench.plugins import ROOT

pytestmark = pytest.mark.perf

# 5 data sets x 10 backbones x (1 zero-shot run + 20 methods x 10 seeds), some failed, some n/a, some not there.
TEN = {
    "datasets": 5,
    "backbones": 10,
    "methods": 21,
    "seeds": 10,
    "failed": 0.01,
    "not_applicable": 0.01,
    "missing": 0.01,
}
# 10 data sets x 20 backbones x (1 + 10 methods x 5 numbers of shots x 10 seeds).
HUNDRED = {**TEN, "datasets": 10, "backbones": 20, "methods": 11, "shots": (1, 2, 4, 8, 16)}
SIZES = {"num_videos": 500, "num_groups": 25, "num_classes": 10, "scores": synthetic.quick_scores}


def fresh(home, code):
    """Seconds, CPU seconds and peak memory in MiB of some lines in a process of its own, imports and workers counted."""
    program = (
        "import json, resource, sys, time; from pathlib import Path; home = Path(sys.argv[1]); start = time.perf_counter()\n"
        f"{code}\n"
        "used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
        "cpu, peak = sum(u.ru_utime + u.ru_stime for u in used), max(u.ru_maxrss for u in used) / 1024\n"
        "print(json.dumps([time.perf_counter() - start, cpu, peak]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(home)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def told(what, found, limit=""):
    print(f"{what:<52} {found[0]:7.1f} s (CPU {found[1]:6.1f} s) {found[2]:6.0f} MiB {limit}", flush=True)


def part(job):
    """A worker's share of filling a home: one data set."""
    home, choices, which = job
    for run in synthetic.made(**{**choices, **SIZES}, only=which):
        synthetic.put(Path(home), run)


def filled(home, choices):
    start = time.perf_counter()
    jobs = [(str(home), choices, d) for d in range(choices["datasets"])]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(part, jobs))
    num = sum(1 for _ in store.run_ids(home))
    size = subprocess.run(["du", "-sm", str(home)], capture_output=True, text=True, check=True).stdout.split()[0]
    print(
        f"\n{num} runs of {SIZES['num_videos']} test videos, made in {time.perf_counter() - start:.0f} s, {size} MB on disk"
    )


REFRESH = "from bench import index; index.refresh(home)"
REBUILD = "from bench import index; index.rebuild(home)"
TABLES = "from bench import reporting; reporting.write(home, 'tables')"
BOARD = """
from bench import reporting
from bench.stored_results import Results
first = Results(home).runs["manifest"].iloc[0]
assert reporting.text(home, "backbones", first).strip()
"""
BOARDS = """
from bench import plugins
from bench.stored_results import Results
artifacts = list(plugins.find("results", "leaderboard").render(Results(home)))
assert artifacts
"""


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    shutil.rmtree(tmp_path / "home", ignore_errors=True)  # gigabytes, which pytest would keep


def test_all_tables_over_ten_thousand_runs(home):
    filled(home, TEN)
    told("index from nothing", fresh(home, REFRESH))
    told("index when nothing changed", fresh(home, REFRESH))
    told("all tables, index warm", fresh(home, TABLES), "(promised: 20 s, 2048 MiB)")
    index.path(home).unlink()
    told("all tables, no index", fresh(home, TABLES), "(promised: 20 s, 2048 MiB)")


def test_leaderboard_over_a_hundred_thousand_runs(home):
    filled(home, HUNDRED)
    told("index from nothing", fresh(home, REFRESH))
    print(f"the index is {index.path(home).stat().st_size / 1e6:.1f} MB")
    told("index when nothing changed", fresh(home, REFRESH))
    told("leaderboard, index warm", fresh(home, BOARDS), "(promised: 10 s)")
    told("methods by backbones of one data set, index warm", fresh(home, BOARD))
    told("index rebuilt", fresh(home, REBUILD))
    (run,) = synthetic.made(backbones=1, methods=1, random_state=1, **SIZES)
    synthetic.put(home, run)
    told("index after one more run", fresh(home, REFRESH))
