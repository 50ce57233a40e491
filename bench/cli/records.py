"""The commands over finished runs: show, rescore, reproduce, export, render and index."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from bench import _progress
from bench.cli._common import choice_of, err, out, tell_problems, visible
from bench.cli.published import list_reproducible, reproduce_published
from bench.places import bench_home

SHOWN = 20  # changes told one by one


def show(
    run_id: Annotated[str, typer.Argument(help="12 hexadecimal characters, or the first of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="The record as it is stored, with the scores.")] = False,
) -> None:
    """A run: command, spec, versions, machine, cost, scores, predictions, or why it failed. Example: python -m bench show 0123"""
    from bench import records

    home = bench_home(writes=False)
    full = records.find(home, run_id)
    if as_json:
        typer.echo(visible(json.dumps(records.raw(home, full), indent=1, ensure_ascii=False)))
        return
    for line in records.told(home, full):
        out.print(line)


def rescore(
    run_ids: Annotated[
        list[str] | None, typer.Argument(help="Only these runs; all that are complete unless given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Every change, not the first few.")] = False,
) -> None:
    """Every metric again from the stored predictions, without a GPU; then the report. Exit code 1 if predictions are damaged.

    Example: python -m bench rescore --dry-run
    """
    from bench import metrics, records
    from bench.rescoring import rescore as recompute

    home = bench_home()
    chosen = [records.find(home, run_id) for run_id in run_ids] if run_ids else None
    with _progress.bars() as display:
        report = _progress.reporter(display)
        done = recompute(home, chosen, dry_run, lambda count, total: report("rescore", count, total))
    moved = len({change.run_id for change in done.changes})
    would = "would be " if dry_run else ""
    out.print(
        f"{done.num} runs scored by metrics version {metrics.VERSION}: numbers of {moved} {would}changed, "
        f"{len(done.replaced)} files {would}written, {len(done.damaged)} damaged"
    )
    for name in dict.fromkeys(change.metric for change in done.changes):
        mine = [c for c in done.changes if c.metric == name]
        new, gone = sum(c.old is None for c in mine), sum(c.new is None for c in mine)
        kept = [abs(c.new - c.old) for c in mine if c.old is not None and c.new is not None]
        parts = [f"new in {new} runs"] * bool(new) + [f"gone from {gone} runs"] * bool(gone)
        parts += [f"changed in {len(kept)} runs, by {max(kept):.3g} at most"] if kept else []
        out.print(f"  {name}: {', '.join(parts)}")
    shown = done.changes if verbose else done.changes[:SHOWN]
    for c in shown:
        out.print(f"  {c.run_id}  {c.metric}  {_number(c.old)} -> {_number(c.new)}")
    if len(done.changes) > len(shown):
        out.print(f"  and {len(done.changes) - len(shown)} more (--verbose)")
    for run_id, reason in done.damaged.items():
        err.print(f"  damaged  {run_id}  {reason}")
    failed = bool(done.damaged)
    if not dry_run:
        failed = refresh_report(home) or failed
    if failed:
        raise typer.Exit(1)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def reproduce(
    run_id: Annotated[
        str | None,
        typer.Argument(help="12 hexadecimal characters, or the first of them; or a published number's name."),
    ] = None,
    root: Annotated[str | None, typer.Option(help="Where the data set lies here, if not where it lay then.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Of the logits, as a share of the largest, 1e-5 unless given; of a published number in points, 1."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="name=value for the data set of a published number; may be repeated.")
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE of the method of a published number; may be repeated.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The weights of a published number, where its source does not tell them apart.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the home in which it was done again.")] = False,
    published: Annotated[
        bool, typer.Option("--list", help="The published numbers that can be measured here, and why the others cannot.")
    ] = False,
) -> None:
    """The same spec here and now, held against what is stored; exit code 1 if it does not hold. Example: python -m bench reproduce 0123"""
    from bench import records, store

    if published or run_id is None:
        list_reproducible()
        return
    if not re.fullmatch("[0-9a-f]+", run_id):
        pairs = choice_of("folder", root, option or []).options
        if not reproduce_published(run_id, root, pairs, config or [], backbone, tolerance):
            raise typer.Exit(1)
        return
    home = bench_home()
    full = records.find(home, run_id)  # before the next imports, which take their time
    from bench.reproducing import TOLERANCE
    from bench.reproducing import reproduce as again
    from bench.reproduction import told

    allowed = TOLERANCE if tolerance is None else tolerance
    with _progress.bars() as display:
        result = again(home, full, root, allowed, _progress.reporter(display), keep)
    for line in told(result, store.read_record(home, full), allowed):
        out.print(line)
    if result.folder is not None:
        out.print(f"it lies under {result.folder}")
    if not result.holds:
        raise typer.Exit(1)


def export(
    run_ids: Annotated[
        list[str] | None, typer.Argument(help="Only these runs; all that the tables show unless given.")
    ] = None,
    to: Annotated[Path, typer.Option("--out", help="The file to write, .tar.gz.")] = Path("supplement.tar.gz"),
    dataset: Annotated[list[str] | None, typer.Option(help="Only runs on this data set; may be repeated.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """A tar for a paper's supplement: predictions, specs, tables, and what renders them again.

    Example: python -m bench export --out supplement.tar.gz
    """
    from bench import records
    from bench.exporting import export as pack

    home = bench_home()
    chosen = [records.find(home, run_id) for run_id in run_ids] if run_ids else None
    done = pack(home, to, chosen, dataset or None, force)
    out.print(f"{done.path}: {done.num_runs} runs, {done.num_files} files, {done.size / 1e6:.2f} MB")
    out.print("names of users and hosts, paths and addresses were taken out of it, for a review that is double-blind")
    out.print(
        "python render.py in it writes its report again; README.txt says what is what, what was taken out and what was kept"
    )


def render(
    kind: Annotated[str, typer.Option(help="tables, plots or all.")] = "all",
    verbose: Annotated[bool, typer.Option("--verbose", help="Every file.")] = False,
) -> None:
    """Tables and plots from what is complete; exit code 1 if one cannot be rendered or a run is damaged.

    Example: python -m bench render --kind tables
    """
    from bench import index as runs_index
    from bench import reporting

    home = bench_home()
    rendered = reporting.write(home, kind)
    if verbose:
        for name in rendered.files:
            out.print(str(rendered.folder / name))
    out.print(f"{kind}: rendered; {len(rendered.files)} files in {rendered.folder}, all of them on {rendered.page}")
    if not runs_index.scan(home):
        out.print(f"there are no runs yet in {home}, so these files say just that; make bench starts some")
    if tell_problems(rendered):
        raise typer.Exit(1)


def refresh_report(home: Path) -> bool:
    """Bring the report up to date and say where it lies; whether a part of it could not be rendered or a run is damaged."""
    from bench import reporting

    rendered = reporting.refresh(home)
    out.print(f"report: {rendered.page}")
    return tell_problems(rendered)


def index(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Read every run's folder again, whatever the index says.")
    ] = False,
) -> None:
    """The index of runs, brought up to date from their folders or built anew. Example: python -m bench index --rebuild"""
    from bench import index as runs_index

    home = bench_home(writes=rebuild)
    num = runs_index.rebuild(home) if rebuild else int(runs_index.refresh(home).runs.num_rows)
    out.print(f"{num} runs; the index is {runs_index.path(home)}")
