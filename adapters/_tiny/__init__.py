"""Toy-scale backbones that ship with the project: for checking the whole path without a download.

Their numbers say nothing about the real models. `pretrain.py` made them; the json files beside the weights say how.
"""

from __future__ import annotations

import json
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer
from transformers import XCLIPModel

from adapters._open_clip import FrameTransform, OpenClipAdapter
from adapters._state import load_strict, sha256
from adapters._text import BytePairs
from adapters._tiny.model import build
from adapters._tiny.tokenizer import MERGES
from adapters._xclip import XclipAdapter
from bench.contracts import BenchError

HERE = Path(__file__).resolve().parent


def load(
    stem: str, name: str, family: str, version: int, device: str, folder: Path = HERE
) -> OpenClipAdapter | XclipAdapter:
    """The tiny model whose files are `<stem>.json` and `<stem>.safetensors`. Raises BenchError where they do not fit together."""
    card = json.loads((folder / f"{stem}.json").read_text())
    path = folder / f"{stem}.safetensors"
    found = sha256(path)
    if found != card["sha256"]:
        raise BenchError(f"{path} has sha256 {found}, {stem}.json says {card['sha256']}; check the file out again")
    model = build(stem)
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
        "pretraining": "procedural stick figures (toy scale)",
        "licence": "Apache-2.0",
        "version": version,
        "precisions": ("float32", "bf16", "fp16"),
        "gflops": card["gflops"],
        "tokenizer": sha256(MERGES)[:16],
        "toy_scale": True,
    }
    tokenizer = BytePairs(SimpleTokenizer(bpe_path=str(MERGES)), with_start=stem != "siglip")
    if isinstance(model, XCLIPModel):
        return XclipAdapter(model, transform, tokenizer, facts, device)
    return OpenClipAdapter(model, transform, tokenizer, {**facts, "num_frames": 8}, device)
