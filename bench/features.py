"""The content-addressed store of frozen features: one decode and one forward pass per backbone, video and frames.

A store is a folder named by everything a feature depends on; in it, shards of up to SHARD_ROWS rows, each one safetensors file that
appears by a rename and so is whole or absent. A row's key is the video's content, its time window and its box; labels and splits stay
outside, so another selection or labelling re-uses every row. Undecodable videos are rows too: they hold a reason in place of a feature.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bench import stopping
from bench._files import clear, sync, temporary_beside, write_atomic
from bench._staging import publish
from bench.contracts import SEGMENT_CENTRE, Adapter, BenchError, Features, digest
from bench.decoding import Job, prepared
from bench.failures import InfrastructureError, MissingFeaturesError
from bench.forward import Encoder, joined

if TYPE_CHECKING:
    import numpy as np

    from bench.manifest import Manifest

SHARD_ROWS = 64
FORMAT = "3"


@dataclass(frozen=True)
class Row:
    """Where a stored row lies: shard file and position in it, or the reason why there is none."""

    shard: Path | None
    position: int
    reason: str = ""
    forward: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: rows asked for, found whole in the store, sent through `encode_video`, undecodable.

    `forward` says with what: precision, compile, device, and the batch size at the end.
    """

    asked: int
    stored: int
    encoded: int
    failed: int
    forward: Mapping[str, Any] = field(default_factory=dict)


def store_folder(
    features: Path, adapter: Adapter, num_frames: int, sampling: str, decoder: str, precision: str
) -> Path:
    """The store of one backbone and one way of sampling frames, in the folder of all stores."""
    facts = adapter.facts
    key = digest([FORMAT, facts.fingerprint, num_frames, sampling, decoder, precision])
    return features / f"{facts.name}-{key}"


def row_keys(manifest: Manifest) -> list[str]:
    """One key a row, in row order: content stamp, time window, box. Labels, splits, ids and paths are not in it."""
    rows = manifest.rows
    parts = zip(rows["stamp"], rows["start_s"], rows["end_s"], rows["box"], strict=True)
    return [digest([stamp, _number(start), _number(end), box]) for stamp, start, end, box in parts]


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def estimate_mb(num_videos: int, num_frames: int, embed_dim: int, extra: int = 0) -> float:
    """Size of the features in MB (10^6 bytes): float32 frame embeddings and `extra` further float32 numbers a video."""
    return num_videos * (num_frames * embed_dim + extra) * 4 / 1e6


