"""A config's own pipelines over our videos: its steps as they are, but for where frames come from, how many and how large.

What a step draws depends on the run's seed, the epoch and the video alone, so no number of workers and no restart changes a picture.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from bench.compat import mmaction2
from bench.contracts import BenchError, Video, Videos

STAGES = ("train", "val", "test")
Read = Callable[[Video, Sequence[int]], np.ndarray]  # frames of these numbers, uint8 `(T, H, W, 3)`
_INIT = ("DecordInit", "PyAVInit", "OpenCVInit", "PIMSInit")
_DECODE = ("DecordDecode", "PyAVDecode", "OpenCVDecode", "PIMSDecode", "RawFrameDecode")
_SIZES = ("scale", "input_size", "crop_size", "size", "scale_range")


def steps(recipe: Mapping[str, Any], stage: str) -> list[dict[str, Any]]:
    """The steps of a stage's pipeline, as the config has them.

    Raises:
        BenchError: it has no such stage, or looks at something else than pictures.
    """
    if mmaction2.dataset(recipe, stage).get("modality", "RGB") != "RGB":
        raise BenchError("this recogniser looks at optical flow, which the videos here do not hold")
    found = mmaction2.steps(recipe, stage)
    if not found:
        raise BenchError(f"this recogniser's config has no {stage} pipeline; take one that has")
    return found


def training_size(recipe: Mapping[str, Any]) -> int:
    """The side in pixels of the pictures that a recogniser is trained on."""
    for step in reversed(steps(recipe, "train")):
        for name in ("size", "crop_size", "input_size", "scale"):
            value = step.get(name)
            side = value[0] if isinstance(value, (list, tuple)) else value
            if step["type"] in ("Resize", "RandomResizedCrop", "RandomCrop", "MultiScaleCrop", "CenterCrop") and side:
                return int(side)
    raise BenchError(
        "no step of this recogniser's train pipeline says how large its pictures are; leave resolution out"
    )


def adapted(
    found: Sequence[Mapping[str, Any]], frames: int | None, scale: float, read: Read
) -> list[dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]]:
    """Steps that decode by `read`, with another number of frames a view and all sizes times `scale`."""
    out: list[Any] = []
    for step in found:
        if step["type"] in _INIT:
            continue
        if step["type"] in _DECODE:
            out.append(Decode(read))
            continue
        changed = dict(step)
        if scale != 1:
            changed |= {name: _scaled(step[name], scale) for name in _SIZES if name in step}
        if frames is not None and "Sample" in step["type"]:
            changed["num_clips" if step.get("clip_len", 1) == 1 else "clip_len"] = frames
        out.append(changed)
    return out


def _scaled(value: Any, scale: float) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_scaled(v, scale) for v in value)
    if value in (None, -1) or not np.isfinite(value):
        return value
    return max(1, round(value * scale))


@dataclass(frozen=True)
class Decode:
    """The step that reads the sampled frames."""

    read: Read

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        numbers = np.asarray(results["frame_inds"]).reshape(-1)
        pictures = self.read(results.pop("video"), numbers.tolist())
        results["imgs"] = list(pictures)
        results["original_shape"] = results["img_shape"] = pictures.shape[1:3]
        return results


class Clips(Dataset[list[dict[str, Any]]]):
    """Videos through a pipeline; an item is asked for by (epoch, number) and is the same whenever it is."""

    def __init__(
        self,
        videos: Videos,
        labels: Sequence[int] | None,
        steps: Sequence[Any],
        seed: int,
        repeats: int = 1,
    ) -> None:
        mmaction2.import_mmaction()
        from mmengine.dataset import Compose

        self.videos, self.labels, self.seed, self.repeats = videos, labels, seed, repeats
        self.steps = list(steps)
        self.pipeline = Compose(list(steps))
        self.metainfo: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Its pipeline is of a library that another process has not imported yet.
        return type(self), (self.videos, self.labels, self.steps, self.seed, self.repeats)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, at: tuple[int, int]) -> list[dict[str, Any]]:
        epoch, number = at
        video = self.videos.rows[number]
        items = []
        for repeat in range(self.repeats):
            told = {"video": video, "total_frames": video.num_frames, "start_index": 0, "modality": "RGB"}
            if video.fps:
                told["avg_fps"] = video.fps
            if self.labels is not None:
                told["label"] = self.labels[number]
            with drawing(self.seed, epoch, number, repeat):
                items.append(self.pipeline(told))
        return items


@contextmanager
def drawing(*seed: int) -> Iterator[None]:
    """Every generator that a step may draw from (none is a GPU's) starts at the seed; afterwards they are where they were."""
    words = np.random.SeedSequence(seed).generate_state(4)
    with generators_kept():
        random.seed(int(words[0]))
        np.random.seed(words[1:3])  # noqa: NPY002 - the one that the steps draw from
        torch.default_generator.manual_seed(int(words[3]))  # torch.manual_seed would also start a GPU's anew, for good
        yield


@contextmanager
def generators_kept(device: torch.device | None = None) -> Iterator[None]:
    """After the block the global generators, and that of a GPU, are where they were before it."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


class Order(Sampler[tuple[int, int]]):
    """(epoch, number) of each video: shuffled by seed and epoch, or in order; every `world`-th from `rank` on, as many for each.

    `start` items of the next epoch are left out: those that were trained on before a restart.
    """

    def __init__(self, num: int, seed: int | None, rank: int = 0, world: int = 1) -> None:
        self.num, self.seed, self.rank, self.world = num, seed, rank, world
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return -(-self.num // self.world)

    def set_epoch(self, epoch: int) -> None:
        """MMEngine's hook says which epoch begins."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.num)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num)
        own = np.resize(order, len(self) * self.world)[self.rank :: self.world]
        start, self.start = self.start, 0
        yield from ((self.epoch, int(number)) for number in own[start:])


def loader(clips: Clips, order: Order, batch_size: int, workers: int = 0) -> DataLoader[list[dict[str, Any]]]:
    """Batches as MMEngine's models take them, made in this process or in `workers` beside it, which changes nothing in them."""
    return DataLoader(
        clips,
        batch_size,
        sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_collate,
        worker_init_fn=_start_worker if workers else None,
        generator=torch.Generator(),  # the iterator draws a seed: not from the generator that dropout draws from
    )


def _start_worker(number: int) -> None:
    import cv2

    # Who trains answers what a terminal or Slurm sends to all processes, and needs batches until then.
    for signum in (signal.SIGINT, getattr(signal, "SIGUSR2", signal.SIGINT)):
        signal.signal(signum, signal.SIG_IGN)
    cv2.setNumThreads(0)  # each has a core


def _collate(batch: Sequence[Sequence[dict[str, Any]]]) -> Any:
    from mmengine.dataset import pseudo_collate

    return pseudo_collate([item for items in batch for item in items])
