"""Planned runs onto workers: debug (in this process) or local (one worker a core), through submitit.

Two stages: missing features first, in shards; then the runs. The folders of the home are the only truth: workers claim tasks by
creating files, finished work is seen in the feature stores and in COMPLETE, and a worker that dies costs what it had in hand.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import submitit

from bench import devices, store
from bench._files import write_atomic
from bench._inside import ROOT, check_packages
from bench._processes import cores
from bench._progress import bars
from bench.contracts import BenchError
from bench.features import SHARD_ROWS, check_room
from bench.planning import feature_store, load_adapter, load_manifest, needs, resolved_from_dict, resolved_to_dict
from bench.provenance import COMMAND

if TYPE_CHECKING:
    from rich.progress import Progress

    from bench.specs import ResolvedRun

PLACES = ("debug", "local")
SHARDS_A_GPU_TASK = 64
RUN_WORKERS_A_GPU = 4  # each holds a backbone in the GPU's memory
ROUNDS = 3  # times that work lost with its worker is given to new ones
POLL_S = 0.3
TIMEOUT_MIN = 7 * 24 * 60  # submitit takes every job of 10 minutes or less for timed out


@dataclass(frozen=True)
class Failure:
    """A run without a result: status "failed", "n/a" or "lost" (its worker died), and the reason in a line."""

    run_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a launch came to. `encoded` counts rows sent through `encode_video`, `stored` rows that were there before."""

    complete: int
    before: int
    encoded: int
    stored: int
    undecodable: int
    failures: tuple[Failure, ...]
    notes: tuple[Failure, ...]
    logs: Path | None


def launch(planned: Sequence[ResolvedRun], home: Path, where: str, workers: int | None = None) -> Outcome:
    """Bring every planned run to COMPLETE that is not there yet.

    Args:
        where: "debug" does all of it in this process, where a debugger works; "local" starts one worker a core.
        workers: how many workers; None is one a core.

    Raises:
        BenchError: an unknown place, or a run folder of another schema.
    """
    if where not in PLACES:
        raise BenchError(f"unknown place {where!r}; runs go to {' or '.join(PLACES)}")
    if workers is not None and workers < 1:
        raise BenchError(f"{workers} workers do nothing; give 1 or more")
    todo = [r for r in planned if not store.is_complete(home, r.run_id)]
    before = len(planned) - len(todo)
    if not todo:
        return Outcome(len(planned), before, 0, 0, 0, (), (), None)
    folder = home / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    count = workers or (1 if where == "debug" else cores())
    with bars() as bar:
        stored, tasks, megabytes = _extraction_tasks(todo, home)
        check_room(home / "features", megabytes)
        if tasks:
            bar.console.print(
                f"features still to be computed: {sum(len(t['positions']) for t in tasks)} videos, {megabytes:,.1f} MB"
            )
        _stage("features", tasks, folder, home, where, _gpus() or count, bar)
        _raise_first(folder, "features", "features could not be computed")
        runs = [resolved_to_dict(r) for r in _longest_first(todo)]
        _stage("runs", runs, folder, home, where, min(count, RUN_WORKERS_A_GPU) if _gpus() else count, bar)
    errors = {e.get("run_id"): e["error"] for e in _results(folder, "runs") if "error" in e}
    failures: list[Failure] = []
    notes: list[Failure] = []
    for r in todo:
        if store.is_complete(home, r.run_id):
            continue
        record = store.failure(home, r.run_id) or {
            "status": "lost",
            "reason": errors.get(r.run_id) or f"its worker died; logs under {folder}",
        }
        (notes if record["status"] == "n/a" else failures).append(Failure(r.run_id, record["status"], record["reason"]))
    counts = _results(folder, "features")
    return Outcome(
        complete=len(planned) - len(failures) - len(notes),
        before=before,
        encoded=sum(c["encoded"] for c in counts),
        stored=stored,
        undecodable=sum(c["failed"] for c in counts),
        failures=tuple(failures),
        notes=tuple(notes),
        logs=folder,
    )


def _longest_first(runs: Sequence[ResolvedRun]) -> list[ResolvedRun]:
    """More shots take longer; starting them first keeps the last worker from running alone."""
    return sorted(runs, key=lambda r: -(r.spec.shots or 0))


