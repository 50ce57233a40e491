"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from bench._processes import is_hidden, machine, started

FORGOTTEN_S = 24 * 3600  # what a process that we cannot look at began and left for so long has no writer any more


def write_atomic(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write a file so that a reader, or a crash at any instruction, sees the old one or the new one, never a part.

    Args:
        mode: who may read and write it; None leaves that to the process's umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.encode() if isinstance(content, str) else content, mode)


def write_whole(path: Path, content: bytes, mode: int | None = None) -> None:
    """The same into a folder that is there. Raises OSError where it is not, or the disk does not take the file."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path, suffix: str = "tmp") -> Path:
    """A name of this process's own in the same folder, so that a rename onto `path` is atomic, and others can tell whether it lives."""
    pid = os.getpid()
    return path.with_name(f".{path.name}.{_machine()}-{pid}-{started(pid)}-{secrets.token_hex(4)}.{suffix}")


def is_abandoned(temporary: Path) -> bool:
    """Whether nobody writes a `temporary_beside` any more: its process is gone, or cannot be looked at from here and it is old."""
    found = re.fullmatch(r"\..+\.([0-9a-f]{8})-(\d+)-(\w*)-[0-9a-f]{8}\.(?:tmp|part)", temporary.name)
    if found is None:
        return False
    pid = int(found[2])
    if found[1] == _machine() and not is_hidden(pid):
        return started(pid) != found[3]
    try:
        return time.time() - temporary.stat().st_mtime > FORGOTTEN_S
    except FileNotFoundError:
        return False


def clear(folder: Path, pattern: str) -> None:
    """Remove what killed processes left of their tries to write something into a folder."""
    for left in folder.glob(pattern):
        if not is_abandoned(left):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with suppress(OSError):  # another process is as quick, or it is another user's
                left.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Make the names in a folder last; a disk that cannot does what it can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _machine() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:8]
