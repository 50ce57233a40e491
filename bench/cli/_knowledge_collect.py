"""The command knowledge collect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import _progress
from bench.cli._common import Names, err, out, split
from bench.contracts import BenchError
from bench.places import bench_home

if TYPE_CHECKING:
    from bench.knowledge.gathering import Gathered

LISTED = 40  # failures and names that are printed of each sort; the count is always whole
_MODEL = ("samples", "prompt", "temperature", "seed", "again")
_HTTP = ("model", "timeout", "retries", "parallel")
_FILES = ("by", "labels")


def collect(
    endpoint: Annotated[str | None, typer.Option(help="OpenAI-compatible address, with --model.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    local: Annotated[str | None, typer.Option(help="Folder of a causal language model, through transformers.")] = None,
    wordnet: Annotated[
        str | None, typer.Option(help='Folder of WordNet\'s files; "debian" is /usr/share/wordnet.')
    ] = None,
    file: Annotated[list[str] | None, typer.Option(help="A json, csv or txt of descriptions; may be repeated.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The classes of a data set, a file in bench/datasets/.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Instead: a text file with one class name a line.")] = None,
    bank: Annotated[str | None, typer.Option(help="Instead: the classes of a knowledge bank, by name or file.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="The bank to write or add to; $BENCH_HOME/knowledge/DATASET.json unless given."),
    ] = None,
    kinds: Names = None,
    n: Annotated[
        int | None, typer.Option(help="Statements asked for a class and kind (4); senses a word of WordNet (1).")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="How often each question is asked.")] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="FILE or KIND=FILE with {class}, {n}, {dataset}, {others}; may be repeated."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the sampling; greedy or the server's unless given.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Of one answer.")] = 1000,
    seed: Annotated[int | None, typer.Option(help="Of the sampling.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one answer (60).")] = None,
    retries: Annotated[int | None, typer.Option(help="After a timeout, 429 or 5xx (4), with growing pauses.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Questions at a time (4).")] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask what failed once more.")] = False,
    by: Annotated[str | None, typer.Option(help="Who wrote the files, for the bank's origins.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Class names in order, for files whose classes are numbers.")
    ] = None,
) -> None:
    """Statements from a language model, WordNet or files into a bank; exit code 1 if a class got none or an answer was of no use.

    Example: python -m bench knowledge collect --dataset toy --endpoint http://localhost:11434/v1 --model llama3.2
    """
    from bench.knowledge.prompts import prompts

    given = {k: v for k, v in locals().items() if v is not None and v is not False and v != []}
    _one_of(given, ("endpoint", "local", "wordnet", "file"), "where the statements come from")
    _one_of(given, ("dataset", "classes", "bank"), "whose classes they are")
    _belongs(given)
    _positive(given)
    asked = prompts(split(kinds) or ("appearance", "motion"), prompt or ())
    if file and len(split(kinds) or ()) > 1:
        raise BenchError("--kinds takes one kind with --file: that of its statements")
    home = bench_home()
    from bench.knowledge.collect import ask_model, into, put, today

    with _progress.bars() as display:
        report = _progress.reporter(display)
        name, names = _classes(dataset, root, option or [], classes, bank, home, report)
        if to is None and not re.fullmatch(r"\w[\w.-]*", name):
            raise BenchError(f"the data set {name!r} makes no file name; say where the bank goes with --out FILE.json")
        path = to or home / "knowledge" / f"{name}.json"
        if path.suffix != ".json":
            raise BenchError(f"--out {path} does not end in .json, as a bank does")
        into(path, name)  # a fault in it is found before anything is asked
        if wordnet:
            from bench.knowledge.sources import wordnet as source

            gathered = source.gather(names, wordnet, n or 1, today())
        elif file:
            from bench.knowledge.sources import files

            gathered = files.gather(names, file, today(), (split(kinds) or (None,))[0], by or "", labels)
        else:
            writer = _language_model(given)
            try:
                raw = home / "knowledge" / path.stem / "raw"
                gathered = ask_model(
                    writer,
                    asked,
                    names,
                    name,
                    raw,
                    number=n or 4,
                    samples=samples or 1,
                    again=again,
                    progress=report,
                )
            finally:
                writer.close()
    added = put(path, name, names, gathered)
    num = sum(map(len, gathered.statements.values()))
    out.print(f"{path}: {num} statements for {len(gathered.statements)} of {len(names)} classes, {added} of them new")
    if _tell(gathered, names, home / "knowledge" / path.stem / "raw"):
        raise typer.Exit(1)


def _one_of(given: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    chosen = [name for name in names if name in given]
    if len(chosen) != 1:
        shown = ", ".join(f"--{name}" for name in names)
        raise BenchError(
            f"say {what} with one of {shown}"
            + (f", not with {len(chosen)} of them; one bank takes them one after the other" if chosen else "")
        )


def _belongs(given: dict[str, Any]) -> None:
    """Raises BenchError for an option that would have no effect."""
    speaks = "endpoint" in given or "local" in given
    wrong = [name for name in _HTTP if "endpoint" not in given] + [name for name in _MODEL if not speaks]
    wrong += [name for name in _FILES if "file" not in given] + (["kinds"] if "wordnet" in given else [])
    wrong += ["n"] if "file" in given else []
    wrong += ["root", "option"] if "dataset" not in given else []
    for name in wrong:
        if name in given:
            raise BenchError(f"--{name} has no effect here: see python -m bench knowledge collect --help")
    if "endpoint" in given and "model" not in given:
        raise BenchError("--endpoint needs --model NAME, one that the server has")
    if given.get("samples", 1) > 1 and not given.get("temperature"):
        raise BenchError(
            "--samples without a --temperature above 0 asks for the same answer again; give one, such as 0.8"
        )


def _positive(given: dict[str, Any]) -> None:
    for name, least in {"n": 1, "samples": 1, "max_tokens": 1, "parallel": 1, "retries": 0, "seed": 0}.items():
        if given.get(name, least) < least:
            raise BenchError(f"--{name.replace('_', '-')} is {given[name]}; it is at least {least}")
    if not 0 < given.get("timeout", 1.0) < float("inf") or not 0 <= given.get("temperature", 0.0) <= 5:
        raise BenchError("--timeout is in seconds above 0, --temperature from 0 to 5")


def _classes(
    dataset: str | None,
    root: str | None,
    options: list[str],
    classes: Path | None,
    bank: str | None,
    home: Path,
    report: Any,
) -> tuple[str, tuple[str, ...]]:
    """The data set's name, and its classes."""
    from bench import knowledge
    from bench.knowledge.collect import class_list

    if classes is not None:
        return classes.stem, class_list(classes)
    if bank is not None:
        held = knowledge.load(bank)
        if not held.classes:
            raise BenchError(f"--bank {bank} has no classes")
        return held.dataset or Path(bank).stem, tuple(held.classes)
    assert dataset is not None
    from bench.cli._common import choice_of
    from bench.planning import build_manifest
    from bench.specs import RunSpec

    chosen = choice_of(dataset, root, options, backbones="tiny-clip")
    spec = RunSpec(dataset=dataset, backbone="", method="", root=chosen.root, dataset_options=chosen.options)
    manifest = build_manifest(spec, home, report)
    return manifest.dataset, manifest.class_names


