"""The commands test-videos and import-predictions: what another system is asked, and what it answered."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import _progress, plugins
from bench.cli._common import choice_of, err, out
from bench.places import bench_home
from bench.specs import RunSpec

SHOWN = 10  # ids and names told one by one


Dataset = Annotated[str, typer.Option(help="A file in bench/datasets/.")]
Protocol = Annotated[str, typer.Option(help="zero_shot, few_shot, cross_subject or base_to_novel.")]
Shots = Annotated[int | None, typer.Option(help="Of few_shot and base_to_novel.")]
Split = Annotated[str, typer.Option(help="Of the data set.")]
Root = Annotated[str | None, typer.Option(help="Where the data set lies.")]
Option = Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")]
Limit = Annotated[int | None, typer.Option(help="At most this many videos a class and split side.")]


def test_videos(
    dataset: Dataset,
    protocol: Protocol,
    shots: Shots = None,
    split: Split = "1",
    root: Root = None,
    option: Option = None,
    limit: Limit = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="The classes to choose among, in place of the videos.")
    ] = False,
    labels: Annotated[bool, typer.Option("--labels", help="The true class of each video, too.")] = False,
) -> None:
    """The test videos of a protocol and split as csv, without their classes, for another system to answer on.

    Example: python -m bench test-videos --dataset toy --protocol zero_shot > videos.csv
    """
    from bench.questions import questions

    spec = RunSpec(backbone="", method="", **_scope(dataset, protocol, shots, split, root, option, limit))
    with _progress.bars(err) as display:  # what is printed here is for a file
        asked = questions(spec, bench_home(), _progress.reporter(display), labels)
    sys.stdout.write((asked.classes if classes else asked.videos).to_csv(index=False))
    if asked.telling and not (classes or labels):
        err.print(
            f"{asked.telling} of {len(asked.videos)} videos have the name of their class in their id, file or folder: show a system what "
            "is in the file, never how it is called"
        )


def _scope(
    dataset: str,
    protocol: str,
    shots: int | None,
    split: str,
    root: str | None,
    option: list[str] | None,
    limit: int | None,
) -> dict[str, Any]:
    """The fields of a spec that say which videos are asked."""
    plugins.find("datasets", dataset)
    options = choice_of(dataset, root, option or []).options
    where = {"root": root, "dataset_options": options, "limit": limit}
    return {"dataset": dataset, "protocol": protocol, "shots": shots, "split": split, **where}


def import_predictions(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .json; docs/import.md has their columns.")],
    name: Annotated[str, typer.Option(help="What the system is called in the tables.")],
    dataset: Dataset,
    protocol: Protocol,
    shots: Shots = None,
    split: Split = "1",
    seed: Annotated[int, typer.Option(help="Which of several runs of the system this is.")] = 1,
    root: Root = None,
    option: Option = None,
    limit: Limit = None,
    backbone: Annotated[
        str, typer.Option(help="What it ran on; rows of one backbone, frames and views are tested against each other.")
    ] = "elsewhere",
    frames: Annotated[int, typer.Option(help="Frames a video; 0: not told.")] = 0,
    views: Annotated[int, typer.Option(help="Views a video; 0: not told.")] = 0,
    scores: Annotated[
        str, typer.Option(help="What the scores are: ranking (only their order counts), logits or probabilities.")
    ] = "ranking",
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of what was imported for this name, split and seed before.")
    ] = False,
) -> None:
    """Another system's predictions as an ordinary run, marked as imported.

    Example: python -m bench import-predictions answers.csv --name mine --dataset toy --protocol zero_shot
    """
    from bench import importing

    source = importing.Source(name, backbone, frames, views, scores)
    spec = importing.spec_of(source, seed=seed, **_scope(dataset, protocol, shots, split, root, option, limit))
    home = bench_home()
    with _progress.bars() as display:
        done = importing.import_predictions(file, source, spec, home, _progress.reporter(display), replace)
    out.print(f"run {done.run_id}: " + ("imported" if done.new else "the same file was imported before; nothing to do"))
    if done.replaced:
        out.print(f"  in place of {', '.join(done.replaced)}, which is removed")
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
