"""The commands for work on a cluster: cancel, resume and logs, du and gc; and how `run` and `tune` submit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bench import jobs, places, sites, slurm
from bench._inside import ROOT
from bench.cli._common import err, out, print_table
from bench.cli._submissions import asking
from bench.contracts import BenchError
from bench.places import bench_home

if TYPE_CHECKING:
    from bench.jobs import Job
    from bench.specs import ResolvedRun
    from bench.work import Work

SHOWN = 40  # last lines of a log
POLL_S = 2.0

Which = Annotated[str | None, typer.Argument(help="A submission (the first characters do); the last one unless given.")]


def check_place(where: str, places: Sequence[str], freeze: bool, stay: bool) -> None:
    """Raises BenchError on an unknown place, or what is for Slurm alone elsewhere."""
    if where not in (*places, "slurm"):
        raise BenchError(f"unknown place {where!r}; runs go to {', '.join(places)} or slurm")
    if where != "slurm" and (freeze or stay):
        raise BenchError(
            f"{'--snapshot' if freeze else '--wait'} is for --where slurm; {where} runs are waited for here"
        )


def submit(work: Work, site: sites.Site, home: Path, told: Mapping[str, str], freeze: bool) -> Job:
    """Submit work to Slurm and say how to look at it.

    Args:
        told: what the submission is called by, such as its sweep.
        freeze: whether the workers run a copy of the source tree as it is now.

    Raises:
        BenchError: the features have no room, or Slurm does not take it; nothing of the submission stays then.
    """
    from bench.features import check_room

    check_room(places.features(home), work.megabytes)
    job = jobs.create(home, work.stages, {**told, **slurm.told(site)})
    try:
        ids = slurm.submit(job, site, slurm.snapshot(job) if freeze else ROOT)
    except BaseException:
        job.discard()
        raise
    kind = "shares of studies" if any("study" in task for task in work.stages["runs"]) else "runs"
    out.print(f"submitted {job.job_id}: {work.num_videos} videos to encode, {len(work.stages['runs'])} {kind}")
    for name, arrays in ids.items():
        out.print(f"  {name:8}  Slurm {', '.join(arrays)}")
    for other, left in _left_of_others(job):
        out.print(
            f"{left} of these are left of {other}, too: where both run they share the work; python -m bench cancel {job.job_id} takes "
            "this one back"
        )
    out.print("python -m bench status --watch shows it; cancel, resume and logs RUN_ID take it from there")
    return job


def _left_of_others(job: Job) -> Iterator[tuple[str, int]]:
    """Each other submission on Slurm that has open runs or studies of this one, and how many of this one's tasks these are."""

    def whose(lease: str) -> str:
        return lease.removeprefix(jobs.STUDY)[:12]  # the id of a run, or of a study whichever share it is

    mine = [whose(lease) for lease in job.stages["runs"].leases]
    for other in (jobs.Job(job.home / "jobs" / name) for name in jobs.all_ids(job.home) if name != job.job_id):
        with suppress(BenchError):  # a damaged one is told by status
            if other.is_finished or other.is_cancelled or not slurm.is_on_slurm(other):
                continue
            left = {whose(other.stages["runs"].leases[number]) for number in other.open_tasks("runs")}
            if shared := sum(one in left for one in mine):
                yield other.job_id, shared


def shards(site: sites.Site | None) -> tuple[int, str | None]:
    """How many shards a task of features has on a site, and the device there; None for this machine."""
    from bench.work import SHARDS_A_GPU_TASK

    return (SHARDS_A_GPU_TASK if site.device == "cuda" else 1, site.device) if site else (1, None)


