"""What one run folder says, for the index: its columns, its scores, and which test videos were right. No pandas, no torch."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.contracts import BenchError, digest
from bench.specs import SCHEMA

COMPLETE, FAILED = "COMPLETE", "FAILED.json"
LISTS = (
    "video_ids",
    "groups",
    "labels",
    "class_names",
    "parts",
)  # of predictions.npz: what makes a list of test videos


class Stamp(NamedTuple):
    """What changes when a run changes: its marker's name, and time (ns), size and inode of marker, scores and predictions."""

    marker: str
    files: str  # "time.size.inode" of each, "-" for no file


@dataclass
class Row:
    """One run. `correct` are the bits, packed, of its test videos in the order of the list that has the digest `tested`."""

    run_id: str
    stamp: Stamp
    status: str = "complete"
    reason: str = ""
    columns: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    metrics_version: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    tested: str = ""
    correct: bytes = b""


@dataclass
class Lists:
    """The distinct lists of test videos met so far: digest -> (ids, groups, labels, class names, parts)."""

    by_digest: dict[str, list[list[Any]]] = field(default_factory=dict)
    by_bytes: dict[bytes, str] = field(default_factory=dict)  # sha256 of the arrays as stored -> digest


class _DamagedError(Exception):
    """A file of a run folder is not what was written; `spoilt` is its name."""

    def __init__(self, spoilt: str, how: str) -> None:
        super().__init__(f"{spoilt} {how}")
        self.spoilt = spoilt


def stamp(folder: Path | str) -> Stamp | None:
    """The stamp of a run folder; None where there is no finished run."""
    known = _state(f"{folder}/{COMPLETE}")
    if known != _ABSENT:
        return Stamp(COMPLETE, f"{known} {_state(f'{folder}/scores.csv')} {_state(f'{folder}/predictions.npz')}")
    known = _state(f"{folder}/{FAILED}")
    return None if known == _ABSENT else Stamp(FAILED, known)


_ABSENT = "-"


