"""From what the context starts, where it stands, and to whom it belongs."""

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
    *({"context_init": start} for start in ("zeros", "phrase", "knowledge")),
    *({"context_place": place} for place in ("around", "middle", "after")),
    {"class_specific_context": True},
    {"with_class_name": False},
)


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    yield from _common.ablation(choice, CONFIGS)
