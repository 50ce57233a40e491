import mmap

import pytest
import torch

from bench import cost
from bench.cost import Meter

CPU = torch.device("cpu")


def test_laps_are_told_apart(monkeypatch):
    clock = iter([1.0, 3.0, 3.5])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    with Meter(CPU) as meter:
        meter.lap("fit")
        meter.lap("predict")
    assert meter.seconds == {"fit": 2.0, "predict": 0.5}


SIZE = 320_000_000


def take_and_give_back():
    """Straight from the system: what an allocator gives back it may have kept from before."""
    with mmap.mmap(-1, SIZE) as block:
        for page in range(0, SIZE, mmap.PAGESIZE):
            block[page] = 1


def test_the_peak_is_of_the_block_and_not_of_what_was_before():
    take_and_give_back()
    with Meter(CPU) as small:
        pass
    with Meter(CPU) as large:
        take_and_give_back()
    assert large.peak_mb - small.peak_mb == pytest.approx(320, abs=30)
    assert large.peak_mb - large.start_mb == pytest.approx(320, abs=30)
    assert small.peak_mb - small.start_mb == pytest.approx(0, abs=30)


def test_a_peak_that_the_kernel_notes_late_is_not_below_the_start(monkeypatch):
    told = iter([1856.95, 1856.88])
    monkeypatch.setattr(cost, "_peak_mb", lambda: next(told))
    with Meter(CPU) as meter:
        pass
    assert (meter.start_mb, meter.peak_mb) == (1856.95, 1856.95)


class FakeCuda:
    """A GPU's memory as torch counts it, in bytes."""

    def __init__(self):
        self.now, self.peak = 5_000_000, 9_000_000

    def hold(self, size):
        self.now += size
        self.peak = max(self.peak, self.now)

    def reset_peak_memory_stats(self, device):
        self.peak = self.now

    def max_memory_allocated(self, device):
        return self.peak

    def synchronize(self, device):
        pass

    def get_device_name(self, device):
        return "a GPU"


def test_the_peak_of_a_gpu_is_of_the_block_and_not_of_what_was_before(monkeypatch):
    cuda = FakeCuda()
    monkeypatch.setattr(cost.torch, "cuda", cuda)
    with Meter(torch.device("cuda")) as meter:
        cuda.hold(3_000_000)
        cuda.hold(-7_000_000)
    assert (meter.start_mb, meter.peak_mb, meter.hardware) == (5.0, 8.0, "a GPU")


def test_a_system_that_does_not_tell_its_memory_has_no_peak(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "_CLEAR", tmp_path / "nowhere" / "clear_refs")
    with Meter(CPU) as meter:
        pass
    assert meter.peak_mb is None and meter.start_mb is None


def test_the_hardware_is_told_in_words():
    assert cost.hardware(CPU).endswith(" cores")
