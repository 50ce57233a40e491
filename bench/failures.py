"""Whose fault a failure is: the method's and its configuration's, which would fail again, or the machine's, which may not."""

from __future__ import annotations

from typing import Literal

from bench.contracts import BenchError
from bench.memory import is_exhausted

Kind = Literal["model", "infrastructure"]


class InfrastructureError(BenchError):
    """The machine, the disk or another process is at fault, said in a line: the same work may succeed when it is tried again."""


class MissingFeaturesError(InfrastructureError):
    """A run began before its features were there, or where the disk does not show them yet."""


def kind(error: BaseException) -> Kind:
    """What the disk, the network, the operating system or a GPU refuses is "infrastructure"; everything else is "model".

    Out of memory is none of that: what can be halved was, and the same work would be out of it again.
    """
    if isinstance(error, InfrastructureError):
        return "infrastructure"
    if isinstance(error, BenchError):
        return "model"
    if isinstance(error, OSError):
        return "infrastructure"
    if is_exhausted(error):
        return "model"
    if is_of_accelerator(error) or is_of_loader(error):
        return "infrastructure"
    return "model"


def is_of_loader(error: BaseException) -> bool:
    """Whether a process that a DataLoader reads by died."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


def is_of_accelerator(error: BaseException) -> bool:
    """Whether a GPU failed, other than for want of memory: nothing that this process asks of it succeeds any more."""
    # torch.AcceleratorError and its elders, by name: whoever looks at failures need not wait for torch.
    names = {c.__name__ for c in type(error).__mro__}
    if "AcceleratorError" not in names and not (
        isinstance(error, RuntimeError) and str(error).startswith("CUDA error")
    ):
        return False
    return not is_exhausted(error)
