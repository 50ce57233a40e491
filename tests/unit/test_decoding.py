"""Videos decoded beside the forward pass: in order, not far ahead, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from fakes import FakeAdapter, FakeTransform
from stored import NUM, fill, manifest_of, store_of

from bench import decoding, features, forward
from bench._processes import cores
from bench.decoding import Job, decode_workers, prepared
from bench.failures import InfrastructureError
from bench.features import row_keys
from bench.frames import read


@dataclass(frozen=True)
class Marking:
    """A transform that leaves a file for each video it has seen, and ends its own process where it is told to."""

    folder: Path
    deadly: bool = False

    def __call__(self, frames):
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        return FakeTransform()(frames)


def marks(folder):
    return len(list(folder.iterdir()))


@pytest.fixture
def marked(tmp_path):
    adapter = FakeAdapter()
    (tmp_path / "marks").mkdir()
    adapter.transform = Marking(tmp_path / "marks")
    return adapter


def test_a_batch_is_encoded_as_soon_as_it_is_full(root, tmp_path, marked, monkeypatch):
    monkeypatch.setattr(forward, "CPU_BATCH", 2)
    monkeypatch.setattr(features, "SHARD_ROWS", 5)
    seen, plain = [], marked.encode_video

    def encode(video):
        seen.append((len(video), marks(marked.transform.folder)))
        return plain(video)

    marked.encode_video = encode
    fill(store_of(tmp_path, marked), manifest_of(root), marked)
    assert seen == [(2, 2), (2, 4), (1, 5), (1, 6)]


@pytest.mark.slow
def test_workers_decode_while_this_process_encodes_and_no_further_ahead_than_they_may(
    root, tmp_path, marked, monkeypatch
):
    monkeypatch.setattr(forward, "CPU_BATCH", 1)
    monkeypatch.setattr(decoding, "AHEAD", 2)
    plain, seen = marked.encode_video, []

    def encode(video):
        if not seen:
            deadline = time.monotonic() + 60
            while marks(marked.transform.folder) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        seen.append(marks(marked.transform.folder))
        return plain(video)

    marked.encode_video = encode
    fill(store_of(tmp_path, marked), manifest_of(root), marked, workers=1)
    assert seen[0] == 2, "the second video was decoded while the first was encoded, and no third one"
    assert len(seen) == 6 and all(count <= number + 2 for number, count in enumerate(seen))


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error_and_no_hang(root, tmp_path, marked):
    marked.transform = replace(marked.transform, deadly=True)
    store = store_of(tmp_path, marked)
    with pytest.raises(InfrastructureError, match=r"decodes videos died.*memory.*run the same command again"):
        fill(store, manifest_of(root), marked, workers=2)
    assert marked.num_encoded == 0 and not store.folder.exists()


def test_what_is_prepared_comes_in_order_and_one_at_a_time(root, marked):
    manifest = manifest_of(root)
    jobs = [Job(manifest.rows.iloc[p], key, NUM) for p, key in enumerate(row_keys(manifest))]
    videos = prepared(jobs[::-1], marked.transform, 0)
    for number, path in enumerate(reversed(manifest.rows["path"].tolist()), start=1):
        assert torch.equal(next(videos), marked.transform(read(path, NUM)))
        assert marks(marked.transform.folder) == 2 * number, "one here and one to compare with"


@pytest.mark.parametrize(
    ("device", "cores", "workers"), [("cpu", 64, 0), ("cuda", 1, 1), ("cuda", 8, 7), ("cuda", 128, 16)]
)
def test_decoding_gets_the_cores_that_feeding_a_gpu_leaves(device, cores, workers):
    assert decode_workers(device, cores) == workers


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert cores() == 2


ORPHANED = """
import os, sys, time
sys.path[:0] = {paths!r}
from bench.decoding import prepared, Job

class Slow:
    def __call__(self, frames):
        open({begun!r} + str(os.getpid()), "w").close()
        time.sleep(600)

if __name__ == "__main__":
    import pandas as pd
    row = pd.Series({{"stamp": "x", "path": {video!r}, "start_s": float("nan"), "end_s": float("nan"), "box": ""}})
    next(prepared([Job(row, "k", 2)] * 2, Slow(), 2))
"""


@pytest.mark.slow
def test_workers_leave_when_the_process_that_started_them_is_killed(root, tmp_path):
    from bench.plugins import ROOT

    script = tmp_path / "orphan.py"
    script.write_text(ORPHANED.format(paths=[str(ROOT)], begun=str(tmp_path / "begun-"), video=str(root / "0.mp4")))
    parent = subprocess.Popen([sys.executable, str(script)], start_new_session=True)

    def family():
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.getsid(int(entry.name)) == parent.pid:
                    # The last field but a few: a process that nobody has waited for is no process.
                    if (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                        found.add(int(entry.name))
            except (OSError, ProcessLookupError):
                continue
        return found - {parent.pid}

    def until(condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.2)
        return condition()

    try:
        assert until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
        assert len(family()) >= 2
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert until(lambda: not family(), 60), "decoders are still there"
    finally:
        for pid in family():
            os.kill(pid, signal.SIGKILL)
