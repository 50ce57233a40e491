"""Trainings on tiny-clip, `kill -9` after each epoch: what goes on from the checkpoint ends with the same bytes, no epoch done twice."""

import json
import os
import subprocess
import sys

import pytest

from bench.plugins import ROOT

pytestmark = pytest.mark.slow


def test_killed_after_each_epoch_it_ends_with_the_same_bytes(toy_workspace):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(ROOT / "tests" / "killing_training.py"), str(toy_workspace.parent)]
    done = subprocess.run(program, capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert list(found) == ["coop", "knowledge_prompt"]
    for method in found.values():
        whole = method["steps"][0]
        assert whole > 4 and method["steps"][1:] == [whole * left // 4 for left in (3, 2, 1, 0)]
        assert method["same"] == [True] * 5 and not method["left"] and method["micro_batch"] == 8