def show_plan(work: Work, todo: Sequence[ResolvedRun], home: Path, site: sites.Site | None) -> None:
    """Say what a launch of this work would start, and how long its runs take at the pace of earlier runs.

    Args:
        site: where it is submitted to; None for workers on this machine.
    """
    from bench.forecast import forecast

    if site:
        if not shutil.which("sbatch"):
            err.print("there is no sbatch here: submit on a login node")
        for one in slurm.planned(len(work.stages["features"]), len(work.stages["runs"]), site):
            asked = f"{one.wanted.time_min} min, {one.wanted.cpus} CPUs, {one.wanted.num_gpus} GPUs"
            why = (
                ", for what a lost worker leaves; they end at once where that is nothing" if "round" in one.name else ""
            )
            out.print(f"  {one.name:8}  {one.count} jobs of {asked}{why}")
    videos: dict[str, int] = {}
    for task in work.stages["features"]:
        name = str(task["run"]["backbone"])
        videos[name] = videos.get(name, 0) + len(task["positions"])
    told = forecast(todo, videos, home)
    features, runs = (
        _hours(hours, wanted) if not number or unknown < number else "how long is not known"
        for hours, wanted, unknown, number in (
            (told.features_h, site.features if site else None, told.unknown_videos, work.num_videos),
            (told.runs_h, site.runs if site else None, told.unknown_runs, len(todo)),
        )
    )
    out.print(
        f"{work.num_videos} videos to encode ({work.megabytes:,.1f} MB): {features}; "
        f"{len(todo)} runs: {runs}, at the pace of earlier runs here"
    )
    if told.unknown_videos or told.unknown_runs:
        out.print(
            f"nothing like {told.unknown_videos} of these videos and {told.unknown_runs} of these runs was done here yet: not counted"
        )


def _hours(of_a_worker: float, wanted: sites.Resources | None) -> str:
    """Hours of one worker as those of what its job holds: GPUs where it asks for them, else cores."""
    if wanted is None:
        return f"{of_a_worker:.2f} hours of one worker"
    if wanted.num_gpus:
        return f"{of_a_worker * wanted.num_gpus:.2f} GPU-hours"
    return f"{of_a_worker * wanted.cpus:.2f} core-hours"


def wait(job: Job) -> None:
    """Until no job of a submission is in the queue, as far as Slurm tells. Ctrl-C leaves it to itself."""
    ask = asking()
    try:
        while (queue := ask()) is None or job.job_id in queue:
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        err.print(
            f"{job.job_id} goes on in Slurm: python -m bench status --watch shows it, python -m bench cancel {job.job_id} ends it"
        )
        raise typer.Exit(130) from None


def cancel(which: Which = None) -> None:
    """Take the last submission in Slurm's queue, or the one named, out of it; what is complete stays. Example: python -m bench cancel"""
    home, queue = bench_home(), None
    if which is None:
        queue = slurm.queue()
        queued = (
            j for j in map(jobs.Job, (home / "jobs" / n for n in reversed(jobs.all_ids(home)))) if j.job_id in queue
        )
        job = next(queued, None) or jobs.find(home)
    else:
        job = jobs.find(home, which)
    if slurm.is_on_slurm(job) and job.job_id not in (slurm.queue() if queue is None else queue):
        raise BenchError(f"{job.job_id} has no jobs in Slurm's queue; python -m bench status tells what is left of it")
    slurm.cancel(job)
    out.print(f"cancelled {job.job_id}; python -m bench resume {job.job_id} goes on with what is left")


def resume(which: Which = None) -> None:
    """Submit what is left of a submission again: what was cancelled, lost with its node, or given up. Example: python -m bench resume"""
    job = jobs.find(bench_home(), which)
    if not slurm.is_on_slurm(job):
        raise BenchError(f"{job.job_id} ran here and not on Slurm; start the same command again")
    if running := slurm.queue().get(job.job_id):
        raise BenchError(
            f"{job.job_id} has {sum(running.values())} jobs in the queue still; cancel it first, or let it end"
        )
    if not job.is_left:
        job.finish()  # again, for whoever looks
        out.print(f"nothing is left of {job.job_id}")
        return
    from bench.worker import check_source

    root = job.folder / "source"
    if not root.is_dir():
        check_source(job)
        root = ROOT
    job.resume()
    for name, arrays in slurm.submit(job, sites.load(sites.find(job.home)), root).items():
        out.print(f"  {name:8}  Slurm {', '.join(arrays)}")