def check_room(folder: Path, needed_mb: float) -> None:
    """Raises BenchError where a folder, which need not exist yet, cannot take so many MB (10^6 bytes): no room, or not ours to write to."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if needed_mb and not os.access(there, os.W_OK):
        raise BenchError(
            f"features are still to be computed, and {there} cannot be written to; ask its owner for that (chmod g+w), or name another "
            "folder: features in [places] of the site file, or BENCH_HOME"
        )
    free_mb = shutil.disk_usage(there).free / 1e6
    if needed_mb > free_mb:
        raise BenchError(
            f"the features still to be computed take {needed_mb:,.1f} MB, and {there} has {free_mb:,.1f} MB free; "
            "make room, set BENCH_HOME to a folder on a bigger disk, or take fewer videos (--limit) or frames (--frames)"
        )


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
                self._rows[key] = Row(shard, position, forward=header.get("forward", {}))
            for key, reason in header["failed"].items():
                self._rows[key] = Row(None, -1, reason)
            self._read.add(shard.name)
        return self._rows

    def missing(self, manifest: Manifest, positions: Sequence[int]) -> list[int]:
        """The positions whose rows are not stored, each distinct content once."""
        have, keys = self.rows(), row_keys(manifest)
        wanted = {keys[p]: p for p in reversed(positions) if keys[p] not in have}
        return sorted(wanted.values())

    def estimate_mb(self, adapter: Adapter, num_frames: int, num_videos: int) -> float:
        """MB (10^6 bytes) that so many more videos will take: by what a stored one takes, or by the backbone's facts."""
        shard = next((row.shard for row in self.rows().values() if row.shard is not None), None)
        if shard is None:
            return estimate_mb(num_videos, num_frames, adapter.facts.embed_dim, adapter.facts.extra_floats)
        with _opened(shard, "np") as f:
            shapes = {name: f.get_slice(name).get_shape() for name in f.keys()}  # noqa: SIM118 - not a dict
        numbers = {name: math.prod(shape[1:]) for name, shape in shapes.items()}
        return estimate_mb(num_videos, 1, numbers.pop("frames"), sum(numbers.values()))

    def computed_with(self, manifest: Manifest, positions: Sequence[int]) -> list[dict[str, Any]]:
        """How these rows were computed: each distinct precision, compilation, device and batch size once, with its number of rows."""
        have, keys = self.rows(), row_keys(manifest)
        counts: dict[str, int] = {}
        for p in positions:
            row = have.get(keys[p])
            if row is not None and row.shard is not None:
                how = json.dumps(dict(row.forward), sort_keys=True)
                counts[how] = counts.get(how, 0) + 1
        return [{**json.loads(how), "videos": count} for how, count in sorted(counts.items())]

    def ms_a_video(self, manifest: Manifest, positions: Sequence[int]) -> float | None:
        """Wall-clock milliseconds a video that these rows took when they were computed: decoding, transform, forward pass.

        The mean over the rows that tell it; None where none does.
        """
        have, keys = self.rows(), row_keys(manifest)
        shards = [row.shard for p in positions if (row := have.get(keys[p])) is not None and row.shard is not None]
        told = {shard: _read_ms(shard) for shard in set(shards)}
        known = [ms for shard in shards if (ms := told[shard]) is not None]
        return sum(known) / len(known) if known else None

    def fill(
        self,
        manifest: Manifest,
        positions: Sequence[int],
        adapter: Adapter,
        num_frames: int,
        workers: int = 0,
        progress: Callable[[int], None] = lambda rows: None,
        encoder: Encoder | None = None,
        sampling: str = SEGMENT_CENTRE,
    ) -> Extraction:
        """Decode, transform and encode what is missing, shard by shard; a kill loses at most the shard under way.

        Args:
            workers: processes that decode and transform while this one encodes; 0 does all of it in this one.
            progress: called with the number of rows that were encoded, or found undecodable, since the last call.
            encoder: how the forward pass runs; float32 as it is unless given.
            sampling: which frames are decoded, as in the name of the folder.

        Raises:
            BenchError: the disk has no room for it, or the forward pass cannot run here; InfrastructureError where a worker died.
            Stopped: this process was asked to stop; what is stored by then stays.
        """
        encoder = encoder or Encoder(adapter)
        clear(self.folder, ".*.tmp")
        todo = self.missing(manifest, positions)
        keys = row_keys(manifest)
        encoded = failed = 0
        jobs = [Job(manifest.rows.iloc[p], keys[p], num_frames, sampling) for p in todo]
        with closing(prepared(jobs, adapter.transform, workers)) as videos:
            for start in range(0, len(jobs), SHARD_ROWS):
                stopping.check()
                # Each time: a stored shard tells what the backbone's facts may not, and the disk is not ours alone.
                check_room(self.folder, self.estimate_mb(adapter, num_frames, len(jobs) - start))
                shard, began = jobs[start : start + SHARD_ROWS], time.perf_counter()
                good, tensors, bad = _encoded(shard, islice(videos, len(shard)), encoder, progress)
                took = 1000 * (time.perf_counter() - began) / len(shard)
                self._write(good, tensors, bad, encoder.record, took)
                encoded += len(good)
                failed += len(bad)
        return Extraction(len(positions), len(positions) - len(todo), encoded, failed, encoder.record)

    def _write(
        self,
        keys: list[str],
        tensors: Mapping[str, np.ndarray],
        failed: Mapping[str, str],
        forward: Mapping[str, Any],
        ms_a_video: float,
    ) -> None:
        if not self.folder.is_dir():
            # What a group shares is writable for the group from the moment it is there, and stays so.
            publish(self.folder, lambda made: shutil.copymode(self.folder.parent, made), Path.is_dir)
        path = self.folder / f"{digest([keys, sorted(failed)])}.safetensors"
        if path.exists():
            return  # another was as quick; a replaced file could fail whoever reads it over a network
        mode = self.folder.stat().st_mode & 0o666
        # Not in the shard: equal features are equal bytes, however long they took.
        write_atomic(_ms_file(path), json.dumps({"ms_a_video": ms_a_video}), mode)
        temporary = temporary_beside(path)
        try:
            # One entry: safetensors writes several in an order of its own, and equal shards would differ.
            rows = json.dumps({"keys": keys, "failed": dict(failed), "forward": dict(forward)})
            save_file(dict(tensors), temporary, metadata={"rows": rows})
            with temporary.open("rb") as f:
                os.fsync(f.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
            sync(self.folder)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, manifest: Manifest, positions: Sequence[int]) -> tuple[Features, list[int], dict[int, str]]:
        """Features of the given manifest positions, in their order.

        Returns:
            the features of the decodable ones, their positions, and position -> reason for the others.

        Raises:
            MissingFeaturesError: a row is not stored.
            InfrastructureError: a shard is damaged.
        """
        have, keys = self.rows(), row_keys(manifest)
        absent = [p for p in positions if keys[p] not in have]
        if absent:
            raise MissingFeaturesError(
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


def _ms_file(shard: Path) -> Path:
    return shard.with_suffix(".cost.json")


def _read_ms(shard: Path) -> float | None:
    """What a shard's rows took; None where that was not kept."""
    try:
        return float(json.loads(_ms_file(shard).read_text())["ms_a_video"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _opened(shard: Path, framework: str) -> Iterator[Any]:
    """A shard for reading. Raises BenchError where it is not what was once written, for the disk may fail or a copy break off."""
    try:
        with safe_open(shard, framework=framework) as f:
            if "rows" not in (f.metadata() or {}):
                raise KeyError("no list of rows")
            yield f
    except (SafetensorError, KeyError, IndexError, json.JSONDecodeError) as error:
        raise InfrastructureError(f"{shard} is damaged ({error}); delete it and run the same command again") from error


def _encoded(
    shard: Sequence[Job], videos: Iterable[torch.Tensor | str], encoder: Encoder, progress: Callable[[int], None]
) -> tuple[list[str], dict[str, np.ndarray], dict[str, str]]:
    """Keys and features of a shard's decodable videos, and key -> reason of the others; a batch starts as soon as it is full."""
    good: list[str] = []
    failed: dict[str, str] = {}
    parts: list[Features] = []
    waiting: list[torch.Tensor] = []
    for job, video in zip(shard, videos, strict=True):
        if isinstance(video, str):
            failed[job.key] = video
            progress(1)
            continue
        good.append(job.key)
        waiting.append(video)
        if len(waiting) >= encoder.size(video):
            parts.append(encoder.encode(waiting))
            progress(len(waiting))
            waiting = []
    if waiting:
        parts.append(encoder.encode(waiting))
        progress(len(waiting))
    if not parts:
        return good, {}, failed
    # Only here does this process wait for a GPU, which computes while the next batch is gathered.
    whole = joined(parts).to("cpu")
    for name, values in {"frames": whole.frames, **whole.extra}.items():
        if not bool(values.isfinite().all()):
            said = encoder.record
            raise BenchError(
                f"{encoder.adapter.facts.name} gives {name} that are infinite or no numbers in {said['precision']} on {said['device']}; "
                "nothing of them is stored. Take another --precision: fp16 overflows where bf16 and float32 do not"
            )
    tensors = {"frames": whole.frames, **whole.extra}
    return good, {name: value.contiguous().numpy() for name, value in tensors.items()}, failed
