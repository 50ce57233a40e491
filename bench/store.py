"""One folder a run. COMPLETE is written last, after the counts match; only it means done."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench._files import write_atomic
from bench.contracts import BenchError, digest
from bench.specs import SCHEMA

COMPLETE, FAILED = "COMPLETE", "FAILED.json"
INDEX = "index.json"


@dataclass(frozen=True)
class Predictions:
    """The immutable boundary: everything after it can be recomputed from it.

    `logits` float32 `(N, C)`; `labels` int64 `(N,)`; `video_ids`, `groups` `(N,)`; `failed` maps the id of a test video that could not
    be decoded to the reason.
    """

    logits: np.ndarray
    labels: np.ndarray
    video_ids: Sequence[str]
    groups: Sequence[str]
    class_names: Sequence[str]
    failed: Mapping[str, str]


def run_folder(home: Path, run_id: str) -> Path:
    """Where a run lives. Raises BenchError for what is no run id (and so for any path in its place)."""
    if not re.fullmatch(r"[0-9a-f]{12}", run_id):
        raise BenchError(
            f"{run_id!r} is no run id; it is 12 hexadecimal characters (python -m bench status lists them)"
        )
    return home / "runs" / run_id[:2] / run_id


def is_complete(home: Path, run_id: str) -> bool:
    """Whether the run is done. Raises BenchError where the folder is of another schema."""
    folder = run_folder(home, run_id)
    if not (folder / COMPLETE).is_file():
        return False
    _check_schema(folder)
    return True


def write(
    home: Path, run_id: str, record: Mapping[str, Any], predictions: Predictions, scores: Mapping[str, float]
) -> Path:
    """Write a finished run; COMPLETE comes last, after the files were read back and their counts match."""
    folder = run_folder(home, run_id)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        logits=predictions.logits.astype(np.float32),
        labels=predictions.labels.astype(np.int64),
        video_ids=np.array(predictions.video_ids, dtype=np.str_),
        groups=np.array(predictions.groups, dtype=np.str_),
        class_names=np.array(predictions.class_names, dtype=np.str_),
        failed_ids=np.array(list(predictions.failed), dtype=np.str_),
        failed_reasons=np.array(list(predictions.failed.values()), dtype=np.str_),
    )
    write_atomic(folder / "predictions.npz", buffer.getvalue())
    long = pd.DataFrame({"metric": list(scores), "value": list(scores.values()), "num_videos": len(predictions.labels)})
    write_atomic(folder / "scores.csv", long.to_csv(index=False))
    write_atomic(
        folder / "run.json", json.dumps({"schema": SCHEMA, "run_id": run_id, **record}, indent=1, allow_nan=False)
    )
    back = read_predictions(home, run_id)
    if len(back.labels) != len(predictions.labels) or not np.array_equal(
        back.logits, predictions.logits.astype(np.float32)
    ):
        raise OSError(f"{folder}: what was read back is not what was written")
    (folder / FAILED).unlink(missing_ok=True)
    write_atomic(folder / COMPLETE, f"{len(back.labels)} videos\n")
    return folder


def write_failure(
    home: Path, run_id: str, record: Mapping[str, Any], reason: str, trace: str, status: str = "failed"
) -> None:
    """Record why a run has no result ("failed", or "n/a" for a method that cannot run there); never over a complete run."""
    folder = run_folder(home, run_id)
    if (folder / COMPLETE).is_file():
        return
    content = {"schema": SCHEMA, "run_id": run_id, **record, "status": status, "reason": reason, "traceback": trace}
    write_atomic(folder / FAILED, json.dumps(content, indent=1))


def failure(home: Path, run_id: str) -> dict[str, Any] | None:
    """The record of a failed or inapplicable run; None where there is none."""
    path = run_folder(home, run_id) / FAILED
    return json.loads(path.read_text()) if path.is_file() else None


def read_record(home: Path, run_id: str) -> dict[str, Any]:
    """run.json of a complete run, or FAILED.json. Raises BenchError where there is neither, or another schema."""
    folder = run_folder(home, run_id)
    # A crash leaves run.json without COMPLETE: it counts for nothing, and a failure after it is a failure.
    path = folder / ("run.json" if (folder / COMPLETE).is_file() else FAILED)
    if path.is_file():
        _check_schema(folder)
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    raise BenchError(f"there is no finished run {run_id} under {home}; python -m bench status lists the runs")


def read_predictions(home: Path, run_id: str) -> Predictions:
    """Predictions as they were written. Raises BenchError where they are not there."""
    path = run_folder(home, run_id) / "predictions.npz"
    if not path.is_file():
        raise BenchError(f"run {run_id} has no predictions under {home}; it is not complete")
    with np.load(path, allow_pickle=False) as f:
        return Predictions(
            f["logits"],
            f["labels"],
            f["video_ids"].tolist(),
            f["groups"].tolist(),
            f["class_names"].tolist(),
            dict(zip(f["failed_ids"].tolist(), f["failed_reasons"].tolist(), strict=True)),
        )


def remove(home: Path, run_id: str) -> None:
    """Delete a run's folder, whole; COMPLETE goes first so that no half of it passes for a run."""
    folder = run_folder(home, run_id)
    (folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def run_ids(home: Path) -> Iterator[str]:
    """Ids of all run folders, whole or not."""
    for folder in sorted((home / "runs").glob("[0-9a-f][0-9a-f]/*")):
        if re.fullmatch(r"[0-9a-f]{12}", folder.name):
            yield folder.name


def _check_schema(folder: Path) -> None:
    for name in ("run.json", FAILED):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text()).get("schema")
            if found != SCHEMA:
                raise BenchError(
                    f"{folder} is a run folder of schema {found}, this version reads schema {SCHEMA}; "
                    "use the version that wrote it, or point BENCH_HOME elsewhere"
                )


