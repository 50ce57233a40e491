"""A recogniser that two processes fine-tune together, `kill -9` of one: the other ends, and what goes on ends with the same bytes."""

import json
import os
import random
import shutil
import signal
import threading
import time
from multiprocessing import active_children

import pytest
import torch
from fakes import write_classes

from bench import checkpoints, planning, runner, store
from bench.failures import InfrastructureError
from bench.specs import RunSpec

pytestmark = [pytest.mark.slow, pytest.mark.mmaction2]

TSM = "mmaction2:tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
CONFIG = {"epochs": 3, "batch_size": 3, "resolution": 32, "frames": 2, "views": "one", "processes": 2}


def resolved(home, root, **config):
    spec = RunSpec(
        dataset="folder",
        root=str(root),
        backbone=TSM,
        method="mmaction2_recognizer",
        protocol="few_shot",
        shots=4,
        config={**CONFIG, **config},
    )
    return planning.resolve(spec, home)


def killed_after(steps, file):
    """Kill the second process once so many steps are kept."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        time.sleep(0.02)
        if file.is_file() and torch.load(file, weights_only=True)["done"]["step"] >= steps:
            os.kill(max(child.pid for child in active_children()), signal.SIGKILL)
            return


def test_one_of_two_is_killed_and_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    home, root = tmp_path / "home", write_classes(tmp_path / "videos", ("clap", "run", "wave"), 8)
    monkeypatch.setattr(checkpoints.keeping.__wrapped__, "__defaults__", (0.0,))  # one after every step
    run = resolved(home, root)
    folder, kept = store.run_folder(home, run.run_id), home / "checkpoints" / run.run_id
    before = random.getstate(), torch.get_rng_state()
    runner.execute(run, home)
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])
    wanted, record = (folder / "predictions.npz").read_bytes(), store.read_record(home, run.run_id)
    assert record["columns"]["micro_batch"] == 3 and not kept.exists()
    (training,) = record["training"]
    assert len(training["loss"]) == len(training["val_top1"]) == 3

    shutil.rmtree(folder)
    killing = threading.Thread(
        target=killed_after, args=(1, kept / "training-1.pt")
    )  # within the first epoch, of two steps
    killing.start()
    with pytest.raises(InfrastructureError, match=r"1 of 2 processes .* died \(exit code -9\)"):
        runner.execute(run, home)
    killing.join()
    assert active_children() == [] and not folder.exists()
    state = torch.load(kept / "training-1.pt", weights_only=True)
    assert 1 <= state["done"]["step"] < 6
    first, second = (own["buffers"] for own in state["processes"])
    assert not all(torch.equal(first[name], second[name]) for name in first), "each has batch statistics of its own"

    runner.execute(run, home)
    assert (folder / "predictions.npz").read_bytes() == wanted
    assert json.dumps(store.read_record(home, run.run_id)["training"]) == json.dumps([training])
    assert resolved(home, root, processes=1).run_id != run.run_id, "batch statistics and what is left out are others"
