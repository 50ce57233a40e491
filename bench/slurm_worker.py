"""A worker as Slurm starts it: told by strings alone, quick to end where nothing is left, asked to stop by signals.

SIGUSR2 comes before the time limit and before a preemption, and means: stop in good order and go back into the queue. SIGTERM means stop.
Whatever Slurm does besides (a requeue of its own, SIGKILL) costs no more than what was in hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import stopping
from bench.failures import is_of_accelerator
from bench.jobs import STAGES, Job

AGAIN = signal.SIGUSR2
REQUEUE_S = 60


@dataclass(frozen=True)
class SlurmWorker:
    """One of `count` workers of a stage of a submission; `linger_s` is how long it waits for what others hold."""

    folder: str
    stage: str
    index: int
    count: int
    linger_s: float

    def __call__(self) -> str:
        """Work; the answer says in a line how it ended."""
        job = Job(Path(self.folder))
        # A kill while submitit wrote its pickle leaves a file by which it fails ever after; we need none of them.
        for left in (job.folder / "submitit").glob(f"{_own_id()}_*.save_tmp"):
            left.unlink(missing_ok=True)
        with stopping.on_signals((AGAIN, signal.SIGTERM)):
            if job.is_cancelled or not self._open(job):
                job.finish()  # in place of a worker that was killed before it could say so
                return "nothing to do"
            from bench import worker  # takes seconds, for torch

            try:
                worker.work(self.folder, self.stage, self.index, self.count, self.linger_s)
            except stopping.Stopped as why:
                if str(why) == AGAIN.name and not job.is_cancelled and self._open(job):
                    requeue()
                return f"stopped by {why}"
            except Exception as error:
                if is_of_accelerator(error) and not job.is_cancelled and self._open(job):
                    requeue()  # a fresh process may get on with the GPU, or another one
                raise
        return "done"

    def _open(self, job: Job) -> bool:
        return any(job.open_tasks(stage) for stage in STAGES[: STAGES.index(self.stage) + 1])


def requeue() -> None:
    """Put this Slurm job back into the queue. Slurm may be doing so already, and says that then."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["scontrol", "requeue", _own_id()], capture_output=True, text=True, timeout=REQUEUE_S)
        if done.returncode:
            print(f"scontrol requeue {_own_id()}: {done.stderr.strip()}", flush=True)


def _own_id() -> str:
    """As Slurm's commands and submitit's files write it: "12", or "12_3" in an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", "")
