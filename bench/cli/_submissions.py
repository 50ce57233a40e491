"""What `status` shows of submissions: what is left of each, and where its jobs are in Slurm's queue; once, or live."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from bench import jobs, places, slurm, training_log
from bench.cli._common import err, out, print_table
from bench.contracts import BenchError
from bench.leases import Leases

POLL_S = 2.0
DONE, FAILED, GOING = 0, 1, 3  # exit codes of status: what became of the submissions
Queue = Mapping[str, Mapping[str, int]]  # submission -> state -> how many of its jobs
Ask = Callable[[], Queue | None]


def submissions(home: Path, ask: Ask | None = None) -> tuple[list[tuple[str, ...]], int]:
    """A row for each submission with something left or that is damaged, and the exit code that they come to together.

    Args:
        ask: as `asking` makes it; called once, and only where something is left on Slurm.
    """
    rows, code, known, was_asked = [], DONE, None, False
    held = {name for folder in {places.claims(home, stage) for stage in jobs.STAGES} for name in _held(folder)}
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
            known, was_asked = (ask or asking())(), True
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


def _held(folder: Path) -> set[str]:
    """The leases of a folder whose holders may be alive."""
    leases = Leases(folder)
    holders = {path.name: leases.holder(path.name) for path in folder.glob("[!.]*")}
    return {name for name, holder in holders.items() if holder is None or not holder.is_gone}


def table() -> Table:
    """The head of the table of submissions."""
    return Table("submission", "sweep", "features", "runs", "in hand", "lost", "in Slurm's queue", box=None)


def show_submissions(home: Path, ask: Ask | None = None) -> int:
    """Print the submissions with something left, and the trainings under way; the exit code."""
    rows, code = submissions(home, ask)
    if rows:
        print_table(table(), rows)
    if trainings := _trainings(home):
        print_table(_training_table(), trainings)
    return code


def asking() -> Ask:
    """How to ask Slurm for its queue again and again: None where it does not tell, for it may be away for a while; why is said once."""
    said = ""

    def ask() -> Queue | None:
        nonlocal said
        try:
            found, now = slurm.queue(), ""
        except BenchError as error:
            found, now = None, str(error)
            if now != said:
                err.print(now)
        said = now
        return found

    return ask


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

    ask = asking()
    rows, code = submissions(home, ask)
    if not out.is_terminal:  # a log wants each change, and no cursor
        shown = None
        while code == GOING:
            if rows != shown:
                print_table(table(), rows)
            shown = rows
            time.sleep(POLL_S)
            rows, code = submissions(home, ask)
        return show_submissions(home, ask)
    with Live(drawn(rows), console=out, refresh_per_second=4, transient=True) as live:
        while code == GOING:
            time.sleep(POLL_S)
            rows, code = submissions(home, ask)
            live.update(drawn(rows))
    return show_submissions(home, ask)
