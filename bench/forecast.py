"""How long planned work takes, from runs that were done before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench import plugins
from bench.stored_results import Results

if TYPE_CHECKING:
    from bench.specs import ResolvedRun


@dataclass(frozen=True)
class Forecast:
    """Hours of one worker; of `unknown` runs and videos nothing like them was done before, so they are in neither number."""

    features_h: float
    runs_h: float
    unknown_videos: int
    unknown_runs: int


def forecast(todo: Sequence[ResolvedRun], videos: dict[str, int], home: Path) -> Forecast:
    """What these runs, and so many videos through each backbone, take at the pace of the complete runs of a home.

    A run is held against those of its method, backbone and shots; where there are none, against those of its method and shots. One that
    trains the whole backbone is held against those of its config alone.
    """
    runs = Results(home).runs
    done = runs[runs["status"] == "complete"] if len(runs) else runs
    features_h = runs_h = 0.0
    unknown_videos = unknown_runs = 0
    for backbone, number in videos.items():
        pace = _mean(done, "feature_ms", backbone=backbone)
        features_h += 0.0 if pace is None else number * pace / 3.6e6
        unknown_videos += number if pace is None else 0
    for run in todo:
        like = {"method": run.spec.method, "shots": run.spec.shots}
        same = {"backbone": run.backbone, **like}
        if plugins.find("methods", run.spec.method).TRAINABLE == "all":  # epochs and resolution make it long or short
            seconds = _mean(done, "seconds", config=json.dumps(dict(run.config), sort_keys=True), **same)
        else:
            seconds = _mean(done, "seconds", **same) or _mean(done, "seconds", **like)
        runs_h += (seconds or 0.0) / 3600
        unknown_runs += seconds is None
    return Forecast(features_h, runs_h, unknown_videos, unknown_runs)


def _mean(done: pd.DataFrame, column: str, **like: object) -> float | None:
    """The mean of a column over the runs that are like this; None where there is none that tells."""
    if column not in done or not len(done):
        return None
    fits = pd.Series(True, index=done.index)
    for name, value in like.items():
        fits &= done[name].isna() if value is None else done[name] == value
    found = pd.to_numeric(done.loc[fits.fillna(False), column], errors="coerce").dropna()
    return float(found.mean()) if len(found) else None
