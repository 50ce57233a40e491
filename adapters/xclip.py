"""X-CLIP (Ni et al., 2022) through transformers: CLIP whose frames exchange messages and whose texts are conditioned on the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters._cards import CLIP_TEXT, TINY, Card
from bench.contracts import BenchError

if TYPE_CHECKING:
    from bench.contracts import Adapter

VERSION = 1
FAMILY = "X-CLIP"
# Every published one has seen Kinetics, so Kinetics numbers of it say nothing about unseen data.
SUPERVISED = "WIT-400M (CLIP), then Kinetics-400 fully supervised: contaminated for Kinetics"
# Tested on the classes of Kinetics-600 that are not in Kinetics-400.
ZERO_SHOT = (
    "WIT-400M (CLIP), then Kinetics-400 for zero-shot transfer: contaminated for Kinetics-400 and the classes it shares"
)
TEXT_RULE = f"{CLIP_TEXT}; then conditioned on each video"
MODELS: dict[str, Card | str] = {
    "tiny-xclip": TINY,
    "xclip-base-patch32": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-base-patch32",
        pretraining=SUPERVISED,
        licence="MIT",
        num_parameters=196_585_729,
        gflops=8.99,
        text_rule=TEXT_RULE,
        num_frames=8,
        fixed_num_frames=True,
    ),
    "xclip-base-patch32-16-frames": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-base-patch32-16-frames",
        pretraining=SUPERVISED,
        licence="MIT",
        num_parameters=196_589_825,
        gflops=8.99,
        text_rule=TEXT_RULE,
        num_frames=16,
        fixed_num_frames=True,
    ),
    "xclip-base-patch16": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-base-patch16",
        pretraining=SUPERVISED,
        licence="MIT",
        num_parameters=194_929_153,
        gflops=35.43,
        text_rule=TEXT_RULE,
        num_frames=8,
        fixed_num_frames=True,
    ),
    "xclip-base-patch16-16-frames": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-base-patch16-16-frames",
        pretraining=SUPERVISED,
        licence="MIT",
        num_parameters=194_933_249,
        gflops=35.43,
        text_rule=TEXT_RULE,
        num_frames=16,
        fixed_num_frames=True,
    ),
    "xclip-base-patch16-zero-shot": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-base-patch16-zero-shot",
        pretraining=ZERO_SHOT,
        licence="MIT",
        num_parameters=194_941_441,
        gflops=35.43,
        text_rule=TEXT_RULE,
        num_frames=32,
        fixed_num_frames=True,
    ),
    "xclip-large-patch14": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-large-patch14",
        pretraining=SUPERVISED,
        licence="MIT",
        num_parameters=575_673_601,
        gflops=162.95,
        text_rule=TEXT_RULE,
        num_frames=8,
        fixed_num_frames=True,
    ),
    "xclip-large-patch14-16-frames": Card(
        library="transformers",
        architecture="XCLIPModel",
        tag="microsoft/xclip-large-patch14-16-frames",
        pretraining=SUPERVISED,
        licence="MIT",
        num_parameters=576_007_425,
        gflops=383.41,
        text_rule=TEXT_RULE,
        num_frames=16,
        fixed_num_frames=True,
    ),
}


def load(name: str, device: str) -> Adapter:
    """The frozen model behind a name of MODELS. Raises BenchError where its files are not at hand or are of another model."""
    card = MODELS[name]
    if isinstance(card, str):
        from adapters import _tiny  # seconds to import, so only for who loads a model

        return _tiny.load("xclip", name, FAMILY, VERSION, device)
    from open_clip.tokenizer import SimpleTokenizer

    from adapters import _transformers_folder, _weights
    from adapters._text import BytePairs
    from adapters._xclip import XclipAdapter

    path = _weights.locate(name, card, (".safetensors", ".bin"))
    config = _transformers_folder.config_of(path.parent)
    frames = config.vision_config.num_frames if config.model_type == "xclip" else None
    if frames != card.num_frames:
        raise BenchError(
            f"{path.parent / 'config.json'} is of a {config.model_type} for {frames or 'single'} frames, but {name} is an X-CLIP for "
            f"{card.num_frames}; get the folder of {card.tag} again"
        )
    model, sha256 = _transformers_folder.load(name, config, card.architecture, [path], card.sha256)
    transform = _transformers_folder.transform_of(path.parent, config)
    facts = {
        "name": name,
        "family": FAMILY,
        "architecture": f"{card.architecture}-{_transformers_folder.digest_of(path.parent)}",
        "weights": card.tag,
        "weights_sha256": sha256,
        "pretraining": card.pretraining,
        "licence": card.licence,
        "version": VERSION,
        "gflops": card.gflops,
        "precisions": card.precisions,
        "padding": card.text_rule,
        "tokenizer": "CLIP byte pairs",
    }
    # CLIP's own tokenizer, which X-CLIP uses as it is; so the folder's copies of its vocabulary are not needed.
    return XclipAdapter(model, transform, lambda: BytePairs(SimpleTokenizer()), facts, device)


def fetch(name: str) -> str:
    """Get a model's files, on a machine with network; where they now lie."""
    from adapters import _fetch

    return _fetch.fetch(name, MODELS[name])


def at_hand(name: str) -> str:
    """Where a model's weights lie on this machine. Raises BenchError with what to do where they do not."""
    from adapters import _weights

    return _weights.at_hand(name, MODELS[name])
