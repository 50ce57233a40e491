"""The content-addressed store of frozen features: one decode and one forward pass per backbone, video and frames.

A store is a folder named by everything a feature depends on; in it, shards of up to SHARD_ROWS rows, each one safetensors file that
appears by a rename and so is whole or absent. A row's key is the video's content, its time window and its box; labels and splits stay
outside, so another selection or labelling re-uses every row. Undecodable videos are rows too: they hold a reason in place of a feature.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bench import frames
from bench._files import temporary_beside
from bench.contracts import Adapter, BenchError, Features, digest
from bench.manifest import MISSING, Manifest, parse_box

if TYPE_CHECKING:
    import numpy as np

SHARD_ROWS = 64
BATCH_VIDEOS = 16
FORMAT = "3"


@dataclass(frozen=True)
class Row:
    """Where a stored row lies: shard file and position in it, or the reason why there is none."""

    shard: Path | None
    position: int
    reason: str = ""


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: rows asked for, found whole in the store, sent through `encode_video`, undecodable."""

    asked: int
    stored: int
    encoded: int
    failed: int


def store_folder(home: Path, adapter: Adapter, num_frames: int, sampling: str, decoder: str, precision: str) -> Path:
    """The store of one backbone and one way of sampling frames."""
    facts = adapter.facts
    key = digest([FORMAT, facts.fingerprint, num_frames, sampling, decoder, precision])
    return home / "features" / f"{facts.name}-{key}"


def row_keys(manifest: Manifest) -> list[str]:
    """One key a row, in row order: content stamp, time window, box. Labels, splits, ids and paths are not in it."""
    rows = manifest.rows
    parts = zip(rows["stamp"], rows["start_s"], rows["end_s"], rows["box"], strict=True)
    return [digest([stamp, _number(start), _number(end), box]) for stamp, start, end, box in parts]


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def estimate_mb(num_videos: int, num_frames: int, embed_dim: int) -> float:
    """Size of float32 frame embeddings in MB (10^6 bytes)."""
    return num_videos * num_frames * embed_dim * 4 / 1e6


