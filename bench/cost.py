"""What a run costs: operations, seconds, peak memory, and on what machine. Kept beside the number, never part of a run's identity."""

from __future__ import annotations

import functools
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from bench._processes import cores


@dataclass(frozen=True)
class Operations:
    """10^9 floating-point operations of a forward pass (a multiply-add is two), or None and, in words, why they could not be counted."""

    gflops: float | None
    why_not: str = ""


def operations(
    module: nn.Module, shape: tuple[int, ...], run: Callable[[Any, Tensor], Any] = nn.Module.__call__
) -> Operations:
    """Count a forward pass by torch's counter, on tensors without values: as fast for a large model as for a small one.

    Convolutions, matrix products and attention count; normalisation, activations and pooling do not.

    Args:
        module: on any device and in eval mode; it stays as it is.
        shape: of the float32 input, its batch included.
        run: what is counted, given the module and the input.
    """
    shapes = {
        f"module.{name}": t.detach().to("meta") for name, t in (*module.named_parameters(), *module.named_buffers())
    }
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), torch.device("meta"), counter:
            functional_call(_Run(module, run), shapes, torch.empty(shape))
    # What torch and timm raise where numbers are asked for, or a shape does not fit.
    except (RuntimeError, AssertionError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        return Operations(None, f"torch's counter, which works without values, stopped: {said[0]}")
    return Operations(counter.get_total_flops() / 1e9)


class _Run(nn.Module):
    """Something done with a module, in the form that `functional_call` takes."""

    def __init__(self, module: nn.Module, run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, given: Tensor) -> Any:
        return self.run(self.module, given)


class Meter:
    """Measures a block on a device, lap by lap.

    Attributes:
        seconds: wall-clock seconds of each lap, what a GPU still had to do counted in.
        peak_mb: the most memory in MB (10^6 bytes) that was held at one time during the block: on a GPU what torch had allocated
            there, on the CPU the process's resident memory, libraries and backbone included. None where the system does not tell.
        start_mb: the same when the block began; what the block itself took is the difference.
        hardware: the device in words.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.hardware = device, hardware(device)
        self.seconds: dict[str, float] = {}
        self.start_mb: float | None = None
        self.peak_mb: float | None = None
        self._started = 0.0

    def __enter__(self) -> Meter:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.start_mb = self._most_mb()
        elif _forget_peak():
            self.start_mb = self._most_mb()
        self._started = self._now()
        return self

    def lap(self, name: str) -> None:
        """End a lap: the time since the last one, or since the block began, is that of `name`."""
        now = self._now()
        self.seconds[name] = now - self._started
        self._started = now

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.start_mb is not None and (peak := self._most_mb()) is not None:
            self.peak_mb = max(peak, self.start_mb)  # the kernel notes a peak late, and may miss one right at the start

    def _most_mb(self) -> float | None:
        """The most since the peak was forgotten: right after that, what is held now."""
        return torch.cuda.max_memory_allocated(self.device) / 1e6 if self.device.type == "cuda" else _peak_mb()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _forget_peak() -> bool:
    """Let the kernel measure this process's peak anew; whether it does (Linux 4.0 and newer, not in every sandbox)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _STATUS.is_file()


def _peak_mb() -> float | None:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def hardware(device: torch.device) -> str:
    """The GPU's name, or the CPU's and how many cores the process may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu()}, {cores()} cores"


@functools.cache
def _cpu() -> str:
    try:
        told = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        told = None
    return " ".join(told[1].split()) if told else platform.processor() or platform.machine()
