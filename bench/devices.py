"""Where backbones run: the GPU where there is one that the torch build has code for, else the CPU; $BENCH_DEVICE decides otherwise."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.contracts import BenchError
from bench.failures import InfrastructureError

ANOTHER_BUILD = 'Install a build that fits the GPU and the driver: make setup TORCH="torch==... torchvision==..."'
VARIABLE = "BENCH_DEVICE"


def choose() -> str:
    """The device to load backbones on: "cuda" or "cpu".

    Raises:
        BenchError: a GPU that this torch build has no code for, or a $BENCH_DEVICE that is none.
        InfrastructureError: a $BENCH_DEVICE that is not there. Never a silent fall-back.
    """
    import torch

    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "cpu", "cuda"):
        raise BenchError(f"${VARIABLE} is {asked!r}; it is cpu or cuda, or unset")
    usable = torch.cuda.is_available()
    if asked == "cuda" and not usable:
        raise InfrastructureError(
            f"${VARIABLE} is cuda, but torch {torch.__version__} finds no GPU; python -m bench doctor says why"
        )
    if asked == "cpu" or not usable:
        return "cpu"
    capability, archs = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if archs and torch.version.cuda and not gpu_supported(capability, archs):
        raise BenchError(
            f"the GPU {torch.cuda.get_device_name()} has compute capability {capability[0]}.{capability[1]}, for which this torch build "
            f"({torch.__version__}, made for {' '.join(archs)}) has no code. {ANOTHER_BUILD}; or {VARIABLE}=cpu runs on the CPU"
        )
    return "cuda"


def count() -> int:
    """How many GPUs backbones can be loaded on; 0 where they run on the CPU. Raises BenchError as `choose` does."""
    import torch

    return torch.cuda.device_count() if choose() == "cuda" else 0


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread: the same bytes from a worker, a notebook and a debug run on the same machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gpu_supported(capability: tuple[int, int], archs: Sequence[str]) -> bool:
    """Does a torch build with these targets (`sm_90`, `compute_90`) have code for a GPU of this compute capability?

    Machine code runs on the same major version from its own minor version upwards; intermediate code (`compute_`) on
    all newer ones. Targets with a letter (`sm_90a`) run on exactly that GPU.
    """
    for arch in archs:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", arch)
        if not found:
            continue
        target = (int(found[2]), int(found[3]))
        if found[4]:
            if found[1] == "sm" and target == capability:
                return True
        elif (found[1] == "sm" and target[0] == capability[0] and target <= capability) or (
            found[1] == "compute" and target <= capability
        ):
            return True
    return False
