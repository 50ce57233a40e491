"""A worker's share of a study: it does whatever trial is open and free, then the best configuration on test, until all is done.

Several workers may do one study, on one machine or many, and any of them may be killed: each asks and tells by itself, from the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import runner, stopping, store, trials
from bench.ask_tell import Replay
from bench.leases import Leases
from bench.tuning import Study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.specs import ResolvedRun

POLL_S = 0.5  # between looks at trials that others are doing


def pursue(study_id: str, seeds: Sequence[int], home: Path) -> None:
    """Bring a study to its end, and its best configuration on test videos, once for each seed.

    Raises:
        BenchError: the study cannot go on as it is; whatever of the machine's fault stood in the way of a run.
        Stopped: this process was asked to stop.
    """
    study = Study.load(home, study_id)
    replay = Replay(study, home)
    with Leases(home / "leases") as leases:
        while open_runs := replay.open_runs() or _final_runs(study, seeds, home):
            took = 0
            for resolved in open_runs:
                stopping.check()
                if lease := leases.take(resolved.run_id):
                    try:
                        took += _do(resolved, home)
                    finally:
                        lease.release()
            if not took:
                stopping.wait(POLL_S)


def _final_runs(study: Study, seeds: Sequence[int], home: Path) -> list[ResolvedRun]:
    """What is to be done on test; nothing where no trial has a result. Which runs these are is written down with the study."""
    runs = study.final_runs(home, seeds) if study.has_result(home) else []
    for seed, run in zip(seeds, runs, strict=bool(runs)):
        trials.write_final(trials.folder(home, study.study_id), seed, run.run_id)
    return [run for run in runs if not _ended(run, home)]


def _ended(resolved: ResolvedRun, home: Path) -> bool:
    return store.is_complete(home, resolved.run_id) or store.failure(home, resolved.run_id) is not None


def _do(resolved: ResolvedRun, home: Path) -> bool:
    """A run to its end, unless somebody ended it before it was ours; its own failure is recorded with it, and is an end."""
    if not _ended(resolved, home):
        try:
            runner.execute(resolved, home)
        except Exception:
            if not _ended(resolved, home):  # asked to stop, or the machine's fault
                raise
    return True
