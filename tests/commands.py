"""`python -m bench` as a user types it, in this process or in one of its own, and a fake backbone that workers find too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import store
from bench.plugins import ROOT

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
        if len(texts) > 1:  # one word is what planning asks, to see that there is a tokenizer
            stop("run")
        return super().encode_text(texts)


def load(name, device):
    return Stoppable(name)
'''


WORDS = "run --dataset folder --backbones fake --methods zero_shot,linear_probe --seeds 1 --shots 8".split()


class Place:
    """A home of its own, the fake's files, and the command."""

    def __init__(self, folder, package, videos):
        self.home, self.folder, self.root = folder / "home", folder, videos
        (folder / "log").touch()
        self.env = {
            **os.environ,
            "BENCH_HOME": str(self.home),
            "FAKE_PLACE": str(folder),
            "PYTHONPATH": str(package),
            "OMP_NUM_THREADS": "1",
        }

    def start(self):
        words = [*WORDS, "--where", "local", "--workers", "1", "--root", str(self.root)]
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "bench", *words],
                cwd=ROOT,
                env=self.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
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
        return {
            run_id: (store.run_folder(self.home, run_id) / "predictions.npz").read_bytes() for run_id in self.complete
        }


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


def bench(capsys, monkeypatch, *words):
    """A command in this process: its exit code, and what it wrote to stdout and stderr, each on one line."""
    from bench.cli import main

    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())
