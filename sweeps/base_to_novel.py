"""Learnt on the base classes, asked for base and for novel ones: zero-shot by its text sources, and every learnt method.

K is the largest of the data set's few-shot sizes unless SHOTS names others; ViFi-CLIP's protocol has K = 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec

PROTOCOL = "base_to_novel"
TABLE = "base_to_novel"


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    for shots in choice.shots or choice.dataset.shots[-1:]:
        for backbone in choice.backbones:
            yield from _common.zero_shot(choice, backbone, PROTOCOL, shots)
            yield from _common.learnt(choice, backbone, PROTOCOL, shots)
