"""Processes that compute together: each has its share, and none is left behind, whichever of them ends first."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import chain
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import processes
import pytest
import torch

from bench import distributed, failures, stopping
from bench._processes import started
from bench.plugins import ROOT

pytestmark = pytest.mark.mmaction2


@pytest.fixture(autouse=True)
def none_is_left():
    stopping.forget()
    yield
    stopping.forget()
    assert active_children() == []


def test_each_knows_its_share_and_where_one_fails_nobody_waits_for_ever():
    assert (distributed.rank(), distributed.world()) == (0, 1)
    assert (distributed.gathered(3), distributed.agreed(True, False)) == ([3], [True, False])
    with pytest.raises(RuntimeError) as caught:
        distributed.run(processes.share_and_fail, 2, "cpu")
    assert str(caught.value) == "Odd: [(0, 2, 1, 'cpu'), (1, 2, 1, 'cpu')] and [True, False]"
    assert "in share_and_fail" in caught.value.__notes__[0] and failures.kind(caught.value) == "model"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system does not tell who listens")
def test_they_find_each_other_where_no_other_machine_hears_it():
    store = distributed._store()
    here = [f.read_text().splitlines()[1:] for f in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if f.exists()]
    listening = [line.split()[1] for line in chain.from_iterable(here) if line.split()[3] == "0A"]
    assert [at for at in listening if at.endswith(f":{store.port:04X}")] == [f"0100007F:{store.port:04X}"]


def waiting(path):
    end = time.monotonic() + 120
    while len(found := list(path.iterdir())) < 2:
        assert time.monotonic() < end, "they have not begun"
        time.sleep(0.05)
    return [int(p.name) for p in found]


def test_a_request_to_stop_reaches_them_and_a_terminal_s_signal_does_not(tmp_path):
    def ask():
        for pid in waiting(tmp_path):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
        stopping.request("SIGTERM")

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(stopping.Stopped):
        distributed.run(partial(processes.wait, tmp_path), 2, "cpu")
    asking.join()


def test_who_stops_first_does_not_end_the_one_that_keeps_the_state(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "ANSWER_S", 0.2)
    with pytest.raises(stopping.Stopped):
        distributed.run(partial(processes.write_slowly, tmp_path / "kept"), 2, "cpu")
    assert (tmp_path / "kept").exists()


def test_what_a_signal_to_all_breaks_is_no_failure_of_the_one_that_was_asked_to_stop():
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        distributed.run(processes.lose_a_loader, 1, "cpu")
    stopping.request("SIGTERM")
    with pytest.raises(stopping.Stopped, match="SIGTERM"):
        distributed.run(processes.lose_a_loader, 1, "cpu")


def test_they_leave_when_the_process_that_started_them_is_killed(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, processes.__file__, str(tmp_path)], env=env)
    pids = waiting(tmp_path)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    while any(map(started, pids)):
        assert time.monotonic() < end, "one is left"
        time.sleep(0.05)


def test_two_processes_train_as_one_does_with_as_many_videos_a_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = processes.train_plain(4, 10, torch.device("cpu"))
    together = distributed.run(partial(processes.train_plain, 2, 10), 2, "cpu")
    for own, other in zip(alone[0], together[0], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(alone[1], together[1], rtol=1e-6)
    assert alone[2] == together[2] and together[3] == [], "nothing lies in the working directory"
