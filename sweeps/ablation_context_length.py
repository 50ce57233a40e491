"""How many context vectors: 1 to 16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweeps import _common

if TYPE_CHECKING:
    from bench.contracts import Choice
    from bench.specs import RunSpec

TABLE = "ablation"
CONFIGS: tuple[dict[str, Any], ...] = tuple({"num_context_tokens": num} for num in (1, 2, 4, 8, 16))


def runs(choice: Choice) -> Iterator[RunSpec]:
    """The specs of this sweep for what the user chose."""
    yield from _common.ablation(choice, CONFIGS)
