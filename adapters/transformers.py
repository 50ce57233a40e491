"""Any folder of transformers: CLIP, SigLIP and X-CLIP with text and prompts, DINOv2, ViT, VideoMAE and TimeSformer without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts import BenchError

if TYPE_CHECKING:
    from adapters._transformers import EncoderAdapter, ImageTextAdapter
    from adapters._xclip import XclipAdapter

VERSION = 1
MODELS: dict[str, str] = {}
OPEN = "transformers:FOLDER, a folder as transformers' save_pretrained leaves it; for example transformers:/data/clip-vit-base-patch32"
NUM_FRAMES = 8  # what a model of single frames is shown unless a run says otherwise
PRECISIONS = ("float32", "bf16", "fp16")
# model_type of config.json -> the family in tables, the class where config.json names none
TEXT_KINDS = {"clip": ("CLIP", "CLIPModel"), "siglip": ("SigLIP", "SiglipModel"), "xclip": ("X-CLIP", "XCLIPModel")}
ENCODER_KINDS = {
    "dinov2": ("DINOv2", "Dinov2Model"),
    "dinov2_with_registers": ("DINOv2", "Dinov2WithRegistersModel"),
    "vit": ("ViT", "ViTModel"),
    "videomae": ("VideoMAE", "VideoMAEModel"),
    "timesformer": ("TimeSformer", "TimesformerModel"),
}


def load(name: str, device: str) -> ImageTextAdapter | XclipAdapter | EncoderAdapter:
    """The frozen model in the folder of `transformers:FOLDER`.

    Raises:
        BenchError: no such folder, a kind of model that is not known here, or a file of it that is missing or does not fit.
    """
    folder = _folder(name)
    from adapters import _transformers, _weights, _xclip  # seconds to import, so only for who loads a model
    from adapters import _transformers_folder as files

    config = files.config_of(folder)
    kinds = TEXT_KINDS | ENCODER_KINDS
    if config.model_type not in kinds:
        raise BenchError(f"{folder} holds a model of type {config.model_type!r}; known here: {', '.join(kinds)}")
    family, usual = kinds[config.model_type]
    architecture = (config.architectures or [usual])[0]
    with_text = config.model_type in TEXT_KINDS
    if with_text and architecture != usual:
        raise BenchError(f"{folder} holds a {architecture}, which is a part of a {usual}; save the whole {usual}")
    found = files.weights_of(folder)
    model, sha256 = files.load(name, config, architecture, found)
    transform = files.transform_of(folder, config)
    facts = {
        "name": _weights.safe(folder.name),
        "family": family,
        "architecture": f"{architecture}-{files.digest_of(folder)}",
        "weights": found[0].name,
        "weights_sha256": sha256,
        "tokenizer": _weights.digest_of_files(folder, files.TOKENIZER_FILES) if with_text else "",
        "num_frames": NUM_FRAMES,
        "pretraining": "not stated (own folder)",
        "licence": "not stated (own folder)",
        "version": VERSION,
        "precisions": PRECISIONS,
    }
    if not with_text:
        norm = getattr(model, "fc_norm", None)
        return _transformers.EncoderAdapter(model.base_model, transform, facts, device, norm)
    if config.model_type == "xclip":
        facts["num_frames"] = int(config.vision_config.num_frames)
    kind = _xclip.XclipAdapter if config.model_type == "xclip" else _transformers.ImageTextAdapter
    return kind(model, transform, files.tokenizer_of(folder, config), facts, device)


def fetch(name: str) -> str:
    """Nothing to fetch. Raises BenchError that says so."""
    raise BenchError(f"{name} is a folder of yours; there is nothing to fetch")


def at_hand(name: str) -> str:
    """The folder with the weights. Raises BenchError where there is none."""
    folder = _folder(name)
    from adapters import _transformers_folder as files

    files.weights_of(folder)
    return str(folder)


def _folder(name: str) -> Path:
    what = name.partition(":")[2]
    folder = Path(what).expanduser().resolve()
    if not what or not folder.is_dir():
        raise BenchError(f"{name}: there is no folder {what!r}; write {OPEN}")
    return folder
