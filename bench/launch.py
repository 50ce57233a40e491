"""Planned runs onto workers: debug (in this process) or local (one worker a core or GPU), through submitit.

Two stages: missing features first, in shards; then the runs. The folders of the home are the only truth: workers claim tasks by
leases, finished work is seen in the feature stores and in COMPLETE, and a worker that dies costs what it had in hand.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import submitit

from bench import devices, jobs, places, store, training_log, trials, worker
from bench._inside import ROOT
from bench._processes import cores
from bench._progress import Those, bars
from bench.contracts import BenchError
from bench.features import check_room
from bench.provenance import COMMAND, source_digest
from bench.work import SHARDS_A_GPU_TASK, is_open, work_of, work_of_studies

if TYPE_CHECKING:
    from rich.progress import Progress

    from bench.jobs import Job
    from bench.specs import ResolvedRun
    from bench.tuning import Study

PLACES = ("debug", "local")
RUN_WORKERS_A_GPU = 4  # each holds a backbone in the GPU's memory
ROUNDS = 3  # of workers in which nothing was done or tried, then it is given up
POLL_S = 0.3
TIMEOUT_MIN = 7 * 24 * 60  # submitit takes every job of 10 minutes or less for timed out
STDERR = 2  # its file descriptor
GRACE_S = 10.0  # for workers that are asked to stop


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
    count = _count(where, workers)
    todo = [r for r in planned if not store.is_complete(home, r.run_id)]
    if not todo:
        return Outcome(len(planned), len(planned), 0, 0, 0, (), (), None)
    gpus = devices.count()
    together = gpus_a_run(todo, gpus)
    with bars() as bar:
        work = work_of(todo, home, shards=SHARDS_A_GPU_TASK if gpus else 1)
        check_room(places.features(home), work.megabytes)
        if work.num_videos:
            bar.console.print(f"features still to be computed: {work.num_videos} videos, {work.megabytes:,.1f} MB")
        job = jobs.create(home, work.stages, {"where": where, "source": source_digest()})
        _stage(job, "features", where, min(count, gpus) if gpus else count, gpus, bar)
        _raise_first(job)
        _stage(job, "runs", where, _num_at_once(count, gpus, together), gpus, bar, together=together)
    return outcome(planned, len(planned) - len(todo), work.stored, job)


def launch_studies(
    studies: Sequence[Study], seeds: Sequence[int], home: Path, where: str, workers: int | None = None
) -> None:
    """Bring studies to their end, and the best configuration of each on test, once for each seed: all of it is one submission.

    Raises:
        BenchError: an unknown place, studies of different budgets, or one that could not be brought to its end.
    """
    from bench.tuning import check_budgets  # which brings Optuna

    check_budgets(studies)
    gpus, count = devices.count(), _count(where, workers)
    unfinished = [s for s in studies if is_open(s, seeds, home)]
    if not unfinished:
        return
    together = gpus_a_run([s.resolved for s in unfinished], gpus)
    with bars() as bar:
        work = work_of_studies(unfinished, seeds, home, count, SHARDS_A_GPU_TASK if gpus else 1)
        check_room(places.features(home), work.megabytes)
        job = jobs.create(home, work.stages, {"where": where, "source": source_digest()})
        _stage(job, "features", where, min(count, gpus) if gpus else count, gpus, bar)
        _raise_first(job)
        budget = sum(s.trials for s in unfinished)
        shown = bar.add_task("trials", total=budget)
        _stage(
            job,
            "runs",
            where,
            _num_at_once(count, gpus, together),
            gpus,
            bar,
            lambda: bar.update(shown, completed=sum(trials.num_ended(home, s.study_id) for s in unfinished)),
            together,
        )
    for s in unfinished:
        if is_open(s, seeds, home):
            said = next((r["error"] for r in job.results("runs") if "error" in r), "its workers died")
            raise BenchError(
                f"study {s.study_id} was not brought to its end: {said} (logs: {job.folder}); start the same command again"
            )


def gpus_a_run(planned: Sequence[ResolvedRun], gpus: int) -> int:
    """How many of the machine's `gpus` each worker gets: as many as the widest run has `processes`; none of the others has more than one.

    Raises:
        BenchError: there are not so many.
    """
    most = max(int(dict(r.config).get("processes", 1)) for r in planned)
    if gpus and most > gpus:
        raise BenchError(
            f"a run has processes={most}, one a GPU, and there are {gpus} GPUs here; lower it, which is another setting, or take a machine "
            "with more"
        )
    return most


def _num_at_once(count: int, gpus: int, together: int) -> int:
    """How many of `count` workers of runs the GPUs take; all of them where there is none."""
    if not gpus:
        return count
    return min(count, gpus * RUN_WORKERS_A_GPU if together == 1 else gpus // together)


def visible_gpus(index: int, gpus: int, together: int) -> list[int]:
    """Which GPUs the worker of this number has."""
    return [(index * together + n) % gpus for n in range(together)] if gpus else []


def _count(where: str, workers: int | None) -> int:
    """How many workers there are to be. Raises BenchError on an unknown place, or on none."""
    if where not in PLACES:
        raise BenchError(f"unknown place {where!r}; runs go to {' or '.join(PLACES)}")
    if workers is not None and workers < 1:
        raise BenchError(f"{workers} workers do nothing; give 1 or more")
    return workers or (1 if where == "debug" else cores())


def outcome(planned: Sequence[ResolvedRun], before: int, stored: int, job: Job) -> Outcome:
    """What became of the planned runs, as their folders and the submission tell it."""
    told = {r.get("run_id"): r for r in job.results("runs")}
    failures: list[Failure] = []
    notes: list[Failure] = []
    for r in planned:
        if store.is_complete(job.home, r.run_id):
            continue
        mine = told.get(r.run_id, {})
        record = None if mine.get("lost") else store.failure(job.home, r.run_id)
        record = record or {
            "status": "lost",
            "reason": mine.get("error") or f"its worker died; logs under {job.folder}",
        }
        (notes if record["status"] == "n/a" else failures).append(Failure(r.run_id, record["status"], record["reason"]))
    counts = [c for stage in jobs.STAGES for c in job.results(stage) if "encoded" in c]
    return Outcome(
        complete=len(planned) - len(failures) - len(notes),
        before=before,
        encoded=sum(c["encoded"] for c in counts),
        stored=stored,
        undecodable=sum(c["failed"] for c in counts),
        failures=tuple(failures),
        notes=tuple(notes),
        logs=job.folder,
    )


def worker_environment(root: Path = ROOT) -> None:
    """Set for the workers that this process starts: they find the packages under `root` before any other of the same name."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ[COMMAND] = json.dumps(sys.argv)


