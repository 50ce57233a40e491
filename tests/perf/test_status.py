"""How long `status` takes over a hundred thousand run folders and the submission that made them. `make perf`."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import synthetic
from test_tables import HUNDRED

from bench import index, jobs, store
from bench.plugins import ROOT

pytestmark = pytest.mark.perf
SIZES = {"num_videos": 20, "num_groups": 5, "num_classes": 10, "scores": synthetic.quick_scores}


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    shutil.rmtree(tmp_path / "home", ignore_errors=True)  # gigabytes, which pytest would keep


def status(home, *words):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env=os.environ | {"BENCH_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - start, done


def test_status_over_a_hundred_thousand_runs(home):
    for run in synthetic.made(**{**HUNDRED, **SIZES}):
        synthetic.put(home, run)
    ids = list(store.run_ids(home))
    # As big as what a submission keeps of a run; those that failed keep it elsewhere.
    records = (next(store.run_folder(home, run_id).glob("[rF]*.json")) for run_id in ids)
    tasks = [{"lease": run_id, "run": json.loads(path.read_text())} for run_id, path in zip(ids, records, strict=True)]
    job = jobs.create(home, {"runs": tasks}, {"where": "local", "source": "s", "sweep": "leaderboard"})
    size = (job.folder / "runs.jsonl").stat().st_size / 1e6
    print(f"\n{len(ids)} runs, {sum(store.is_complete(home, r) for r in ids)} complete; runs.jsonl {size:.0f} MB")
    for what, words, before in (
        ("no index", ("status",), lambda: None),
        ("warm", ("status",), lambda: None),
        ("warm, the submission finished", ("status",), lambda: (job.folder / jobs.FINISHED).touch()),
        ("index rebuilt", ("index", "--rebuild"), lambda: None),
    ):
        before()
        seconds, done = status(home, *words)
        assert done.returncode in (0, 1) and not done.stderr.startswith("error"), done.stderr[-2000:]
        print(f"{' '.join(words):<16} {what:<32} {seconds:6.1f} s", flush=True)
    assert index.path(home).is_file()
