"""The end-of-text defect of the code that GaVA-CLIP was released with; the other two stand beside the parts that they break.

The context was put in front of a text, the text moved back by its length, and the end-of-text looked for where it was before. So
the tower was pooled M positions early. It is causal, so the last M - 1 tokens of a text, the class name above all, and the end token
itself were never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.contracts import NotApplicable, PromptableAdapter, Tokens


class EarlyPooled:
    """An adapter in all but where its text tower pools: as many positions early as there are context tokens."""

    def __init__(self, adapter: PromptableAdapter) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def tokenize(self, texts: Sequence[str], num_context_tokens: int = 0) -> Tokens:
        tokens = self._adapter.tokenize(texts, num_context_tokens)
        return replace(tokens, pool=tokens.pool - num_context_tokens)


def early_pooled(adapter: PromptableAdapter) -> PromptableAdapter:
    """The adapter with the defect. Raises NotApplicable where the defect has no meaning."""
    if not adapter.facts.causal_text:
        raise NotApplicable(
            f"{adapter.facts.name}'s text tower looks in both directions and pools at its last position: it has no end-of-text to miss"
        )
    return EarlyPooled(adapter)