def logs(
    run_id: Annotated[
        str,
        typer.Argument(
            help="Of a run, a trial or a study: 12 characters, or the first of them. A submission's: the logs of all its workers."
        ),
    ],
    lines: Annotated[int, typer.Option(help="How many of its last lines.")] = SHOWN,
) -> None:
    """The log of the worker that did a run, or has it in hand. Example: python -m bench logs 0123"""
    home = bench_home(writes=False)
    job, found = _worker_logs(home, run_id)
    if not found:
        raise BenchError(f"no worker has begun {run_id} of {job.job_id} yet")
    for path in (one for err_log in found for one in (err_log.with_suffix(".out"), err_log)):
        if path.is_file() and (text := path.read_text(errors="replace").splitlines()):
            out.print(f"{path}:")
            for line in text[-lines:]:
                out.print(f"  {line}")


def _worker_logs(home: Path, run_id: str) -> tuple[Job, list[Path]]:
    """The last submission whose workers began a run or study, else that holds it, and their error logs.

    One of a run, of a study one for each share.
    """
    from bench.leases import Leases

    if "-" in run_id:  # which no run's id has
        job = jobs.find(home, run_id)
        return job, sorted((job.folder / "submitit").glob("*_log.err"))
    last: Job | None = None
    for job_id in reversed(jobs.all_ids(home)):
        job = jobs.Job(home / "jobs" / job_id)
        tasks = job.stages["runs"]
        of_studies = len(tasks) > 0 and "study" in tasks[0]
        if of_studies:
            mine = [n for n, task in enumerate(tasks) if run_id and _pursues(task, run_id, home)]
        else:
            mine = [n for n, lease in enumerate(tasks.leases) if run_id and lease.startswith(run_id)]
        if not mine:
            continue
        last = last or job
        found = []
        for number in mine if of_studies else mine[:1]:
            holder = Leases(home / "leases").holder(tasks.leases[number])
            name = (job.result("runs", number) or {}).get("log") or (holder.job if holder else None)
            path = job.folder / "submitit" / Path(name).name if name else None
            found += [path] if path and path.is_file() else []  # another submission's worker may have it
        if found:
            return job, found
    if last:
        return last, []
    raise BenchError(f"no submission under {home / 'jobs'} holds a run or study {run_id!r}")


def _pursues(task: Mapping[str, Any], prefix: str, home: Path) -> bool:
    """Whether a task goes on with a study, or with the one that a run is a trial of, or its best on test."""
    from bench import trials

    runs = [run for trial in trials.read(home, task["study"]).trials for run in trial.runs]
    return any(
        name.startswith(prefix) for name in (task["study"], *runs, *trials.final_runs(home, task["study"]).values())
    )


def du() -> None:
    """What takes the room in $BENCH_HOME. Example: python -m bench du"""
    from bench import disk

    home = bench_home(writes=False)
    found = disk.parts(home)
    rows = [(_megabytes(p.num_bytes), f"{p.num_files:,}", p.name, p.kind) for p in found]
    print_table(Table("MB", "files", "folder", "what", box=None), rows)
    out.print(f"{_megabytes(sum(p.num_bytes for p in found))} MB in {home}")


def gc(
    days: Annotated[
        float,
        typer.Option(
            help="Submissions with their logs, and features of no run, go when nobody touched them for so many days."
        ),
    ] = 30.0,
    failed: Annotated[bool, typer.Option("--failed", help="Runs that failed or cannot run, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; otherwise it is only said what would go.")] = False,
) -> None:
    """What nothing in $BENCH_HOME refers to: leftovers, old submissions, features of no run. Example: python -m bench gc --days 7 --yes"""
    from bench import disk

    home = bench_home(writes=yes)
    found, stay = disk.waste(home, days, failed), []
    for one in found:
        if yes and not disk.remove(one):
            stay.append(one)
            continue
        place = one.path.relative_to(home) if one.path.is_relative_to(home) else one.path
        out.print(f"{_megabytes(one.num_bytes):>10} MB  {place}  {one.why}")
    gone = [one for one in found if one not in stay]
    total = _megabytes(sum(one.num_bytes for one in gone))
    out.print(f"{len(gone)} things, {total} MB, {'are gone' if yes else 'could go: --yes deletes them'}")
    if stay:
        err.print(
            f"{len(stay)} things cannot be removed; they may be another user's, who can: {', '.join(str(one.path) for one in stay)}"
        )
        raise typer.Exit(1)


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f}"
