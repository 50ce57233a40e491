"""A worker killed at every fsync and rename of an extraction and of a run: the next one ends with the same bytes."""

import json
import os
import subprocess
import sys

import pytest

from bench.plugins import ROOT

pytestmark = pytest.mark.slow

PLAN = """
import sys
from pathlib import Path
from bench import extraction, jobs, planning
from bench.work import work_of
from bench.provenance import source_digest
from bench.specs import RunSpec
home = Path(sys.argv[1])
spec = RunSpec(
    dataset="folder", backbone="fake", method="coop", protocol="few_shot", shots=2, limit=4, root=sys.argv[2], config={"epochs": 2}
)
run = planning.resolve(spec, home)
if sys.argv[3] == "runs":
    extraction.extract([run], home)
print(jobs.create(home, work_of([run], home).stages, {"source": source_digest()}).job_id, run.run_id)
"""


RUN = ["COMPLETE", "interpretation.json", "predictions.npz", "run.json", "scores.csv"]


# Right after one call is right before the next, but for what needs neither.
@pytest.mark.parametrize("side", ["before", pytest.param("after", marks=pytest.mark.full)])
@pytest.mark.parametrize(("stage", "places"), [("features", 12), ("runs", 15)])
def test_killed_at_every_place_it_ends_with_the_same_bytes(tmp_path, package, videos, stage, places, side):
    env = {**os.environ, "FAKE_PLACE": str(tmp_path), "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}

    def python(*words):
        done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, env=env, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout, done.stderr

    home = tmp_path / "home"
    job, run_id = python("-c", PLAN, home, videos, stage)[0].split()
    said, errors = python(ROOT / "tests" / "killing.py", home, job, stage, run_id, side)
    found = json.loads(said.splitlines()[-1])
    print(stage, found["places"], "places")
    assert found["wrong"] == [], errors[-3000:]
    assert found["places"] >= places
    assert found["made"] == RUN if stage == "runs" else len(found["made"]) == 2
