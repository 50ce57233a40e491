"""The command import-predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import _progress, plugins
from bench.cli._common import choice_of, out
from bench.places import bench_home

SHOWN = 10  # ids and names told one by one


def import_predictions(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .json; docs/import.md has their columns.")],
    name: Annotated[str, typer.Option(help="What the system is called in the tables.")],
    dataset: Annotated[str, typer.Option(help="A file in bench/datasets/.")],
    protocol: Annotated[str, typer.Option(help="zero_shot, few_shot, cross_subject or base_to_novel.")],
    shots: Annotated[int | None, typer.Option(help="Of few_shot and base_to_novel.")] = None,
    split: Annotated[str, typer.Option(help="Of the data set.")] = "1",
    seed: Annotated[int, typer.Option(help="Which of several runs of the system this is.")] = 1,
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many videos a class and split side.")] = None,
    backbone: Annotated[
        str, typer.Option(help="What it ran on; rows of one backbone, frames and views are tested against each other.")
    ] = "elsewhere",
    frames: Annotated[int, typer.Option(help="Frames a video; 0: not told.")] = 0,
    views: Annotated[int, typer.Option(help="Views a video; 0: not told.")] = 0,
    scores: Annotated[
        str, typer.Option(help="What the scores are: ranking (only their order counts), logits or probabilities.")
    ] = "ranking",
) -> None:
    """Another system's predictions as an ordinary run, marked as imported.

    Example: python -m bench import-predictions answers.csv --name mine --dataset toy --protocol zero_shot
    """
    from bench import importing

    source = importing.Source(name, backbone, frames, views, scores)
    plugins.find("datasets", dataset)
    choice = choice_of(dataset, root, option or [])
    spec = importing.spec_of(
        source,
        dataset=dataset,
        protocol=protocol,
        shots=shots,
        split=split,
        seed=seed,
        root=root,
        dataset_options=choice.options,
        limit=limit,
    )
    home = bench_home()
    with _progress.bars() as display:
        done = importing.import_predictions(file, source, spec, home, _progress.reporter(display))
    out.print(f"run {done.run_id}: " + ("imported" if done.new else "the same file was imported before; nothing to do"))
    for line in _told(done.report):
        out.print(f"  {line}")
    out.print(f"python -m bench show {done.run_id} tells it again; python -m bench render puts it into the tables")


def _told(report: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"top-1 {100 * report['top1_answered']:.2f} over the {report['num_answered']} videos that were answered, "
        f"{100 * report['top1_all']:.2f} over all {report['num_videos']} test videos (no answer is wrong); the tables show the latter"
    )
    for key, words in (
        ("missing", "test video{} without an answer"),
        ("twice", "video{} answered twice, in the same way"),
        ("unknown_videos", "answer{} on what is no test video here, ignored"),
    ):
        if found := report[key]:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            yield f"{len(found)} {words.format('s' * (len(found) > 1))}: {', '.join(found[:SHOWN])}{more}"
    unknown = report["unknown_classes"]
    for given, about in list(unknown.items())[:SHOWN]:
        hint = f"; did you mean {about['nearest']!r}?" if about["nearest"] else ""
        yield f"no class is called {given!r} ({about['times']} times, wrong each time){hint}"
    if len(unknown) > SHOWN:
        yield f"and {len(unknown) - SHOWN} more names that are no class"
    if called := [f"{number} is {name!r}" for number, name in report.get("by_number", {}).items()]:
        more = f" and {len(called) - SHOWN} more" if len(called) > SHOWN else ""
        yield f"classes called by number, from 0 in the data set's order: {', '.join(called[:SHOWN])}{more}"
    if short := report["short_lists"]:
        yield f"{short} answer{'s name' if short > 1 else ' names'} fewer than five classes"
    for metric, why in report["not_applicable"].items():
        yield f"{metric}: n/a, {why}"
