"""What a reviewer decides about statements, saved at once, and only onto the very file that the reviewer saw."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contracts import BenchError
from bench.knowledge.bank import Bank, Origin, Statement, clean, parsed, save

MAX_NAME = 80  # characters of a reviewer's name
_SAID = re.compile(r"(?:accepted|rejected|edited) in review by [^;]+(?:; before: (?P<before>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Snapshot:
    """A bank as its file holds it, and the file's version: a digest of its bytes."""

    bank: Bank
    version: str


@dataclass(frozen=True)
class Place:
    """Where a statement stands: its class, and its number there from 0."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"class {self.name!r}, statement {self.number + 1}"


@dataclass(frozen=True)
class Done:
    """One saved decision: the statement before and after it."""

    place: Place
    before: Statement
    after: Statement


class ConflictError(BenchError):
    """The file is another one than the reviewer saw; `now` is what it holds."""

    def __init__(self, path: Path, now: Snapshot) -> None:
        super().__init__(f"{path.name} was changed meanwhile; nothing was saved")
        self.now = now


class ChangedSinceError(BenchError):
    """A decision that cannot be undone any more: its statement is another one now."""


def snapshot(path: Path) -> Snapshot:
    """The bank as it is on disk now. Raises BenchError where it is gone or broken."""
    try:
        content = path.read_bytes()
        text = content.decode()
    except FileNotFoundError:
        raise BenchError(f"there is no knowledge bank {path}") from None
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is no readable knowledge bank: {error}") from error
    except OSError as error:
        raise BenchError(f"{path} is no readable knowledge bank: {error.strerror}") from error
    return Snapshot(parsed(text, str(path)), hashlib.sha256(content).hexdigest())


def change(path: Path, version: str, make: Callable[[Bank], Bank]) -> Snapshot:
    """Replace the bank in a file by what `make` makes of it, if the file is still of that version; what it holds then.

    Raises:
        ConflictError: it is not; nothing was written.
        BenchError: the file is gone, broken or cannot be written, or `make` refuses; nothing was written.
    """
    with locked(path):
        now = snapshot(path)
        if now.version != version:
            raise ConflictError(path, now)
        save(make(now.bank), path)
        return snapshot(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes and threads that lock this bank; the lock is a file beside it, there only meanwhile."""
    beside = path.with_name(f".{path.name}.lock")
    try:
        lock = _held(beside)
    except OSError as error:
        raise BenchError(f"{path} cannot be locked: {beside} cannot be made ({error.strerror})") from error
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        os.close(lock)


def _held(beside: Path) -> int:
    while True:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Who held it before took the file away: the lock that counts is on the file that lies there now.
            if os.path.samestat(beside.stat(), os.fstat(lock)):
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def reviewer_named(name: object) -> str:
    """A reviewer's name, without blanks around it. Raises BenchError where it is none."""
    name = clean(name, "the reviewer's name", MAX_NAME)
    if ";" in name:
        raise BenchError("the reviewer's name: leave the semicolon out")
    return name


def accepted(bank: Bank, place: Place, reviewer: str) -> Bank:
    """The statement is let through; one whose text was edited before stays an edited one."""
    s = at(bank, place)
    return _with(
        bank, place, replace(s, status="edited" if s.was else "accepted", reason=_said("accepted", reviewer, s.reason))
    )


def rejected(bank: Bank, place: Place, reviewer: str) -> Bank:
    """The statement is not let through."""
    s = at(bank, place)
    return _with(bank, place, replace(s, status="rejected", reason=_said("rejected", reviewer, s.reason)))


def edited(bank: Bank, place: Place, reviewer: str, text: object, kind: str) -> Bank:
    """The statement gets another text or kind and is let through.

    `was` keeps the text that it had before the first edit; its origin says who wrote and who edited it; scores, which
    belonged to the old text, go where the text changed.

    Raises:
        BenchError: no text that a bank may hold, one that the class has already, or nothing changed.
    """
    s, text = at(bank, place), clean(text, str(place))
    if (text, kind) == (s.text, s.kind):
        raise BenchError(f"{place}: nothing was changed; to let it through as it is, accept it")
    for number, other in enumerate(bank.classes[place.name]):
        if number != place.number and other.text == text:
            raise BenchError(f"{place}: statement {number + 1} of the class has this text already")
    new = text != s.text
    origins, origin = _edited_origin(bank, s.origin, reviewer)
    after = replace(
        s,
        text=text,
        kind=kind,
        origin=origin,
        status="edited",
        scores={} if new else s.scores,
        nearest="" if new else s.nearest,
        reason=_said("edited", reviewer, s.reason),
        was=(s.was or s.text) if new else s.was,
    )
    return _with(replace(bank, origins=origins), place, after)


def undone(bank: Bank, done: Done) -> Bank:
    """The statement as it was before a decision. Raises ChangedSinceError where it was changed since."""
    if done.place.number >= len(bank.classes.get(done.place.name, ())) or at(bank, done.place) != done.after:
        raise ChangedSinceError(f"{done.place}: it was changed since; nothing was undone")
    bank = _with(bank, done.place, done.before)
    added = done.after.origin
    if added == done.before.origin or any(s.origin == added for rows in bank.classes.values() for s in rows):
        return bank
    return replace(bank, origins={name: o for name, o in bank.origins.items() if name != added})


def at(bank: Bank, place: Place) -> Statement:
    """The statement there. Raises BenchError where there is none."""
    rows = bank.classes.get(place.name, ())
    if not 0 <= place.number < len(rows):
        raise BenchError(f"{place}: the bank has no such statement")
    return rows[place.number]


def _with(bank: Bank, place: Place, statement: Statement) -> Bank:
    rows = list(bank.classes[place.name])
    rows[place.number] = statement
    return replace(bank, classes={**bank.classes, place.name: tuple(rows)})


def _said(verb: str, reviewer: str, reason: str) -> str:
    """The new reason, with the one that refinement or the writer left behind it."""
    found = _SAID.fullmatch(reason)
    before = (found["before"] or "") if found else reason
    return f"{verb} in review by {reviewer}" + (f"; before: {before}" if before else "")


def _edited_origin(bank: Bank, origin: str, reviewer: str) -> tuple[Mapping[str, Origin], str]:
    """The bank's origins with that of statements which `origin` wrote and the reviewer edited, and its key."""
    addition = f", edited by {reviewer}"
    wrote = bank.origins[origin]
    if wrote.by.endswith(addition):
        return bank.origins, origin
    name, made = f"{origin}{addition}", Origin(f"{wrote.by}{addition}", wrote.prompt)
    if bank.origins.get(name, made) != made:
        raise BenchError(f"the bank has another origin {name!r} already; rename it")
    return {**bank.origins, name: made}, name
