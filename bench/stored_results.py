"""Everything measured so far: all runs of a home as tables, read through their index."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench import _table, index, trials
from bench.contracts import BenchError
from bench.store import read_interpretation, read_predictions

if TYPE_CHECKING:
    from bench._table import Index, Videos

# Columns that every run has, with what stands there where its record cannot be read.
BASIC: dict[str, Any] = {
    **dict.fromkeys(("dataset", "backbone", "method", "label", "protocol", "split", "text_source", "bank"), ""),
    **{"seed": 0, "shots": pd.NA, "num_frames": 0, "num_views": 0, "needs_train": False, "toy_scale": False},
    **{
        "evaluation": "test",
        "study": "",
        "bank_control": "none",
        "precision": "float32",
        "pretraining": "",
        "group_kind": "",
    },
}
_TOLD_APART_BY = (
    "evaluation",
    "dataset",
    "manifest",
    "series",
    "versions",
)  # which runs are shown, and their data sets' names


class Results:
    """All runs on test videos of a home as they were when first asked for, for tables and plots. Torch-free.

    Complete, failed, n/a and damaged runs alike. Left out are trials, which are runs on validation videos (see `studies`), and
    complete runs of an older plug-in VERSION where the same run of a newer one is complete.
    """

    def __init__(self, home: Path, manifest: str | None = None) -> None:
        self.home = home
        self.manifest = manifest  # digest of the only list of videos that is looked at; None is all of them

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run, by run id.

        `run_id`; every column of run.json, nested values as JSON text; `status` ("complete", "failed", "n/a", "damaged") and `reason`;
        `config`, the method's whole config as JSON text ("" where not recorded); `metrics_version` Int64; a float64 column for each of
        `metrics`, NaN where a run has none. Of a run whose record cannot be read the columns are "", 0, False or NaN.
        """
        frame = self._frame
        return frame.drop(columns=[name for name in _table.metric_names(self._index) if name not in self.metrics])

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that any of the `runs` has."""
        shown = set(self._frame["run_id"])
        return tuple(_table.metric_names(self._index, shown))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Long: one row a run and metric, with the run's columns beside; other runs have one row without metric."""
        return _long(self._index, self._frame)

    def tested(self, run_id: str) -> tuple[Videos, np.ndarray]:
        """The test videos of a complete run, shared by all runs on the same ones, and which it was right on, bool `(N,)`.

        Raises:
            BenchError: there is no such run, or it is not complete.
        """
        found = self._index.tested(run_id)
        if found is None:
            raise BenchError(f"run {run_id} has no predictions under {self.home}; it is not complete")
        key, bits = found
        if key not in self._videos:
            self._videos[key] = self._index.videos(key)
        videos = self._videos[key]
        return videos, np.unpackbits(bits, count=len(videos.labels)).view(np.bool_)

    def predictions(self, run_id: str) -> pd.DataFrame:
        """video_id, group, label, predicted, correct: one row a test video."""
        p = read_predictions(self.home, run_id)
        predicted = p.logits.argmax(axis=1)
        columns = {"video_id": p.video_ids, "group": p.groups, "label": p.labels, "predicted": predicted}
        return pd.DataFrame(columns).assign(correct=predicted == p.labels)

    def interpretation(self, run_id: str) -> dict[str, Any] | None:
        """As `bench.store.read_interpretation`."""
        return read_interpretation(self.home, run_id)

    @cached_property
    def studies(self) -> tuple[trials.Record, ...]:
        """Everything that was tuned, by id; a data set is called as among the `runs`.

        Raises:
            BenchError: a study's file is damaged or of another schema.
        """
        found = [trials.read(self.home, study_id) for study_id in trials.study_ids(self.home)]
        names = dict(zip(self.runs["manifest"], self.runs["dataset"], strict=True)) if "manifest" in self.runs else {}
        return tuple(
            trials.called(one, str(names.get(one.columns["manifest"], one.columns["dataset"])))
            for one in found
            if self.manifest in (None, one.columns["manifest"])
        )

    def logits(self, run_id: str) -> np.ndarray:
        """float32 `(N, C)`, rows in the order of `predictions`."""
        return read_predictions(self.home, run_id).logits

    @cached_property
    def _index(self) -> Index:
        return index.refresh(self.home)

    @cached_property
    def _videos(self) -> dict[str, Videos]:
        return {}

    @cached_property
    def _frame(self) -> pd.DataFrame:
        """The runs that are shown, with a column a metric of the whole home."""
        frame = _shown(_table.frame(self._index), BASIC)
        if self.manifest is not None and "manifest" in frame:
            frame = frame[frame["manifest"] == self.manifest].reset_index(drop=True)
        return frame


