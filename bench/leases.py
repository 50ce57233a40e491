"""Claims on work that lapse when their holder dies: one small file a claim, no file locks, no clock compared with another machine's.

A lease only saves double work. Whoever holds one may lose it (its machine stood still, the disk was away) and be at work still, so
nothing that is published may rely on it: results appear by one rename, and doing a thing twice is harmless.

A holder touches its files every `beat_s` seconds. A watcher takes a lease as lapsed when the file's time stands still for `lapse_s`
seconds of the watcher's own clock, or at once where the holder was a process of this machine that is gone.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench._processes import is_hidden, machine, started

BEAT_S = 10.0
KEY = r"[A-Za-z0-9_-]+"
LAPSE_S = 60.0  # six beats: a network disk may keep a file's time from others for some seconds


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `machine` tells boots and containers apart; `started` tells a process from a later one of its number."""

    token: str
    machine: str
    pid: int
    started: str
    job: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that has ended; False where that cannot be known."""
        return self.machine == machine() and started(self.pid) != self.started and not is_hidden(self.pid)


class Lease:
    """A claim that this process holds until `release`, or until somebody else took it for lapsed (`is_lost`)."""

    def __init__(self, leases: Leases, key: str) -> None:
        self._leases, self.key, self.is_lost = leases, key, False

    def release(self) -> None:
        """Give it back; nothing happens to a lease that is another's by now."""
        self._leases._release(self)


class Leases:
    """The leases of a folder, for one process; use it in a `with`, which gives back what is held and ends the heartbeat.

    Args:
        folder: made if need be, and open to whom its parent is open to: several users may share it.
        job: what a reader is told of the holder, such as a Slurm job's id.
    """

    def __init__(self, folder: Path, job: str = "", beat_s: float = BEAT_S, lapse_s: float = LAPSE_S) -> None:
        self.folder, self.beat_s, self.lapse_s = folder, beat_s, lapse_s
        self.me = Holder(secrets.token_hex(8), machine(), os.getpid(), started(os.getpid()), job)
        self._held: dict[str, Lease] = {}
        self._seen: dict[str, tuple[Any, float]] = {}  # key -> what its file was, and since when by our clock
        self._guard, self._end = threading.Lock(), threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Leases:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.folder.mkdir()
            # Not sticky: who finds a lease lapsed takes another user's away.
            self.folder.chmod(stat.S_IMODE(self.folder.parent.stat().st_mode) & ~stat.S_ISVTX)
        self._heart = threading.Thread(target=self._beat, daemon=True, name="leases")
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._heart is not None:
            self._heart.join()
        for lease in list(self._held.values()):
            lease.release()

    def take(self, key: str) -> Lease | None:
        """The lease of `key`; None where a holder that may be alive has it, this process included.

        Raises:
            ValueError: a key that is no plain file name.
            OSError: the folder cannot be written to.
        """
        path = self._path(key)
        if key in self._held:
            return None
        if not self._create(path) and not (self._lapsed(key, path) and self._remove(key, path) and self._create(path)):
            return None
        self._seen.pop(key, None)
        lease = Lease(self, key)
        with self._guard:
            self._held[key] = lease
        return lease

    def sweep(self) -> None:
        """Remove the leases of processes of this machine that are gone, which nobody asked for since."""
        for path in self.folder.iterdir():
            if re.fullmatch(KEY, path.name) and (holder := _read(path)) is not None and holder.is_gone:
                if lease := self.take(path.name):
                    lease.release()

    def holder(self, key: str) -> Holder | None:
        """Who holds a lease; None where nobody does, or its file is just being written."""
        return _read(self._path(key))

    def _path(self, key: str) -> Path:
        if not re.fullmatch(KEY, key):
            raise ValueError(f"{key!r} is no name of a lease")
        return self.folder / key

    def _create(self, path: Path) -> bool:
        try:
            file = path.open("x")
        except FileExistsError:
            return False
        try:
            with file:
                file.write(json.dumps(asdict(self.me)))
        except BaseException:
            path.unlink(missing_ok=True)  # without content it would stand for `lapse_s` as somebody's
            raise
        return True

    def _lapsed(self, key: str, path: Path) -> bool:
        """Whether the holder of a lease is gone, or gave no sign of life for `lapse_s` seconds in which we looked."""
        try:
            state = path.stat()
        except FileNotFoundError:
            self._seen.pop(key, None)
            return True
        holder = _read(path)
        if holder is not None and holder.is_gone:
            self._seen[key] = (holder, 0.0)
            return True
        now, seen = time.monotonic(), (holder, state.st_mtime_ns, state.st_ino)
        known, since = self._seen.get(key, (None, 0.0))
        if known != seen:
            self._seen[key] = (seen, now)
            return False
        return now - since >= self.lapse_s

    def _remove(self, key: str, path: Path) -> bool:
        """Take a lapsed lease away by a rename, which succeeds for one watcher; put it back where it was another's meanwhile."""
        if key not in self._seen:
            return True  # it was given back while we looked; what is there by now is another's
        known = self._seen[key][0]
        expected = known[0] if isinstance(known, tuple) else known
        aside = path.with_name(f".{key}.{self.me.token}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return True
        found = _read(aside)
        if found != expected:
            with suppress(
                OSError
            ):  # a third has made one by now, or the disk knows no links: done twice, which is harmless
                os.link(aside, path)
            aside.unlink(missing_ok=True)
            return False
        aside.unlink(missing_ok=True)
        return True

    def _release(self, lease: Lease) -> None:
        with self._guard:
            if self._held.pop(lease.key, None) is None:
                return
        path = self._path(lease.key)
        if _read(path) == self.me:
            path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._end.wait(self.beat_s):
            with self._guard:
                held = list(self._held.values())
            for lease in held:
                path = self._path(lease.key)
                with suppress(OSError):  # the next beat tries again
                    found = _read(path)
                    if found is None or found == self.me:
                        os.utime(path)
                        continue
                    lease.is_lost = True


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
