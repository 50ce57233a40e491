"""The commands for work on a cluster: cancel, resume and logs; and what `run` and `status` do with submissions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bench import jobs, sites, slurm
from bench._files import bench_home
from bench._inside import ROOT
from bench.cli._common import err, out, print_table
from bench.contracts import BenchError

if TYPE_CHECKING:
    from bench.jobs import Job
    from bench.specs import ResolvedRun
    from bench.work import Work

SHOWN = 40  # last lines of a log
POLL_S = 2.0
DONE, FAILED, GOING = 0, 1, 3  # exit codes of status: what became of the submissions

Which = Annotated[str | None, typer.Argument(help="A submission (the first characters do); the last one unless given.")]


def submit(work: Work, site: sites.Site, home: Path, sweep: str, freeze: bool) -> Job:
    """Submit work to Slurm and say how to look at it.

    Args:
        freeze: whether the workers run a copy of the source tree as it is now.

    Raises:
        BenchError: Slurm does not take it; nothing of the submission stays then.
    """
    job = jobs.create(home, work.stages, {"sweep": sweep, **slurm.told(site)})
    try:
        ids = slurm.submit(job, site, slurm.snapshot(job) if freeze else ROOT)
    except BaseException:
        job.discard()
        raise
    what = "studies" if any("study" in task for task in work.stages["runs"]) else "runs"
    num = len({task.get("study", task["lease"]) for task in work.stages["runs"]})
    out.print(f"submitted {job.job_id}: {work.num_videos} videos to encode, {num} {what}")
    for name, arrays in ids.items():
        out.print(f"  {name:8}  Slurm {', '.join(arrays)}")
    out.print("python -m bench status --watch shows it; cancel, resume and logs RUN_ID take it from there")
    return job


def on_site(home: Path) -> tuple[sites.Site, dict[str, Any]]:
    """The site, and how work is cut for it. Raises BenchError on no or a wrong site file."""
    from bench.work import SHARDS_A_GPU_TASK

    site = sites.load(sites.find(home))
    return site, {"shards": SHARDS_A_GPU_TASK if site.device == "cuda" else 1, "device": site.device}


def show_plan(work: Work, todo: Sequence[ResolvedRun], home: Path, site: sites.Site | None) -> None:
    """Say what a launch of this work, `todo` as runs, would start, and how long it takes at the pace of earlier runs."""
    from bench.forecast import forecast

    if site is not None:
        for one in slurm.planned(len(work.stages["features"]), len(work.stages["runs"]), site):
            asked = f"{one.wanted.time_min} min, {one.wanted.cpus} CPUs, {one.wanted.gpus or one.wanted.gres or 0} GPUs"
            out.print(f"  {one.name:8}  {one.count} jobs of {asked}")
    videos: dict[str, int] = {}
    for task in work.stages["features"]:
        name = str(task["run"]["backbone"])
        videos[name] = videos.get(name, 0) + len(task["positions"])
    told = forecast(todo, videos, home)
    out.print(
        f"{work.num_videos} videos to encode ({work.megabytes:,.1f} MB): {told.features_h:.2f} hours; "
        f"{len(todo)} runs: {told.runs_h:.2f} hours, of one worker at the pace of earlier runs here"
    )
    if told.unknown_videos or told.unknown_runs:
        out.print(
            f"nothing like {told.unknown_videos} of these videos and {told.unknown_runs} of these runs was done here yet: not counted"
        )


def wait(job: Job) -> None:
    """Until no job of a submission is in the queue. Ctrl-C leaves it to itself."""
    while slurm.in_queue(job, slurm.queue()):
        time.sleep(POLL_S)


def cancel(which: Which = None) -> None:
    """Take a submission out of Slurm's queue; what is complete stays, and resume goes on. Example: python -m bench cancel"""
    job = jobs.find(bench_home(), which)
    slurm.cancel(job)
    out.print(f"cancelled {job.job_id}; python -m bench resume {job.job_id} goes on with what is left")


def resume(which: Which = None) -> None:
    """Submit what is left of a submission again: what was cancelled, lost with its node, or given up. Example: python -m bench resume"""
    job = jobs.find(bench_home(), which)
    if job.submission.get("where") != "slurm":
        raise BenchError(f"{job.job_id} ran here and not on Slurm; start the same command again")
    if running := slurm.in_queue(job, slurm.queue()):
        raise BenchError(
            f"{job.job_id} has {sum(running.values())} jobs in the queue still; cancel it first, or let it end"
        )
    from bench.worker import check_source

    root = job.folder / "source"
    if not root.is_dir():
        check_source(job)
        root = ROOT
    job.resume()
    left = sum(len(job.open_tasks(stage)) for stage in jobs.STAGES)
    if not left:
        out.print(f"nothing is left of {job.job_id}")
        return
    for name, arrays in slurm.submit(job, sites.load(sites.find(job.home)), root).items():
        out.print(f"  {name:8}  Slurm {', '.join(arrays)}")


