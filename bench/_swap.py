"""A folder that is replaced whole: a link to one of several folders beside it, and one rename puts the link onto another.

`report` is a link into `reports/`. Whoever fills a new folder holds a lock that ends with the process, so that what a killed process
left behind is told from what another one is writing, and removed by the next. Locks are on regular files, which a network disk
passes on to other machines (flock on a folder is known to one machine alone).
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench._files import temporary_beside, write_whole
from bench.contracts import BenchError

MOVED = "moved"  # the name that a real folder gets, so that it is known again
LOCK = ".lock"  # in a folder that is being filled


@dataclass(frozen=True)
class Filling:
    """A folder that is being filled; `sizes` holds the bytes of each file that it was promised."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file. Raises BenchError where the disk does not take it; a folder that is gone is not made again."""
        data = content.encode() if isinstance(content, str) else content
        with _told(self.folder / name):
            write_whole(self.folder / name, data)
        self.sizes[name] = len(data)

    def check(self) -> None:
        """Raises BenchError where the folder does not hold what was written, whole, and nothing else."""
        found = {p.name: p.stat().st_size for p in self.folder.iterdir() if p.name != LOCK}
        if found != self.sizes:
            wrong = sorted(name for name, _ in found.items() ^ self.sizes.items())
            raise BenchError(
                f"{self.folder} does not hold what was written ({', '.join(wrong)}): was it changed meanwhile? Render again"
            )


@contextmanager
def replaced(link: Path) -> Iterator[Filling]:
    """A new, empty folder to be filled; when the block ends, `link` leads to it, and what `link` led to before is gone.

    Where the block raises, or the process is killed in it at whatever place, `link` leads where it led before. A real folder in the
    place of the link, from before there were links, is moved beside and linked to first: the one moment without a name.

    Raises:
        BenchError: the disk takes no links, no locks or nothing more, `link` is one that was not made here, or a file is missing.
    """
    beside = link.with_name(f"{link.name}s")
    with _told(beside):
        beside.mkdir(parents=True, exist_ok=True)
        with locked(link):
            if link.is_symlink() and link.readlink().parent != Path(beside.name):
                raise BenchError(
                    f"{link} is a link to {link.readlink()}, which was not made here; move it away and render again"
                )
            if link.is_dir() and not link.is_symlink():
                shutil.rmtree(beside / MOVED, ignore_errors=True)
                link.rename(beside / MOVED)
            _adopt(link, beside)
            _clean(link, beside)
            new = beside / secrets.token_hex(6)
            new.mkdir()
            lock = hold(new / LOCK)
    filling, held = Filling(new), ExitStack()
    held.callback(os.close, lock)
    try:
        with held:
            yield filling
            with _told(new), locked(link):
                before = _target(link)
                filling.check()
                held.close()  # nobody cleans up while we hold the lock of the link
                (new / LOCK).unlink()
                _point(link, new)
                if before is not None and before != new.name:
                    shutil.rmtree(beside / before, ignore_errors=True)
    except BaseException:
        if _target(link) != new.name:
            shutil.rmtree(new, ignore_errors=True)
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A disk that is full, read-only or gone becomes an error that names the place."""
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"{error.filename or path} cannot be written ({error.strerror or error}); make room or make it writable, or set "
            "BENCH_HOME to another disk"
        ) from error


def _point(link: Path, folder: Path) -> None:
    temporary = temporary_beside(link)
    try:
        temporary.symlink_to(Path(folder.parent.name) / folder.name, target_is_directory=True)
    except OSError as error:
        raise BenchError(
            f"{link.parent} takes no symbolic links ({error.strerror}), and {link.name} is one so that it is replaced whole; "
            "set BENCH_HOME to a folder on a disk that takes them"
        ) from error
    try:
        temporary.replace(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _target(link: Path) -> str | None:
    """Name of the folder that the link leads to; None where there is no link."""
    return link.readlink().name if link.is_symlink() else None


def _adopt(link: Path, beside: Path) -> None:
    """A process that was killed between the two steps of moving a real folder left it without its name: give it back."""
    if (beside / MOVED).is_dir() and not link.is_symlink():
        _point(link, beside / MOVED)


def _clean(link: Path, beside: Path) -> None:
    """Remove what killed processes left; the caller holds the lock of `link`."""
    for folder in beside.iterdir():
        ours = folder.name == MOVED or re.fullmatch(r"[0-9a-f]{12}", folder.name)
        if not ours or folder.name == _target(link) or folder.is_symlink() or not folder.is_dir():
            continue  # what somebody else put there stays
        if not is_held(folder / LOCK):
            shutil.rmtree(folder, ignore_errors=True)
    for left in link.parent.glob(f".{link.name}.*.tmp"):
        left.unlink(missing_ok=True)


@contextmanager
def locked(link: Path) -> Iterator[None]:
    """The lock of a link, held by whoever moves it or cleans up beside it; its file stays."""
    lock = hold(link.with_name(f".{link.name}.lock"))
    try:
        yield
    finally:
        os.close(lock)


def hold(file: Path) -> int:
    """A lock on a file, made where it is not there, that ends when it is closed or the process dies; waits for another's."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)  # a network disk locks only what is open for writing
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def is_held(file: Path) -> bool:
    """Whether a living process, here or on another machine, holds the lock of a file."""
    try:
        lock = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
