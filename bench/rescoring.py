"""Every metric again from the stored predictions: for a new metric or a mended one. Needs no GPU, no data and no torch.

The scores of one run are replaced by one rename: whenever this is stopped, each run has its old scores or its new ones, and the same
call does what is left.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import index, metrics, records, store
from bench._processes import cores, leave_with_parent
from bench.contracts import BenchError

MANY = 400  # runs that are worth processes of their own


@dataclass(frozen=True)
class Change:
    """A metric of a run before and after; None where it was not there, or is no longer."""

    run_id: str
    metric: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class Rescored:
    """What came of it: runs looked at, runs whose file was or would be replaced, what moved, and run id -> why one cannot be scored."""

    num: int
    replaced: tuple[str, ...]
    changes: tuple[Change, ...]
    damaged: dict[str, str]


def complete_runs(home: Path) -> list[str]:
    """Ids of all complete runs, superseded ones too."""
    return [run_id for run_id, stamp in index.scan(home).items() if stamp.marker == store.COMPLETE]


def rescore(
    home: Path,
    run_ids: Sequence[str] | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Rescored:
    """Compute every metric of complete runs anew and replace the scores that differ, or were made by another metrics version.

    Args:
        run_ids: whole ids; None is all complete runs.
        dry_run: say what would change and write nothing.
        workers: processes; None is one a core where there are many runs, otherwise this one alone.

    Raises:
        BenchError: a run that is not complete, or of another schema.
    """
    ids = list(dict.fromkeys(run_ids)) if run_ids is not None else complete_runs(home)
    for run_id in run_ids or ():
        if not store.is_complete(home, run_id):
            raise BenchError(f"run {run_id} is not complete under {home}, so it has no predictions to score")
    count = workers or (cores() if len(ids) >= MANY else 1)
    one = functools.partial(_rescore_one, home, dry_run)
    outcomes: list[_One] = []
    if count == 1:
        for done, run_id in enumerate(ids, start=1):
            outcomes.append(one(run_id))
            progress(done, len(ids))
    else:
        # Started afresh, not forked: a fork beside another library's threads may hang.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, spawn, initializer=leave_with_parent) as pool:
            for done, outcome in enumerate(pool.map(one, ids, chunksize=32), start=1):
                outcomes.append(outcome)
                progress(done, len(ids))
    return Rescored(
        num=len(ids),
        replaced=tuple(o.run_id for o in outcomes if o.replaced),
        changes=tuple(change for o in outcomes for change in o.changes),
        damaged={o.run_id: o.problem for o in outcomes if o.problem},
    )


@dataclass(frozen=True)
class _One:
    run_id: str
    changes: tuple[Change, ...] = ()
    replaced: bool = False
    problem: str = ""


def _rescore_one(home: Path, dry_run: bool, run_id: str) -> _One:
    try:
        store.read_record(home, run_id)
        found = store.read_predictions(home, run_id)
        new = score(found)
    except BenchError as error:
        return _One(run_id, problem=str(error))
    try:
        old, version, num = records.scored(home, run_id)
    except BenchError:
        old, version, num = {}, None, 0  # what is damaged is written again
    changes = [Change(run_id, m, old.get(m), new.get(m)) for m in dict.fromkeys([*old, *new])]
    moved = tuple(c for c in changes if not same(c.old, c.new))
    stale = bool(moved) or version != metrics.VERSION or num != len(found.labels)
    if stale and not dry_run:
        store.write_scores(home, run_id, new)
    return _One(run_id, moved, stale)


def score(found: store.Predictions) -> dict[str, float]:
    """Metric -> value of stored predictions, by the metrics as they are now, but for those that the predictions cannot give."""
    parts = [found.parts] if len(found.parts) else []
    scores = metrics.compute(found.logits, found.labels, *parts)
    return {name: value for name, value in scores.items() if name not in found.not_scored}


def same(old: float | None, new: float | None, relative: float = 0.0) -> bool:
    """Whether two scores are one, up to a share of the larger; None is one that there is not."""
    if old is None or new is None:
        return old is new
    return math.isclose(old, new, rel_tol=relative) or (math.isnan(old) and math.isnan(new))
