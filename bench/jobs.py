"""A submission as a folder: what is to be done, what came of each task, and who tried. No torch: whoever looks need not wait for it.

`jobs/<id>/` holds `submission.json`, a list of tasks for each stage (`features.json`, `runs.json`), and one small file for each event:
`done/<stage>-<n>.json` what a task came to, `attempts/<stage>-<n>.<token>` a worker began it. A run is also done when its own folder
says so, whoever did it; that folder is the only truth about it.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench._files import write_atomic
from bench._folders import COMPLETE
from bench.contracts import BenchError

STAGES = ("features", "runs")
CANCELLED, FINISHED = "cancelled", "finished"
ATTEMPTS = 5  # of a task within a submission whose worker died or whose machine failed; being stopped in good order counts for none


@dataclass(frozen=True)
class Job:
    """A submission's folder."""

    folder: Path

    @property
    def job_id(self) -> str:
        """Its name under jobs/."""
        return self.folder.name

    @property
    def home(self) -> Path:
        """The $BENCH_HOME that it belongs to."""
        return self.folder.parent.parent

    @cached_property
    def submission(self) -> dict[str, Any]:
        """What was submitted, by whom: `where`, `command`, `source` (digest of the code), `device`, `created`, `sweep`.

        Raises:
            BenchError: it is absent or damaged.
        """
        return _json(self.folder / "submission.json")

    @cached_property
    def stages(self) -> dict[str, list[dict[str, Any]]]:
        """The tasks of each stage, in the order in which they are best begun. Each has `lease`, the name of the claim on it."""
        found = {}
        for stage in STAGES:
            path = self.folder / f"{stage}.json"
            found[stage] = list(_json(path)["tasks"]) if path.is_file() else []
        return found

    def run_id(self, stage: str, number: int) -> str | None:
        """The run that a task makes; None where it makes features, or goes on with a study."""
        task = self.stages[stage][number]
        return str(task["lease"]) if stage == "runs" and "study" not in task else None

    def is_open(self, stage: str, number: int) -> bool:
        """Whether a task is still to be done."""
        if stage == "runs" and self.is_complete(number):
            return False
        return not self._done(stage, number).is_file()

    def is_complete(self, number: int) -> bool:
        """Whether the run of a task of the stage "runs" is complete, whoever did it."""
        run_id = str(self.stages["runs"][number]["lease"])
        return (self.home / "runs" / run_id[:2] / run_id / COMPLETE).is_file()

    def open_tasks(self, stage: str) -> list[int]:
        """Numbers of the tasks that are still to be done, in their order. Features that no run waits for any more need not be."""
        runs = range(len(self.stages["runs"]))
        if stage == "features" and runs and not any(self.is_open("runs", n) for n in runs):
            return []
        return [n for n in range(len(self.stages[stage])) if self.is_open(stage, n)]

    def close(self, stage: str, number: int, result: Mapping[str, Any]) -> None:
        """Say what a task came to: counts, or `error` and `traceback`; `lost` where it was given up without an answer."""
        write_atomic(self._done(stage, number), json.dumps(dict(result)))

    def result(self, stage: str, number: int) -> dict[str, Any] | None:
        """What `close` was told; None where the task is open, or its run was done by another submission."""
        path = self._done(stage, number)
        return _json(path) if path.is_file() else None

    def results(self, stage: str) -> list[dict[str, Any]]:
        """What was told of a stage's tasks, in their order."""
        found = (self.result(stage, n) for n in range(len(self.stages[stage])))
        return [r for r in found if r is not None]

    def lost(self, stage: str) -> list[dict[str, Any]]:
        """What was told of the tasks that were given up, and that no complete run makes good since."""
        found = [(n, r) for n in range(len(self.stages[stage])) if (r := self.result(stage, n)) and r.get("lost")]
        if stage == "runs":
            return [r for n, r in found if not self.is_complete(n)]
        runs = range(len(self.stages["runs"]))
        return [r for _, r in found] if found and not (runs and all(map(self.is_complete, runs))) else []

    def attempt(self, stage: str, number: int) -> Path:
        """Record that a worker begins a task; remove the file if it is not the task's or the worker's fault that it ends."""
        path = self.folder / "attempts" / f"{stage}-{number}.{secrets.token_hex(4)}"
        path.parent.mkdir(exist_ok=True)
        path.touch(exist_ok=False)
        return path

    def num_attempts(self, stage: str, number: int) -> int:
        """How often a worker began a task and did not end it."""
        return sum(1 for _ in (self.folder / "attempts").glob(f"{stage}-{number}.*"))

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled, and not resumed since."""
        return (self.folder / CANCELLED).is_file()

    def cancel(self) -> None:
        """Workers that start from now on end at once."""
        write_atomic(self.folder / CANCELLED, "")

    def resume(self) -> None:
        """Open again what was cancelled or given up; what failed for its own reasons stays as it is."""
        for name in (CANCELLED, FINISHED):
            (self.folder / name).unlink(missing_ok=True)
        for path in (self.folder / "attempts").glob("*"):
            path.unlink(missing_ok=True)
        for path in (self.folder / "done").glob("*.json"):
            if _json(path).get("lost"):
                path.unlink(missing_ok=True)

    @property
    def is_finished(self) -> bool:
        """Whether it was said that nothing is left of it: whoever looks need not ask after its tasks."""
        return (self.folder / FINISHED).is_file()

    def finish(self) -> None:
        """Say that nothing is left of it, where that is so: no task is open, none was given up."""
        if not any(self.open_tasks(stage) or self.lost(stage) for stage in STAGES):
            write_atomic(self.folder / FINISHED, "")

    def discard(self) -> None:
        """Remove it whole: it never came to be."""
        (self.folder / "submission.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def total_attempts(self, stage: str) -> int:
        """How often workers began tasks of a stage and did not end them."""
        return sum(1 for _ in (self.folder / "attempts").glob(f"{stage}-*"))

    def _done(self, stage: str, number: int) -> Path:
        return self.folder / "done" / f"{stage}-{number}.json"


def create(home: Path, stages: Mapping[str, Sequence[Mapping[str, Any]]], told: Mapping[str, Any]) -> Job:
    """Write a submission; `told` goes into submission.json, which is written last."""
    folder = home / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    for stage in STAGES:
        write_atomic(folder / f"{stage}.json", json.dumps({"tasks": list(stages.get(stage, ()))}))
    head = {"created": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": sys.argv, **told}
    write_atomic(folder / "submission.json", json.dumps(head, indent=1))
    return Job(folder)


def find(home: Path, job_id: str | None = None) -> Job:
    """A submission by its name or the beginning of it; the last one unless named.

    Raises:
        BenchError: there is none, or several begin so.
    """
    names = sorted(all_ids(home))
    if job_id is None:
        if not names:
            raise BenchError(f"nothing was submitted from {home} yet")
        return Job(home / "jobs" / names[-1])
    fits = [name for name in names if name == job_id] or [name for name in names if name.startswith(job_id)]
    if len(fits) != 1 or not job_id:
        known = f"; the last ones are {', '.join(names[-3:])}" if names else ""
        what = (
            f"several submissions begin with {job_id!r}: {', '.join(fits)}"
            if fits
            else f"there is no submission {job_id!r}"
        )
        raise BenchError(f"{what} under {home / 'jobs'}{known}")
    return Job(home / "jobs" / fits[0])


def all_ids(home: Path) -> list[str]:
    """Names of all submissions, oldest first."""
    folder = home / "jobs"
    names = [p.name for p in folder.iterdir() if (p / "submission.json").is_file()] if folder.is_dir() else []
    return sorted(name for name in names if re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", name))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no record")
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} cannot be read ({error}); start the same command again") from error
    return found
