"""A submission to a real Slurm, with a method that takes its time and writes down what it does; `make test-slurm` starts the cluster."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench import jobs, store
from bench.plugins import ROOT

CLASSES, PER_SIDE = ("clap", "wave"), 8
DEADLINE_S = 600
LOCAL_CLUSTER = ROOT / "tests" / "slurm" / "local_cluster.sh"

PLUG_IN = '''
import os, time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from bench.contracts import TRAIN
from bench.specs import RunSpec
from bench.training import TrainConfig, train as run_training
from kpbench_slow.fakes import FakeAdapter, FakeTransform

MODELS, VERSION = {"slow": "a fake that writes down what it encodes"}, 1
NEEDS, TRAINABLE = frozenset({TRAIN}), "head"


def note(*words):
    with open(os.environ["SLOW_LOG"], "a") as log:
        log.write(" ".join(map(str, (*words, os.getpid()))) + "\\n")


def stage(*words, seconds="0"):
    """What a worker is at from now on, where a test asks for it, and how long that takes."""
    if "SLOW_STAGES" in os.environ:
        note(*words)
        time.sleep(float(os.environ.get(seconds, "0")))


class SlowTransform(FakeTransform):
    def __call__(self, frames):
        stage("decode", 1, seconds="SLOW_DECODE")
        return super().__call__(frames)


class Slow(FakeAdapter):
    def __init__(self, name):
        super().__init__(name)
        self.transform = SlowTransform()

    def encode_video(self, video):
        note("encode", len(video))
        time.sleep(float(os.environ.get("SLOW_ENCODE", "0")) * len(video))
        found = super().encode_video(video)
        stage("encoded", len(video))
        return found


def load(name, device):
    return Slow(name)


@dataclass(frozen=True, kw_only=True)
class Config:
    number: int = 0
    epochs: int = 10
    pause_s: float = 0.1


@dataclass(frozen=True)
class Head:
    weight: torch.Tensor

    def __call__(self, features, classes):
        stage("predict", len(classes), seconds="SLOW_PREDICT")
        found = features.pooled.float() @ self.weight.T
        stage("predicted", len(classes))
        return found


def fit(config, adapter, train, val, classes, seed):
    generator = torch.Generator().manual_seed(config.number)
    weight = torch.nn.Parameter(torch.randn(len(classes), train.features.pooled.shape[1], generator=generator))

    def loss(rows):
        note("step", config.number)
        time.sleep(config.pause_s + float(os.environ.get("SLOW_STEP", "0")))
        return F.cross_entropy(train.features.select(rows).pooled.float() @ weight.T, train.labels[rows])

    schedule = TrainConfig(optimizer="adamw", learning_rate=0.01, batch_size=1000, epochs=config.epochs)
    run_training([weight], loss, len(train), schedule, generator)
    return Head(weight.detach())


def suggest(trial):
    return {"pause_s": trial.suggest_float("pause_s", 0.0, 0.1)}


def describe(config):
    return f"slow {config.number}"


def runs(choice):
    """As many runs as $SLOW_RUNS has numbers of epochs; "3x.5" takes .5 s for each of 3."""
    for number, one in enumerate(os.environ["SLOW_RUNS"].split(",")):
        epochs, _, pause_s = one.partition("x")
        config = {"number": number, "epochs": int(epochs), "pause_s": float(pause_s or os.environ["SLOW_PAUSE"])}
        yield RunSpec(
            dataset=choice.dataset.name, backbone="slow", method="slow", protocol="few_shot", shots=4, root=choice.root, config=config
        )
'''


def site_package(folder):
    """Install the plug-in into a folder for $PYTHONPATH; the folder."""
    (folder / "kpbench_slow").mkdir(parents=True)
    (folder / "kpbench_slow" / "__init__.py").write_text(PLUG_IN)
    (folder / "kpbench_slow" / "fakes.py").write_text((ROOT / "tests" / "fakes.py").read_text())
    about = folder / "kpbench_slow-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kpbench-slow\nVersion: 1.0\n")
    kinds = "\n".join(f"[kpbench.{kind}]\nslow = kpbench_slow" for kind in ("adapters", "methods", "sweeps"))
    (about / "entry_points.txt").write_text(f"{kinds}\n")
    return folder


def until(condition, seconds=DEADLINE_S, why=lambda: ""):
    """Wait for a condition; what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, why()
        time.sleep(0.2)
    return found


