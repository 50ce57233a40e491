"""The command that opens a bank for review."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from bench import _progress
from bench.cli._common import choice_of, err, out
from bench.contracts import BenchError
from bench.places import bench_home


def review(
    bank: Annotated[str, typer.Argument(help="The bank's .json file; every decision is saved to it at once.")],
    dataset: Annotated[str | None, typer.Option(help="A file in bench/datasets/ whose frames are shown.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the data set lies.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value for the data set; may be repeated.")] = None,
    reviewer: Annotated[str, typer.Option(help="Who decides; the page asks where this is not given.")] = "",
    port: Annotated[int, typer.Option(help="Of this machine; a free one unless given.", min=0, max=65535)] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Decide on a bank's statements on a local page; Ctrl-C ends it. Example: python -m bench knowledge review mine.json --dataset toy"""
    from bench.knowledge import review as page
    from bench.knowledge.desk import open_desk

    if not bank.endswith(".json"):
        raise BenchError(f"a review writes to a .json file, not to {bank!r}; copy the bank and give the copy")
    if dataset is None and (root or option):
        raise BenchError("--root and --option belong to a data set; name it with --dataset")
    desk = open_desk(Path(bank), reviewer)  # a fault in the bank is found before a data set is made
    if dataset is not None:
        from bench.planning import build_manifest
        from bench.specs import RunSpec

        choice = choice_of(dataset, root, option or [])
        spec = RunSpec(dataset=dataset, backbone="", method="", root=root, dataset_options=choice.options)
        display = _progress.bars()
        display.disable = not out.is_terminal  # a pipe gets the address as its first line
        with display:
            manifest = build_manifest(spec, bench_home(), _progress.reporter(display))
        desk = open_desk(Path(bank), reviewer, manifest)

    def ready(address: str) -> None:
        out.print(f"review {desk.path.name} at {address} (Ctrl-C ends it; what is decided is saved)")
        if open_ and not webbrowser.open(address):
            err.print("no browser could be opened; open the address yourself")

    page.serve(desk, port, ready)
    out.print(desk.told())
