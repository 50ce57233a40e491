"""One short run of each kind, one seed unless several are asked for: whether everything works, not how well.

Under a minute on the toy set with LIMIT=8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    one = replace(
        choice, seeds=choice.seeds or choice.dataset.replicates[:1], shots=choice.shots or choice.dataset.shots[:1]
    )
    for backbone in one.backbones:
        yield from _common.majority(one, backbone)
        yield from (s for s in _common.zero_shot(one, backbone) if s.bank_control == "none" or s.seed == 1)
        yield from _common.as_is(one, backbone)
        yield from _common.few_shot(one, backbone)
