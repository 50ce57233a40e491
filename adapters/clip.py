"""CLIP (Radford et al., 2021) through open_clip: OpenAI's and OpenCLIP's weights, and a tiny one that ships for checking the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters._cards import TINY, Card
from bench.contracts import BenchError

if TYPE_CHECKING:
    from adapters._open_clip import BytePairs, OpenClipAdapter

VERSION = 1
FAMILY = "CLIP"
MODELS: dict[str, Card | str] = {
    "tiny-clip": TINY,
    "clip-vit-b-32": Card(architecture="ViT-B-32", tag="openai", pretraining="WIT-400M", licence="MIT"),
    "clip-vit-b-16": Card(architecture="ViT-B-16", tag="openai", pretraining="WIT-400M", licence="MIT"),
    "clip-vit-l-14": Card(architecture="ViT-L-14", tag="openai", pretraining="WIT-400M", licence="MIT"),
    "clip-vit-b-16-laion2b": Card(
        architecture="ViT-B-16", tag="laion2b_s34b_b88k", pretraining="LAION-2B", licence="MIT"
    ),
}


def load(name: str, device: str) -> OpenClipAdapter:
    """The frozen model behind a name of MODELS. Raises BenchError where its weights are not at hand."""
    from adapters import _tiny, _weights  # seconds to import, so only for who loads a model

    card = MODELS[name]
    if isinstance(card, str):
        return _tiny.load("clip", name, FAMILY, VERSION, device)
    return _weights.load(name, card, FAMILY, VERSION, _byte_pairs, device)


def _byte_pairs() -> BytePairs:
    from open_clip.tokenizer import SimpleTokenizer

    from adapters._open_clip import BytePairs

    return BytePairs(SimpleTokenizer())


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
