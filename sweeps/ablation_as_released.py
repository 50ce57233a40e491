"""What each defect of the earlier code does to the method with both channels, and what the channels are worth without defects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec

TABLE = "ablation"
BOTH = {"continuous": True, "numeric": True}
CONFIGS: tuple[dict[str, Any], ...] = (
    BOTH,
    *({**BOTH, "as_released": what} for what in (True, "continuous", "pooling", "antonym")),
    {"continuous": True},
    {"numeric": True},
)


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    yield from _common.ablation(choice, CONFIGS)
