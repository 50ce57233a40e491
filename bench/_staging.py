"""A folder that appears whole, by one rename: whoever looks, and whatever is killed meanwhile, sees all of it or nothing."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench._files import clear, sync, temporary_beside

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
    clear(final.parent, f".{glob.escape(final.name)}.*.part")
    staged = temporary_beside(final, "part")
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


def _put_aside(final: Path, is_whole: Callable[[Path], bool]) -> bool:
    """Remove what lies at `final` and is not whole; False, and nothing is changed, where it became whole meanwhile."""
    aside = temporary_beside(final, "part")
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
