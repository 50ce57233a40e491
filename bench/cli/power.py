"""The command that plans a study: power."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from bench.cli._common import out
from bench.places import bench_home


def power(
    difference: Annotated[float, typer.Option(help="To be found, in points of accuracy.")],
    power: Annotated[float, typer.Option(help="How often it is to be found, as a share.")] = 0.8,
    runs: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--from",
            help="Two run ids (or their first characters) or labels, as in status --runs: what is not given is measured on them.",
        ),
    ] = None,
    accuracy: Annotated[float | None, typer.Option(help="Of the first method, in percent; 80 unless given.")] = None,
    correlation: Annotated[
        float | None, typer.Option(help="Of what is hard for one and for the other (latent); .8 unless given.")
    ] = None,
    spread: Annotated[
        float | None,
        typer.Option(help="Of the difference between groups: standard deviation in points; 5 unless given."),
    ] = None,
    videos_per_group: Annotated[float | None, typer.Option(help="30 unless given.")] = None,
    seed_spread: Annotated[
        float | None,
        typer.Option(help="Of the difference between seeds: standard deviation in points; 1 unless given."),
    ] = None,
    videos: Annotated[int | None, typer.Option(help="Test videos that you have.")] = None,
    groups: Annotated[int | None, typer.Option(help="Subjects or source videos that you have.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds that you have.")] = None,
) -> None:
    """How many videos, groups and seeds a difference needs. Example: python -m bench power --difference 2 --videos 1530"""
    from bench import pilot
    from bench import power as planning
    from bench.stored_results import Results

    if runs is None:
        assumed, available = planning.Assumptions(), planning.Available()
    else:
        assumed, available = pilot.measure(Results(bench_home(writes=False)), *runs)
    points = {"accuracy": accuracy, "spread": spread, "seed_spread": seed_spread}
    given: dict[str, Any] = {name: value / 100 for name, value in points.items() if value is not None}
    others = {"correlation": correlation, "videos_per_group": videos_per_group}
    if videos and groups and videos_per_group is None:
        others["videos_per_group"] = videos / groups
    given |= {name: value for name, value in others.items() if value is not None}
    measured = tuple(name for name in assumed.measured if name not in given)
    assumed = dataclasses.replace(assumed, **given, measured=measured)
    have: dict[str, Any] = {"videos": videos, "groups": groups, "seeds": seeds}
    available = dataclasses.replace(available, **{name: value for name, value in have.items() if value is not None})
    for line in planning.plan(difference / 100, power, assumed, available):
        out.print(line)
