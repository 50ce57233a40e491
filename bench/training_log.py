"""What trainings tell of themselves, epoch by epoch: for the run's record, and for whoever waits meanwhile. No torch.

While one goes on it lies in a small file beside the run's checkpoints, and goes with them; it is to be looked at and decides nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.leases import Leases

NAME = "training.json"
EVERY_S = 1.0  # between two writings; a training that is done sooner leaves no file


@dataclass
class Log:
    """One training of `epochs` epochs.

    `loss` is the mean over each epoch that is done. `val_top1` is in [0, 1] on validation after each, None after one that was not
    validated; it is empty where none was. `kept_epoch`, counted from 1, is the one whose values are kept.
    """

    epochs: int
    path: Path | None = None
    loss: list[float] = field(default_factory=list)
    val_top1: list[float | None] = field(default_factory=list)
    kept_epoch: int = 0
    _told_at: float = field(default_factory=time.monotonic)

    def tell(
        self,
        loss: Sequence[float],
        val_top1: Sequence[float | None] = (),
        kept_epoch: int | None = None,
        now: tuple[float, float] | None = None,
    ) -> None:
        """So far; `kept_epoch` None is the last one. `now` within an epoch: how many are done, parts counted, and this one's mean loss."""
        self.loss, self.val_top1 = list(loss), list(val_top1) if any(v is not None for v in val_top1) else []
        self.kept_epoch = len(self.loss) if kept_epoch is None else kept_epoch
        if self.path is None or time.monotonic() - self._told_at < EVERY_S:
            return
        self._told_at = time.monotonic()
        last = next((v for v in reversed(self.val_top1) if v is not None), None)
        done, mean = now or (len(self.loss), self.loss[-1] if self.loss else None)
        told = {"epochs": self.epochs, "done": done, "loss": mean, "val_top1": last}
        with suppress(OSError):  # a full disk is told by what must be written
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(told))
        _watcher.get()()

    def record(self) -> dict[str, Any]:
        """JSON-able, for run.json."""
        told: dict[str, Any] = {"epochs": self.epochs, "kept_epoch": self.kept_epoch, "loss": self.loss}
        return told | ({"val_top1": self.val_top1} if self.val_top1 else {})


@dataclass
class _Kept:
    folder: Path
    logs: list[Log] = field(default_factory=list)


_current: ContextVar[_Kept | None] = ContextVar("training_log", default=None)
_watcher: ContextVar[Callable[[], None]] = ContextVar("training_log_watcher", default=lambda: None)


@contextmanager
def keeping(folder: Path) -> Iterator[list[Log]]:
    """The trainings in this block, in their order; while one goes on it is told in `folder`."""
    kept = _Kept(folder)
    token = _current.set(kept)
    try:
        yield kept.logs
    finally:
        _current.reset(token)


@contextmanager
def watched(by: Callable[[], None]) -> Iterator[None]:
    """In this block `by` is called when a training has told something."""
    token = _watcher.set(by)
    try:
        yield
    finally:
        _watcher.reset(token)


def begin(epochs: int) -> Log:
    """The log of the training that begins now; nobody reads it where none is kept."""
    kept = _current.get()
    if kept is None:
        return Log(epochs)
    kept.logs.append(Log(epochs, kept.folder / NAME))
    return kept.logs[-1]


@dataclass(frozen=True)
class UnderWay:
    """Where the training of a run is: `done` of its `epochs`, parts of one counted; the last mean loss and top-1 on validation."""

    run_id: str
    epochs: int
    done: float
    loss: float | None
    val_top1: float | None

    @property
    def text(self) -> str:
        """In words, but for the epochs; top-1 in percent."""
        loss = "" if self.loss is None else f"loss {self.loss:.3g}"
        top1 = "" if self.val_top1 is None else f"val {100 * self.val_top1:.1f}"
        return ", ".join(filter(None, [loss, top1]))


def under_way(home: Path) -> list[UnderWay]:
    """The trainings of a home's runs that a worker has in hand, as far as that is to be seen from here."""
    folder = home / "checkpoints"
    leases, found = Leases(home / "leases"), []
    for path in sorted(folder.glob(f"*/{NAME}")):
        holder = leases.holder(path.parent.name)
        if holder is None or holder.is_gone:
            continue
        with suppress(OSError, ValueError, TypeError):  # gone, or half written: there is a next look
            found.append(UnderWay(path.parent.name, **json.loads(path.read_text())))
    return found
