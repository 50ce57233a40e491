"""`kill -9` before every single step of a render or a rescore: the report is the old one or the new one, each run's scores too.

One process does all renders: for each step a child is forked, which kills itself right before that step touches the disk.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import made_runs
import pytest
from commands import any_alive

from bench import records, reporting, rescoring
from bench.plugins import ROOT
from bench.stored_results import Results

A, B, C = "a1b2c3d4e5f6", "0123456789ab", "ffff00001111"

DRIVER = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace

from bench import metrics, plugins, reporting, rescoring, store
from bench.contracts import Artifact

home, what, shared = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
STEPS = ("replace", "rename", "fsync", "symlink", "unlink", "rmdir", "mkdir", "open")

def render(results):
    scores = results.scores
    for name in ("one.md", "two.csv", "three.png"):
        yield Artifact(name, f"{sorted(scores['value'])} {len(scores)} {name}")

real_find, real_names = plugins.find, plugins.names
plugins.find = lambda kind, name: SimpleNamespace(render=render) if kind == "results" else real_find(kind, name)
plugins.names = lambda kind: ("plain",) if kind == "results" else real_names(kind)

def act():
    if what == "render":
        reporting.write(home)
        return
    real = metrics.compute
    metrics.compute = lambda *a: {**real(*a), "brand_new": 0.25}
    metrics.VERSION += 1
    rescoring.rescore(home)
    reporting.refresh(home)

def killed_at(stop):
    count = 0
    def counted(real):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == stop:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        return call
    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    act()

import shutil
stop = 0
while True:
    stop += 1
    shutil.rmtree(home)
    shutil.copytree(shared, home, symlinks=True)
    child = os.fork()
    if child == 0:
        killed_at(stop)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(stop, "killed" if os.WIFSIGNALED(status) else "ended" if status == 0 else "failed", flush=True)
    if input() != "on":
        break
"""


def drive(home, what, kept, check):
    """Kill at step 1, 2, ... until one does not come; `check()` after each. How often it was killed."""
    program = [sys.executable, "-c", DRIVER, str(home), what, str(kept)]
    process = subprocess.Popen(
        program,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "BENCH_HOME": str(home)},
    )
    with process:
        while True:
            number, outcome = process.stdout.readline().split()
            assert outcome in ("killed", "ended"), f"step {number}: {outcome}"
            check(outcome)
            process.stdin.write("on\n" if outcome == "killed" else "stop\n")
            process.stdin.flush()
            if outcome == "ended":
                return int(number) - 1


def told(home):
    return {name: text for name, text in made_runs.files(home / "report").items() if name != reporting.STAMP}


@pytest.fixture
def home(tmp_path):
    """A home with two complete runs."""
    home = tmp_path / "home"
    made_runs.complete(home, A, seed=1)
    made_runs.complete(home, B, seed=2)
    return home


def shared(home, tmp_path):
    shutil.copytree(home, tmp_path / "shared", symlinks=True)
    return tmp_path / "shared"


@pytest.mark.slow
@pytest.mark.parametrize("before", ["link", "real folder"])
def test_killed_in_a_render_the_report_is_the_old_one_or_the_new_one(home, tmp_path, before):
    if before == "link":
        (home / "reports" / "first").mkdir(parents=True)
        (home / "report").symlink_to("reports/first")
    else:
        (home / "report").mkdir()
    (home / "report" / "old.md").write_text("the old report")
    (home / "report" / "index.html").write_text("its page")
    old, seen = told(home), []
    kept = shared(home, tmp_path)

    def check(outcome):
        if before == "real folder" and not (home / "report").exists():
            assert told_in(home / "reports" / "moved") == old, "the one moment without a name"
            seen.append("moved")
            return
        now = told(home)
        assert now == old or now.keys() == {"one.md", "two.csv", "three.png", "index.html"}, now.keys()
        seen.append("old" if now == old else "new")

    times = drive(home, "render", kept, check)
    assert times > 15 and seen[-1] == "new" and seen.count("old") > 10
    assert seen.count("moved") <= 3
    order = [s for s in seen if s != "moved"]
    assert order == sorted(order, reverse=True), "old until one step, new from it on"
    assert len(list((home / "reports").iterdir())) == 1


def told_in(folder):
    return {name: text for name, text in made_runs.files(folder).items() if name != reporting.STAMP}


@pytest.mark.slow
def test_killed_in_a_rescore_each_run_has_its_old_scores_or_its_new_ones_and_the_report_is_whole(home, tmp_path):
    (home / "reports" / "first").mkdir(parents=True)
    (home / "report").symlink_to("reports/first")
    (home / "report" / "index.html").write_text("its page")
    old_report = told(home)
    old = {run_id: records.scores(home, run_id) for run_id in (A, B)}
    kept, seen = shared(home, tmp_path), []

    def check(outcome):
        state = ""
        for run_id in (B, A):
            now, version = records.scores(home, run_id), records.metrics_version(home, run_id)
            is_new = "brand_new" in now
            assert now == (old[run_id] | {"brand_new": 0.25} if is_new else old[run_id])
            assert (version == 2) == is_new
            state += "n" if is_new else "o"
        report = told(home)
        assert report == old_report or report.keys() == {"one.md", "two.csv", "three.png", "index.html"}
        if report != old_report:
            assert state == "nn" and b"0.25" in report["one.md"]
        seen.append((state, report == old_report))
        rest = rescoring.rescore(home, dry_run=True)  # by the metrics of this process: it can go on from any state
        assert set(rest.replaced) == {r for r, s in zip((B, A), state, strict=True) if s == "n"} and not rest.damaged

    drive(home, "rescore", kept, check)
    assert {state for state, _ in seen} == {"oo", "no", "nn"}
    assert seen[0] == ("oo", True) and seen[-1] == ("nn", False) and ("nn", True) in seen


RESCORING = """
import sys, time
from pathlib import Path
from bench import rescoring

def wait(done, total):
    print("ready", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    rescoring.rescore(Path(sys.argv[1]), dry_run=True, workers=2, progress=wait)
"""


@pytest.mark.slow
def test_the_workers_of_a_rescore_leave_when_the_process_that_started_them_is_killed(home, tmp_path):
    script = tmp_path / "rescoring.py"
    script.write_text(RESCORING)
    command, env = [sys.executable, str(script), str(home)], {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout.readline() == "ready\n" and any_alive(process.pid)
            process.kill()
            process.wait()
            deadline = time.monotonic() + 30
            while any_alive(process.pid) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not any_alive(process.pid), "workers are still there"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_real_tables_and_plots_killed_half_way_leave_the_old_report_and_the_next_render_clears_up(home):
    reporting.write(home)
    before = told(home)
    made_runs.complete(home, C, seed=3, method="coop")
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom bench import _files, reporting\n"
        "count, real = 0, os.fsync\n"
        "def step(fd):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(fd)\n"
        "os.fsync = step\n"
        "reporting.write(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(home), "4"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert told(home) == before
    assert len(list((home / "reports").iterdir())) == 2, "what it left"
    reporting.write(home)
    assert told(home) != before and len(list((home / "reports").iterdir())) == 1
    assert Results(home).runs["status"].eq("complete").all()
