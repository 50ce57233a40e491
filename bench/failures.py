"""Whose fault a failure is: the method's and its configuration's, which would fail again, or the machine's, which may not."""

from __future__ import annotations

from typing import Literal

from bench.contracts import BenchError

Kind = Literal["model", "infrastructure"]


def kind(error: BaseException) -> Kind:
    """What the disk, the network and the operating system refuse is "infrastructure"; everything else is "model"."""
    return "infrastructure" if isinstance(error, OSError) and not isinstance(error, BenchError) else "model"
