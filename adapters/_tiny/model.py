"""The tiny backbones: open_clip's own classes at toy size, for checking the whole path without a download."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapters._tiny.tokenizer import END, PAD, START, VOCAB_SIZE, encode

TinyModel: TypeAlias = CLIP | CustomTextCLIP
HERE = Path(__file__).resolve().parent
CONTEXT = 48
SIZE = 64
# Mean and standard deviation of the rendered pictures themselves: with CLIP's own values all pictures look alike.
MEAN = (0.031, 0.032, 0.026)
STD = (0.125, 0.124, 0.108)
PREPROCESS: dict[str, Any] = {
    "size": SIZE,
    "mean": list(MEAN),
    "std": list(STD),
    "interpolation": "bilinear",
    "resize_mode": "shortest",
}

_VISION = {
    "image_size": SIZE, "patch_size": 16, "width": 96, "layers": 4, "head_width": 32, "pool_type": "avg",
}  # fmt: skip
_TEXT = {"context_length": CONTEXT, "vocab_size": VOCAB_SIZE, "width": 96, "heads": 3, "layers": 2, "pad_id": PAD}

MODEL_CFG: dict[str, dict[str, Any]] = {
    "clip": {"embed_dim": 96, "vision_cfg": _VISION, "text_cfg": _TEXT},
    "siglip": {
        "embed_dim": 96,
        "init_logit_scale": 2.302585,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": _VISION,
        "text_cfg": {**_TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
}


def build(family: str) -> TinyModel:
    """An untrained tiny backbone in open_clip's class for it (`clip`: CLIP, `siglip`: CustomTextCLIP)."""
    cfg = {key: value for key, value in MODEL_CFG[family].items() if key != "custom_text"}
    kind = CustomTextCLIP if MODEL_CFG[family].get("custom_text") else CLIP
    model: TinyModel = kind(**cfg)
    return model


def save(family: str, model: TinyModel, facts: dict[str, Any], folder: Path) -> None:
    """Write `<family>.safetensors` (fp16, open_clip's own keys) and `<family>.json` (how to build it)."""
    weights = folder / f"{family}.safetensors"
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, str(weights))
    record = {
        "name": f"tiny-{family}",
        "about": "Toy scale, trained on rendered stick figures; for checking the whole path. "
        "Its numbers say nothing about real models.",
        "model_cfg": MODEL_CFG[family],
        "preprocess": PREPROCESS,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **facts,
    }
    (folder / f"{family}.json").write_text(json.dumps(record, indent=1) + "\n")


def load(family: str, folder: Path = HERE) -> TinyModel:
    """The pre-trained tiny backbone, float32, in eval mode; the keys must be exactly open_clip's."""
    model = build(family)
    state = load_file(str(folder / f"{family}.safetensors"))
    model.load_state_dict({name: value.float() for name, value in state.items()}, strict=True)
    return model.eval()


def token_ids(family: str, texts: list[str]) -> Tensor:
    """Texts -> int64 `(P, CONTEXT)`, cut where too long: start (CLIP only), ids, end, padding."""
    out = torch.full((len(texts), CONTEXT), PAD, dtype=torch.long)
    for row, text in zip(out, texts, strict=True):
        ids = [START, *encode(text)] if family == "clip" else encode(text)
        ids = [*ids[: CONTEXT - 1], END]
        row[: len(ids)] = torch.tensor(ids)
    return out


def shrink(frames: np.ndarray) -> np.ndarray:
    """uint8 `(T, H, W, 3)` -> uint8 `(T, SIZE, SIZE, 3)` by area averaging."""
    return np.stack([cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for frame in frames])


def normalise(frames: np.ndarray | Tensor) -> Tensor:
    """uint8 `(..., SIZE, SIZE, 3)` -> float32 `(..., 3, SIZE, SIZE)`."""
    pixels = torch.as_tensor(frames).float().div_(255)
    return pixels.sub_(torch.tensor(MEAN)).div_(torch.tensor(STD)).movedim(-1, -3)
