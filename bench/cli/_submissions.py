"""What `status` shows of submissions: what is left of each, and where its jobs are in Slurm's queue; once, or live."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from bench import jobs, slurm, training_log
from bench.cli._common import err, out, print_table
from bench.contracts import BenchError
from bench.leases import Leases

POLL_S = 2.0
DONE, FAILED, GOING = 0, 1, 3  # exit codes of status: what became of the submissions
Queue = Mapping[str, Mapping[str, int]]  # submission -> state -> how many of its jobs


def submissions(home: Path, ask: Callable[[], Queue | None] | None = None) -> tuple[list[tuple[str, ...]], int]:
    """A row for each submission with something left or that is damaged, and the exit code that they come to together.

    Args:
        ask: what Slurm has in its queue, None where that cannot be known; `slurm.queue`, which raises then, unless given.
    """
    rows, code, known, was_asked = [], DONE, None, False
    leases = Leases(home / "leases")
    held = {
        path.name
        for path in leases.folder.glob("[!.]*")
        if (holder := leases.holder(path.name)) is None or not holder.is_gone
    }
    for job_id in jobs.all_ids(home):
        job = jobs.Job(home / "jobs" / job_id)
        if job.is_finished:
            continue
        try:
            left = {stage: len(job.open_tasks(stage)) for stage in jobs.STAGES}
            lost = sum(len(job.lost(stage)) for stage in jobs.STAGES)
            on_slurm = slurm.is_on_slurm(job)
        except BenchError as error:  # the others are shown all the same
            if (job.folder / "submission.json").is_file():  # else it was discarded while we looked
                code = max(code, FAILED)
                rows.append((job_id, *[""] * 5, f"damaged: {error}"))
            continue
        if not any(left.values()) and not lost:
            continue
        if on_slurm and not was_asked:
            known, was_asked = (ask or slurm.queue)(), True
        states = (known or {}).get(job_id, {})
        state = ", ".join(f"{number} {name.lower()}" for name, number in sorted(states.items()))
        in_hand = sum(lease in held for stage in jobs.STAGES for lease in job.stages[stage].leases)
        if states:
            code = GOING
        elif job.is_cancelled:
            state = "cancelled"
        elif not on_slurm:
            state = "here" if in_hand else "here; where it was broken off, the same command goes on"
        elif known is None:
            code, state = GOING, "not known: Slurm does not answer"
        else:
            state = "not in the queue; python -m bench resume"
        code = max(code, FAILED)
        done = [f"{len(job.stages[s]) - left[s]}/{len(job.stages[s])}" for s in jobs.STAGES]
        rows.append((job_id, str(job.submission.get("sweep", "")), *done, str(in_hand), str(lost), state))
    return rows, code


def table() -> Table:
    """The head of the table of submissions."""
    return Table("submission", "sweep", "features", "runs", "in hand", "lost", "in Slurm's queue", box=None)


def show_submissions(home: Path) -> int:
    """Print the submissions with something left, and the trainings under way; the exit code."""
    rows, code = submissions(home, _queue)
    if rows:
        print_table(table(), rows)
    if trainings := _trainings(home):
        print_table(_training_table(), trainings)
    return code


def _queue() -> Queue | None:
    """What is in Slurm's queue; None, and said why, where Slurm does not tell: what is on disk can be shown all the same."""
    try:
        return slurm.queue()
    except BenchError as error:
        err.print(str(error))
        return None


def _training_table() -> Table:
    return Table("in training", "epochs", "mean loss, top-1 on validation", box=None)


def _trainings(home: Path) -> list[tuple[str, str, str]]:
    """A row for each training that a worker has in hand."""
    return [(t.run_id, f"{int(t.done)}/{t.epochs}", t.text) for t in training_log.under_way(home)]


def watch(home: Path) -> int:
    """The same, live, until nothing is in the queue any more."""
    from rich.console import Group
    from rich.live import Live

    def drawn(rows: list[tuple[str, ...]]) -> Any:
        shown, trained = table(), _training_table()
        for row in rows:
            shown.add_row(*row)
        for row in (trainings := _trainings(home)):
            trained.add_row(*row)
        return Group(shown, trained) if trainings else shown

    rows, code = submissions(home)
    if not out.is_terminal:  # a log wants each change, and no cursor
        shown = None
        while code == GOING:
            if rows != shown:
                print_table(table(), rows)
            shown = rows
            time.sleep(POLL_S)
            rows, code = _looked(home, rows, code)
        return show_submissions(home)
    with Live(drawn(rows), console=out, refresh_per_second=4, transient=True) as live:
        while code == GOING:
            time.sleep(POLL_S)
            rows, code = _looked(home, rows, code)
            live.update(drawn(rows))
    return show_submissions(home)


def _looked(home: Path, rows: list[tuple[str, ...]], code: int) -> tuple[list[tuple[str, ...]], int]:
    """As `submissions`; what was known before where Slurm is away for a while."""
    try:
        return submissions(home)
    except BenchError as error:
        err.print(str(error))
        return rows, code
