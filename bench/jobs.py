"""A submission as a folder: what is to be done, what came of each task, and who tried. No torch: whoever looks need not wait for it.

`jobs/<id>/` holds `submission.json`, the tasks of each stage (`features.jsonl`, `runs.jsonl`), and one small file for each event:
`done/<stage>-<n>.json` what a task came to, or `done/<stage>-<n>.lost` that it was given up; `attempts/<stage>-<n>.<token>` a worker
began it, and holds of features how many videos it is through with. A run is also done when its own folder says so, whoever did it; that
folder is the only truth about it. So is a study's.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from bench import trials
from bench._files import write_atomic
from bench._folders import COMPLETE
from bench.contracts import BenchError

STAGES = ("features", "runs")
STUDY = "study-"  # how the lease of a task begins that goes on with a study; that of a run is the run's id
CANCELLED, FINISHED = "cancelled", "finished"
ATTEMPTS = 5  # of a task within a submission whose worker died or whose machine failed; being stopped in good order counts for none


class Tasks(Sequence[dict[str, Any]]):
    """The tasks of a stage, in the order in which they are best begun; each is read when it is asked for, for there may be many.

    Args:
        path: a file of lines of JSON: the leases of all tasks in the first, then a task a line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def leases(self) -> list[str]:
        """The name of the claim on each task; of one that makes a run it is the run's id.

        Raises:
            BenchError: the file is absent or damaged.
        """
        try:
            with self._path.open("rb") as file:
                found = _parsed(self._path, file.readline()).get("leases")
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if not isinstance(found, list) or not all(isinstance(lease, str) for lease in found):
            raise _unreadable(self._path, "its first line tells no leases")
        return found

    @cached_property
    def _lines(self) -> list[bytes]:
        lines = self._path.read_bytes().splitlines()[1:] if self.leases else []
        if len(lines) != len(self.leases):
            raise _unreadable(self._path, f"it has {len(lines)} of {len(self.leases)} tasks")
        return lines

    def __len__(self) -> int:
        return len(self.leases)

    @overload
    def __getitem__(self, number: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, number: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, number: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """A task. Raises BenchError where the file is damaged."""
        if isinstance(number, slice):
            return [_parsed(self._path, line) for line in self._lines[number]]
        return _parsed(self._path, self._lines[number])


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
    def stages(self) -> dict[str, Tasks]:
        """The tasks of each stage."""
        return {stage: Tasks(self.folder / f"{stage}.jsonl") for stage in STAGES}

    def run_id(self, stage: str, number: int) -> str | None:
        """The run that a task makes; None where it makes features, or goes on with a study."""
        if stage != "runs" or "study" in self.stages[stage][number]:
            return None
        return self.stages[stage].leases[number]

    def is_open(self, stage: str, number: int) -> bool:
        """Whether a task is still to be done."""
        if stage == "runs" and self.is_complete(number):
            return False
        return not any(path.is_file() for path in self._done(stage, number))

    def is_complete(self, number: int) -> bool:
        """Whether the run of a task of the stage "runs" is complete, or nothing is left of its study, whoever did it."""
        run_id = self.stages["runs"].leases[number]
        if run_id.startswith(STUDY):
            task = self.stages["runs"][number]
            with suppress(BenchError):  # a damaged study is said by who goes on with it
                return trials.is_done(self.home, task["study"], task["seeds"])
            return False
        return os.path.isfile(f"{self._runs}/{run_id[:2]}/{run_id}/{COMPLETE}")  # noqa: PTH113 - a hundred thousand of them

    @cached_property
    def _runs(self) -> str:
        return str(self.home / "runs")

    def open_tasks(self, stage: str) -> list[int]:
        """Numbers of the tasks that are still to be done, in their order. Features that no run waits for any more need not be."""
        tasks, runs = range(len(self.stages[stage])), range(len(self.stages["runs"]))
        if not tasks or stage == "features" and runs and not any(self.is_open("runs", n) for n in runs):
            return []
        ended = {number for _, number in self._ended(stage)}
        rest = [number for number in tasks if number not in ended]
        return [number for number in rest if not self.is_complete(number)] if stage == "runs" else rest

    def close(self, stage: str, number: int, result: Mapping[str, Any]) -> None:
        """Say what a task came to: counts, or `error` and `traceback`; `lost` where it was given up without an answer."""
        ended, lost = self._done(stage, number)
        write_atomic(lost if result.get("lost") else ended, json.dumps(dict(result)))

    def result(self, stage: str, number: int) -> dict[str, Any] | None:
        """What `close` was told; None where the task is open, or its run was done by another submission."""
        return next((_json(path) for path in self._done(stage, number) if path.is_file()), None)

    def results(self, stage: str) -> list[dict[str, Any]]:
        """What was told of a stage's tasks, in their order."""
        found = (self.result(stage, number) for number in sorted({number for _, number in self._ended(stage)}))
        return [r for r in found if r is not None]

    def lost(self, stage: str) -> list[dict[str, Any]]:
        """What was told of the tasks that were given up, and that no answer and no complete run makes good since."""
        ended = list(self._ended(stage))
        answered = {number for kind, number in ended if kind == "json"}
        found = sorted(number for kind, number in ended if kind == "lost" and number not in answered)
        if stage == "runs":
            found = [number for number in found if not self.is_complete(number)]
        elif found and (runs := range(len(self.stages["runs"]))) and all(map(self.is_complete, runs)):
            found = []
        return [r for number in found if (r := self.result(stage, number))]

    def _ended(self, stage: str) -> Iterator[tuple[str, int]]:
        """Kind ("json", "lost") and number of all that was told of a stage's tasks."""
        try:
            with os.scandir(self.folder / "done") as entries:
                names = [e.name for e in entries]
        except FileNotFoundError:
            return
        for name in names:
            if found := re.fullmatch(rf"{stage}-(\d+)\.(json|lost)", name):
                yield found[2], int(found[1])

    def attempt(self, stage: str, number: int) -> Path:
        """Record that a worker begins a task; remove the file if it is not the task's or the worker's fault that it ends."""
        path = self.folder / "attempts" / f"{stage}-{number}.{secrets.token_hex(4)}"
        path.parent.mkdir(exist_ok=True)
        path.touch(exist_ok=False)
        return path

    def num_videos(self) -> tuple[int, int]:
        """Videos whose features are a task: those that are through, by what workers note in their attempts, and all of them."""
        ended = {number for _, number in self._ended("features")}
        through = {number: size for number, size in enumerate(self._sizes) if number in ended}
        for path in (self.folder / "attempts").glob("features-*"):
            number = int(path.stem.partition("-")[2])
            if number not in ended:
                with suppress(OSError, ValueError):  # it ended meanwhile, or nothing was noted yet
                    through[number] = max(through.get(number, 0), int(path.read_text()))
        return sum(through.values()), sum(self._sizes)

    @cached_property
    def _sizes(self) -> list[int]:
        return [len(task["positions"]) for task in self.stages["features"]]

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
        for path in (self.folder / "done").glob("*.lost"):
            path.unlink(missing_ok=True)

    @property
    def is_left(self) -> bool:
        """Whether anything is left of it: a task is open, or was given up."""
        return any(self.open_tasks(stage) or self.lost(stage) for stage in STAGES)

    @property
    def is_finished(self) -> bool:
        """Whether it was said that nothing is left of it: whoever looks need not ask after its tasks."""
        return (self.folder / FINISHED).is_file()

    def finish(self) -> None:
        """Say that nothing is left of it, where that is so."""
        if not self.is_left:
            write_atomic(self.folder / FINISHED, "")

    def discard(self) -> None:
        """Remove it whole: it never came to be."""
        (self.folder / "submission.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def total_attempts(self, stage: str) -> int:
        """How often workers began tasks of a stage and did not end them."""
        return sum(1 for _ in (self.folder / "attempts").glob(f"{stage}-*"))

    def _done(self, stage: str, number: int) -> tuple[Path, Path]:
        """Where it is told what a task came to, and where that it was given up."""
        path = self.folder / "done" / f"{stage}-{number}"
        return path.with_suffix(".json"), path.with_suffix(".lost")


def create(home: Path, stages: Mapping[str, Sequence[Mapping[str, Any]]], told: Mapping[str, Any]) -> Job:
    """Write a submission; `told` goes into submission.json, which is written last."""
    folder = home / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    for stage in STAGES:
        tasks = stages.get(stage, ())
        lines = [{"leases": [task["lease"] for task in tasks]}, *tasks]
        write_atomic(folder / f"{stage}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
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
        return _parsed(path, path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    """A record of a file. Raises BenchError where it is none."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no record")
    except ValueError as error:
        raise _unreadable(path, error) from error
    return found


def _unreadable(path: Path, why: object) -> BenchError:
    return BenchError(
        f"{path} cannot be read ({why}); delete the folder of this submission and start the same command again"
    )
