"""Where a training was when its process ended, so that the next one goes on from there to the same bytes.

Whoever runs a method keeps checkpoints (`keeping`); the training loop asks for one (`begin`) and needs nothing of the method. A method
starts again from its seed and draws what it drew before, then the loop puts parameters, optimizer and random states to where they
were. A checkpoint that does not fit, of another setting or damaged, is none: the training starts from its beginning.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench._files import clear, temporary_beside, write_atomic
from bench.contracts import digest

EVERY_S = 60.0  # of training between two checkpoints: what a kill costs at most, beside an epoch


@dataclass
class _Kept:
    """The checkpoints of one run; the n-th training in it has the n-th file."""

    folder: Path
    key: Any
    every_s: float
    num: int = 0


_current: ContextVar[_Kept | None] = ContextVar("checkpoints", default=None)


@contextmanager
def keeping(folder: Path, key: Any, every_s: float = EVERY_S) -> Iterator[None]:
    """Trainings in this block are kept in `folder` and go on from what lies there. `key`, JSON-able, is all that they depend on.

    The folder is left to `forget`, when the result is safe.
    """
    token = _current.set(_Kept(folder, key, every_s))
    try:
        yield
    finally:
        _current.reset(token)


def forget(folder: Path) -> None:
    """Remove the checkpoints of a run."""
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Progress:
    """How far a training came: the mean loss of each epoch, and how many videos memory held at once."""

    history: Sequence[float]
    micro_batch: int


@dataclass
class StateFile:
    """The state of one training in a file, and with it the states of all random generators."""

    path: Path
    key: str
    every_s: float
    _saved_at: float = field(default_factory=lambda: time.monotonic(), init=False)

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed that another loss of it would hurt."""
        return time.monotonic() - self._saved_at >= self.every_s

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep tensors and plain values. What lies there is replaced whole."""
        buffer = io.BytesIO()
        torch.save({"key": self.key, **state, "random": random_states()}, buffer)
        write_atomic(self.path, buffer.getvalue())
        self._saved_at = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """What was kept, tensors on the CPU; None where there is nothing to go on from. `continue_drawing` is for afterwards."""
        try:
            # weights_only: whatever lies there, no code of it runs.
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["key"] != self.key:
                raise ValueError("it is of another setting")
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged archive raises whatever its reader stumbles over
            print(f"{self.path}: {type(error).__name__}: {error}; training starts from its beginning", file=sys.stderr)
            return None
        return state


@dataclass
class Checkpoint(StateFile):
    """The state of a training of these parameters by `bench.training.train`."""

    parameters: Sequence[nn.Parameter]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def save(self, history: Sequence[float], micro_batch: int) -> None:
        """Keep the state after `len(history)` epochs."""
        self.write(
            {
                "history": list(history),
                "micro_batch": micro_batch,
                "parameters": [p.detach() for p in self.parameters],
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
            }
        )

    def restore(self) -> Progress | None:
        """Put everything to where it was; None where there is nothing to go on from."""
        state = self.read()
        if state is None:
            return None
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        continue_drawing(state)
        return Progress([float(loss) for loss in state["history"]], int(state["micro_batch"]))


def begin(
    parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, generator: torch.Generator, told: Any
) -> Checkpoint | None:
    """The checkpoint of the training that begins now; None where nobody keeps any. `told`, JSON-able: the loop's own settings."""
    found = begin_file(parameters, [told, type(optimizer).__name__])
    return None if found is None else Checkpoint(found.path, found.key, found.every_s, parameters, optimizer, generator)


def begin_file(parameters: Sequence[nn.Parameter], told: Any) -> StateFile | None:
    """As `begin`, for a training loop that keeps a state of its own."""
    kept = _current.get()
    if kept is None:
        return None
    kept.num += 1
    shapes = [[*p.shape, str(p.dtype)] for p in parameters]
    return StateFile(kept.folder / f"training-{kept.num}.pt", digest([kept.key, kept.num, told, shapes]), kept.every_s)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what a training writes and nobody needs afterwards: with the run's checkpoints where they are kept."""
    kept = _current.get()
    if kept is not None:
        clear(
            kept.folder, ".scratch.*.part"
        )  # of processes that were killed; who lost the run's lease may be at work still
        kept.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp()) if kept is None else temporary_beside(kept.folder / "scratch", "part")
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def random_states() -> dict[str, Any]:
    """The states of the generators that a method may draw from without saying so."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one, as it is
    version, internal, gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, list(internal), gauss],
    }
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def continue_drawing(state: Mapping[str, Any]) -> None:
    """Put all random generators to where they were when a state was written."""
    states = state["random"]
    torch.set_rng_state(states["torch"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    cuda: list[Tensor] = states.get("cuda", [])
    if cuda and torch.cuda.is_initialized() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
