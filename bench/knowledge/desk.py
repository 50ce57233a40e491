"""The desk that a bank lies on while a person reviews it: what was decided, and undoing it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts import BenchError
from bench.knowledge import _decisions, _pictures
from bench.knowledge._decisions import ChangedSinceError, Done, Place, Snapshot

if TYPE_CHECKING:
    from bench.knowledge.bank import Bank
    from bench.manifest import Manifest


@dataclass
class Desk:
    """One review of one file: what was decided in it, by `reviewer` where the page need not ask for a name."""

    path: Path
    reviewer: str = ""
    samples: Mapping[str, _pictures.Samples] = field(default_factory=dict)
    dataset: str = ""  # whose videos are shown; "" where there is none
    log: list[Done | None] = field(default_factory=list)  # None where it was undone
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def decide(self, version: str, place: Place, make: Callable[[Bank], Bank]) -> tuple[Snapshot, int]:
        """Save a decision; the file then, and the decision's number. Raises what `_decisions.change` raises."""
        with self._open():
            seen: list[Bank] = []

            def kept(bank: Bank) -> Bank:
                seen.append(bank)
                return make(bank)

            now = _decisions.change(self.path, version, kept)
            self.log.append(Done(place, _decisions.at(seen[0], place), _decisions.at(now.bank, place)))
            return now, len(self.log) - 1

    def undo(self, version: str, number: int) -> tuple[Snapshot, Place]:
        """Take a decision of this review back. Raises BenchError where there is none, or the statement was changed since."""
        with self._open():
            done = self.log[number] if 0 <= number < len(self.log) else None
            if done is None:
                raise ChangedSinceError("there is nothing to undo")
            now = _decisions.change(self.path, version, lambda bank: _decisions.undone(bank, done))
            self.log[number] = None
            return now, done.place

    def close(self) -> None:
        """Let a decision that is being saved finish, and take no more."""
        with self.lock:
            self.closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self.lock:
            if self.closed:
                raise BenchError("the review was ended in the terminal; start it again to go on")
            yield

    def told(self) -> str:
        """What was decided and is left, in a line."""
        kept = Counter(done.after.status for done in {d.place: d for d in self.log if d is not None}.values())
        parts = [f"{kept[status]} {status}" for status in ("accepted", "edited", "rejected") if kept[status]]
        decided = f"decided: {', '.join(parts) or 'nothing'}"
        try:
            bank = _decisions.snapshot(self.path).bank
        except BenchError as error:
            return f"{decided}; then the file was spoilt: {error}"
        left = sum(s.status == "proposed" for rows in bank.classes.values() for s in rows)
        return f"{decided}; undecided in {self.path.name}: {left}"


def open_desk(path: Path, reviewer: str = "", manifest: Manifest | None = None) -> Desk:
    """Look whether a bank can be reviewed.

    Args:
        reviewer: who decides; "" and the page asks.
        manifest: the data set whose videos are shown.

    Raises:
        BenchError: no bank there, a fault in it, or a data set that has none of its classes.
    """
    path = path.resolve()  # a link stays a link: what it points to is replaced
    bank = _decisions.snapshot(path).bank
    if reviewer:
        reviewer = _decisions.reviewer_named(reviewer)
    if manifest is None:
        return Desk(path, reviewer)
    found = _pictures.samples(manifest)
    if not set(found) & set(bank.classes):
        raise BenchError(
            f"the data set {manifest.dataset} has none of the classes of {path}: it has {_some(found)}; "
            f"the bank has {_some(bank.classes)}"
        )
    return Desk(path, reviewer, found, manifest.dataset)


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
