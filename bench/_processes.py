"""Processes beside this one: how many there is room for, that none of them outlives it, and which are gone. No libraries."""

from __future__ import annotations

import functools
import os
import platform
import threading
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path


def cores() -> int:
    """CPU cores that this process may use, which on a cluster are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def leave_with_parent() -> None:
    """For a worker of multiprocessing, as it starts: end when the parent does, which cannot stop it when it is killed."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@functools.cache
def machine() -> str:
    """This host, its boot, and the space that process numbers are counted in."""
    boot = space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()} {boot} {space}"


def started(pid: int) -> str:
    """When a process started, as the kernel tells it; "" where there is none, or a dead one that nobody has asked about yet."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        return "" if not _signalled(pid) else "alive"  # no /proc: a later process of that number passes for it
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def is_hidden(pid: int) -> bool:
    """Whether there is a process of another user that /proc does not show, as on machines where it is mounted with hidepid."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return Path("/proc/self/stat").exists() and not Path(f"/proc/{pid}").exists()
    except (ProcessLookupError, OverflowError):
        return False
    return False


def _signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