def states(home: Path, names: Collection[str]) -> pd.DataFrame:
    """As `Results.runs` with few of its columns, for a quick look at many runs.

    Args:
        names: columns of run.json and metrics that are wanted, beside `run_id`, `status` and `reason`; a metric may be absent.
    """
    frame = _shown(
        _table.frame(index.refresh(home), {*names, *_TOLD_APART_BY}), {n: BASIC[n] for n in names if n in BASIC}
    )
    return frame[[name for name in ("run_id", "status", "reason", *names) if name in frame]]


def _shown(frame: pd.DataFrame, basic: Mapping[str, Any]) -> pd.DataFrame:
    """The runs that are shown, with what stands in the `basic` columns where no run tells."""
    frame = _told_apart(_newest(_without_trials(frame)))
    if len(frame):  # where every record is damaged no run has told them
        frame = frame.assign(**{name: nothing for name, nothing in basic.items() if name not in frame})
    if "shots" in frame:
        frame["shots"] = frame["shots"].astype("Int64")
    return frame


def _without_trials(frame: pd.DataFrame) -> pd.DataFrame:
    """Without runs on validation videos: what a study chose by is never shown among results."""
    if "evaluation" not in frame:
        return frame
    return frame[frame["evaluation"] != "validation"].reset_index(drop=True)


def _told_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Data sets of one name but different rows on disk get names of their own: their numbers are never put together."""
    if not {"dataset", "manifest"} <= set(frame.columns):
        return frame
    several = frame.groupby("dataset")["manifest"].transform("nunique") > 1
    apart = frame["dataset"] + " [rows " + frame["manifest"].str[:6] + "]"
    return frame.assign(dataset=frame["dataset"].mask(several, apart))


def _newest(frame: pd.DataFrame) -> pd.DataFrame:
    """Without complete runs of an older plug-in VERSION where the same run of a newer one is complete: those are superseded."""
    if not {"series", "versions"} <= set(frame.columns):
        return frame
    runs = frame.loc[frame["status"] == "complete", ["series", "versions"]].dropna()
    known = {text: json.loads(text) for text in runs["versions"].unique()}
    ranks = {text: tuple(versions[name] for name in sorted(versions)) for text, versions in known.items()}
    places = {rank: place for place, rank in enumerate(sorted(set(ranks.values())))}
    place = runs["versions"].map({text: places[rank] for text, rank in ranks.items()}).astype(int)
    old = place < place.groupby(runs["series"]).transform("max")
    return frame.drop(index=old.index[old]).reset_index(drop=True)


def _long(whole: Index, frame: pd.DataFrame) -> pd.DataFrame:
    """A row a run and metric, in the order in which the run's own file has them."""
    if not whole.runs.num_rows:
        return pd.DataFrame(columns=["run_id", "status", "metric", "value"])
    names = _table.metric_names(whole)
    facts = frame.drop(columns=[*names, "config", "metrics_version"])
    for name in _table.nested_names(whole):
        texts = {text: json.loads(text) for text in facts[name].dropna().unique()}
        facts[name] = pd.Series([texts.get(text) for text in facts[name]], index=facts.index, dtype=object)
    own = _table.own_metrics(whole, frame["run_id"])
    counts = np.array([max(1, len(some)) for some in own], dtype=np.int64)
    long = facts.iloc[np.repeat(np.arange(len(facts)), counts)].reset_index(drop=True)
    metric = [name for some in own for name in (some or (None,))]
    column = {name: i for i, name in enumerate(names)}
    table = frame[names].to_numpy(dtype=float)
    rows = np.repeat(np.arange(len(facts)), counts)
    value = [table[row, column[name]] if name is not None else np.nan for row, name in zip(rows, metric, strict=True)]
    return long.assign(metric=pd.Series(metric, dtype="str"), value=np.array(value, dtype=float))
