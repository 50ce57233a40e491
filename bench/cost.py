"""What a run costs: seconds, peak memory, and on what machine. Kept beside the number, never part of a run's identity."""

from __future__ import annotations

import functools
import platform
import re
import time
from pathlib import Path
from types import TracebackType

import torch

from bench._processes import cores


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
        if self.start_mb is not None:
            self.peak_mb = self._most_mb()

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
