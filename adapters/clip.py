"""CLIP (Radford et al., 2021) through open_clip: OpenAI's and others' weights, and a tiny one that ships for checking the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters._cards import CLIP_TEXT, TINY, Card

if TYPE_CHECKING:
    from bench.contracts import Adapter

VERSION = 1
FAMILY = "CLIP"
MODELS: dict[str, Card | str] = {
    "tiny-clip": TINY,
    "clip-vit-b-32": Card(
        architecture="ViT-B-32",
        tag="openai",
        pretraining="WIT-400M",
        licence="MIT",
        num_parameters=151_277_313,
        gflops=8.82,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-b-16": Card(
        architecture="ViT-B-16",
        tag="openai",
        pretraining="WIT-400M",
        licence="MIT",
        num_parameters=149_620_737,
        gflops=35.13,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-l-14": Card(
        architecture="ViT-L-14",
        tag="openai",
        pretraining="WIT-400M",
        licence="MIT",
        num_parameters=427_616_513,
        gflops=162.03,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-l-14-336": Card(
        architecture="ViT-L-14-336",
        tag="openai",
        pretraining="WIT-400M",
        licence="MIT",
        num_parameters=427_944_193,
        gflops=381.92,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-b-16-laion2b": Card(
        architecture="ViT-B-16",
        tag="laion2b_s34b_b88k",
        pretraining="LAION-2B",
        licence="MIT",
        num_parameters=149_620_737,
        gflops=35.13,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-b-16-datacomp": Card(
        architecture="ViT-B-16",
        tag="datacomp_xl_s13b_b90k",
        pretraining="DataComp-1B",
        licence="MIT",
        num_parameters=149_620_737,
        gflops=35.13,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-l-14-laion2b": Card(
        architecture="ViT-L-14",
        tag="laion2b_s32b_b82k",
        pretraining="LAION-2B",
        licence="MIT",
        num_parameters=427_616_513,
        gflops=162.03,
        text_rule=CLIP_TEXT,
    ),
    "clip-vit-l-14-datacomp": Card(
        architecture="ViT-L-14",
        tag="datacomp_xl_s13b_b90k",
        pretraining="DataComp-1B",
        licence="MIT",
        num_parameters=427_616_513,
        gflops=162.03,
        text_rule=CLIP_TEXT,
    ),
    "metaclip-vit-b-16": Card(
        architecture="ViT-B-16",
        tag="metaclip_400m",
        pretraining="MetaCLIP-400M",
        licence="CC-BY-NC-4.0",
        num_parameters=149_620_737,
        gflops=35.13,
        text_rule=CLIP_TEXT,
    ),
}


def load(name: str, device: str) -> Adapter:
    """The frozen model behind a name of MODELS. Raises BenchError where its weights are not at hand."""
    card = MODELS[name]
    if isinstance(card, str):
        from adapters import _tiny  # seconds to import, so only for who loads a model

        return _tiny.load("clip", name, FAMILY, VERSION, device)
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
