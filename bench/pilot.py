"""What a plan of `bench.power` takes for granted, measured on stored runs of two methods. Shape legend: N videos, G groups."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench import records
from bench.contracts import BenchError
from bench.power import Assumptions, Available, latent_correlation
from bench.stats import group_means

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bench.stored_results import Results

# Columns in which runs of one setting agree; what is left to differ is the seed.
SETTING = ["dataset", "manifest", "protocol", "shots", "split", "method", "label", "bank", "bank_control", "backbone"]
SETTING += ["num_frames", "num_views", "precision", "config"]
# Of which two methods that are compared differ in one alone, or the difference is not that of the methods.
COMPARED = {
    **{"label": "method", "protocol": "protocol", "shots": "shots", "split": "split", "backbone": "backbone"},
    **{"num_frames": "frames", "num_views": "views", "precision": "precision"},
}
FEW_SEEDS = 3  # fewer tell next to nothing of their spread


def measure(results: Results, first: str, second: str) -> tuple[Assumptions, Available]:
    """What a plan needs, from stored runs of two methods: each a run id or its first characters (its other seeds are found) or a label.

    Raises:
        BenchError: no such complete run, a label that stands for several settings, no seed or test list in common, or
            methods that are right on everything or nothing.
    """
    runs = results.runs
    done = runs[runs["status"] == "complete"] if len(runs) else runs
    ours, theirs = (_setting(done, _named(results, name)) for name in (first, second))
    pairs = _pairs(ours, theirs, first, second)
    firsts, seconds, kinds = [], [], set()
    for a, b in pairs:
        videos, right = results.tested(a["run_id"])
        others, other_right = results.tested(b["run_id"])
        if videos.digest != others.digest:
            raise BenchError(f"runs {a['run_id']} and {b['run_id']} were not tested on the same videos")
        firsts.append(right)
        seconds.append(other_right)
        kinds.add(str(a["group_kind"]))
    a_right, b_right = np.array(firsts, dtype=bool), np.array(seconds, dtype=bool)
    p, q = float(a_right.mean()), float(b_right.mean())
    if not (0 < p < 1 and 0 < q < 1):
        raise BenchError(f"the runs are right on {100 * p:.1f} % and {100 * q:.1f} %: there is nothing to measure")
    differences = b_right.astype(float) - a_right
    found = Assumptions(p, latent_correlation(p, q, float((a_right & b_right).mean())))
    measured = ["accuracy", "correlation"]
    grouped, num_groups = kinds != {"video"}, None
    if grouped:
        codes = np.asarray(pd.factorize(np.asarray(videos.groups, dtype=object))[0])
        sizes = np.bincount(codes)
        num_groups = len(sizes)
        if num_groups > 1 and sizes.max() > 1:
            spread, size = _spread(differences, codes), float(len(sizes) / (1 / sizes).sum())
            found = replace(found, spread=spread, videos_per_group=size)
            measured += ["spread", "videos_per_group"]
    of_seeds = differences.mean(axis=1)
    if len(of_seeds) > 1 and (deviation := float(of_seeds.std(ddof=1))) > 0:
        found = replace(found, seed_spread=deviation)
        measured.append("seed_spread")
    available = Available(a_right.shape[1], num_groups, len(pairs), grouped)
    return replace(found, measured=tuple(measured), cautions=tuple(_cautions(ours, theirs, len(pairs)))), available


def _cautions(a: pd.DataFrame, b: pd.DataFrame, num_seeds: int) -> Iterator[str]:
    known = [c for c in COMPARED if c in a]
    values = {c: (str(a[c].iloc[0]), str(b[c].iloc[0])) for c in known}
    differ = [f"{COMPARED[c]} ({first}, {second})" for c, (first, second) in values.items() if first != second]
    if len(differ) > 1:
        yield f"the two runs differ in more than the method: {', '.join(differ)}; the difference is that of all of it together"
    if num_seeds < FEW_SEEDS and (a["needs_train"].iloc[0] or b["needs_train"].iloc[0]):
        yield f"measured on {num_seeds} seed{'s'[: num_seeds > 1]}; fewer than {FEW_SEEDS} tell next to nothing of how seeds differ"


def _spread(differences: NDArray[np.float64], codes: NDArray[np.int_]) -> float:
    """Standard deviation of the true difference between groups, from differences `(runs, N)`; at least 0.

    The variance of the group means less what their videos bring, averaged over runs.
    """
    sizes = np.bincount(codes)
    found = []
    for row in differences:
        means = group_means(row, codes)
        within = ((row - means[codes]) ** 2).sum() / max(1, len(row) - len(sizes))
        found.append(means.var(ddof=1) - within * (1 / sizes).mean())
    return math.sqrt(max(0.0, float(np.mean(found))))


def _named(results: Results, name: str) -> str:
    """The whole run id where the name is the first characters of one, otherwise the name."""
    runs = results.runs
    exact = any(c in runs and (runs[c] == name).any() for c in ("run_id", "label"))
    return name if exact or not re.fullmatch(r"[0-9a-f]{1,12}", name) else records.find(results.home, name)


def _setting(done: pd.DataFrame, name: str) -> pd.DataFrame:
    """The complete runs that differ from the named one in nothing but the seed."""
    found = next((done[done[c] == name] for c in ("run_id", "label") if c in done and (done[c] == name).any()), None)
    if found is None:
        raise BenchError(f"there is no complete run or method {name!r}; python -m bench status --runs lists them")
    columns = [c for c in SETTING if c in done]
    numbers = done.groupby(columns, dropna=False, sort=False).ngroup()
    settings = numbers[found.index].drop_duplicates()
    if len(settings) > 1:
        ids = ", ".join(done.loc[settings.index[:3], "run_id"])
        raise BenchError(f"{name!r} has runs of {len(settings)} settings; name one by a run id, such as {ids}")
    own: pd.DataFrame = done[numbers == settings.iloc[0]]
    return own.drop_duplicates("seed")


def _pairs(a: pd.DataFrame, b: pd.DataFrame, first: str, second: str) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    """Runs of both with the same seed; the one run of a method that draws nothing goes with every seed of the other."""
    if set(a["run_id"]) & set(b["run_id"]):
        raise BenchError(f"{first} and {second} are runs of the same setting; name two that differ")
    ours, theirs = ({run["seed"]: run for run in part.to_dict("records")} for part in (a, b))
    if len(theirs) == 1 and not b["needs_train"].iloc[0]:
        theirs = dict.fromkeys(ours, next(iter(theirs.values())))
    elif len(ours) == 1 and not a["needs_train"].iloc[0]:
        ours = dict.fromkeys(theirs, next(iter(ours.values())))
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        raise BenchError(f"{first} and {second} have no seed in common; run both with the same --seeds")
    return [(ours[seed], theirs[seed]) for seed in seeds]
