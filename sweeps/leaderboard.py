"""The default: zero-shot by four text sources, then linear probe, CoOp and the knowledge prompt at the data set's shots.

`make bench` on the embedded toy set, 2 cores: a few minutes. `make bench DATASET=utkinect ROOT=FOLDER` on real people.
"""

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
        yield from _common.majority(choice, backbone)
        yield from _common.zero_shot(choice, backbone)
        yield from _common.as_is(choice, backbone)
        yield from _common.few_shot(choice, backbone)
    yield from _common.recognizer(choice)