def _state(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - a hundred thousand of them
    except OSError:
        return _ABSENT
    return f"{found.st_mtime_ns}.{found.st_size}.{found.st_ino}" if stat.S_ISREG(found.st_mode) else _ABSENT


def read(home: Path, run_id: str, lists: Lists) -> Row | None:
    """A run as its folder tells it; None where there is none. A run that cannot be read has the status "damaged" and says why.

    Raises:
        BenchError: a folder of another schema.
    """
    place = f"runs/{run_id[:2]}/{run_id}"
    folder = home / place
    before = stamp(folder)  # taken first: what changes while we read is read again the next time
    if before is None:
        return None
    row = Row(run_id, before)
    try:
        _fill(row, folder, lists)
    except _DamagedError as error:
        if stamp(folder) != before:
            return read(home, run_id, lists)  # it changed under our hands
        # Predictions are read before scores: where it is the scores that are spoilt, they are whole.
        remedy = RESCORE.format(run_id) if error.spoilt == "scores.csv" else REMOVE.format(place)
        return Row(run_id, before, "damaged", f"{place}/{error}; {remedy}", row.columns, row.config)
    return row


REMOVE = "delete the folder {} and start the same sweep again"
RESCORE = "python -m bench rescore {} writes it again"


def kind_of_damage(reason: str) -> str:
    """Which file is damaged and how, without the run and the details, from the `reason` of a damaged run."""
    found = re.match(r"runs/../[0-9a-f]{12}/(\S+ (?:is missing|cannot be read))", reason)
    return found[1] if found else reason


def _fill(row: Row, folder: Path, lists: Lists) -> None:
    name = "run.json" if row.stamp.marker == COMPLETE else FAILED
    with _whole(name):
        record = json.loads((folder / name).read_bytes())
        schema = record.get("schema")
    if schema != SCHEMA:
        raise BenchError(
            f"{folder} is a run folder of schema {schema}, this version reads schema {SCHEMA}; "
            "use the version that wrote it, or point BENCH_HOME elsewhere"
        )
    with _whole(name):
        columns, row.config = dict(record["columns"]), _config(record)
        status, reason = str(record.get("status", "complete")), str(record.get("reason", ""))
        if (status == "complete") != (row.stamp.marker == COMPLETE):
            raise ValueError(f"its status is {status}")
        row.columns = columns
    if row.stamp.marker == FAILED:
        row.status, row.reason = status, reason
        return
    with _whole("predictions.npz"):
        row.tested, row.correct, tested = _correct(folder / "predictions.npz", lists)
        check_count(folder, tested)
    with _whole("scores.csv"):
        row.scores, version, num = scores_of((folder / "scores.csv").read_text())
        row.metrics_version = version or 1
        if num != tested:
            raise ValueError(f"it has {num} videos, predictions.npz has {tested}")


def check_count(folder: Path, num_videos: int) -> None:
    """Raises ValueError where the marker of a complete run says that other than so many videos were written."""
    told = (folder / COMPLETE).read_text().split()
    if told and told[0] != str(num_videos):
        raise ValueError(f"it has {num_videos} videos, {told[0]} were written")


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """Whatever a reader makes of a spoilt file becomes one line that names it."""
    try:
        yield
    except BenchError:
        raise
    except FileNotFoundError as error:
        raise _DamagedError(name, "is missing") from error
    except Exception as error:
        why = str(error).split("\n")[0][:200] or "no further word"
        raise _DamagedError(name, f"cannot be read ({type(error).__name__}: {why})") from error


def _config(record: dict[str, Any]) -> str:
    """The method's whole config as JSON text with sorted keys; "" where it was not recorded."""
    pairs = (record.get("identity") or {}).get("config")
    return "" if pairs is None else json.dumps(dict(pairs), sort_keys=True)


def scores_of(text: str) -> tuple[dict[str, float], int | None, int]:
    """From a scores.csv: metric -> value, the version of the metrics (None where it was not recorded yet), the number of videos.

    Raises:
        ValueError, KeyError or TypeError: it is not what was written.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        raise ValueError("no scores in it")
    nums = {int(r["num_videos"]) for r in rows}
    versions = {int(r["metrics_version"]) if r.get("metrics_version") else None for r in rows}
    scores = {r["metric"]: float(r["value"]) if r["value"] else math.nan for r in rows}
    if len(nums) > 1 or len(versions) > 1 or len(scores) < len(rows):
        raise ValueError("its rows contradict each other")
    return scores, versions.pop(), nums.pop()


def _correct(path: Path, lists: Lists) -> tuple[str, bytes, int]:
    """Digest of the list of test videos, packed bits of which were right, their number."""
    with zipfile.ZipFile(path) as archive:
        inside = set(archive.namelist())
        stored = [archive.read(f"{n}.npy") if n != "parts" or "parts.npy" in inside else b"" for n in LISTS]
        logits = _array(archive.read("logits.npy"))
    labels = _array(stored[LISTS.index("labels")])
    if logits.ndim != 2 or labels.ndim != 1 or len(logits) != len(labels):
        raise ValueError(f"its logits are {logits.shape}, its labels {labels.shape}")
    key = hashlib.sha256(b"".join(len(s).to_bytes(8, "little") + s for s in stored)).digest()
    if key not in lists.by_bytes:
        values = [_array(s).tolist() if s else [] for s in stored]
        ids, groups, _, names, parts = values
        num = len(labels)
        if len(ids) != num or len(groups) != num or len(parts) not in (0, num) or len(set(ids)) != num:
            raise ValueError(f"{num} labels, {len(set(ids))} distinct ids, {len(groups)} groups, {len(parts)} parts")
        if logits.shape[1] != len(names) or (num and not 0 <= labels.min() <= labels.max() < len(names)):
            raise ValueError(f"{logits.shape[1]} logits a video, {len(names)} class names, or labels outside of them")
        found = digest(values)
        lists.by_digest[found] = values
        lists.by_bytes[key] = found
    if logits.shape[1] != len(lists.by_digest[lists.by_bytes[key]][LISTS.index("class_names")]):
        raise ValueError(f"{logits.shape[1]} logits a video do not fit its class names")
    right = logits.argmax(axis=1) == labels if len(labels) else np.zeros(0, bool)
    return lists.by_bytes[key], np.packbits(right).tobytes(), len(labels)


def _array(data: bytes) -> np.ndarray:
    """An array from the bytes of an .npy file; never one of objects."""
    start = 10 + int.from_bytes(data[8:10], "little")
    if data[:8] != b"\x93NUMPY\x01\x00":
        return np.load(io.BytesIO(data), allow_pickle=False)  # type: ignore[no-any-return]
    shape, fortran, dtype = _header(data[:start])
    if dtype.hasobject:
        raise ValueError("an array of objects")
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")


@functools.lru_cache(maxsize=256)  # runs of one sweep share their headers, and parsing one costs more than its array
def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    stream = io.BytesIO(data)
    np.lib.format.read_magic(stream)
    return np.lib.format.read_array_header_1_0(stream)
