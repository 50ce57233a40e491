"""What a worker does, wherever it runs: take open tasks of a stage until none is left to it.

A worker may be killed at any instruction. What it had in hand is taken up by another one when its lease lapses; what it finished lies
in the run's folder or the feature store. Failures of a run are recorded in its folder and told in the submission's; what is the
machine's fault is tried again, here after a pause or by another worker, ATTEMPTS times in all.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import submitit

from bench import checkpoints, devices, places, stopping
from bench._inside import check_packages
from bench.contracts import BenchError
from bench.failures import MissingFeaturesError, is_of_accelerator, kind
from bench.jobs import ATTEMPTS, STAGES, Job
from bench.leases import Leases
from bench.provenance import source_digest
from bench.specs import resolved_from_dict

NOTE_S = 1.0  # between two notes of how many videos are encoded
POLL_S = 1.0  # between looks at tasks that others hold
# After faults of the machine in a row; one that lasts longer than all of them is there to stay.
PAUSES_S = (2, 4, 8, 16, 32)


def work(
    folder: str,
    stage: str,
    index: int = 0,
    count: int = 1,
    linger_s: float = math.inf,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Do what is open of a stage of a submission, this worker's share of the tasks first, then what the others have not begun.

    Args:
        folder: the submission's.
        index: which of the stage's `count` workers this is.
        linger_s: how long to wait for tasks of this stage that other workers hold, to take over what they leave undone. What the
            stages before leave undone is waited for as long as it is in somebody's hands: nothing can begin without it.
        tick: called after every task, and about once a second while videos are encoded.

    Raises:
        BenchError: the code is not what was submitted, or this machine lacks the GPU that it is to use.
        Exception: a GPU failed; another process may go on with it.
        Stopped: it was asked to stop; what it held is free again.
    """
    check_packages()
    job = Job(Path(folder))
    check_source(job)
    devices.choose()  # a node that has lost its GPU would fail every task within a second
    # Runs need all features: what extraction left undone, with its node or its time limit, is made up for here.
    for each in STAGES[: STAGES.index(stage) + 1]:
        wait_s = linger_s if each == stage else math.inf
        with Leases(places.claims(job.home, each), job=_log_name() or "") as leases:
            _work(job, each, share(len(job.stages[each]), index, count), leases, wait_s, tick)
            leases.sweep()
    _forget_checkpoints(job)
    job.finish()


def _work(
    job: Job, stage: str, order: Sequence[int], leases: Leases, linger_s: float, tick: Callable[[], None]
) -> None:
    idle_since, faults, waited_for = time.monotonic(), 0, 0
    while remaining := [number for number in order if job.is_open(stage, number)]:
        took = False
        for number in remaining:
            stopping.check()
            ended = _take(job, stage, number, leases, tick)
            took |= ended is not None
            if ended is False:
                if faults < len(PAUSES_S):
                    stopping.wait(PAUSES_S[faults])
                faults += 1
            elif ended:
                faults = 0
        if took:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since >= linger_s:
            return
        else:
            if len(remaining) != waited_for:  # else it was said
                waited_for = len(remaining)
                _say(f"waiting for {waited_for} tasks of {stage} that others have in hand")
            stopping.wait(POLL_S)


def _forget_checkpoints(job: Job) -> None:
    """Remove those of complete runs: a worker may have been killed between the two."""
    folder = job.home / "checkpoints"
    there = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    for number, lease in enumerate(job.stages["runs"].leases):
        if lease in there and job.is_complete(number):
            checkpoints.forget(folder / lease)


def stoppable(folder: str, stage: str, index: int, count: int) -> None:
    """`work` in a process of its own, where Ctrl-C and SIGTERM end it in good order."""
    with stopping.on_signals(), suppress(stopping.Stopped):
        work(folder, stage, index, count)


def share(num: int, index: int, count: int) -> list[int]:
    """The order in which one of `count` workers looks at `num` tasks: every count-th from its own, then its neighbours'.

    Tasks are sorted by length, so that each worker gets some of the long ones.
    """
    return [n for step in range(count) for n in range((index + step) % count, num, count)]


def check_source(job: Job) -> None:
    """Raises BenchError where the code of this process is not the code that was submitted."""
    told, now = job.submission.get("source"), source_digest()
    if told != now:
        raise BenchError(
            f"the source tree changed since {job.job_id} was submitted (digest {told} then, {now} now), and its results would not be "
            "those that were asked for; bring the tree back, or submit again (with --snapshot what runs is a frozen copy)"
        )


