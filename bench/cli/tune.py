"""The command tune: several methods on several backbones, the same budget for each, then the best configuration of each on test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import plugins, sites
from bench._processes import cores
from bench.cli._common import Names, choice_of, err, numbers, out, split, tell_problems
from bench.contracts import BenchError, Choice, NotApplicable
from bench.places import bench_home

if TYPE_CHECKING:
    from bench.specs import ResolvedRun, RunSpec
    from bench.tuning import Study


def tune(
    methods: Annotated[
        str | None,
        typer.Option("--methods", "--method", help="Files in baselines/; all that can be tuned unless given."),
    ] = None,
    backbones: Annotated[str | None, typer.Option("--backbones", "--backbone", help="Comma-separated names.")] = None,
    trials: Annotated[int, typer.Option(help="The budget of each method on each backbone.")] = 10,
    seeds: Names = None,
    where: Annotated[str, typer.Option(help="debug (this process), local (one worker a core) or slurm.")] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Workers in all; one a core unless given, on Slurm one a study.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; start nothing.")] = False,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="On Slurm: run a copy of the code as it is now.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="On Slurm: wait for the end, then the tables.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Successive halving over the epochs, where a method has them.")
    ] = False,
    objective: Annotated[
        str,
        typer.Option(help="accuracy, or accuracy,cost (seconds to fit) or accuracy,parameters for a front of both."),
    ] = "accuracy",
    sampler: Annotated[str, typer.Option(help="tpe, nsga2 or random.")] = "tpe",
    batch: Annotated[
        int | None, typer.Option(help="Trials at once, in knowledge of all before; 4, or 9 with --prune.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the videos that are tuned on, and the trials.")] = 1,
    dataset: Annotated[str, typer.Option(help="A file in bench/datasets/.")] = "toy",
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")] = None,
    protocol: Annotated[str, typer.Option(help="few_shot, base_to_novel or cross_subject.")] = "few_shot",
    shots: int = 4,
    bank: Annotated[
        str | None, typer.Option(help="A knowledge bank's name or .json file, in place of the data set's own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many videos a class and split side.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames a video, in place of each backbone's own number.")] = None,
    precision: Annotated[
        str, typer.Option(help="Of the backbones' forward passes: float32, bf16 or fp16.")
    ] = "float32",
) -> None:
    """Tune methods on validation data, then run the best of each on test, once for each of --seeds (1,2,3 unless given).

    Example: python -m bench tune --methods coop,linear_probe --backbones tiny-clip --trials 8
    """
    from bench import trials as trial_files
    from bench.cli import cluster
    from bench.launch import PLACES, launch_studies
    from bench.planning import on_disk
    from bench.specs import WITH_SHOTS, FrameSpec, RunSpec
    from bench.tuning import check_budgets, new
    from bench.work import is_open, work_of_studies

    # Before anything is made.
    cluster.check_place(where, PLACES, snapshot, wait)
    home = bench_home()
    choice = on_disk(choice_of(dataset, root, option or [], backbones, methods, seeds, limit=limit, bank=bank), home)
    finals = numbers("--seeds", seeds) or choice.dataset.replicates
    specs = [
        RunSpec(
            dataset=dataset,
            backbone=backbone,
            method=method,
            protocol=protocol,
            shots=shots if protocol in WITH_SHOTS else None,
            seed=seed,
            split=str(seed) if choice.dataset.split_per_seed else "1",
            root=choice.root,
            dataset_options=choice.options,
            bank=bank,
            limit=limit,
            frames=FrameSpec(num_frames=frames),
            precision=precision,
        )
        for backbone in choice.backbones
        for method in _methods(choice)
    ]
    how = {
        "batch": batch,
        "prune": prune,
        "sampler": sampler,
        "objectives": split(objective) or (),
        "write": not dry_run,
    }
    studies = list(_studies(specs, lambda spec: new(spec, home, trials, seed, **how)))  # type: ignore[arg-type]
    if not studies:
        raise BenchError(
            "none of these methods can run on any of these backbones; name others with --methods or --backbones"
        )
    out.print(f"{len(studies)} studies of {trials} trials each on {dataset}; everything is written to {home}")

    if dry_run or where == "slurm":
        check_budgets(studies)
        begun = set(trial_files.study_ids(home))
        unfinished = [study for study in studies if study.study_id not in begun or is_open(study, finals, home)]
        site = sites.load(sites.find(home)) if where == "slurm" and unfinished else None
        at_once = workers or (len(unfinished) if site else cores())
        work = work_of_studies(unfinished, finals, home, at_once, *cluster.shards(site)) if unfinished else None
        if dry_run:
            _show_plan(studies, unfinished, finals, home)
            if work:
                cluster.show_plan(work, [run for s in unfinished for run in _left(s, finals, home)], home, site)
            return
        if site and work:
            job = cluster.submit(work, site, home, {"sweep": f"{len(unfinished)} studies of {trials} trials"}, snapshot)
            if not wait:
                return
            cluster.wait(job)
    else:
        launch_studies(studies, finals, home, where, workers)
    lost = [not _told(study, home, finals) for study in studies]
    if _report(home, studies[0]) or any(lost):
        raise typer.Exit(1)


def _show_plan(studies: Sequence[Study], unfinished: Sequence[Study], seeds: Sequence[int], home: Path) -> None:
    """A line for each study: how far it is."""
    from bench import trials

    for study in studies:
        state = "to do" if study in unfinished else "complete"
        out.print(
            f"{study.study_id}  {state:8}  {study.resolved.backbone}  {study.resolved.spec.method}  "
            f"{trials.num_ended(home, study.study_id)} of {study.trials} trials complete, then {len(seeds)} runs on test"
        )


def _left(study: Study, seeds: Sequence[int], home: Path) -> list[ResolvedRun]:
    """As many runs as are left of a study, each in the place of one that only the study will know."""
    from bench import store, trials

    ended = trials.num_ended(home, study.study_id)
    if ended == study.trials and study.has_result(home):
        return [run for run in study.final_runs(home, seeds) if not store.is_complete(home, run.run_id)]
    return [study.resolved] * (study.trials - ended) + study.on_test(home, seeds)


def _methods(choice: Choice) -> Sequence[str]:
    """Those that were asked for, or all that have something to tune."""
    from bench.tuning import suggests

    return choice.methods or [n for n in plugins.names("methods") if suggests(plugins.find("methods", n))]


def _studies(specs: Sequence[RunSpec], make: Callable[[RunSpec], Study]) -> Iterator[Study]:
    """A study for each spec; of those that cannot run on their backbone, a line that says why."""
    for spec in specs:
        try:
            yield make(spec)
        except NotApplicable as error:
            out.print(f"  n/a  {error}")


def _told(study: Study, home: Path, seeds: Sequence[int]) -> bool:
    """What came of a study, in a line; whether it has a configuration that is complete on test with each seed."""
    from bench import store, trials

    record, spec = trials.read(home, study.study_id), study.resolved.spec
    failed = [t for t in record.trials if t.state == "failed"]
    name = f"study {study.study_id}: {spec.method} on {study.resolved.backbone}"
    if not record.finished:  # what was waited for on Slurm may have been cancelled, or lost
        left = record.budget - sum(t.state != "open" for t in record.trials)
        what = (
            f"{left} of {record.budget} trials were"
            if record.best
            else f"no trial has a result: {left} of {record.budget} were"
        )
        err.print(f"{name}: {what} not done; start the same command again")
        return False
    if record.best is None:
        err.print(f"{name}: no trial has a result; the first: {failed[0].reason}")
        return False
    best = ", ".join(f"{k}={v}" for k, v in record.best.proposed.items()) or "as it stands"
    more = f"; {len(failed)} failed, the first: {failed[0].reason}" if failed else ""
    of = f"trial {record.best.number + 1} of {study.trials}"
    out.print(f"{name}: {of}: {best}; validation top-1 {100 * record.best.scores[-1]:.1f} %{more}")
    without = [run.run_id for run in study.final_runs(home, seeds) if not store.is_complete(home, run.run_id)]
    for run_id in without:
        lost = {"status": "lost", "reason": "its worker died; start the same command again"}
        failure = store.failure(home, run_id) or lost
        err.print(f"  {failure['status']:7} {run_id}  {failure['reason']}")
    return not without


def _report(home: Path, study: Study) -> bool:
    """The report brought up to date and its table of tuning printed; whether a part was not rendered or a run is damaged."""
    from bench import reporting

    rendered = reporting.refresh(home)
    if "tuning" not in rendered.errors:
        out.print(reporting.text(home, "tuning", study.resolved.manifest))
    out.print(f"report: {rendered.page}")
    return tell_problems(rendered)
