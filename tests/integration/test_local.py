"""`--where local`: Ctrl-C, two launches of one sweep at once, and a run that takes its worker with it each time."""

import os
import signal
import time

import pytest
from commands import Place, any_alive

from bench import jobs
from bench.leases import Leases

pytestmark = pytest.mark.slow


def test_ctrl_c_stops_every_worker_and_the_same_command_goes_on(tmp_path, package, videos, undisturbed):
    place = Place(tmp_path, package, videos)
    process, _ = place.stop_at("run")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
    assert process.wait(60) == 130 and "stopped; the same command goes on from here" in place.output
    assert "Traceback" not in place.output
    assert not any_alive(process.pid), "no worker is left behind"
    kept = place.shards
    with Leases(place.home / "leases") as leases:
        held = [p.name for p in (place.home / "leases").iterdir()]
        assert all(leases.take(key) for key in held), "what a stopped worker held is free at once"
    place.release("run")
    place.finish()
    assert place.predictions == undisturbed.predictions and place.shards == kept


def test_two_launches_of_one_sweep_at_once_do_each_thing_once(tmp_path, package, videos, undisturbed):
    place = Place(tmp_path, package, videos)
    first, _ = place.stop_at("extraction", after=1)
    second = place.start()
    while len(jobs.all_ids(place.home)) < 2:
        assert second.poll() is None, place.output
        time.sleep(0.05)
    place.release("extraction")
    assert first.wait(240) == 0 == second.wait(240), place.output
    assert place.predictions == undisturbed.predictions
    assert sorted(place.encoded) == sorted(undisturbed.encoded), "no video went through the backbone twice"


def test_a_launcher_that_is_killed_leaves_its_workers_to_finish_and_a_second_one_waits_for_them(
    tmp_path, package, videos, undisturbed
):
    place = Place(tmp_path, package, videos)
    process, worker = place.stop_at("extraction", after=1)
    os.kill(process.pid, signal.SIGKILL)  # it alone: its workers are orphans
    process.wait()
    os.kill(worker, 0)
    second = place.start()
    while len(jobs.all_ids(place.home)) < 2:
        assert second.poll() is None, place.output
        time.sleep(0.05)
    place.release("extraction")
    assert second.wait(240) == 0, place.output
    assert place.predictions == undisturbed.predictions
    assert sorted(place.encoded) == sorted(undisturbed.encoded)