class FeatureStore:
    """Reading and filling one store folder. Any number of processes may fill it at once: equal rows give equal shard names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[str, Row] = {}
        self._read: set[str] = set()

    def rows(self) -> Mapping[str, Row]:
        """Every row of every whole shard; shards that came since the last call are read now."""
        for shard in sorted(self.folder.glob("*.safetensors")):
            if shard.name in self._read:
                continue
            with _opened(shard, "np") as f:
                header = json.loads(f.metadata()["rows"])
            for position, key in enumerate(header["keys"]):
                self._rows[key] = Row(shard, position)
            for key, reason in header["failed"].items():
                self._rows[key] = Row(None, -1, reason)
            self._read.add(shard.name)
        return self._rows

    def missing(self, manifest: Manifest, positions: Sequence[int]) -> list[int]:
        """The positions whose rows are not stored, each distinct content once."""
        have, keys = self.rows(), row_keys(manifest)
        wanted = {keys[p]: p for p in reversed(positions) if keys[p] not in have}
        return sorted(wanted.values())

    def fill(
        self,
        manifest: Manifest,
        positions: Sequence[int],
        adapter: Adapter,
        num_frames: int,
        workers: int = 0,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> Extraction:
        """Decode, transform and encode what is missing, shard by shard; a kill loses at most the shard under way.

        Args:
            workers: processes that decode and transform; 0 does it in this one.
            progress: called with the number of rows finished since the last call.
        """
        todo = self.missing(manifest, positions)
        keys = row_keys(manifest)
        encoded = failed = 0
        jobs = [_Job(manifest.rows.iloc[p], keys[p], num_frames) for p in todo]
        for shard, videos in _decoded(jobs, adapter, workers):
            good = [(job, video) for job, video in zip(shard, videos, strict=True) if not isinstance(video, str)]
            bad = {job.key: video for job, video in zip(shard, videos, strict=True) if isinstance(video, str)}
            self._write([job.key for job, _ in good], _encode(adapter, [v for _, v in good]), bad)
            encoded += len(good)
            failed += len(bad)
            progress(len(shard))
        return Extraction(len(positions), len(positions) - len(todo), encoded, failed)

    def _write(self, keys: list[str], tensors: Mapping[str, np.ndarray], failed: Mapping[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{digest([keys, sorted(failed)])}.safetensors"
        temporary = temporary_beside(path)
        try:
            # One entry: safetensors writes several in an order of its own, and equal shards would differ.
            rows = json.dumps({"keys": keys, "failed": dict(failed)})
            save_file(dict(tensors), temporary, metadata={"rows": rows})
            with temporary.open("rb") as f:
                os.fsync(f.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, manifest: Manifest, positions: Sequence[int]) -> tuple[Features, list[int], dict[int, str]]:
        """Features of the given manifest positions, in their order.

        Returns:
            the features of the decodable ones, their positions, and position -> reason for the others.

        Raises:
            BenchError: a row is not stored.
        """
        have, keys = self.rows(), row_keys(manifest)
        absent = [p for p in positions if keys[p] not in have]
        if absent:
            raise BenchError(
                f"{len(absent)} of {len(positions)} videos have no features in {self.folder}; run the same command again"
            )
        failed = {p: have[keys[p]].reason for p in positions if have[keys[p]].shard is None}
        kept = [p for p in positions if p not in failed]
        by_shard: dict[Path, list[int]] = {}
        for place, p in enumerate(kept):
            shard = have[keys[p]].shard
            assert shard is not None
            by_shard.setdefault(shard, []).append(place)
        out: dict[str, torch.Tensor] = {}
        for shard, places in by_shard.items():
            with _opened(shard, "pt") as f:
                at = torch.tensor([have[keys[kept[place]]].position for place in places])
                for name in f.keys():  # noqa: SIM118 - not a dict
                    values = f.get_tensor(name)[at]
                    if name not in out:
                        out[name] = torch.empty((len(kept), *values.shape[1:]), dtype=values.dtype)
                    out[name][torch.tensor(places)] = values
        if not kept:
            raise BenchError(
                f"none of the {len(positions)} videos can be decoded: {next(iter(failed.values()), 'no videos')}"
            )
        return Features(out.pop("frames"), out), kept, failed


@contextmanager
def _opened(shard: Path, framework: str) -> Iterator[Any]:
    """A shard for reading. Raises BenchError where it is not what was once written, for the disk may fail or a copy break off."""
    try:
        with safe_open(shard, framework=framework) as f:
            if "rows" not in (f.metadata() or {}):
                raise KeyError("no list of rows")
            yield f
    except (SafetensorError, KeyError, IndexError, json.JSONDecodeError) as error:
        raise BenchError(f"{shard} is damaged ({error}); delete it and run the same command again") from error


@dataclass(frozen=True)
class _Job:
    row: pd.Series
    key: str
    num_frames: int


def _decoded(jobs: list[_Job], adapter: Adapter, workers: int) -> Iterator[tuple[list[_Job], list[torch.Tensor | str]]]:
    """Shards of jobs with their transformed videos `(T, 3, h, w)`, or the reason why there is none."""
    batches = [jobs[i : i + SHARD_ROWS] for i in range(0, len(jobs), SHARD_ROWS)]
    if workers == 0:
        for shard in batches:
            yield shard, [_transformed(job, adapter.transform) for job in shard]
        return
    spawn = get_context("spawn")  # a fork of a process whose torch threads run can hang
    with ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=_start_worker, initargs=(adapter.transform,)
    ) as pool:
        queue: list[tuple[list[_Job], Iterator[torch.Tensor | str]]] = []
        ahead = iter(batches)
        queue.extend((shard, pool.map(_prepare_in_worker, shard)) for shard in islice(ahead, 2))
        while queue:
            shard, videos = queue.pop(0)
            yield shard, list(videos)
            queue.extend((s, pool.map(_prepare_in_worker, s)) for s in islice(ahead, 1))


_worker_transform: Callable[[np.ndarray], torch.Tensor] | None = None


def _start_worker(transform: Callable[[np.ndarray], torch.Tensor]) -> None:
    global _worker_transform
    torch.set_num_threads(1)
    _worker_transform = transform


def _prepare_in_worker(job: _Job) -> torch.Tensor | str:
    assert _worker_transform is not None
    return _transformed(job, _worker_transform)


def _transformed(job: _Job, transform: Callable[[np.ndarray], torch.Tensor]) -> torch.Tensor | str:
    row = job.row
    if str(row["stamp"]).startswith(MISSING):
        return "no such file"  # when the list was made; a later list has the content that came
    try:
        video = frames.read(Path(row["path"]), job.num_frames, row["start_s"], row["end_s"], parse_box(row["box"]))
    except frames.UndecodableVideo as error:
        # Without the name: a row is kept by content, which may lie under other names too.
        return str(error).removeprefix(f"{Path(row['path']).name}: ")
    return transform(video)


def _encode(adapter: Adapter, videos: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    parts: list[Features] = []
    with torch.inference_mode():
        for start in range(0, len(videos), BATCH_VIDEOS):
            parts.append(adapter.encode_video(torch.stack(list(videos[start : start + BATCH_VIDEOS]))).to("cpu"))
    if not parts:
        return {}
    out = {"frames": torch.cat([p.frames for p in parts])}
    for name in parts[0].extra:
        out[name] = torch.cat([p.extra[name] for p in parts])
    return {name: value.contiguous().numpy() for name, value in out.items()}
