"""What each term of the loss adds to plain cross-entropy; the memory loss comes with the numerical channel.

Consistency at 1 and at KgCoOp's 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec

TABLE = "ablation"
CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"focal_ordinal_weight": 1.0},
    {"consistency_weight": 1.0},
    {"consistency_weight": 8.0},
    {"numeric": True},
    {"label_smoothing": 0.1},
    {"class_balancing": True},
)


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    yield from _common.ablation(choice, CONFIGS)
