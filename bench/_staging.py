"""A folder that appears whole, by one rename: whoever looks, and whatever is killed meanwhile, sees all of it or nothing."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Callable
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
                if not _emptied(final, is_whole):
                    return False
                continue
            sync(final.parent)
            return True
        raise OSError(errno.EBUSY, f"{final} is written by others all the time")
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _emptied(final: Path, is_whole: Callable[[Path], bool]) -> bool:
    """Remove what lies in a folder that is not whole, which then can be renamed onto; False, and nothing is changed, where it is whole.

    It is never moved aside, for whoever is killed then would have taken a whole one away. By its handle, not by its name: a whole
    one may get that meanwhile.
    """
    try:
        handle = os.open(final, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        lying = os.listdir(handle)  # noqa: PTH208 - opened anew, so that a network disk shows what others made meanwhile
        if is_whole(final):
            return False
        for name in lying:
            try:
                os.unlink(name, dir_fd=handle)
            except FileNotFoundError:
                continue
            except (IsADirectoryError, PermissionError):
                shutil.rmtree(name, ignore_errors=True, dir_fd=handle)
    finally:
        os.close(handle)
    return True
