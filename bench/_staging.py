"""A folder that appears whole, by one rename: whoever looks, and whatever is killed meanwhile, sees all of it or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench._processes import machine, started

FORGOTTEN_S = 24 * 3600  # a staged folder of another machine that is older than this has no writer any more
TRIES = 10


def publish(final: Path, fill: Callable[[Path], None], is_whole: Callable[[Path], bool]) -> bool:
    """Fill a folder beside `final` and rename it onto that. What lies there and is whole is left as it is.

    Args:
        fill: writes into an empty folder; what it raises is raised, and nothing of it stays.
        is_whole: whether a folder is one that was published.

    Returns:
        whether it is ours that lies there now.

    Raises:
        OSError: the disk does not take it.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    clean(final)
    staged = _beside(final)
    staged.mkdir()
    try:
        fill(staged)
        sync(staged)
        for _ in range(TRIES):
            if is_whole(final):
                return False
            try:
                os.rename(staged, final)  # noqa: PTH104 - onto an empty folder it replaces that, onto a full one it is an error
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if not _put_aside(final, is_whole):
                    return False
                continue
            sync(final.parent)
            return True
        raise OSError(errno.EBUSY, f"{final} is written by others all the time")
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def clean(final: Path) -> None:
    """Remove what killed processes left of their tries to publish this folder."""
    for left in final.parent.glob(f".{final.name}.*.part"):
        if is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)


def is_abandoned(staged: Path) -> bool:
    """Whether nobody writes a staged folder any more: its process is gone, or it is another machine's and old."""
    found = re.fullmatch(r"\..+\.([0-9a-f]{8})-(\d+)-(\w*)-[0-9a-f]{8}\.part", staged.name)
    if found is None:
        return False
    if found[1] == _machine():
        return started(int(found[2])) != found[3]
    try:
        return time.time() - staged.stat().st_mtime > FORGOTTEN_S
    except FileNotFoundError:
        return False


def sync(folder: Path) -> None:
    """Make the names in a folder last; a disk that cannot does what it can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _beside(final: Path) -> Path:
    """A name of this process's own in the same folder, from which others can tell whether it lives."""
    pid = os.getpid()
    return final.with_name(f".{final.name}.{_machine()}-{pid}-{started(pid)}-{secrets.token_hex(4)}.part")


def _machine() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:8]


def _put_aside(final: Path, is_whole: Callable[[Path], bool]) -> bool:
    """Remove what lies at `final` and is not whole; False, and nothing is changed, where it became whole meanwhile."""
    aside = _beside(final)
    try:
        final.rename(aside)
    except FileNotFoundError:
        return True
    if is_whole(aside):
        with suppress(OSError):  # a third one is there by now, as whole as this
            aside.rename(final)
            return False
    shutil.rmtree(aside, ignore_errors=True)
    return True
