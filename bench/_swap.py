"""A folder that is replaced whole: a link to one of several folders beside it, and one rename puts the link onto another.

`report` is a link into `reports/`. Whoever makes a new folder holds a lock on it that ends with the process, so that what a killed
process left behind is told from what another one is writing, and removed by the next.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench._files import temporary_beside
from bench.contracts import BenchError


@contextmanager
def replaced(link: Path) -> Iterator[Path]:
    """A new, empty folder to be filled; when the block ends, `link` leads to it, and what `link` led to before is gone.

    Where the block raises, or the process is killed in it at whatever place, `link` leads where it led before. A real folder in the
    place of the link, from before there were links, is moved beside and linked to first: the one moment without a name.

    Raises:
        BenchError: the disk takes no links, or `link` is one that was not made here.
    """
    beside = link.with_name(f"{link.name}s")
    beside.mkdir(parents=True, exist_ok=True)
    with locked(beside):
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
        lock = hold(new)
    try:
        yield new
        with locked(beside):
            before = _target(link)
            _point(link, new)
            if before is not None and before != new.name:
                shutil.rmtree(beside / before, ignore_errors=True)
    except BaseException:
        if _target(link) != new.name:
            shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        os.close(lock)


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


MOVED = "moved"  # the name that a real folder gets, so that it is known again


def _clean(link: Path, beside: Path) -> None:
    """Remove what killed processes left; the caller holds the lock on `beside`."""
    for folder in beside.iterdir():
        ours = folder.name == MOVED or re.fullmatch(r"[0-9a-f]{12}", folder.name)
        if not ours or folder.name == _target(link) or folder.is_symlink() or not folder.is_dir():
            continue  # what somebody else put there stays
        if not is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)
    for left in link.parent.glob(f".{link.name}.*.tmp"):
        left.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else is in such a block over the same folder."""
    lock = hold(folder)
    try:
        yield
    finally:
        os.close(lock)


def hold(path: Path) -> int:
    """A lock on a folder or a file that ends when it is closed or the process dies; waits while another process holds it."""
    lock = os.open(path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock of a folder or a file."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
