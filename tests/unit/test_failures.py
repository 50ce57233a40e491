import errno

import pytest
import torch

from bench.contracts import BenchError, NotApplicable
from bench.failures import InfrastructureError, kind
from bench.training import TrainingDiverged


class AcceleratorError(RuntimeError):
    """As torch names what a GPU reports."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ESTALE, "Stale file handle"),
        TimeoutError(),
        ConnectionResetError(),
        InfrastructureError("2 of 3 videos have no features"),
        AcceleratorError("an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("DataLoader worker (pid(s) 17) exited unexpectedly"),
        RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. "),
    ],
)
def test_the_machine_s(error):
    assert kind(error) == "infrastructure"


@pytest.mark.parametrize(
    "error",
    [
        BenchError("no such class"),
        TrainingDiverged("the loss is nan"),
        NotApplicable("no text tower"),
        ValueError("bad config"),
        RuntimeError("shapes do not fit"),
        AssertionError(),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
    ],
)
def test_the_method_s(error):
    assert kind(error) == "model"
