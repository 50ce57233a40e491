"""Videos decoded and transformed, in this process or in others beside it, in order and never far ahead of who takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench import frames
from bench._processes import leave_with_parent
from bench.contracts import SEGMENT_CENTRE
from bench.failures import InfrastructureError
from bench.manifest import MISSING, parse_box

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

AHEAD = 64  # videos decoded and not yet taken, at most: 5 MB each at 8 frames of 224 x 224
MAX_WORKERS = 16


def decode_workers(device: str, cores: int) -> int:
    """Processes that decode for one that encodes on "cuda" or "cpu".

    On a GPU a core each, but for the one that feeds it: a GPU encodes a video in milliseconds that a core decodes in tens. On a
    CPU none: the forward pass takes longer than the decoding by far, and every core has its own worker that does both.
    """
    return 0 if device == "cpu" else min(MAX_WORKERS, max(1, cores - 1))


@dataclass(frozen=True)
class Job:
    """A row of a manifest to be decoded, the key it is stored under, how many frames, and which (see `bench.clips.indices`)."""

    row: pd.Series
    key: str
    num_frames: int
    sampling: str = SEGMENT_CENTRE


def prepared(
    jobs: Sequence[Job], transform: Callable[[np.ndarray], torch.Tensor], workers: int
) -> Generator[torch.Tensor | str]:
    """Transformed videos `(T, 3, h, w)`, or the reason why there is none, in the order of the jobs; workers are AHEAD at most.

    Raises:
        InfrastructureError: a worker died.
    """
    if workers == 0:
        for job in jobs:
            yield _transformed(job, transform)
        return
    spawn = get_context("spawn")  # a fork of a process whose torch threads run can hang
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker, initargs=(transform,))
    try:
        todo = iter(jobs)
        under_way: deque[Future[torch.Tensor | str]] = deque()
        while True:
            under_way.extend(pool.submit(_prepare_in_worker, job) for job in islice(todo, AHEAD - len(under_way)))
            if not under_way:
                return
            yield under_way.popleft().result()
    except BrokenProcessPool as error:
        raise InfrastructureError(
            "a process that decodes videos died, most often because memory ran out: RAM, or the shared memory of a container "
            f"(df -h /dev/shm), which holds up to {AHEAD} decoded videos; give more and run the same command again. In a script of "
            'your own, what starts a run must stand under `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_transform: Callable[[np.ndarray], torch.Tensor] | None = None


def _start_worker(transform: Callable[[np.ndarray], torch.Tensor]) -> None:
    global _worker_transform
    leave_with_parent()
    torch.set_num_threads(1)
    _worker_transform = transform


def _prepare_in_worker(job: Job) -> torch.Tensor | str:
    assert _worker_transform is not None
    return _transformed(job, _worker_transform)


def _transformed(job: Job, transform: Callable[[np.ndarray], torch.Tensor]) -> torch.Tensor | str:
    row = job.row
    if str(row["stamp"]).startswith(MISSING):
        return "no such file"  # when the list was made; a later list has the content that came
    try:
        box = parse_box(row["box"])
        video = frames.read(Path(row["path"]), job.num_frames, row["start_s"], row["end_s"], box, job.sampling)
    except frames.UndecodableVideo as error:
        # Without the name: a row is kept by content, which may lie under other names too.
        return str(error).removeprefix(f"{Path(row['path']).name}: ")
    return transform(video)
