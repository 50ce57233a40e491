"""How a frozen backbone's forward pass over videos runs: number format, torch.compile, batch size.

Shape legend: N videos, T frames.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.contracts import Adapter, BenchError, Features
from bench.memory import is_exhausted, release

CPU_BATCH = 16  # fixed, so that the same machine gives the same bytes
MAX_BATCH = 32  # of the search: half a shard, so that one batch is gathered while the device computes another
RISE = 1.05  # videos a second, over those of half the batch, for which twice the memory is worth it
TIMED = 3  # forward passes that one size of the search is timed by
_FORMATS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def device_of(adapter: Adapter) -> torch.device:
    """Where the parameters lie; the CPU for a backbone without parameters."""
    first = next(adapter.module.parameters(), None)
    return first.device if first is not None else torch.device("cpu")


def best_batch(measure: Callable[[int], float | None], limit: int = MAX_BATCH) -> int:
    """The batch size to use: doubled from 1 while memory suffices and videos a second still rise by RISE.

    Args:
        measure: videos in a batch -> seconds that it takes, None where memory does not suffice.

    Raises:
        BenchError: not even one video fits.
    """
    best, fastest = 0, 0.0
    size = 1
    while size <= limit:
        seconds = measure(size)
        if seconds is None or size < RISE * fastest * seconds:
            break
        best, fastest = size, size / seconds
        size *= 2
    if not best:
        raise BenchError(_too_small("one video"))
    return best


def _too_small(what: str) -> str:
    return f"the device's memory does not hold {what}; free it of other work, show fewer frames (--frames) or use BENCH_DEVICE=cpu"


class Encoder:
    """`encode_video` of one adapter in one number format: lists of videos in, float32 features on the adapter's device out.

    Attributes:
        batch: videos a forward pass; on a GPU 0 until `size` has measured it, and halved where memory no longer suffices.
    """

    def __init__(self, adapter: Adapter, precision: str = "float32", compile: bool = False) -> None:
        if precision not in _FORMATS:
            raise BenchError(f"unknown precision {precision!r}; it is one of {', '.join(_FORMATS)}")
        self.adapter, self.precision, self.compile = adapter, precision, compile
        self.device = device_of(adapter)
        self.batch = CPU_BATCH if self.device.type == "cpu" else 0
        self._compiled = torch.compile(adapter.encode_video) if compile else None
        if self.device.type == "cuda":
            for module in adapter.module.modules():
                if isinstance(module, torch.nn.Conv2d):  # a video encoder's 3-d ones take no such format
                    module.to(memory_format=torch.channels_last)

    @property
    def record(self) -> dict[str, Any]:
        """What a feature was computed with, for whoever reads the store or a run's record."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return {"precision": self.precision, "compile": self.compile, "device": name, "batch": self.batch}

    def size(self, video: Tensor) -> int:
        """Videos to hand to one `encode`; the first call on a GPU finds it out with copies of this video.

        Raises:
            BenchError: not even one video fits into the device's memory.
        """
        if not self.batch:
            self.batch = best_batch(lambda size: self._seconds(video, size))
        return self.batch

    def _seconds(self, video: Tensor, size: int) -> float | None:
        """Median seconds of a forward pass over `size` copies of a video; None where memory does not suffice."""
        times = []
        try:
            batch = self.gather([video] * size)
            self.forward(batch)  # compiles, and takes memory that later passes use again
            for _ in range(TIMED):
                torch.cuda.synchronize(self.device)
                start = time.perf_counter()
                self.forward(batch)
                torch.cuda.synchronize(self.device)
                times.append(time.perf_counter() - start)
        except Exception as error:
            if not is_exhausted(error):
                raise
            return None
        return statistics.median(times)

    def encode(self, videos: Sequence[Tensor]) -> Features:
        """Videos float32 `(T, 3, h, w)` -> their features, `size` of them at a time; a batch that memory does not hold is halved.

        Raises:
            BenchError: not even one video fits, or torch.compile cannot run here.
        """
        parts: list[Features] = []
        done = 0
        while done < len(videos):
            step = self.size(videos[0])
            chunk = videos[done : done + step]
            try:
                parts.append(self.forward(self.gather(chunk)))
            except Exception as error:
                if not is_exhausted(error):
                    raise
                # Mended below, where the error no longer holds on to the tensors of the pass.
            else:
                done += len(chunk)
                continue
            if len(chunk) == 1:
                raise BenchError(_too_small(f"one video of {self.adapter.facts.name}"))
            self.batch = len(chunk) // 2
            release()
        return joined(parts)

    def gather(self, videos: Sequence[Tensor]) -> Tensor:
        """Videos `(T, 3, h, w)` -> `(N, T, 3, h, w)` on the device; to a GPU through pinned memory, without waiting for it."""
        if self.device.type != "cuda":
            return torch.stack(list(videos))
        pinned = torch.empty((len(videos), *videos[0].shape), dtype=videos[0].dtype, pin_memory=True)
        torch.stack(list(videos), out=pinned)
        return channels_last(pinned.to(self.device, non_blocking=True))

    def forward(self, batch: Tensor) -> Features:
        """One forward pass over `(N, T, 3, h, w)`, as it is."""
        dtype = _FORMATS[self.precision]
        # Of what runs by itself only convolutions are not in float32 on a GPU: their default there is TF32.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with torch.inference_mode(), exact, torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            if self._compiled is None:
                found = self.adapter.encode_video(batch)
            else:
                try:
                    found = self._compiled(batch)
                except torch._dynamo.exc.TorchDynamoException as error:
                    why = " ".join([line.strip() for line in str(error).splitlines() if line.strip()][:2])
                    raise BenchError(
                        f"torch.compile cannot run {self.adapter.facts.name} on this machine ({why}); it needs a C++ compiler "
                        "and on a GPU Triton: install them, or leave --compile out"
                    ) from error
        return Features(found.frames.float(), {name: value.float() for name, value in found.extra.items()})


def channels_last(batch: Tensor) -> Tensor:
    """The same `(N, T, 3, h, w)` with the colours of a pixel side by side in memory, as a GPU's convolutions want it."""
    return batch.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def joined(parts: Sequence[Features]) -> Features:
    """Features of several batches as one."""
    extra = {name: torch.cat([p.extra[name] for p in parts]) for name in parts[0].extra}
    return Features(torch.cat([p.frames for p in parts]), extra)
