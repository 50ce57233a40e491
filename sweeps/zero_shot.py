"""Only what needs no training: seconds once features are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    for backbone in choice.backbones:
        yield from _common.zero_shot(choice, backbone)
        yield from _common.as_is(choice, backbone)
