"""Weights on this machine: where they lie, and that they are still the ones that were first loaded."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench._files import write_atomic
from bench.contracts import BenchError, digest
from bench.places import bench_home

if TYPE_CHECKING:
    from adapters._cards import Card

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


def safe(name: str) -> str:
    """A backbone's name as a file name: whatever a file system or a shell may mind becomes "--"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "--", name).strip(".-")


def folder(name: str) -> Path:
    """Where a model's files are looked for: $BENCH_HOME/weights/NAME, the name made safe for a file name."""
    return bench_home() / "weights" / safe(name)


def locate(name: str, card: Card, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """The one weights file of a model. Raises BenchError with what is missing and where to put it."""
    return locate_file(name, f"{card.library}'s file of {card.architecture} / {card.tag}", suffixes)


def locate_file(name: str, what: str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """The one weights file in a model's folder; `what` says in words which one belongs there. Raises BenchError as `locate`."""
    return the_one(
        folder(name),
        suffixes,
        f"no weights of {name} on this machine: put {what} ({', '.join('*' + s for s in suffixes)}) into {folder(name)}, "
        f"or run `python -m bench fetch {name}` where there is network",
    )


def the_one(where: Path, suffixes: Sequence[str], otherwise: str) -> Path:
    """The only file with one of these endings that lies directly in a folder. Raises BenchError, `otherwise` where there is none."""
    entries = sorted(where.iterdir()) if where.is_dir() else []
    found = [p for p in entries if p.suffix in suffixes and p.is_file() and not p.name.startswith(".")]
    if not found:
        raise BenchError(otherwise)
    if len(found) > 1:
        raise BenchError(f"{where} holds {len(found)} weight files ({', '.join(p.name for p in found[:3])}); leave one")
    return found[0]


def at_hand(name: str, card: Card | str) -> str:
    """Where a model of MODELS lies on this machine. Raises BenchError with what to do where it does not."""
    return "ships with the project" if isinstance(card, str) else str(locate(name, card))


@dataclass(frozen=True)
class Seen:
    """A weights file as it was when it was read: its hex sha256, and its stamp from before that."""

    path: Path
    sha256: str
    stamp: Sequence[int]


def content(path: Path) -> tuple[bytes, Seen]:
    """A weights file's bytes, all of them, so that what is checked is what is opened, whatever happens to the file meanwhile."""
    stamp, data = _stamp(path), path.read_bytes()
    return data, Seen(path, hashlib.sha256(data).hexdigest(), stamp)


@contextmanager
def verified(name: str, path: Path, pinned: str | None = None, together: Iterable[str] = ()) -> Iterator[str]:
    """The hex sha256 of a weights file that is what it should be: the pin, or else what was first loaded under this name.

    Open the file in the block, which is not entered with another one: what is known to be wrong is never opened. The first hash is
    written to $BENCH_HOME/weights/lock.json when the block ends, so that a damaged file is never locked. It is only computed again where
    the file's size, times or inode differ from those noted there; a change of content moves the change time, which no program can
    set. `together` are the file names of weights in parts.

    Raises:
        BenchError: another file than the pinned or the locked one; it says how to accept the change on purpose. Or another one was put
            there while this one was loaded.
    """
    from adapters._state import sha256

    stamp = _stamp(path)
    known = _read().get(name, {}).get(path.name, {})
    found = known["sha256"] if known.get("stamp") == stamp else sha256(path)
    seen = Seen(path, found, stamp)
    expect(name, seen, pinned, together)
    yield found
    if _stamp(path) != stamp:
        raise BenchError(f"{path} was changed while it was loaded, so nobody knows what was; start again")
    lock(name, seen)


def expect(name: str, seen: Seen, pinned: str | None = None, together: Iterable[str] = ()) -> None:
    """Hold a weights file against the pin, or else against the lock. Raises BenchError as `verified`."""
    path, found = seen.path, seen.sha256
    locked_files = _read().get(name, {})
    known = locked_files.get(path.name, {})
    # A file under a new name takes the place of those that are no longer read.
    replaced = {f: entry for f, entry in locked_files.items() if f not in {*together}}
    before = [entry["sha256"] for entry in ([known] if known else replaced.values())]
    if pinned is not None and found != pinned:
        raise BenchError(
            f"{path} has sha256 {found}, but the published weights of {name} have {pinned}; remove the file and get it again "
            f"(python -m bench fetch {name}), or load it under a name of its own (see `python -m bench list --kind adapters`)"
        )
    if pinned is None and before and found not in before:
        raise BenchError(
            f"{path} has changed: its sha256 is {found}, but {before[0]} was loaded as {name} before. If that is on purpose, "
            f"remove the entry {json.dumps(name)} from {lock_file()} and start again; if not, put the old file back"
        )


def lock(name: str, seen: Seen) -> None:
    """Note that a file is that of `name`; nothing is written where it stands there already."""
    if _read().get(name, {}).get(seen.path.name, {}).get("stamp") != seen.stamp:
        write_lock(name, seen.path, seen.sha256, stamp=seen.stamp)


def write_lock(name: str, path: Path, sha256: str, source: str | None = None, stamp: Any = None) -> None:
    """Note that `path` is the file of `name`; other entries stay.

    Args:
        name: what the user calls the model.
        path: of its weights.
        sha256: of that file.
        source: where it came from.
        stamp: of the file before it was hashed, so that another one put there meanwhile is not taken for it.
    """
    with _alone():
        lock = _read()
        entry = {"sha256": sha256, "stamp": stamp or _stamp(path)}
        before = lock.get(name, {}).get(path.name, {})
        origin = source or (before.get("source") if before.get("sha256") == sha256 else None)
        lock.setdefault(name, {})[path.name] = entry | ({"source": origin} if origin else {})
        write_atomic(lock_file(), json.dumps(lock, indent=1, sort_keys=True) + "\n")


def locked(name: str) -> str | None:
    """The sha256 that was first loaded or fetched under a name; None where nothing was, or several files."""
    hashes = {entry["sha256"] for entry in _read().get(name, {}).values()}
    return hashes.pop() if len(hashes) == 1 else None


def lock_file() -> Path:
    """Where the hashes of what was loaded are kept."""
    return bench_home() / "weights" / "lock.json"


def _read() -> dict[str, dict[str, Any]]:
    path = lock_file()
    if not path.exists():
        return {}
    try:
        lock = json.loads(path.read_text())
        for files in lock.values():
            for entry in files.values():
                entry["sha256"], entry["stamp"]
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise BenchError(
            f"{path} cannot be read as the lock of the weights ({error}); mend it, or remove it to lock what lies there now"
        ) from error
    return dict(lock)


def _stamp(path: Path) -> list[int]:
    s = path.stat()
    return [s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino]


@contextmanager
def _alone() -> Iterator[None]:
    """One writer at a time on this machine."""
    path = lock_file().with_name(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def digest_of_files(folder: Path, names: Iterable[str]) -> str:
    """16 hex characters over the content of those of these files that a folder holds; "" where it holds none."""
    from adapters._state import sha256

    found = {name: sha256(folder / name) for name in sorted(names) if (folder / name).is_file()}
    return digest(found) if found else ""