def _extraction_tasks(todo: Sequence[ResolvedRun], home: Path) -> tuple[int, list[dict[str, Any]], float]:
    """How many needed rows are stored already, the missing ones cut into tasks, and their size in MB (10^6 bytes)."""
    # A worker on a GPU starts its own decoders, which should not come and go with every shard.
    rows = SHARD_ROWS * (SHARDS_A_GPU_TASK if _gpus() else 1)
    stored, megabytes, tasks = 0, 0.0, []
    for need in needs(todo, home):
        manifest, features = load_manifest(home, need.resolved.manifest), feature_store(need.resolved, home)
        missing = features.missing(manifest, need.positions)
        stored += len(need.positions) - len(missing)
        adapter = load_adapter(need.resolved.spec.backbone)
        megabytes += features.estimate_mb(adapter, need.resolved.num_frames, len(missing))
        for start in range(0, len(missing), rows):
            tasks.append({"run": resolved_to_dict(need.resolved), "positions": missing[start : start + rows]})
    return stored, tasks, megabytes


def _stage(
    name: str, tasks: list[dict[str, Any]], folder: Path, home: Path, where: str, count: int, bar: Progress
) -> None:
    """Do all tasks of a stage; tasks whose worker died go to new workers, up to ROUNDS times."""
    if not tasks:
        return
    shown = bar.add_task(name, total=len(tasks))
    write_atomic(folder / f"{name}.json", json.dumps({"home": str(home), "tasks": tasks}))
    for round_number in range(ROUNDS):
        open_tasks = [i for i in range(len(tasks)) if not _done(folder, name, i).is_file()]
        if not open_tasks:
            break
        _round(
            name,
            folder,
            round_number,
            where,
            min(count, len(open_tasks)),
            lambda: bar.update(shown, completed=_finished(folder, name)),
        )
    bar.update(shown, completed=_finished(folder, name))


def _round(name: str, folder: Path, round_number: int, where: str, count: int, tick: Callable[[], None]) -> None:
    if where == "debug":
        work(str(folder), name, round_number, tick)
        return
    # Workers find our packages before any other of the same name, wherever they start.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ[COMMAND] = json.dumps(sys.argv)
    executor = submitit.AutoExecutor(folder=folder / "submitit", cluster="local")
    executor.update_parameters(timeout_min=TIMEOUT_MIN, gpus_per_node=_gpus(), name=f"kpbench-{name}")
    jobs = [executor.submit(work, str(folder), name, round_number) for _ in range(count)]
    try:
        while not all(job.done() for job in jobs):
            tick()
            time.sleep(POLL_S)
    except BaseException:
        for job in jobs:
            job.cancel()
        raise
    tick()


def work(folder: str, stage: str, round_number: int, tick: Callable[[], None] = lambda: None) -> None:
    """What a worker does: take tasks of a stage until none is left. A failed run is recorded in its folder and the next one taken."""
    check_packages()
    from bench import runner

    base = Path(folder)
    plan = json.loads((base / f"{stage}.json").read_text())
    home = Path(plan["home"])
    for number, task in enumerate(plan["tasks"]):
        if _done(base, stage, number).is_file() or not _claim(base, f"{stage}-{round_number}-{number}"):
            continue
        result: dict[str, Any] = {}
        try:
            if stage == "features":
                done = runner.extract_rows(resolved_from_dict(task["run"]), task["positions"], home)
                result = {"encoded": done.encoded, "failed": done.failed, "forward": dict(done.forward)}
            else:
                resolved = resolved_from_dict(task)
                result = {"run_id": resolved.run_id, "log": _log_name()}
                runner.execute(resolved, home)
        except Exception as error:
            # Recorded, a run's traceback in its own folder too; the other tasks go on.
            result |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        write_atomic(_done(base, stage, number), json.dumps(result))
        tick()


def _log_name() -> str | None:
    """Name of the log of the worker that this process is; None where it is the one that launched."""
    try:
        return submitit.JobEnvironment().paths.stderr.name
    except RuntimeError:
        return None


def _claim(folder: Path, name: str) -> bool:
    """Whether this process is the one to do a task: creating a file succeeds once."""
    path = folder / "claims" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _done(folder: Path, stage: str, number: int) -> Path:
    return folder / "done" / f"{stage}-{number}.json"


def _finished(folder: Path, stage: str) -> int:
    return sum(1 for _ in (folder / "done").glob(f"{stage}-*.json"))


def _results(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted((folder / "done").glob(f"{stage}-*.json"))]


def _raise_first(folder: Path, stage: str, what: str) -> None:
    """Stop where a task of a stage failed that everything after it needs."""
    failed = [r for r in _results(folder, stage) if "error" in r]
    if failed:
        raise BenchError(
            f"{what} ({len(failed)} shards): {failed[0]['error']}\n{failed[0]['traceback']}(logs: {folder})"
        )


def _gpus() -> int:
    """How many GPUs extraction has: one, where backbones are loaded on a GPU at all."""
    return int(devices.choose() == "cuda")