def _language_model(given: dict[str, Any]) -> Any:
    drawing = {name: given[name] for name in ("temperature", "max_tokens", "seed") if name in given}
    if "local" in given:
        from bench.knowledge.sources.local import Local

        return Local(given["local"], **drawing)
    from bench.knowledge.sources.endpoint import Endpoint

    sending = {name: given[name] for name in ("timeout", "retries") if name in given}
    return Endpoint(given["endpoint"], given["model"], workers=given.get("parallel", 4), **drawing, **sending)


def _tell(gathered: Gathered, names: tuple[str, ...], raw: Path) -> bool:
    """Say what was refused, what matched no class and what failed; whether the exit code is to say so too."""
    for note in gathered.notes:
        out.print(f"  {note}")
    if gathered.refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in gathered.refused.most_common())
        out.print(f"  refused: {reasons}")
    _list(f"{len(gathered.unmatched)} names in the files are no class", gathered.unmatched)
    told = [f"{f.class_name} ({f.kind}): {f.reason}; {f.where}" for f in gathered.failures]
    _list(f"{len(told)} answers are of no use; they are kept in {raw}, --again asks once more", told)
    nothing = gathered.nothing(names)
    _list(f"{len(nothing)} of {len(names)} classes got no statement", nothing)
    return bool(told or nothing)


def _list(what: str, rows: Any) -> None:
    if rows:
        err.print(f"{what}:")
        for row in rows[:LISTED]:
            err.print(f"  {row}")
        if len(rows) > LISTED:
            err.print(f"  and {len(rows) - LISTED} more")
