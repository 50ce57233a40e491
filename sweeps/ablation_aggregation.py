"""From statements to a class, and from frames to a video."""

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
    *({"aggregation": how} for how in ("features", "max", "attention", "transport")),
    *({"temporal_pooling": how} for how in ("attention", "transformer")),
)


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    yield from _common.ablation(choice, CONFIGS)
