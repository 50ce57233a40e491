"""The commands leaderboard and published, and `reproduce` of a published number."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import _progress
from bench.cli._common import out
from bench.contracts import BenchError
from bench.places import bench_home


def leaderboard(
    published: Annotated[
        bool, typer.Option("--published", help="Beside what others reported for the same setting, marked as such.")
    ] = False,
) -> None:
    """The leaderboard of all runs, printed. Example: python -m bench leaderboard --published"""
    from bench import plugins
    from bench.stored_results import Results

    results = Results(bench_home(writes=False))
    out.print(plugins.find("results", "published_numbers" if published else "leaderboard").text(results))


def published(
    words: Annotated[list[str] | None, typer.Argument(help="Only rows in which each of these words stands.")] = None,
    contradict: Annotated[
        bool, typer.Option("--conflicts", help="Only those in which sources contradict each other, side by side.")
    ] = False,
) -> None:
    """Published numbers with their sources, by the names that reproduce takes. Example: python -m bench published ucf zero_shot"""
    from bench import conflicts
    from bench.published import line, load, matching

    rows = list(matching(" ".join(words or ())))
    if not rows:
        raise BenchError(
            f"no published number has all of these words: {' '.join(words or ())}; fewer of them find more"
        )
    if not contradict:
        for row in rows:
            out.print(line(row))
        out.print(f"{len(rows)} published numbers")
        return
    found = [group for group in conflicts.groups(load()) if not set(rows).isdisjoint(group)]
    for group in found:
        for row in group:
            out.print(line(row))
        out.print("")
    out.print(f"{len(found)} settings of which sources tell different numbers")


def list_reproducible() -> None:
    """Print which published numbers can be measured here, and why the others cannot."""
    from bench import reported

    for text in reported.listed():
        out.print(text)


def reproduce_published(
    name: str,
    root: str | None,
    options: tuple[tuple[str, str], ...],
    config: list[str],
    backbone: str | None,
    tolerance: float | None,
) -> bool:
    """Run what matches a published number and print both; whether they agree within the tolerance, in points."""
    from bench import reported
    from bench.published import find

    allowed = reported.TOLERANCE if tolerance is None else tolerance
    if not 0 <= allowed <= 100:
        raise BenchError(f"the tolerance is {allowed}; of a published number it is 0 to 100 points")
    settings = [text.partition("=") for text in config]
    if wrong := [text for text, sign, _ in settings if not sign]:
        raise BenchError(f"--config takes FIELD=VALUE, not {wrong[0]!r}")
    here = reported.Here(root=root, options=options, config=tuple((f, v) for f, _, v in settings), backbone=backbone)
    row = find(name)
    home = bench_home()
    with _progress.bars() as display:
        result = reported.measure(row, home, here, _progress.reporter(display))
    for text in reported.told(result, allowed):
        out.print(text)
    return abs(result.apart) <= allowed