def slurm(*words):
    """A command of Slurm's, which must work; its output."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cluster(*words):
    """A verb of the cluster's script."""
    subprocess.run([str(LOCAL_CLUSTER), *words], check=True, timeout=120)


class Home:
    """A $BENCH_HOME with a site file, and the command line as a user types it."""

    def __init__(self, folder, package, videos, bytecode, runs="4,4,4,4", pause=0.1, home=None, shared=None, **env):
        self.folder, self.home, self.videos = folder, home or folder / "home", videos
        self.home.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.log.touch()
        self.tree, self.shared = ROOT, shared
        self.env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
            "BENCH_HOME": str(self.home),
            "SLOW_LOG": str(self.log),
            "SLOW_RUNS": runs,
            "SLOW_PAUSE": str(pause),
            "PYTHONPATH": str(package),
            "PYTHONPYCACHEPREFIX": str(bytecode),
            "OMP_NUM_THREADS": "1",
            **env,
        }
        self.site()

    def site(self, **changes):
        values = {"device": "cpu", "cpus": 1, "memory_gb": 1, "time": 30, "max_jobs": 4} | changes
        shared = f"[places]\nfeatures = {json.dumps(str(self.shared))}\n" if self.shared else ""
        text = "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())
        (self.home / "site.toml").write_text(text + shared)

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *map(str, words)],
            cwd=self.tree,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def bench(self, *words, code=0):
        """Run a command; its output."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == code, f"{words}: {process.returncode}\n{said}"
        return said

    @property
    def sweep(self):
        return ("run", "--dataset", "folder", "--root", self.videos, "--sweep", "slow", "--backbones", "slow")

    def submit(self, *words, code=0):
        return self.bench(*self.sweep, "--where", "slurm", *words, code=code)

    @property
    def job(self):
        return jobs.find(self.home)

    def in_queue(self):
        return slurm("squeue", "--me", "--noheader", "--array", "--format=%F_%K %T").splitlines()

    def running(self):
        """Ids of this user's running jobs."""
        return [line.split()[0] for line in self.in_queue() if line.endswith("RUNNING")]

    def steps(self):
        """Number of each training step that was taken, in order."""
        return [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith("step")]

    def encoded(self):
        """Number of videos that went through the backbone, again and again counted."""
        return sum(int(x.split()[1]) for x in self.log.read_text().splitlines() if x.startswith("encode "))

    def workers(self):
        """Processes that took a training step, and live."""
        found = {int(line.split()[2]) for line in self.log.read_text().splitlines() if line.startswith("step")}
        return sorted(p for p in found if Path(f"/proc/{p}").exists())

    def finish(self, seconds=DEADLINE_S):
        """Until nothing of this user is in the queue."""
        until(lambda: not self.in_queue(), seconds, why=lambda: "\n".join([*self.in_queue(), self.logs()]))

    def logs(self):
        return "\n".join(
            p.read_text(errors="replace")[-800:] for p in sorted(self.home.glob("jobs/*/submitit/*_log.*"))
        )

    @property
    def predictions(self):
        found = [r for r in store.run_ids(self.home) if store.is_complete(self.home, r)]
        return {r: (store.run_folder(self.home, r) / "predictions.npz").read_bytes() for r in found}

    def is_whole(self, undisturbed):
        """All is complete, with the bytes of the sweep that nobody disturbed, and nothing lies about."""
        assert self.predictions == undisturbed.predictions, self.logs()
        assert not [p for p in self.home.glob("runs/*/.*")], "nothing half-written"
        assert not self.job.open_tasks("runs") and not [r for r in self.job.results("runs") if "error" in r]
        return True
