"""The command line: python -m bench COMMAND. Thin: every command is one call into the modules below it."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from bench import _progress, knowledge, plugins, store
from bench._files import bench_home
from bench._inside import check_packages
from bench.contracts import BenchError, Choice

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__, rich_markup_mode=None
)
out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

Names = Annotated[str | None, typer.Option(help="Comma-separated names.")]


def main() -> None:
    """Run a command; bad input ends with one line that says what to do, and exit code 2."""
    try:
        check_packages()
        app()
    except BenchError as error:
        err.print(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from here")
        sys.exit(130)


@app.command("list")
def list_names(
    kind: Annotated[str | None, typer.Option(help="adapters, methods, datasets, sweeps or results.")] = None,
) -> None:
    """What there is, by name. Example: python -m bench list --kind adapters"""
    for one in [kind] if kind else list(plugins.FOLDERS):
        table = Table("name", "what", title=one, title_justify="left", box=None, show_header=False)
        for name in plugins.names(one):
            table.add_row(name, _summary(one, name))
        if one == "adapters":
            for stem, how in plugins.open_adapters().items():
                table.add_row(f"{stem}:...", how)
        out.print(table)


def _summary(kind: str, name: str) -> str:
    module = plugins.find(kind, name)
    if kind == "adapters":
        return str(module.MODELS[name])
    return (module.__doc__ or "").strip().splitlines()[0] if module.__doc__ else ""


@app.command()
def run(
    where: Annotated[str, typer.Option(help="debug (this process) or local (one worker a core).")] = "local",
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
    limit: Annotated[int | None, typer.Option(help="At most this many videos a class and split side.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames a video, in place of each backbone's own number.")] = None,
    precision: Annotated[
        str, typer.Option(help="Of the backbones' forward passes: float32, bf16 or fp16.")
    ] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="Put the backbones through torch.compile.")] = False,
    workers: Annotated[int | None, typer.Option(help="Workers; one a core unless given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; start nothing.")] = False,
) -> None:
    """Do a sweep: every run that is not complete yet, then the tables. Example: python -m bench run --dataset toy --seeds 1"""
    from bench.launch import PLACES

    if where not in PLACES:
        raise BenchError(f"unknown place {where!r}; runs go to {' or '.join(PLACES)}")
    home = bench_home()
    choice = _choice(dataset, root, option or [], backbones, methods, seeds, shots, limit, bank)
    choice = dataclasses.replace(choice, num_frames=frames, precision=precision, compile=compile)
    from bench.planning import fitting_shots, on_disk, plan

    with _progress.bars() as display:
        reporter = _progress.reporter(display)
        choice, left_out = fitting_shots(on_disk(choice, home, reporter), home)
        specs = list(plugins.find("sweeps", sweep).runs(choice))
        if not specs:
            raise BenchError(
                f"the sweep {sweep} has nothing to do with this choice; widen --methods, --seeds or --shots"
            )
        planned = plan(specs, home, reporter)
    if left_out:
        out.print(
            f"left out: K = {', '.join(map(str, left_out))}: the videos on disk are too few for it; --shots says exactly which"
        )
    complete = sum(store.is_complete(home, r.run_id) for r in planned)
    out.print(f"{sweep} on {dataset}: {len(planned)} runs, {complete} complete; everything is written to {home}")
    if dry_run:
        for r in planned:
            state = "complete" if store.is_complete(home, r.run_id) else "to do"
            out.print(
                f"{r.run_id}  {state:8}  {r.spec.backbone}  {r.spec.method}  {r.spec.protocol} {r.spec.shots or ''} seed {r.spec.seed}"
            )
        return
    failed = _launch(planned, home, where, workers) if complete < len(planned) else False
    _show_report(home, planned[0].manifest)
    if failed:
        raise typer.Exit(1)


def _launch(planned: list[Any], home: Path, where: str, workers: int | None) -> bool:
    from bench.launch import launch

    outcome = launch(planned, home, where, workers)
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


@app.command()
def status(
    each: Annotated[bool, typer.Option("--runs", help="One line a run, with its id and top-1 in percent.")] = False,
) -> None:
    """Every run in $BENCH_HOME by state; exit code 1 if one failed. Example: python -m bench status --runs"""
    scores = store.Results(bench_home()).scores
    if scores.empty:
        out.print("no runs yet; make bench starts some")
        return
    runs = scores.drop_duplicates("run_id")
    if each:
        top1 = scores[scores["metric"] == "top1"].set_index("run_id")["value"]
        for r in runs.to_dict("records"):
            shots = "" if pd.isna(r["shots"]) else f" K={r['shots']}"
            setting = f"{r['protocol']}{shots} split {r['split']} seed {r['seed']}"
            shown = f"{100 * top1[r['run_id']]:5.1f}" if r["run_id"] in top1 else f"{r['status']:>5}"
            out.print(f"{r['run_id']}  {shown}  {r['dataset']}  {r['backbone']}  {r['label']}  {setting}")
        return
    table = Table("data set", "backbone", "method", "complete", "n/a", "failed", box=None)
    for key, group in runs.groupby(["dataset", "backbone", "label"], sort=True, dropna=False):
        counts = group["status"].value_counts()
        table.add_row(*map(str, key), *(str(counts.get(s, 0)) for s in ("complete", "n/a", "failed")))
    out.print(table)
    failed = runs[runs["status"] == "failed"]
    for run_id, reason in zip(failed["run_id"], failed["reason"], strict=True):
        err.print(f"failed  {run_id}  {reason}")
    if len(failed):
        raise typer.Exit(1)


@app.command()
def show(run_id: Annotated[str, typer.Argument(help="12 hexadecimal characters.")]) -> None:
    """A run: spec, versions, hardware, scores, or why it failed. Example: python -m bench show 0123456789ab"""
    home = bench_home()
    record = store.read_record(home, run_id)
    trace = record.pop("traceback", None)
    out.print(json.dumps(record, indent=1, ensure_ascii=False))
    if trace:
        out.print(trace)
    if store.is_complete(home, run_id):
        out.print((store.run_folder(home, run_id) / "scores.csv").read_text())


@app.command()
def render(kind: Annotated[str, typer.Option(help="tables, plots or all.")] = "all") -> None:
    """Tables and plots from what is complete. Example: python -m bench render --kind tables"""
    from bench import reporting

    home = bench_home()
    for path in reporting.write(home, kind):
        out.print(str(path))


@app.command()
def doctor(
    backbone: Annotated[
        str | None,
        typer.Option(help="Its facts, and what bf16, fp16 and torch.compile change in it here."),
    ] = None,
) -> None:
    """Versions, GPU, disk, weights at hand; exit code 1 if something must be mended. Example: python -m bench doctor"""
    from bench.doctor import report

    if backbone is not None:
        from bench.examine import examine
        from bench.planning import load_adapter

        for line in examine(load_adapter(plugins.absolute(backbone))):
            out.print(line)
        return
    checks = report(_weights_at_hand)
    width = max(len(check.name) for check in checks)
    for check in checks:
        out.print(f"{check.status:4}  {check.name:{width}}  {check.text}")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _weights_at_hand(name: str) -> str:
    module = plugins.find("adapters", name)
    return str(module.at_hand(name)) if hasattr(module, "at_hand") else "its adapter does not say"


@app.command("check-adapter")
def check_adapter(name: Annotated[str, typer.Argument(help="As in list --kind adapters, or an open name.")]) -> None:
    """Put a backbone through the contract, with its weights; exit code 1 if it fails. Example: python -m bench check-adapter tiny-clip"""
    from bench import checks
    from bench.contracts import Adapter
    from bench.planning import load_adapter

    adapter = load_adapter(plugins.absolute(name))
    if lacking := [member for member in vars(Adapter) if member[0] != "_" and not hasattr(adapter, member)]:
        raise BenchError(
            f"what load({name!r}) returns is no adapter: it lacks {', '.join(lacking)} (see Adapter in bench/contracts.py)"
        )
    facts = adapter.facts
    toy = ", toy scale" if facts.toy_scale else ""
    out.print(
        f"{facts.name}: {facts.family}, {facts.architecture}, {facts.num_parameters / 1e6:.1f} M parameters, {facts.num_frames} frames, "
        f"embeddings of {facts.embed_dim}, with {' and '.join(sorted(facts.capabilities, reverse=True)) or 'neither text nor prompts'}{toy}"
    )
    out.print(
        f"weights: {facts.weights}, sha256 {facts.weights_sha256[:16]}; pre-training: {facts.pretraining}; licence: {facts.licence}"
    )
    results = checks.check_adapter(adapter)
    width = max(len(result.name) for result in results)
    out.print(f"{'check':{width}}  result  seen")
    for result in results:
        outcome = "FAILED" if result.problem else "ok" if result.applies else "n/a"
        out.print(f"{result.name.replace('_', ' '):{width}}  {outcome:6}  {result.problem}".rstrip())
    failed = sum(bool(result.problem) for result in results)
    out.print(f"{failed} of {len(results)} checks failed" if failed else "it keeps the contract")
    if failed:
        raise typer.Exit(1)


@app.command()
def fetch(names: Annotated[list[str], typer.Argument(help="Backbones, as in list --kind adapters.")]) -> None:
    """Download weights to $BENCH_HOME/weights, where there is network. Example: python -m bench fetch clip-vit-b-16"""
    for name in names:
        name = plugins.absolute(name)
        module = plugins.find("adapters", name)
        if not hasattr(module, "fetch"):
            raise BenchError(f"{name} cannot be fetched by this command; see its adapter {module.__name__}")
        out.print(f"{name}: {module.fetch(name)}")


@app.command()
def tune(
    method: Annotated[str, typer.Option(help="A file in baselines/.")],
    trials: Annotated[int, typer.Option(help="The budget; give every method the same.")] = 10,
    backbone: str = "tiny-clip",
    dataset: str = "toy",
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set.")] = None,
    shots: int = 4,
    seed: int = 1,
) -> None:
    """Tune a method on validation data. Example: python -m bench tune --method coop --trials 8"""
    from bench.planning import on_disk
    from bench.specs import RunSpec
    from bench.tuning import tune as run_study

    home = bench_home()
    choice = on_disk(_choice(dataset, root, option or [], backbone), home)
    split = str(seed) if choice.dataset.split_per_seed else "1"
    spec = RunSpec(
        dataset=dataset,
        backbone=choice.backbones[0],
        method=method,
        protocol="few_shot",
        shots=shots,
        seed=seed,
        split=split,
        root=choice.root,
        dataset_options=choice.options,
    )
    study = run_study(spec, home, trials, seed, lambda n: out.print(f"trial {n + 1} of {trials}"))
    best = ", ".join(f"{k}={v}" for k, v in study.best.items()) or "the defaults"
    out.print(
        f"study {study.study_id}: best of {study.num_trials} trials: {best}; validation top-1 {100 * study.best_score:.1f} %"
    )


def _choice(
    dataset: str,
    root: str | None,
    options: list[str],
    backbones: str | None = None,
    methods: str | None = None,
    seeds: str | None = None,
    shots: str | None = None,
    limit: int | None = None,
    bank: str | None = None,
) -> Choice:
    """The user's words, checked: a name that nobody knows fails here, with the nearest ones."""
    pairs = []
    for text in options:
        name, sign, value = text.partition("=")
        if not sign:
            raise BenchError(f"--option takes name=value, not {text!r}")
        pairs.append((name, value))
    known = plugins.names("adapters")
    given = tuple(plugins.absolute(name) for name in _split(backbones) or ())
    chosen = given or tuple(n for n in known if n.startswith("tiny-"))
    for name in chosen:
        module = plugins.find("adapters", name)
        if hasattr(module, "at_hand"):
            module.at_hand(name)  # missing weights are found out before a data set is made
    for name in set(_split(methods) or ()) - set(plugins.names("methods")):
        raise plugins.unknown("method", name, plugins.names("methods"))
    if bank is not None:
        knowledge.load(bank)
    return Choice(
        dataset=plugins.find("datasets", dataset).DATASET,
        backbones=chosen,
        methods=_split(methods),
        seeds=_numbers("--seeds", seeds),
        shots=_numbers("--shots", shots),
        root=root,
        options=tuple(pairs),
        limit=limit,
        bank=bank,
    )


def _split(text: str | None) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) if text else None


def _numbers(what: str, text: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in _split(text) or ()) or None
    except ValueError:
        raise BenchError(f"{what} takes whole numbers such as 1,2,3, not {text!r}") from None


def _show_report(home: Path, manifest: str) -> None:
    from bench import reporting

    page = reporting.refresh(home)
    out.print(reporting.leaderboard(home, manifest))
    out.print(f"report: {page}")
