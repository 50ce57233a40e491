"""Work that memory does not hold at once is done in halves; what it came to is kept for the record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

# What a RuntimeError says: PyTorch's allocator on the CPU, the CUDA driver, cuBLAS and cuDNN.
_SAID = (
    "DefaultCPUAllocator: not enough memory",  # Windows
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_exhausted(error: BaseException) -> bool:
    """Whether memory, the machine's or a GPU's, did not suffice."""
    # torch.OutOfMemoryError by name: whoever looks at failures need not wait for torch.
    if isinstance(error, MemoryError) or any(c.__name__ == "OutOfMemoryError" for c in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def halving(work: Callable[[int], T], size: int, least: int = 1) -> tuple[T, int]:
    """`work(size)`, or with half the size, down to `least`, where memory does not suffice; and the size that it was done with.

    Raises:
        Exception: whatever the work raises; what memory said where it does not suffice for `least`.
    """
    while True:
        try:
            return work(size), size
        except Exception as error:
            if not is_exhausted(error) or size <= least:
                raise
        # Only here does the error no longer hold on to what the work had made.
        release()
        size = max(least, size // 2)


def release() -> None:
    """Give back what torch keeps of a GPU's memory for later: it lies in pieces of the size that was too large."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@dataclass
class Told:
    """`micro_batch`: the fewest videos that a training had to take at once; None where nothing was trained."""

    micro_batch: int | None = None


_told: ContextVar[Told | None] = ContextVar("memory", default=None)


@contextmanager
def watching() -> Iterator[Told]:
    """What trainings in this block tell."""
    told = Told()
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


def tell(micro_batch: int) -> None:
    """A training took so many videos at once."""
    told = _told.get()
    if told is not None:
        told.micro_batch = micro_batch if told.micro_batch is None else min(told.micro_batch, micro_batch)
