"""`kill -9` in the middle of extraction and of a run, then the same command: the results of an undisturbed home, and nothing whole done twice.

The backbone is a fake in a package of its own, found through an entry point as a user's would be. It writes a line for each video that
goes through `encode_video`, and waits where a file tells it to, so that the kill always comes at the same place.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import write_classes

from bench import store
from bench.features import SHARD_ROWS
from bench.plugins import ROOT

pytestmark = pytest.mark.slow

CLASSES, PER_SIDE = ("clap", "run", "wave"), 12
VIDEOS = len(CLASSES) * PER_SIDE * 2
DEADLINE_S = 240

PLUG_IN = '''
import hashlib, os, time
from pathlib import Path

from kpbench_fake.fakes import FakeAdapter

MODELS, VERSION = {"fake": "a fake that can be stopped"}, 1
PLACE = Path(os.environ["FAKE_PLACE"])


def stop(where):
    """Wait here as long as the file hold-WHERE exists and, where it holds a number, so many videos went through."""
    hold = PLACE / f"hold-{where}"
    if hold.exists() and len((PLACE / "log").read_text().splitlines()) >= int(hold.read_text()):
        (PLACE / f"waiting-{where}.part").write_text(str(os.getpid()))
        (PLACE / f"waiting-{where}.part").rename(PLACE / f"waiting-{where}")
        while hold.exists():
            time.sleep(0.02)


class Stoppable(FakeAdapter):
    def encode_video(self, video):
        stop("extraction")
        with (PLACE / "log").open("a") as log:
            log.write("".join(hashlib.sha256(v.numpy().tobytes()).hexdigest() + "\\n" for v in video))
        return super().encode_video(video)

    def encode_text(self, texts):
        stop("run")
        return super().encode_text(texts)


def load(name, device):
    return Stoppable(name)
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder for PYTHONPATH that holds an installed package with an adapter."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "kpbench_fake").mkdir()
    (folder / "kpbench_fake" / "__init__.py").write_text(PLUG_IN)
    (folder / "kpbench_fake" / "fakes.py").write_text((ROOT / "tests" / "fakes.py").read_text())
    about = folder / "kpbench_fake-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kpbench-fake\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[kpbench.adapters]\nfake = kpbench_fake\n")
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("videos"), CLASSES, PER_SIDE)


class Place:
    """A home of its own, the fake's files, and the command."""

    def __init__(self, folder, package, videos):
        self.home, self.folder, self.root = folder / "home", folder, videos
        (folder / "log").touch()
        self.env = {**os.environ, "BENCH_HOME": str(self.home), "FAKE_PLACE": str(folder), "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}

    def start(self):
        words = f"run --where local --workers 1 --dataset folder --root {self.root} --backbones fake".split()
        words += "--methods zero_shot,linear_probe --seeds 1 --shots 8".split()
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "bench", *words], cwd=ROOT, env=self.env, stdout=output, stderr=output, start_new_session=True
            )

    def finish(self, process=None):
        process = process or self.start()
        assert process.wait(DEADLINE_S) == 0, self.output

    def stop_at(self, where, after=0):
        """Start the command and wait until a worker stands still there; the process, and the worker's id."""
        (self.folder / f"hold-{where}").write_text(str(after))
        process, marker = self.start(), self.folder / f"waiting-{where}"
        deadline = time.monotonic() + DEADLINE_S
        while not marker.exists():
            assert process.poll() is None, f"it ended before it could be killed:\n{self.output}"
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return process, int(marker.read_text())

    def release(self, where):
        (self.folder / f"hold-{where}").unlink()
        (self.folder / f"waiting-{where}").unlink()

    @property
    def output(self):
        return (self.folder / "output").read_text()

    @property
    def encoded(self):
        """One line a video that went through `encode_video`."""
        return (self.folder / "log").read_text().splitlines()

    @property
    def shards(self):
        return {p: p.stat().st_mtime_ns for p in self.home.glob("features/*/*.safetensors")}

    @property
    def complete(self):
        return {run_id for run_id in store.run_ids(self.home) if store.is_complete(self.home, run_id)}

    @property
    def predictions(self):
        return {run_id: (store.run_folder(self.home, run_id) / "predictions.npz").read_bytes() for run_id in self.complete}


def kill(process):
    """kill -9 the command and all its workers, and wait until the last is gone."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + DEADLINE_S
    while any_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def any_alive(group):
    """Whether a process of this group still runs; one that is dead and waits for its parent does not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state not in "ZX":
            return True
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, package, videos):
    place = Place(tmp_path_factory.mktemp("undisturbed"), package, videos)
    place.finish()
    assert len(place.complete) == 3 and len(place.encoded) == len(set(place.encoded)) == VIDEOS
    return place


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
    assert sorted(place.encoded) == sorted(undisturbed.encoded), "each video went through the backbone once, over all three starts"
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