def logs(
    run_id: Annotated[str, typer.Argument(help="12 hexadecimal characters, or the first of them.")],
    lines: Annotated[int, typer.Option(help="How many of its last lines.")] = SHOWN,
) -> None:
    """The log of the worker that did a run, or has it in hand. Example: python -m bench logs 0123"""
    home = bench_home(writes=False)
    job, found = _worker_log(home, run_id)
    if found is None:
        raise BenchError(f"no worker has begun the run {run_id} of {job.job_id} yet")
    for path in (found.with_suffix(".out"), found):
        if path.is_file() and (text := path.read_text(errors="replace").splitlines()):
            out.print(f"{path}:")
            for line in text[-lines:]:
                out.print(f"  {line}")


def _worker_log(home: Path, run_id: str) -> tuple[Job, Path | None]:
    """The last submission that holds a run, and the error log of its worker; None where none began it."""
    from bench.leases import Leases

    for job_id in reversed(jobs.all_ids(home)):
        job = jobs.Job(home / "jobs" / job_id)
        for number, task in enumerate(job.stages["runs"]):
            if not str(task["lease"]).startswith(run_id) or not run_id:
                continue
            holder = Leases(home / "leases").holder(str(task["lease"]))
            name = (job.result("runs", number) or {}).get("log") or (holder.job if holder else None)
            return job, job.folder / "submitit" / Path(name).name if name else None
    raise BenchError(f"no submission under {home / 'jobs'} holds a run {run_id!r}")


def du() -> None:
    """What takes the room in $BENCH_HOME. Example: python -m bench du"""
    from bench import disk

    home = bench_home(writes=False)
    found = disk.parts(home)
    rows = [
        (_megabytes(p.num_bytes), f"{p.num_files:,}", p.name, disk.WHAT.get(p.name.partition("/")[0], ""))
        for p in found
    ]
    print_table(Table("MB", "files", "folder", "what", box=None), rows)
    out.print(f"{_megabytes(sum(p.num_bytes for p in found))} MB in {home}")


def gc(
    days: Annotated[
        float, typer.Option(help="Submissions and their logs go when they have been done for so many days.")
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; otherwise it is only said what would go.")] = False,
) -> None:
    """What nothing in $BENCH_HOME refers to: leftovers of killed processes, old submissions. Example: python -m bench gc --days 7 --yes"""
    from bench import disk

    home = bench_home(writes=yes)
    found = disk.waste(home, days)
    for one in found:
        if yes:
            disk.remove(one)
        out.print(f"{_megabytes(one.num_bytes):>10} MB  {one.path.relative_to(home)}  {one.why}")
    total = _megabytes(sum(one.num_bytes for one in found))
    out.print(f"{len(found)} things, {total} MB, {'are gone' if yes else 'could go: --yes deletes them'}")


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f}"


# --- status --------------------------------------------------------------------------------------------------------------


def submissions(home: Path) -> tuple[list[tuple[str, ...]], int]:
    """A row for each submission with something left, and the exit code that they come to together."""
    rows, code, known = [], DONE, None
    for job_id in jobs.all_ids(home):
        job = jobs.Job(home / "jobs" / job_id)
        if job.is_finished:
            continue
        left = {stage: len(job.open_tasks(stage)) for stage in jobs.STAGES}
        lost = sum(bool(r.get("lost")) for stage in jobs.STAGES for r in job.results(stage))
        if not any(left.values()) and not lost:
            continue
        if slurm.arrays(job) and known is None:
            known = slurm.queue()
        states = slurm.in_queue(job, known or {})
        state = ", ".join(f"{number} {name.lower()}" for name, number in sorted(states.items()))
        if states:
            code = max(code, GOING)
        elif any(left.values()) or lost:
            code = max(code, FAILED) if code != GOING else code
            state = (
                "cancelled"
                if job.is_cancelled
                else "not in the queue; python -m bench resume"
                if slurm.arrays(job)
                else "here"
            )
        done = [f"{len(job.stages[s]) - left[s]}/{len(job.stages[s])}" for s in jobs.STAGES]
        rows.append((job_id, str(job.submission.get("sweep", "")), *done, str(lost), state))
    return rows, code


def table() -> Table:
    """The head of the table of submissions."""
    return Table("submission", "sweep", "features", "runs", "lost", "in Slurm's queue", box=None)


def show_submissions(home: Path) -> int:
    """Print the submissions with something left; the exit code."""
    rows, code = submissions(home)
    if rows:
        print_table(table(), rows)
    return code


def watch(home: Path) -> int:
    """The same, live, until nothing is in the queue any more."""
    from rich.live import Live

    def drawn(rows: list[tuple[str, ...]]) -> Any:
        shown = table()
        for row in rows:
            shown.add_row(*row)
        return shown

    rows, code = submissions(home)
    with Live(drawn(rows), console=out, refresh_per_second=4, transient=True) as live:
        while code == GOING:
            time.sleep(POLL_S)
            try:
                rows, code = submissions(home)
            except BenchError as error:  # Slurm may be away for a while
                err.print(str(error))
                continue
            live.update(drawn(rows))
    return show_submissions(home)
