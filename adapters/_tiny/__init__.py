"""Toy-scale backbones that ship with the project: for checking the whole path without a download.

Their numbers say nothing about the real models. `pretrain.py` made them; the json files beside the weights say how.
"""

from __future__ import annotations

import json
from pathlib import Path

from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer

from adapters._open_clip import BytePairs, FrameTransform, OpenClipAdapter, build, load_strict, sha256
from adapters._tiny.tokenizer import MERGES
from bench.contracts import BenchError

HERE = Path(__file__).resolve().parent


def load(stem: str, name: str, family: str, version: int, device: str) -> OpenClipAdapter:
    """The tiny model whose files are `<stem>.json` and `<stem>.safetensors` here. Raises BenchError where they do not fit together."""
    card = json.loads((HERE / f"{stem}.json").read_text())
    path = HERE / f"{stem}.safetensors"
    found = sha256(path)
    if found != card["sha256"]:
        raise BenchError(f"{path} has sha256 {found}, {stem}.json says {card['sha256']}; check the file out again")
    model = build(card["model_cfg"])
    load_strict(model, path)
    p = card["preprocess"]
    transform = FrameTransform(
        (p["size"], p["size"]), tuple(p["mean"]), tuple(p["std"]), p["interpolation"], "shortest"
    )
    facts = {
        "name": name,
        "family": family,
        "architecture": f"{family}, toy scale",
        "weights": path.name,
        "weights_sha256": found,
        "num_frames": 8,
        "pretraining": "procedural stick figures (toy scale)",
        "licence": "Apache-2.0",
        "version": version,
        "toy_scale": True,
    }
    return OpenClipAdapter(
        model,
        transform,
        BytePairs(SimpleTokenizer(bpe_path=str(MERGES)), with_start=isinstance(model, CLIP)),
        facts,
        device,
    )