class Results:
    """All runs of a home, for tables and plots. Torch-free; complete, failed and n/a runs alike."""

    def __init__(self, home: Path, manifest: str | None = None) -> None:
        self.home = home
        self.manifest = manifest  # digest of the only list of videos that is looked at; None is all of them

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Long: one row a run and metric, with the run's columns beside; failed and n/a runs have one row without metric."""
        rows = [row for entry in self._entries() for row in entry]
        frame = pd.DataFrame(rows, columns=None if rows else ["run_id", "status", "metric", "value"])
        if rows:
            frame = _newest(frame)
            frame = _told_apart(frame)
        if self.manifest is not None and rows:
            frame = frame[frame["manifest"] == self.manifest].reset_index(drop=True)
        if "shots" in frame:
            frame["shots"] = frame["shots"].astype("Int64")
        return frame

    def predictions(self, run_id: str) -> pd.DataFrame:
        """video_id, group, label, predicted, correct: one row a test video."""
        p = read_predictions(self.home, run_id)
        predicted = p.logits.argmax(axis=1)
        columns = {"video_id": p.video_ids, "group": p.groups, "label": p.labels, "predicted": predicted}
        return pd.DataFrame(columns).assign(correct=predicted == p.labels)

    def logits(self, run_id: str) -> np.ndarray:
        """float32 `(N, C)`, rows in the order of `predictions`."""
        return read_predictions(self.home, run_id).logits

    def _entries(self) -> list[list[dict[str, Any]]]:
        """Rows of each run, from the index where the run's marker is unchanged, from its folder otherwise."""
        known = self._read_index()
        fresh: dict[str, Any] = {}
        for run_id in run_ids(self.home):
            folder = run_folder(self.home, run_id)
            mark = next((m for m in (folder / COMPLETE, folder / FAILED) if m.is_file()), None)
            if mark is None:
                continue
            key = f"{mark.name}:{mark.stat().st_mtime_ns}"
            old = known.get(run_id)
            fresh[run_id] = old if old and old["key"] == key else {"key": key, "rows": _rows(self.home, run_id)}
        if fresh != known:
            body = {"schema": SCHEMA, "runs": fresh}
            write_atomic(self.home / INDEX, json.dumps({**body, "digest": digest(body)}))
        return [entry["rows"] for entry in fresh.values()]

    def _read_index(self) -> dict[str, Any]:
        """The index, or nothing where it is absent, damaged or of another schema: it can always be rebuilt."""
        try:
            index = json.loads((self.home / INDEX).read_text())
            body = {"schema": index["schema"], "runs": index["runs"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return body["runs"] if body["schema"] == SCHEMA and index.get("digest") == digest(body) else {}


def _told_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Data sets of one name but different rows on disk get names of their own: their numbers are never put together."""
    several = frame.groupby("dataset")["manifest"].transform("nunique") > 1
    apart = frame["dataset"] + " [rows " + frame["manifest"].str[:6] + "]"
    return frame.assign(dataset=frame["dataset"].mask(several, apart))


def _newest(frame: pd.DataFrame) -> pd.DataFrame:
    """Without complete runs of an older plug-in VERSION where the same run of a newer one is complete: those are superseded."""
    runs = frame[frame["status"] == "complete"].drop_duplicates("run_id")
    rank = runs["versions"].map(lambda versions: tuple(versions[name] for name in sorted(versions)))
    newest = rank.groupby(runs["series"]).transform("max")
    old = set(runs["run_id"][rank < newest])
    return frame[~frame["run_id"].isin(old)].reset_index(drop=True)


def _rows(home: Path, run_id: str) -> list[dict[str, Any]]:
    record = read_record(home, run_id)
    base = {
        "run_id": run_id,
        **record["columns"],
        "status": record.get("status", "complete"),
        "reason": record.get("reason", ""),
    }
    if base["status"] != "complete":
        return [{**base, "metric": None, "value": None}]
    scores = pd.read_csv(run_folder(home, run_id) / "scores.csv")
    return [
        {**base, "metric": str(m), "value": float(v)} for m, v in zip(scores["metric"], scores["value"], strict=True)
    ]