def _take(job: Job, stage: str, number: int, leases: Leases, tick: Callable[[], None]) -> bool | None:
    """Do one task: whether it ended, False where the machine's fault keeps it open. None where it is not open, or not free."""
    if not job.is_open(stage, number):
        return None
    lease = leases.take(job.stages[stage].leases[number])
    if lease is None:
        return None
    try:
        if not job.is_open(stage, number):  # somebody finished it before the lease was ours
            return None
        if job.num_attempts(stage, number) >= ATTEMPTS:
            run_id = job.run_id(stage, number)
            lost = f"given up after {ATTEMPTS} tries that ended with their worker or machine"
            job.close(
                stage, number, {"run_id": run_id, "lost": True, "error": lost, "traceback": "", "log": _log_name()}
            )
            return None
        ended = _attempt(job, stage, number, job.stages[stage][number], tick)
    finally:
        lease.release()
    tick()
    return ended


def _attempt(job: Job, stage: str, number: int, task: dict[str, Any], tick: Callable[[], None]) -> bool:
    """Whether a task ended; False where the machine's fault keeps it open."""
    attempt, name = job.attempt(stage, number), job.stages[stage].leases[number]
    _say(f"{name} begun")
    result: dict[str, Any] = {"run_id": job.run_id(stage, number), "log": _log_name()}
    try:
        result |= _do(stage, task, job.home, _counter(attempt, tick))
    except (stopping.Stopped, KeyboardInterrupt):
        attempt.unlink(missing_ok=True)
        _say(f"{name} stopped; it is left")
        raise
    except Exception as error:
        _say(f"{name} failed: {type(error).__name__}: {error}")
        result |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        if kind(error) == "infrastructure":
            said = _failed_features(job, task) if isinstance(error, MissingFeaturesError) else None
            if said is None and job.num_attempts(stage, number) < ATTEMPTS:
                traceback.print_exc()  # into the worker's log; the task stays open
                _end_with_gpu(error)
                return False
            result |= {"lost": True} | ({"error": f"its features could not be computed: {said}"} if said else {})
        job.close(stage, number, result)
        attempt.unlink(missing_ok=True)
        _end_with_gpu(error)
        return True
    job.close(stage, number, result)
    attempt.unlink(missing_ok=True)
    _say(f"{name} done")
    return True


def _say(text: str) -> None:
    """A line of this worker's log, with the time; none where the process is the one that launched, and shows bars."""
    if _log_name():
        with suppress(OSError):  # a full disk is told by what must be written
            print(time.strftime("%H:%M:%S"), text, flush=True)


def _end_with_gpu(error: Exception) -> None:
    """Raises what a GPU failed with: whatever this process asks of it from here on fails, too."""
    if is_of_accelerator(error):
        raise error


def _failed_features(job: Job, task: Mapping[str, Any]) -> str | None:
    """What was said where features of a run's backbone failed; None where none did."""
    own = task["run"]["backbone"] if "run" in task else None  # a study's task names no run
    for number, needed in enumerate(job.stages["features"]):
        said = (job.result("features", number) or {}).get("error")
        if said and needed["run"]["backbone"] == own:
            return str(said)
    return None


def _counter(attempt: Path, tick: Callable[[], None]) -> Callable[[int], None]:
    """Notes in an attempt's file how many videos it is through with: for whoever shows progress, and for nothing else."""
    through, noted_at = 0, -math.inf

    def count(num: int) -> None:
        nonlocal through, noted_at
        through += num
        if time.monotonic() - noted_at >= NOTE_S:
            noted_at = time.monotonic()
            with suppress(OSError):  # a full disk is told by what must be written
                attempt.write_text(str(through))
            tick()

    return count


def _do(stage: str, task: dict[str, Any], home: Path, count: Callable[[int], None]) -> dict[str, Any]:
    """What a task comes to; `count` is called with numbers of videos that are through. Whatever goes wrong with it is raised."""
    from bench import extraction, runner, tuner

    if "study" in task:
        tuner.pursue(task["study"], task["seeds"], home)
        return {}
    resolved = resolved_from_dict(task["run"])
    if stage == "features":
        done = extraction.extract_rows(resolved, task["positions"], home, count)
        return {"encoded": done.encoded, "failed": done.failed, "forward": dict(done.forward)}
    runner.execute(resolved, home)
    return {}


def _log_name() -> str | None:
    """Name of the log of the worker that this process is; None where it is the one that launched."""
    try:
        return submitit.JobEnvironment().paths.stderr.name
    except RuntimeError:
        return None