def _stage(
    job: Job,
    stage: str,
    where: str,
    count: int,
    gpus: int,
    bar: Progress,
    more: Callable[[], None] = lambda: None,
    together: int = 1,
) -> None:
    """Do all tasks of a stage; what workers that died leave undone goes to new ones. `together` are the GPUs that each worker has."""
    total = len(job.stages[stage])
    if not total:
        return
    shown, trainings = bar.add_task(stage, total=None), Those(bar)

    def tick() -> None:
        # Of features the videos: a task of them is many.
        done, of = job.num_videos() if stage == "features" else (total - len(job.open_tasks(stage)), total)
        bar.update(shown, completed=done, total=of)
        trainings.show((t.run_id[:6], f"epochs, {t.text}", t.done, t.epochs) for t in training_log.under_way(job.home))
        more()

    def left() -> tuple[int, int]:
        return len(job.open_tasks(stage)), job.total_attempts(stage)

    fruitless, known = 0, left()
    while (num_open := known[0]) and fruitless < ROUNDS:
        if where == "debug":
            with training_log.watched(tick):
                worker.work(str(job.folder), stage, tick=tick)
        else:
            _round(job, stage, min(count, num_open), gpus, tick, together)
        # Workers that die at a task use up its tries; those that die before they begin one would go on for ever.
        now = left()
        fruitless, known = (fruitless + 1 if now == known else 0), now
        if fruitless:
            worker.check_source(job)  # workers that find it changed end, and say so in their logs alone
    tick()


def _round(job: Job, stage: str, count: int, gpus: int, tick: Callable[[], None], together: int) -> None:
    worker_environment()
    started = []
    for index in range(count):
        executor = submitit.AutoExecutor(folder=job.folder / "submitit", cluster="local")
        own = visible_gpus(index, gpus, together)  # submitit's local jobs would all get the first ones
        asked = {"gpus_per_node": len(own)} | ({"local_visible_gpus": own} if own else {})
        executor.update_parameters(timeout_min=TIMEOUT_MIN, name=f"kpbench-{stage}", **asked)
        with _errors_to(job.folder / "submitit" / "helpers.err"):
            started.append(executor.submit(worker.stoppable, str(job.folder), stage, index, count))
    try:
        while not all(s.done() for s in started):
            tick()
            time.sleep(POLL_S)
    except BaseException:
        _stop(started)
        raise
    tick()


@contextmanager
def _errors_to(path: Path) -> Iterator[None]:
    """What starts in this block writes its errors to a file: submitit's helpers end at Ctrl-C with a traceback, over the bars."""
    sys.stderr.flush()
    before = os.dup(STDERR)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            os.dup2(file.fileno(), STDERR)
        yield
    finally:
        os.dup2(before, STDERR)
        os.close(before)


def _stop(started: Sequence[submitit.Job[None]]) -> None:
    """End workers: asked first, which frees what they hold, then killed; nothing of them is left."""
    # Not `cancel` at once: at a terminal Ctrl-C reached submitit's controllers too, and a second one keeps them from killing.
    for s in started:
        with suppress(ProcessLookupError):
            os.kill(int(s.job_id), signal.SIGTERM)  # which a controller passes on
    _wait(started)
    for s in started:
        s.cancel()
    _wait(started)


def _wait(started: Sequence[submitit.Job[None]]) -> None:
    """Up to GRACE_S until they have ended; a second Ctrl-C waits no longer."""
    until = time.monotonic() + GRACE_S
    with suppress(KeyboardInterrupt):
        while time.monotonic() < until and any(s.state == "RUNNING" for s in started):
            time.sleep(0.05)


def _raise_first(job: Job) -> None:
    """Stop where features failed that everything after them needs, or nobody was left to compute them."""
    failed = [r for r in job.results("features") if "error" in r]
    if failed:
        raise BenchError(
            f"features could not be computed ({len(failed)} shards): {failed[0]['error']}\n{failed[0]['traceback']}(logs: {job.folder})"
        )
