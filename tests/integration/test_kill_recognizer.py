"""A recogniser's fine-tuning by MMEngine's Runner, `kill -9` within epochs and between them: what goes on ends with the same bytes."""

import json
import os
import subprocess
import sys

import pytest

from bench.plugins import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.mmaction2]


def killed(home, family):
    """What the program found, and what else it said."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(ROOT / "tests" / "killing_recognizer.py"), str(home), family]
    done = subprocess.run(program, capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    return found, done


@pytest.mark.full
def test_a_head_that_draws_itself_ends_with_the_same_bytes(toy_workspace):
    found, _ = killed(toy_workspace.parent, "trn")
    assert found["steps"] == [3, 2] and found["same"] == [True, True] and found["lying"] == []
    assert found["lasts"][0] == found["lasts"][1]


def test_killed_within_and_between_epochs_it_ends_with_the_same_bytes(toy_workspace):
    found, done = killed(toy_workspace.parent, "tsm")
    assert found["steps"] == [9, 8, 6, 4, 0] and found["same"] == [True] * 5
    assert set(found["lasts"]) == {found["lasts"][0]} and found["lasts"][0].startswith("9 ")
    assert found["lying"] == [] and found["run"] == ["COMPLETE", "predictions.npz", "run.json", "scores.csv"]
    (training,) = found["trainings"][0]  # of the run that nobody killed
    assert found["trainings"] == [[training]] * 5
    assert training["epochs"] == len(training["loss"]) == len(training["val_top1"]) == 3
    best = max(training["val_top1"])
    assert training["kept_epoch"] == training["val_top1"].index(best) + 1 and 0 <= best <= 1
    told = found["columns"]
    assert (told["num_frames"], told["num_views"], told["resolution"], told["micro_batch"]) == (2, 1, 32, 6)
    assert "INFO" not in done.stdout and "mmengine" not in done.stderr  # its own log stays its own
