"""`kill -9` in the middle of extraction and of a run, then the same command: the results of a home left alone, nothing done twice.

The backbone is a fake in a package of its own, found through an entry point as a user's would be. It writes a line for each video that
goes through `encode_video`, and waits where a file tells it to, so that the kill always comes at the same place.
"""

import os
import signal
from pathlib import Path

import pytest
from commands import Place, kill

from bench import records, store
from bench.features import SHARD_ROWS

pytestmark = pytest.mark.slow


def test_killed_in_extraction_and_in_a_run_the_same_command_goes_on(tmp_path, package, videos, undisturbed):
    place = Place(tmp_path, package, videos)

    process, _ = place.stop_at("extraction", after=SHARD_ROWS)
    kill(process)
    assert len(place.shards) == 1 and len(place.encoded) == SHARD_ROWS, "one shard is whole, the next was under way"
    assert not place.complete
    kept = place.shards
    place.release("extraction")

    process, _ = place.stop_at("run")
    kill(process)
    assert len(place.complete) == 1, "the linear probe is done, the next run was under way"
    assert place.shards.items() > kept.items()
    done, kept = place.complete, place.shards
    marks = {run_id: (store.run_folder(place.home, run_id) / "COMPLETE").stat().st_mtime_ns for run_id in done}
    place.release("run")

    place.finish()
    assert place.predictions == undisturbed.predictions
    assert sorted(place.encoded) == sorted(undisturbed.encoded), (
        "each video went through the backbone once, over all three starts"
    )
    assert place.shards == kept, "a whole shard is not written again"
    assert marks == {run_id: (store.run_folder(place.home, run_id) / "COMPLETE").stat().st_mtime_ns for run_id in done}
    assert "runs: 2 done now, 1 were complete" in " ".join(place.output.split())


def test_a_worker_that_is_killed_is_replaced_and_its_task_done_by_another(tmp_path, package, videos, undisturbed):
    place = Place(tmp_path, package, videos)
    process, worker = place.stop_at("extraction", after=SHARD_ROWS)
    os.kill(worker, signal.SIGKILL)
    place.release("extraction")
    place.finish(process)
    assert place.predictions == undisturbed.predictions
    assert sorted(place.encoded) == sorted(undisturbed.encoded)


def test_a_second_start_of_a_complete_sweep_does_nothing(undisturbed):
    before = (undisturbed.shards, undisturbed.predictions, undisturbed.encoded)
    undisturbed.finish()
    assert (undisturbed.shards, undisturbed.predictions, undisturbed.encoded) == before
    assert "3 runs, 3 complete" in " ".join(undisturbed.output.split())


def test_a_run_tells_the_command_that_was_typed_and_not_its_worker_s(undisturbed):
    for run_id in undisturbed.complete:
        command = store.read_record(undisturbed.home, run_id)["provenance"]["command"]
        assert command[0].endswith("__main__.py") and command[1:4] == ["run", "--dataset", "folder"]
        assert records.pasteable(command).startswith("python -m bench run --dataset folder")


def test_a_run_tells_the_log_of_the_worker_that_did_it(undisturbed):
    for run_id in undisturbed.complete:
        told, _, log = records.log_line(undisturbed.home, run_id).partition(": ")
        assert told == "log of its worker" and Path(log).is_file() and log.endswith("_log.err")
