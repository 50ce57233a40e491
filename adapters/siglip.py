"""SigLIP (Zhai et al., 2023) and SigLIP 2 (Tschannen et al., 2025) through open_clip: no causal mask, texts padded to full length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters._cards import TINY, Card

if TYPE_CHECKING:
    from bench.contracts import Adapter

VERSION = 1
FAMILY = "SigLIP"
TEXT_64 = "padded to 64, not causal, pooled at the last position; lower-cased, punctuation removed"
TEXT_16 = TEXT_64.replace("64", "16")  # the one released model that reads so little
MODELS: dict[str, Card | str] = {
    "tiny-siglip": TINY,
    "siglip-vit-b-16": Card(
        architecture="ViT-B-16-SigLIP",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=203_155_970,
        gflops=35.42,
        text_rule=TEXT_64,
    ),
    "siglip-vit-l-16-256": Card(
        architecture="ViT-L-16-SigLIP-256",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=652_150_786,
        gflops=162.56,
        text_rule=TEXT_64,
    ),
    "siglip-so400m-14": Card(
        architecture="ViT-SO400M-14-SigLIP",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=877_360_306,
        gflops=220.35,
        text_rule=TEXT_16,
    ),
    "siglip-so400m-14-384": Card(
        architecture="ViT-SO400M-14-SigLIP-384",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=877_960_498,
        gflops=670.35,
        text_rule=TEXT_64,
    ),
    "siglip2-vit-b-16": Card(
        architecture="ViT-B-16-SigLIP2",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=375_187_970,
        gflops=35.42,
        text_rule=TEXT_64,
    ),
    "siglip2-vit-l-16-256": Card(
        architecture="ViT-L-16-SigLIP2-256",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=881_526_786,
        gflops=162.56,
        text_rule=TEXT_64,
    ),
    "siglip2-so400m-14": Card(
        architecture="ViT-SO400M-14-SigLIP2",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=1_135_463_602,
        gflops=220.35,
        text_rule=TEXT_64,
    ),
    "siglip2-so400m-14-378": Card(
        architecture="ViT-SO400M-14-SigLIP2-378",
        tag="webli",
        pretraining="WebLI",
        licence="Apache-2.0",
        num_parameters=1_136_008_498,
        gflops=670.35,
        text_rule=TEXT_64,
    ),
}


def load(name: str, device: str) -> Adapter:
    """The frozen model behind a name of MODELS. Raises BenchError where its weights are not at hand."""
    card = MODELS[name]
    if isinstance(card, str):
        from adapters import _tiny  # seconds to import, so only for who loads a model

        return _tiny.load("siglip", name, FAMILY, VERSION, device)
    from adapters import _open_clip_load

    return _open_clip_load.load(name, card, FAMILY, VERSION, device)


def fetch(name: str) -> str:
    """Get a model's files, on a machine with network; where they now lie."""
    from adapters import _fetch

    return _fetch.fetch(name, MODELS[name])


def at_hand(name: str) -> str:
    """Where a model's weights lie on this machine. Raises BenchError with what to do where they do not."""
    from adapters import _weights

    return _weights.at_hand(name, MODELS[name])
