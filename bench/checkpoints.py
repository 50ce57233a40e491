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
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench._files import write_atomic
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
class Checkpoint:
    """The state of one training, in a file."""

    path: Path
    key: str
    parameters: Sequence[nn.Parameter]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    every_s: float
    _saved_at: float = field(default_factory=lambda: time.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed that another loss of it would hurt."""
        return time.monotonic() - self._saved_at >= self.every_s

    def save(self, history: Sequence[float], micro_batch: int) -> None:
        """Keep the state after `len(history)` epochs. The old one is replaced whole."""
        buffer = io.BytesIO()
        state = {
            "key": self.key,
            "history": list(history),
            "micro_batch": micro_batch,
            "parameters": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "random": _random_states(),
        }
        torch.save(state, buffer)
        write_atomic(self.path, buffer.getvalue())
        self._saved_at = time.monotonic()

    def restore(self) -> Progress | None:
        """Put everything to where it was; None where there is nothing to go on from."""
        try:
            # weights_only: whatever lies there, no code of it runs.
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["key"] != self.key:
                raise ValueError("it is of another setting")
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged archive raises whatever its reader stumbles over
            print(f"{self.path}: {type(error).__name__}: {error}; training starts from its beginning", file=sys.stderr)
            return None
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        _set_random_states(state["random"])
        return Progress([float(loss) for loss in state["history"]], int(state["micro_batch"]))


def begin(
    parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, generator: torch.Generator, told: Any
) -> Checkpoint | None:
    """The checkpoint of the training that begins now; None where nobody keeps any. `told`, JSON-able: the loop's own settings."""
    kept = _current.get()
    if kept is None:
        return None
    kept.num += 1
    shapes = [[*p.shape, str(p.dtype)] for p in parameters]
    key = digest([kept.key, kept.num, told, shapes, type(optimizer).__name__])
    path = kept.folder / f"training-{kept.num}.pt"
    return Checkpoint(path, key, parameters, optimizer, generator, kept.every_s)


def _random_states() -> dict[str, Any]:
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


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    cuda: list[Tensor] = states.get("cuda", [])
    if cuda and torch.cuda.is_initialized() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
