"""One folder a run, which appears whole. COMPLETE is written last, after the counts match; only it means done."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import _staging
from bench._files import write_atomic, write_whole
from bench._folders import COMPLETE, FAILED, REMOVE, check_count
from bench.contracts import BenchError
from bench.specs import SCHEMA

INTERPRETATION = "interpretation.json"  # in the folder of a run whose method tells of itself
__all__ = ["COMPLETE", "FAILED", "Predictions"]


@dataclass(frozen=True)
class Predictions:
    """The immutable boundary: everything after it can be recomputed from it.

    `logits` float32 `(N, C)`, -inf for classes outside of a video's label space; `labels` int64 `(N,)`; `video_ids`, `groups` `(N,)`;
    `failed` maps the id of a test video that could not be decoded to the reason; `parts` `(N,)` is "base" or "novel" for each video,
    or `(0,)` where the protocol knows no parts. `not_scored` maps a metric that these logits cannot give to the reason.
    """

    logits: np.ndarray
    labels: np.ndarray
    video_ids: Sequence[str]
    groups: Sequence[str]
    class_names: Sequence[str]
    failed: Mapping[str, str]
    parts: Sequence[str] = ()
    not_scored: Mapping[str, str] = field(default_factory=dict)


def run_folder(home: Path, run_id: str) -> Path:
    """Where a run lives. Raises BenchError for what is no run id (and so for any path in its place)."""
    if not re.fullmatch(r"[0-9a-f]{12}", run_id):
        raise BenchError(
            f"{run_id!r} is no run id; it is 12 hexadecimal characters (python -m bench status --runs lists them)"
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
    home: Path,
    run_id: str,
    record: Mapping[str, Any],
    predictions: Predictions,
    scores: Mapping[str, float],
    interpretation: Mapping[str, Any] | None = None,
) -> Path:
    """Write a finished run. Its folder appears whole, by one rename; COMPLETE is the last file in it, after the others were read back
    and their counts match. A run that is complete already is left as it is.
    """
    folder = run_folder(home, run_id)
    buffer = io.BytesIO()
    named = {"names": list(predictions.not_scored), "reasons": list(predictions.not_scored.values())}
    not_scored: dict[str, Any] = {f"not_scored_{k}": np.array(v, dtype=np.str_) for k, v in named.items() if v}
    np.savez(
        buffer,
        logits=predictions.logits.astype(np.float32),
        labels=predictions.labels.astype(np.int64),
        video_ids=np.array(predictions.video_ids, dtype=np.str_),
        groups=np.array(predictions.groups, dtype=np.str_),
        class_names=np.array(predictions.class_names, dtype=np.str_),
        failed_ids=np.array(list(predictions.failed), dtype=np.str_),
        failed_reasons=np.array(list(predictions.failed.values()), dtype=np.str_),
        parts=np.array(predictions.parts, dtype=np.str_),
        **not_scored,
    )
    full = {"schema": SCHEMA, "run_id": run_id, **record}

    def fill(staged: Path) -> None:
        write_whole(staged / "predictions.npz", buffer.getvalue())
        write_whole(staged / "scores.csv", _scores_csv(scores, len(predictions.labels)).encode())
        if interpretation is not None:
            write_whole(staged / INTERPRETATION, json.dumps(interpretation, allow_nan=False).encode())
        write_whole(staged / "run.json", json.dumps(full, indent=1, allow_nan=False).encode())
        back = _stored(staged / "predictions.npz")
        if len(back.labels) != len(predictions.labels) or not np.array_equal(
            back.logits, predictions.logits.astype(np.float32)
        ):
            raise OSError(f"{folder}: what was read back is not what was written")
        write_whole(staged / COMPLETE, f"{len(back.labels)} videos\n".encode())

    _staging.publish(folder, fill, lambda path: (path / COMPLETE).is_file())
    return folder


def write_scores(home: Path, run_id: str, scores: Mapping[str, float]) -> None:
    """Replace the scores of a complete run, whole; nothing else in its folder is touched.

    Raises:
        BenchError: the run is not complete.
    """
    if not is_complete(home, run_id):
        raise BenchError(f"run {run_id} is not complete under {home}, so it has no scores to replace")
    num = len(read_predictions(home, run_id).labels)
    write_atomic(run_folder(home, run_id) / "scores.csv", _scores_csv(scores, num))


def _scores_csv(scores: Mapping[str, float], num_videos: int) -> str:
    from bench.metrics import VERSION  # it brings scikit-learn, which those who only look do not need

    long = {
        "metric": list(scores),
        "value": list(scores.values()),
        "num_videos": num_videos,
        "metrics_version": VERSION,
    }
    return pd.DataFrame(long).to_csv(index=False)


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
    return _json(path) if path.is_file() else None


def read_record(home: Path, run_id: str) -> dict[str, Any]:
    """run.json of a complete run, or FAILED.json. Raises BenchError where there is neither, or another schema."""
    folder = run_folder(home, run_id)
    # A crash leaves run.json without COMPLETE: it counts for nothing, and a failure after it is a failure.
    path = folder / ("run.json" if (folder / COMPLETE).is_file() else FAILED)
    if path.is_file():
        _check_schema(folder)
        return _json(path)
    raise BenchError(f"there is no finished run {run_id} under {home}; python -m bench status --runs lists the runs")


def read_predictions(home: Path, run_id: str) -> Predictions:
    """The predictions of a complete run, whole, as they were written.

    Raises:
        BenchError: the run is not complete, or its predictions are missing, damaged, or not as many as its marker says.
    """
    folder = run_folder(home, run_id)
    if not (folder / COMPLETE).is_file():
        raise BenchError(f"run {run_id} has no predictions under {home}; it is not complete")
    try:
        found = _stored(folder / "predictions.npz")
        counts = {len(x) for x in (found.logits, found.labels, found.video_ids, found.groups)}
        if len(counts) > 1:
            raise ValueError(f"{' and '.join(map(str, sorted(counts)))} videos")
        check_count(folder, len(found.labels))
    except FileNotFoundError as error:
        raise BenchError(
            f"run {run_id} is damaged: {folder / 'predictions.npz'} is missing; {REMOVE.format(folder)}"
        ) from error
    except Exception as error:  # a damaged archive raises whatever its readers stumble over
        raise BenchError(
            f"run {run_id} is damaged: {folder / 'predictions.npz'} cannot be read ({type(error).__name__}: {error}); "
            f"{REMOVE.format(folder)}"
        ) from error
    return found


def read_interpretation(home: Path, run_id: str) -> dict[str, Any] | None:
    """What a run's method told of itself (see `bench.interpretation.told`); None where it told nothing.

    Raises:
        BenchError: the file is damaged.
    """
    path = run_folder(home, run_id) / INTERPRETATION
    return _json(path) if path.is_file() else None


def _stored(path: Path) -> Predictions:
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as f:  # numpy leaves a damaged file open
        return Predictions(
            f["logits"],
            f["labels"],
            f["video_ids"].tolist(),
            f["groups"].tolist(),
            f["class_names"].tolist(),
            dict(zip(f["failed_ids"].tolist(), f["failed_reasons"].tolist(), strict=True)),
            f["parts"].tolist() if "parts" in f else (),
            dict(zip(f["not_scored_names"].tolist(), f["not_scored_reasons"].tolist(), strict=True))
            if "not_scored_names" in f
            else {},
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


def _json(path: Path) -> dict[str, Any]:
    """A record of a run folder. Raises BenchError where it is not what was written."""
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no record")
    except ValueError as error:
        raise BenchError(
            f"{path} is damaged ({error}); delete the folder {path.parent} and start the same sweep again"
        ) from error
    return found


def _check_schema(folder: Path) -> None:
    for name in ("run.json", FAILED):
        if (folder / name).is_file():
            found = _json(folder / name).get("schema")
            if found != SCHEMA:
                raise BenchError(
                    f"{folder} is a run folder of schema {found}, this version reads schema {SCHEMA}; "
                    "use the version that wrote it, or point BENCH_HOME elsewhere"
                )
