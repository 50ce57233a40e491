"""The commands knowledge refine and knowledge show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench import _progress, plugins
from bench._files import write_atomic
from bench.cli._common import choice_of, err, out, print_table
from bench.contracts import BenchError
from bench.knowledge import bank as banks
from bench.knowledge._decisions import locked
from bench.places import bench_home

LISTED = 40  # statements that are printed of each sort; the report has them all


def refine(
    bank: Annotated[str, typer.Argument(help="A knowledge bank, by name or file.")],
    backbone: Annotated[str, typer.Option(help="In whose text space, as in list --kind adapters.")],
    dataset: Annotated[
        str | None, typer.Option(help="Only the classes of this data set compete; its templates name them.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", help="NAME.refined.json beside the bank, or in $BENCH_HOME/knowledge for one that ships."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Though there is another bank at --out.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the whole report to this .md file.")] = None,
    accept_refined: Annotated[
        bool, typer.Option("--accept-refined", help="Let through what stays, without a person; the bank says so.")
    ] = False,
    recheck: Annotated[bool, typer.Option("--recheck", help="What a person let through may fall too.")] = False,
    keep: Annotated[int | None, typer.Option(help="Only the best so many of each kind stay in a class.")] = None,
    near_duplicate: Annotated[
        float, typer.Option(help="Cosine above which two statements of a class are the same.")
    ] = 0.97,
    min_margin: Annotated[
        float, typer.Option(help="How much closer to its own class than to any other: difference of cosines.")
    ] = 0.0,
    context_tokens: Annotated[int, typer.Option(help="Of the prompt that must fit in front of a statement.")] = 16,
    class_name: Annotated[bool, typer.Option(help="Whether the class's name must fit behind a statement, too.")] = True,
    min_statements: Annotated[int, typer.Option(help="Fewer left in a class is too few.")] = 3,
) -> None:
    """Judge a bank's statements, and say why each fell; exit code 1 if a class has too few left.

    Example: python -m bench knowledge refine mine.json --backbone tiny-clip --report mine.md
    """
    if dataset is None and (root or option):
        raise BenchError("--root and --option belong to a data set; name it with --dataset")
    if report is not None and report.suffix != ".md":
        raise BenchError(f"--report {report} does not end in .md; it is written in Markdown")
    source = banks.bank_path(banks.split_pin(bank)[0])
    before, held = _content(source), banks.load(bank)
    path = _goal(source, to)
    from bench.knowledge import _told
    from bench.knowledge import refine as refining
    from bench.planning import load_adapter

    settings = refining.Settings(
        near_duplicate=near_duplicate,
        min_margin=min_margin,
        num_context_tokens=context_tokens,
        with_class_name=class_name,
        min_statements=min_statements,
        keep=keep,
        recheck=recheck,
        accept=accept_refined,
    )
    adapter = load_adapter(plugins.absolute(backbone))
    among = _dataset(dataset, root, option or []) if dataset else {}
    refined = refining.refine(held, adapter, settings, **among)
    _save(refined.bank, path, before if path.resolve() == source.resolve() else None, overwrite)
    if report is not None:
        try:
            write_atomic(report, _told.markdown(refined, source.name))
        except OSError as error:
            raise BenchError(
                f"the bank is in {path}, but --report {report} cannot be written ({error.strerror})"
            ) from error
    _tell(refined, path, report, _told)
    if refined.short:
        raise typer.Exit(1)


def _goal(source: Path, to: Path | None) -> Path:
    """Where the refined bank goes: never onto a bank that ships, unless --out names its file."""
    if to is not None:
        if to.suffix != ".json":
            raise BenchError(f"--out {to} does not end in .json, as a bank does")
        return to
    ships = source.resolve().parent == banks.BANKS
    return (bench_home() / "knowledge" if ships else source.parent) / f"{source.stem}.refined.json"


def _dataset(name: str, root: str | None, options: list[str]) -> dict[str, Any]:
    from bench.planning import build_manifest, dataset_facts
    from bench.specs import RunSpec

    chosen = choice_of(name, root, options)
    spec = RunSpec(dataset=name, backbone="", method="", root=chosen.root, dataset_options=chosen.options)
    with _progress.bars() as display:
        manifest = build_manifest(spec, bench_home(), _progress.reporter(display))
    return {"class_names": manifest.class_names, "templates": dataset_facts(name).templates}


def _content(path: Path) -> bytes | None:
    """None where there is no file that can be read; `load` says what is wrong with it."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _save(bank: banks.Bank, path: Path, before: bytes | None, overwrite: bool) -> None:
    """Write the refined bank, alone among those that lock it.

    Args:
        before: what the file held when it was read, where the bank goes back into the file that it came from.

    Raises:
        BenchError: the file is no longer what was refined, or another bank lies there: a person may have reviewed it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror})") from error
    with locked(path):
        there = _content(path)
        if before is not None and there != before:
            raise BenchError(
                f"{path} was changed while it was refined, by a review or another command; refine it again"
            )
        if before is None and there not in (None, banks.written(bank).encode()) and not overwrite:
            raise BenchError(
                f"there is another file {path}, and what was decided in it would be lost; give --overwrite, or another --out"
            )
        banks.save(bank, path)


def _tell(refined: Any, path: Path, report: Path | None, told: Any) -> None:
    fell, only = told.faults(refined, fell=True), told.faults(refined, fell=False)
    _table(told.CLASSES, told.classes(refined), "What is left of each class")
    _table(told.NEAREST, told.nearest(refined), "Which classes are easily confused")
    _table(told.FAULTS, fell[:LISTED], f"Why {len(fell)} statements fell", len(fell))
    _table(
        told.FAULTS, only[:LISTED], f"Faults of {len(only)} statements that a person let through; they stay", len(only)
    )
    for note in refined.notes:
        out.print(note)
    if refined.accepted:
        out.print(f"{refined.accepted} statements were accepted by refinement, without a person")
    left, before = (sum(getattr(c, name) for c in refined.classes) for name in ("left", "before"))
    out.print(f"{path}: {left} of {before} statements left" + (f"; the whole report is in {report}" if report else ""))
    for line in told.short(refined):
        err.print(line)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str, num: int = 0) -> None:
    if rows:
        print_table(Table(*header, title=title, title_justify="left", box=None), rows)
        if num > len(rows):
            out.print(f"and {num - len(rows)} more: --report FILE.md has them all")
        out.print()


def show(
    bank: Annotated[str, typer.Argument(help="A knowledge bank, by name or file.")],
    class_name: Annotated[str | None, typer.Option("--class", help="The statements of this class.")] = None,
) -> None:
    """A bank: its classes, statements by kind and status, its digest. Example: python -m bench knowledge show utkinect --class walk"""
    held = banks.load(bank)
    if class_name is not None:
        if class_name not in held.classes:
            raise plugins.unknown("class", class_name, held.classes)
        rows = [
            (
                str(i),
                s.kind,
                s.status,
                s.text,
                " ".join(f"{k} {v:.3f}" for k, v in s.scores.items()),
                s.nearest,
                s.reason,
            )
            for i, s in enumerate(held.classes[class_name], 1)
        ]
        print_table(
            Table("", "kind", "status", "text", "scores", "nearest class", "reason", title=class_name, box=None), rows
        )
        return
    counts = {c: Counter((s.kind, s.status) for s in rows) for c, rows in held.classes.items()}
    columns = [(k, s) for k in banks.KINDS for s in banks.STATUSES if any(n[k, s] for n in counts.values())]
    table = Table("class", *(f"{kind}, {status}" for kind, status in columns), box=None)
    print_table(table, [(c, *(str(counts[c][column] or "") for column in columns)) for c in counts])
    used = sum(len(banks.used(rows)) for rows in held.classes.values())
    total = sum(map(len, held.classes.values()))
    out.print(f"{len(held.classes)} classes, {used} of {total} statements let through; digest {held.digest}")
    for name, origin in held.origins.items():
        out.print(f"origin {name}: {origin.by}")
    if held.about:
        out.print(held.about)
