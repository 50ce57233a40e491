"""SigLIP (Zhai et al., 2023) through open_clip: no causal mask, texts padded to full length and pooled at the last position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters._cards import TINY, Card
from bench.contracts import BenchError

if TYPE_CHECKING:
    from adapters._open_clip import OpenClipAdapter

VERSION = 1
FAMILY = "SigLIP"
MODELS: dict[str, Card | str] = {
    "tiny-siglip": TINY,
    "siglip-vit-b-16": Card(architecture="ViT-B-16-SigLIP", tag="webli", pretraining="WebLI", licence="Apache-2.0"),
    "siglip-vit-l-16-256": Card(
        architecture="ViT-L-16-SigLIP-256", tag="webli", pretraining="WebLI", licence="Apache-2.0"
    ),
}


class SentencePieces:
    """SigLIP's sentence-piece tokenizer and its cleaning rule, as open_clip configures them; no start token, padded with end tokens."""

    start = None

    def __init__(self, architecture: str) -> None:
        import open_clip

        try:
            self._inner: Any = open_clip.get_tokenizer(architecture)
        except Exception as error:
            raise BenchError(
                f"the tokenizer of {architecture} is not on this machine ({type(error).__name__}); load it once where there is network: "
                f"python -c \"import open_clip; open_clip.get_tokenizer('{architecture}')\" with the same HF_HOME"
            ) from error
        self.end = int(self._inner.tokenizer.eos_token_id)
        self.pad = int(self._inner.tokenizer.pad_token_id)

    def encode(self, text: str) -> list[int]:
        return list(self._inner.tokenizer.encode(self._inner.clean_fn(text), add_special_tokens=False))


def load(name: str, device: str) -> OpenClipAdapter:
    """The frozen model behind a name of MODELS. Raises BenchError where its weights are not at hand."""
    from adapters import _tiny, _weights  # seconds to import, so only for who loads a model

    card = MODELS[name]
    if isinstance(card, str):
        return _tiny.load("siglip", name, FAMILY, VERSION, device)
    return _weights.load(name, card, FAMILY, VERSION, lambda: SentencePieces(card.architecture), device)


def fetch(name: str) -> str:
    """Get a model's weights, on a machine with network; where they now lie."""
    from adapters import _weights

    card = MODELS[name]
    if isinstance(card, str):
        raise BenchError(f"{name} ships with the project; there is nothing to fetch")
    return str(_weights.fetch(name, card))


def at_hand(name: str) -> str:
    """Where a model's weights lie on this machine. Raises BenchError with what to do where they do not."""
    card = MODELS[name]
    if isinstance(card, str):
        return "ships with the project"
    from adapters import _weights

    return str(_weights.locate(name, card))
