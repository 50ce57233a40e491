"""The command run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import _progress, plugins, sites
from bench.cli._common import Names, choice_of, config_of, err, out, tell_problems
from bench.contracts import BenchError
from bench.places import bench_home

if TYPE_CHECKING:
    from bench.launch import Outcome


def run(
    where: Annotated[
        str, typer.Option(help="debug (this process), local (one worker a core or GPU) or slurm.")
    ] = "local",
    sweep: Annotated[str, typer.Option(help="A file in sweeps/.")] = "leaderboard",
    dataset: Annotated[str, typer.Option(help="A file in bench/datasets/.")] = "toy",
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")] = None,
    backbones: Names = None,
    methods: Names = None,
    seeds: Names = None,
    shots: Names = None,
    bank: Annotated[
        str | None, typer.Option(help="A knowledge bank's name or .json file, in place of the data set's own.")
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option(help="METHOD.FIELD=VALUE, such as coop.epochs=20; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many videos a class and split side.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames a video, in place of each backbone's own number.")] = None,
    precision: Annotated[
        str, typer.Option(help="Of the backbones' forward passes: float32, bf16 or fp16.")
    ] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="Put the backbones through torch.compile.")] = False,
    workers: Annotated[int | None, typer.Option(help="Workers; one a core unless given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; start nothing.")] = False,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="On Slurm: run a copy of the code as it is now.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="On Slurm: wait for the end, then the tables.")] = False,
) -> None:
    """Do a sweep: every run that is not complete yet, then the tables. Example: python -m bench run --dataset toy --seeds 1"""
    from bench import store
    from bench.cli import cluster
    from bench.launch import PLACES, launch, outcome

    cluster.check_place(where, PLACES, snapshot, wait)
    home = bench_home()
    choice = choice_of(dataset, root, option or [], backbones, methods, seeds, shots, limit, bank)
    choice = dataclasses.replace(
        choice, num_frames=frames, precision=precision, compile=compile, config=config_of(config or [])
    )
    site = (
        sites.load(sites.find(home)) if where == "slurm" else None
    )  # what is wrong with it is said before work begins
    from bench.planning import fitting_shots, on_disk
    from bench.plans import plan
    from bench.work import work_of

    with _progress.bars() as display:
        reporter = _progress.reporter(display)
        choice, left_out = fitting_shots(on_disk(choice, home, reporter), home)
        module = plugins.find("sweeps", sweep)
        specs = list(module.runs(choice))
        if not specs:
            raise BenchError(
                f"the sweep {sweep} has nothing to do with this choice; widen --methods, --seeds or --shots"
            )
        if idle := {method for method, *_ in choice.config} - {spec.method for spec in specs}:
            raise BenchError(f"--config sets {', '.join(sorted(idle))}, of which the sweep {sweep} has no run here")
        planned = plan(specs, home, reporter)
    if left_out:
        out.print(
            f"left out: K = {', '.join(map(str, left_out))}: too few videos for it here; asked for by itself it says of which class"
        )
    todo = [r for r in planned if not store.is_complete(home, r.run_id)]
    complete = len(planned) - len(todo)
    out.print(f"{sweep} on {dataset}: {len(planned)} runs, {complete} complete; everything is written to {home}")
    site = site if todo else None
    if dry_run:
        for r in planned:
            state = "complete" if store.is_complete(home, r.run_id) else "to do"
            own = [*(f"{name}={value}" for name, value in r.spec.config), *filter(None, [r.spec.control_words])]
            out.print(
                f"{r.run_id}  {state:8}  {r.spec.backbone}  {r.spec.method}  {r.spec.protocol} {r.spec.shots or ''} seed {r.spec.seed}"
                f"  {' '.join(own)}".rstrip()
            )
        cluster.show_plan(work_of(todo, home, *cluster.shards(site)), todo, home, site)
        return
    if site:
        job = cluster.submit(work_of(todo, home, *cluster.shards(site)), site, home, {"sweep": sweep}, snapshot)
        if not wait:
            return
        cluster.wait(job)
        failed = _told(outcome(planned, complete, 0, job))
    else:
        failed = _told(launch(planned, home, where, workers)) if todo else False
    if _show_report(home, planned[0].manifest, getattr(module, "TABLE", "backbones")) or failed:
        raise typer.Exit(1)


def _told(outcome: Outcome) -> bool:
    """Say what became of a launch; whether a run has no result."""
    out.print(
        f"features: {outcome.encoded} videos encoded now, {outcome.stored} were stored, {outcome.undecodable} cannot be decoded; "
        f"runs: {outcome.complete - outcome.before} done now, {outcome.before} were complete"
    )
    for note in outcome.notes:
        out.print(f"  n/a     {note.run_id}  {note.reason}")
    for failure in outcome.failures:
        err.print(f"  {failure.status:7} {failure.run_id}  {failure.reason}")
    if outcome.failures:
        err.print(
            f"{len(outcome.failures)} runs have no result; python -m bench show RUN_ID has the traceback, logs are under {outcome.logs}"
        )
    return bool(outcome.failures)


def _show_report(home: Path, manifest: str, table: str) -> bool:
    """The report brought up to date and the sweep's own table printed; whether a part was not rendered or a run is damaged."""
    from bench import reporting

    rendered = reporting.refresh(home)
    if table not in rendered.errors:
        out.print(reporting.text(home, table, manifest))
    out.print(f"report: {rendered.page}")
    return tell_problems(rendered)
