"""A request to stop that work asks about at good moments: a signal sets it, and whoever works ends where nothing is half done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK_S = 0.05  # between looks while it waits

# No threading.Event: a signal that came while the main thread waits for it would set it under that thread's own lock, for ever.
_reason: str | None = None


class Stopped(Exception):  # noqa: N818 - no error: it is what was asked for
    """Work ended because it was asked to; nothing is wrong with it, and the same command goes on from there."""


def request(reason: str) -> None:
    """Ask this process to stop. The first reason is kept."""
    global _reason
    if _reason is None:
        _reason = reason


def requested() -> str | None:
    """Why this process is to stop; None where it is not."""
    return _reason


def check() -> None:
    """Raises Stopped where this process was asked to stop."""
    if _reason is not None:
        raise Stopped(_reason)


def wait(seconds: float) -> None:
    """Sleep; a request to stop ends it. Raises Stopped then."""
    end = time.monotonic() + seconds
    while _reason is None and (left := end - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left))
    check()


def forget() -> None:
    """Take the request back, for the next piece of work in this process."""
    global _reason
    _reason = None


@contextmanager
def on_signals(
    signals: tuple[signal.Signals, ...] = SIGNALS, then: Callable[[signal.Signals], None] = lambda signum: None
) -> Iterator[None]:
    """Within the block these signals ask to stop, then call `then`; afterwards they do what they did before. Main thread only."""

    def handle(number: int, frame: object) -> None:
        signum = signal.Signals(number)
        request(signum.name)
        then(signum)

    before = {signum: signal.signal(signum, handle) for signum in signals}
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
