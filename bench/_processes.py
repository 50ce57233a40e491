"""Processes beside this one: how many there is room for, and that none of them outlives it. No libraries."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


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
