"""What lies in $BENCH_HOME, how big it is, and what of it nothing refers to any more."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import jobs
from bench._files import FORGOTTEN_S, is_abandoned
from bench._folders import COMPLETE
from bench.contracts import BenchError
from bench.leases import Leases

WHAT = {
    "features": "stored features; computed again where they are missing",
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
}


@dataclass(frozen=True)
class Part:
    """A folder of a home: its size in bytes and the number of its files."""

    name: str
    num_bytes: int
    num_files: int


@dataclass(frozen=True)
class Waste:
    """A file or folder that nothing refers to, and why."""

    path: Path
    why: str
    num_bytes: int


def parts(home: Path) -> list[Part]:
    """What lies in a home, the biggest first; the stores of features one by one."""
    found = []
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if path.is_symlink() or not path.is_dir():
            continue
        inside = sorted(path.iterdir()) if path.name == "features" else [path]
        found += [Part(str(p.relative_to(home)), *_size(p)) for p in inside if p.is_dir()]
    return sorted(found, key=lambda part: -part.num_bytes)


def waste(home: Path, days: float) -> list[Waste]:
    """What can go: what killed processes left behind, checkpoints of complete runs, and submissions that have been done for `days`.

    Raises:
        BenchError: a negative number of days.
    """
    if days < 0:
        raise BenchError(f"{days} days ago is in the future; give 0 or more")
    return [
        Waste(path, why, _size(path)[0])
        for path, why in (*_leftovers(home), *_checkpoints(home), *_submissions(home, days))
    ]


def remove(found: Waste) -> None:
    """Delete it, whole."""
    if found.path.is_dir():
        shutil.rmtree(found.path, ignore_errors=True)
    else:
        found.path.unlink(missing_ok=True)


def _leftovers(home: Path) -> Iterator[tuple[Path, str]]:
    for left in sorted(home.glob("**/.*")):
        if left.suffix in (".part", ".tmp") and (is_abandoned(left) or _age(left) > FORGOTTEN_S):
            yield left, f"a {'file' if left.is_file() else 'folder'} whose process was killed while it was written"
    leases = Leases(home / "leases")
    for path in sorted((home / "leases").glob("[!.]*")):
        holder = leases.holder(path.name)
        if (holder is not None and holder.is_gone) or _age(path) > FORGOTTEN_S:
            yield path, "the claim of a worker that is gone"


def _checkpoints(home: Path) -> Iterator[tuple[Path, str]]:
    for folder in sorted((home / "checkpoints").glob("*")):
        if (home / "runs" / folder.name[:2] / folder.name / COMPLETE).is_file():
            yield folder, "checkpoints of a complete run"


def _submissions(home: Path, days: float) -> Iterator[tuple[Path, str]]:
    for job_id in jobs.all_ids(home):
        job = jobs.Job(home / "jobs" / job_id)
        if _age(job.folder) < days * 24 * 3600 or any(job.open_tasks(stage) for stage in job.stages):
            continue
        yield job.folder, f"a submission that has been done for {days:g} days, with its logs"


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
