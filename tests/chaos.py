"""Kills workers of a sweep on a real Slurm at random moments, stage by stage, and counts what became of it."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from on_slurm import cluster, slurm, until

from bench import store

# What a worker last wrote down -> what it is at.
STAGES = {
    "decode": "decode",
    "encode": "extraction",
    "encoded": "writing",
    "step": "training",
    "predict": "prediction",
    "predicted": "writing",
}
LOOK_S, STAT_S = 0.004, 0.5
MOST_RESUMES = 60


@dataclass
class Log:
    """The workers' log, read as it grows: what each process is at, and how often each thing was done."""

    path: Path
    at: dict[int, str] = field(default_factory=dict)
    done: Counter = field(default_factory=Counter)
    place: int = 0

    def read(self):
        with self.path.open() as file:
            file.seek(self.place)
            for line in file.read().splitlines(keepends=True):
                if not line.endswith("\n"):  # being written
                    break
                word, number, pid = line.split()
                self.at[int(pid)] = STAGES[word]
                self.done[word] += int(number) if word in ("decode", "encode") else 1
                self.place += len(line)
        return self.at


@dataclass
class Chaos:
    """Of a submitted sweep: kills `kills` workers, an even share at each stage, and takes two nodes away on the way."""

    home: object
    kills: int
    seed: int

    def __post_init__(self):
        self.log = Log(self.home.log)
        self.rng = np.random.default_rng(self.seed)
        self.left = Counter(dict.fromkeys(STAGES.values(), -(-self.kills // len(set(STAGES.values())))))
        self.killed, self.resumes, self.first_seen, self.rewritten, self.looked = Counter(), 0, {}, set(), 0.0
        self.nodes = [("kill", self.kills // 3), ("dead", 2 * self.kills // 3)]
        self.started = time.monotonic()

    def run(self):
        """Until all is done. What it came to, as figures."""
        while +self.left:
            self._nodes()
            if not self._kill():
                if not self._goes_on():
                    break
                time.sleep(LOOK_S)
            self._look_at_runs()
        until(lambda: self._look_at_runs() or not self._goes_on(), seconds=900, why=self.home.logs)
        self._look_at_runs(now=True)
        self.log.read()
        return self.seconds

    @property
    def seconds(self):
        return time.monotonic() - self.started

    def _kill(self):
        wanted = [pid for pid, stage in self.log.read().items() if self.left[stage] > 0 and _lives(pid)]
        if not wanted:
            return False
        rarest = min(self.left[self.log.at[pid]] for pid in wanted)
        pid = int(self.rng.choice([p for p in wanted if self.left[self.log.at[p]] == rarest]))
        if self.log.at[pid] != "writing":  # which is over in milliseconds
            time.sleep(self.rng.uniform(0, 0.1))
        stage = self.log.read()[pid]
        if not self.left[stage] or not _lives(pid):
            return False
        os.kill(pid, signal.SIGKILL)
        self.killed[stage] += 1
        self.left[stage] -= 1
        end = time.monotonic() + self.rng.uniform(0, 0.5)
        while time.monotonic() < end and not (self.left["writing"] and self._any_at("writing")):
            time.sleep(LOOK_S)
        return True

    def _any_at(self, stage):
        return any(at == stage and _lives(pid) for pid, at in self.log.read().items())

    def _nodes(self):
        if self.nodes and self.killed.total() >= self.nodes[0][1]:
            running = slurm("squeue", "--me", "--noheader", "--states=R", "--format=%N").split()
            if running:
                how, _ = self.nodes.pop(0)
                cluster(how, running[0])
                self.killed[f"{'slurmd' if how == 'kill' else 'node'} killed"] += 1
                self.down = running[0]
                until(
                    lambda: self.down not in slurm("sinfo", "-h", "-n", self.down, "-t", "idle,alloc,mix", "-o", "%N")
                )
                cluster("start", self.down)

    def _goes_on(self):
        """Whether anything is in the queue; where nothing is and work is left, it is resumed, as its user would."""
        if self.home.in_queue():
            return True
        job = self.home.job
        if not any(job.open_tasks(stage) for stage in ("features", "runs")) and not self._lost():
            return False
        assert self.resumes < MOST_RESUMES, self.home.logs()
        self.resumes += 1
        self.home.bench("resume")
        return True

    def _lost(self):
        return self.home.job.lost("runs")

    def _look_at_runs(self, now=False):
        if not now and time.monotonic() - self.looked < STAT_S:
            return
        self.looked = time.monotonic()
        for run_id in store.run_ids(self.home.home):
            if store.is_complete(self.home.home, run_id):
                folder = store.run_folder(self.home.home, run_id)
                files = [(p.name, p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
                if self.first_seen.setdefault(run_id, files) != files:
                    self.rewritten.add(run_id)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
