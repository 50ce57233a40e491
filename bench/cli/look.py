"""The commands that look: list and status."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench import jobs, knowledge, plugins
from bench.cli import _submissions as submissions
from bench.cli._common import err, out, print_table
from bench.contracts import BenchError, shown_name
from bench.places import bench_home


def list_names(
    kind: Annotated[
        str | None, typer.Option(help="adapters, methods, datasets, sweeps, results, banks or recognizers.")
    ] = None,
) -> None:
    """What there is, by name. Example: python -m bench list --kind adapters"""
    known = [*plugins.FOLDERS, "banks", "recognizers"]
    if kind is not None and kind not in known:
        raise plugins.unknown("kind", kind, known, "python -m bench list --help")
    if kind == "recognizers":  # by name alone: they are MMAction2's, many, and take seconds
        _list_recognizers()
        return
    for one in [kind] if kind else [*plugins.FOLDERS, "banks"]:
        table = Table("name", "what", title=one, title_justify="left", box=None, show_header=False)
        if one == "banks":
            print_table(table, [(name, knowledge.load(name).about) for name in knowledge.bank_names()])
            continue
        rows = [(name, _summary(one, name)) for name in plugins.names(one)]
        if one == "adapters":
            rows += [(f"{stem}:...", how) for stem, how in plugins.open_adapters().items()]
        print_table(table, rows)


def _list_recognizers() -> None:
    """Every recogniser of MMAction2: its size, how it is tested, and what its README reports of that."""
    from bench import recognizers

    table = Table(
        "name", "parameters", "G multiply-adds, as printed", "frames", "clips x crops", "views", "pixels", box=None
    )
    table.add_column("reported by MMAction2: top-1 / top-5")
    rows, left_out = [], []
    for name in recognizers.names():
        found = recognizers.find(name)
        parameters = found.parameters
        if parameters is None:
            try:
                parameters = recognizers.num_parameters(name)
            except BenchError as error:
                left_out.append(str(error))
        stride = f" (every {found.interval})" if found.interval and found.interval > 1 else ""
        rows.append(
            (
                name,
                "-" if parameters is None else f"{parameters / 1e6:.2f} M",
                "-" if found.gflops is None else f"{found.gflops:g}",
                "-" if found.frames is None else f"{found.frames}{stride}",
                "-" if found.views is None else f"{found.clips} x {found.crops}",
                "-" if found.views is None else str(found.views),
                "-" if found.resolution is None else str(found.resolution),
                "; ".join(
                    f"{r.dataset} {r.top1:g} / {'-' if r.top5 is None else f'{r.top5:g}'}" for r in found.reported
                )
                or "-",
            )
        )
    print_table(table, rows)
    for reason in left_out:
        err.print(reason)


def _summary(kind: str, name: str) -> str:
    module = plugins.find(kind, name)
    if kind == "adapters":
        return str(module.MODELS[name])
    return (module.__doc__ or "").strip().splitlines()[0] if module.__doc__ else ""


STATES = ("complete", "n/a", "failed", "damaged")
ROWS = 200  # of the table of runs
NAMED = 3  # of the runs that failed with the same words


def status(
    each: Annotated[bool, typer.Option("--runs", help="One line a run, with its id and top-1 in percent.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay while a submission is in Slurm's queue.")] = False,
) -> None:
    """Submissions that are not done, and every run in $BENCH_HOME by state.

    Exit code 1 if a run failed, is damaged, lost or left undone; 3 while a submission is in Slurm's queue, or Slurm does not say.
    Example: python -m bench status --runs
    """
    home = bench_home(writes=False)
    code = submissions.watch(home) if watch else submissions.show_submissions(home)
    if _runs(home, each) and code == submissions.DONE:
        code = submissions.FAILED
    if code:
        raise typer.Exit(code)


def _runs(home: Path, each: bool) -> bool:
    """Print every run by state; whether one failed or is damaged."""
    import pandas as pd

    from bench.stored_results import states

    by = ["dataset", "protocol", "backbone", "label"]
    runs = states(home, [*by, "pretraining", *(("shots", "split", "seed", "top1") if each else ())])
    if runs.empty:
        out.print(f"no runs yet in {home}" + ("" if jobs.all_ids(home) else "; make bench starts some"))
        return False
    runs["backbone"] = list(map(shown_name, runs["backbone"], runs["pretraining"]))
    bad = runs[runs["status"].isin(["failed", "damaged"])]
    if each:
        for r in runs.to_dict("records"):
            shots = "" if pd.isna(r["shots"]) else f" K={r['shots']}"
            setting = f"{r['protocol']}{shots} split {r['split']} seed {r['seed']}"
            top1 = r.get("top1")  # no column of it where no run has any
            shown = f"{r['status']:>5}" if top1 is None or pd.isna(top1) else f"{100 * top1:5.1f}"
            out.print(f"{r['run_id']}  {shown}  {r['dataset']}  {r['backbone']}  {r['label']}  {setting}")
        return bool(len(bad))
    counted = runs[by].assign(**{state: runs["status"] == state for state in STATES}).groupby(by, dropna=False).sum()
    heads = ["data set", "protocol", "backbone", "method"]
    while len(counted) > ROWS and len(heads) > 1:  # the last of them go together until it can be read
        heads.pop()
        counted = counted.groupby(level=list(range(len(heads))), dropna=False).sum()
    keys = [key if isinstance(key, tuple) else (key,) for key in counted.index]
    rows = [(*map(str, key), *map(str, row)) for key, row in zip(keys, counted.to_numpy(), strict=True)]
    print_table(Table(*heads, *STATES, box=None), rows)
    for (state, reason), some in bad.groupby(["status", "reason"], sort=False):
        more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
        err.print(f"{state:7} {', '.join(some['run_id'].head(NAMED))}{more}  {reason}")
    return bool(len(bad))
