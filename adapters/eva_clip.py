"""EVA-CLIP (Sun et al., 2023) through open_clip: EVA visual towers, CLIP's text tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters._cards import CLIP_TEXT, TINY, Card

if TYPE_CHECKING:
    from bench.contracts import Adapter

VERSION = 1
FAMILY = "EVA-CLIP"
MERGED = "Merged-2B (1.6 billion of LAION-2B, 0.4 of COYO-700M)"
MODELS: dict[str, Card | str] = {
    "tiny-eva-clip": TINY,
    "eva02-clip-b-16": Card(
        architecture="EVA02-B-16",
        tag="merged2b_s8b_b131k",
        pretraining=MERGED,
        licence="MIT",
        num_parameters=149_691_137,
        gflops=35.13,
        text_rule=CLIP_TEXT,
    ),
    "eva02-clip-l-14": Card(
        architecture="EVA02-L-14",
        tag="merged2b_s4b_b131k",
        pretraining=MERGED,
        licence="MIT",
        num_parameters=427_755_457,
        gflops=162.0,
        text_rule=CLIP_TEXT,
    ),
    "eva02-clip-l-14-336": Card(
        architecture="EVA02-L-14-336",
        tag="merged2b_s6b_b61k",
        pretraining=MERGED,
        licence="MIT",
        num_parameters=428_083_137,
        gflops=381.86,
        text_rule=CLIP_TEXT,
    ),
    "eva01-clip-g-14": Card(
        architecture="EVA01-g-14",
        tag="laion400m_s11b_b41k",
        pretraining="LAION-400M",
        licence="MIT",
        num_parameters=1_136_435_841,
        gflops=534.06,
        text_rule=CLIP_TEXT,
    ),
}


def load(name: str, device: str) -> Adapter:
    """The frozen model behind a name of MODELS. Raises BenchError where its weights are not at hand."""
    card = MODELS[name]
    if isinstance(card, str):
        from adapters import _tiny  # seconds to import, so only for who loads a model

        return _tiny.load("eva_clip", name, FAMILY, VERSION, device)
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
