"""What lies in $BENCH_HOME, how big it is, and what of it nothing refers to any more."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import jobs, places
from bench._files import FORGOTTEN_S, is_abandoned
from bench._folders import COMPLETE, FAILED
from bench.contracts import BenchError
from bench.leases import Leases

RECORD = "run.json"
WHAT = {
    "runs": "runs: records, predictions, scores",
    "report": "tables and plots",
    "reports": "tables and plots",
    "index": "a cache of all runs",
    "jobs": "submissions and their logs",
    "checkpoints": "trainings that are under way",
    "leases": "claims of workers that are at work",
    "studies": "trials of tuning",
    "manifests": "lists of videos",
    "plans": "a cache of plans",
    "data": "data sets that were made here",
    "weights": "weights of backbones",
    "videos": "what was seen of videos; looked at again where it is missing",
}


@dataclass(frozen=True)
class Part:
    """A folder of a home, by its path in it, or of a shared store of features, by its whole path; its bytes and the number of its files."""

    name: str
    kind: str
    num_bytes: int
    num_files: int


@dataclass(frozen=True)
class Waste:
    """A file or folder that nothing refers to, and why."""

    path: Path
    why: str
    num_bytes: int


def parts(home: Path) -> list[Part]:
    """What lies in a home, the biggest first; the stores of features one by one, also where they are shared."""
    found = []
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if path.name != places.FEATURES and path.is_dir() and not path.is_symlink():
            found.append(Part(path.name, WHAT.get(path.name, ""), *_size(path)))
    stores, mark = places.features(home), ", shared" if places.is_shared(home) else ""
    for path in sorted(stores.iterdir()) if stores.is_dir() else []:
        name = str(path if mark else path.relative_to(home))
        kind = WHAT.get(path.name, f"stored features{mark}; computed again where they are missing")
        found.append(Part(name, kind, *_size(path)))
    return sorted(found, key=lambda part: -part.num_bytes)


def waste(home: Path, days: float, failed: bool = False) -> list[Waste]:
    """What can go: what killed processes left behind, checkpoints of complete runs, and what nobody has needed for `days`.

    That are submissions that are done, were cancelled, or were left where they ran, and features that no run was made from. Features
    that a group shares stay: who needs them is not to be seen from one home.

    Args:
        failed: whether runs that failed, or cannot run, go as well: they are done anew when they are asked for again.

    Raises:
        BenchError: a negative number of days.
    """
    if days < 0:
        raise BenchError(f"{days} days ago is in the future; give 0 or more")
    return [
        Waste(path, why, _size(path)[0])
        for path, why in (
            *_leftovers(home),
            *_checkpoints(home),
            *_submissions(home, days),
            *_stores(home, days),
            *(_failures(home) if failed else ()),
        )
    ]


def remove(found: Waste) -> bool:
    """Delete it, whole; whether it is gone, for in a folder that others use it may be theirs."""
    if found.path.is_dir():
        shutil.rmtree(found.path, ignore_errors=True)
    else:
        with suppress(OSError):
            found.path.unlink(missing_ok=True)
    return not os.path.lexists(found.path)


def _leftovers(home: Path) -> Iterator[tuple[Path, str]]:
    shared = [*places.features(home).glob(".*"), *places.features(home).glob("*/.*")] if places.is_shared(home) else []
    for left in sorted((*home.glob("**/.*"), *shared)):
        if left.suffix in (".part", ".tmp") and (is_abandoned(left) or _age(left) > FORGOTTEN_S):
            yield left, f"a {'file' if left.is_file() else 'folder'} whose process was killed while it was written"
    claims = {places.claims(home, stage) for stage in jobs.STAGES}
    for path in sorted(p for folder in claims for p in folder.glob("[!.]*")):
        holder = Leases(path.parent).holder(path.name)
        if (holder is not None and holder.is_gone) or _age(path) > FORGOTTEN_S:
            yield path, "the claim of a worker that is gone"


def _checkpoints(home: Path) -> Iterator[tuple[Path, str]]:
    for folder in sorted((home / "checkpoints").glob("*")):
        if (home / "runs" / folder.name[:2] / folder.name / COMPLETE).is_file():
            yield folder, "checkpoints of a complete run"


def _failures(home: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(home.glob(f"runs/*/*/{FAILED}")):
        if not (path.parent / COMPLETE).is_file():
            yield path.parent, "a run without a result"


def _submissions(home: Path, days: float) -> Iterator[tuple[Path, str]]:
    for job_id in jobs.all_ids(home):
        job = jobs.Job(home / "jobs" / job_id)
        if min(map(_age, (job.folder, *job.folder.glob("*/")))) < days * 24 * 3600:
            continue
        # What is open and on Slurm may wait in a queue; elsewhere whoever launched it would have touched it.
        try:
            if not _is_open(job):
                yield job.folder, f"a submission that has been done for {days:g} days, with its logs"
            elif job.is_cancelled or job.submission.get("where") != "slurm":
                yield job.folder, f"a submission that was left undone for {days:g} days, with its logs"
        except BenchError:  # nobody goes on with it
            yield job.folder, f"a submission that is damaged, of {days:g} days ago or more, with its logs"


def _is_open(job: jobs.Job) -> bool:
    return any(job.open_tasks(stage) for stage in job.stages)


def _stores(home: Path, days: float) -> Iterator[tuple[Path, str]]:
    """Stores of features that no run was made from; a store that grows, or that open work may be waiting for, stays."""
    try:
        waiting = any(_is_open(jobs.Job(home / "jobs" / job_id)) for job_id in jobs.all_ids(home))
    except BenchError:
        waiting = True  # what a damaged one waits for is not known
    if places.is_shared(home) or waiting:
        return
    used: set[str] = set()
    whose: set[str] = set()  # backbones of runs that do not tell which store they were made from
    for record in (*home.glob(f"runs/*/*/{RECORD}"), *home.glob(f"runs/*/*/{FAILED}")):
        try:
            told = json.loads(record.read_bytes())
        except ValueError:
            return  # nobody knows what that one was made from
        if store := told.get("features"):
            used.add(store)
        else:
            whose.add(told.get("identity", {}).get("backbone", ""))
    for path in sorted((home / places.FEATURES).glob("[!.]*/")):
        needed = path.name in used or path.name.rpartition("-")[0] in whose
        if not needed and _age(path) >= days * 24 * 3600:
            yield path, f"features that no run was made from, the last of them {days:g} days ago or more"


def _age(path: Path) -> float:
    """Seconds since it was last written; 0 where it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> tuple[int, int]:
    """Bytes and number of files of a file or folder."""
    if not path.is_dir():
        return (path.lstat().st_size if path.exists() else 0), 1
    total = num = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(Path(folder) / name).st_size  # noqa: PTH116 - links are not followed
                num += 1
            except OSError:
                continue
    return total, num
