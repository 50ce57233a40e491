"""What the knowledge is worth: the bank, the same bank spoilt in several ways, one kind of its statements, and no statements at all.

A random context is there twice: the method with random words for statements, and CoOp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec

TABLE = "ablation"
CONTROLS = (
    *("none", "shuffled", "other_class", "random_words", "wrong:2", "wrong:4"),
    *("kind:appearance", "kind:motion"),
)


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    yield from _common.ablation(choice, [{}], CONTROLS)
    yield from _common.ablation(choice, [{}], method="coop")
