"""The tiny backbones: the libraries' own classes at toy size, for checking the whole path without a download."""

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
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import XCLIPConfig, XCLIPModel

from adapters import _open_clip
from adapters._tiny.eva import EVA_NAME
from adapters._tiny.tokenizer import END, PAD, START, VOCAB_SIZE, encode

TinyModel: TypeAlias = CLIP | CustomTextCLIP | XCLIPModel
HERE = Path(__file__).resolve().parent
CONTEXT = 48
SIZE = 64
NUM_FRAMES = 8
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

_XCLIP_TEXT = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 3,
    "max_position_embeddings": CONTEXT, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
    "pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END,
}  # fmt: skip
# Three layers and narrow perceptrons: messages between frames and the prompt generator take the room of a fourth.
_XCLIP_VISION = {
    "image_size": SIZE, "patch_size": 16, "num_frames": NUM_FRAMES, "hidden_size": 96, "intermediate_size": 224, "num_hidden_layers": 3,
    "num_attention_heads": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "drop_path_rate": 0.0,
    "mit_hidden_size": 96, "mit_intermediate_size": 96, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 3,
}  # fmt: skip

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
    "eva_clip": {
        "embed_dim": 96,
        "custom_text": True,
        "vision_cfg": {"image_size": SIZE, "timm_model_name": EVA_NAME, "timm_pool": "avg", "timm_proj": None},
        "text_cfg": _TEXT,
    },
    "xclip": {
        "projection_dim": 96,
        "prompt_layers": 1,
        "prompt_num_attention_heads": 3,
        "prompt_attention_dropout": 0.0,
        "prompt_projection_dropout": 0.0,
        "text_config": _XCLIP_TEXT,
        "vision_config": _XCLIP_VISION,
    },
}


def build(family: str) -> TinyModel:
    """An untrained tiny backbone in its library's class: open_clip's CLIP or CustomTextCLIP, transformers' XCLIPModel."""
    if family == "xclip":
        return XCLIPModel(XCLIPConfig(**MODEL_CFG[family]))
    return _open_clip.build(MODEL_CFG[family])


@torch.inference_mode()
def visual_gflops(model: TinyModel) -> float:
    """10^9 floating-point operations a frame of the visual side, a multiply-add as two, as torch's counter sees them."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        if isinstance(model, XCLIPModel):
            model.get_video_features(torch.zeros(1, NUM_FRAMES, 3, SIZE, SIZE))
        else:
            model.encode_image(torch.zeros(NUM_FRAMES, 3, SIZE, SIZE))
    return round(counter.get_total_flops() / NUM_FRAMES / 1e9, 5)


def save(family: str, model: TinyModel, facts: dict[str, Any], folder: Path) -> None:
    """Write `<family>.safetensors` (fp16, the library's own keys) and `<family>.json` (how to build it)."""
    weights = folder / f"{family}.safetensors"
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, str(weights))
    record = {
        "name": f"tiny-{family}",
        "about": "Toy scale, trained on rendered stick figures; for checking the whole path. "
        "Its numbers say nothing about real models.",
        "model_cfg": MODEL_CFG[family],
        "preprocess": PREPROCESS,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflops": visual_gflops(model),
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **facts,
    }
    (folder / f"{family}.json").write_text(json.dumps(record, indent=1) + "\n")


def load(family: str, folder: Path = HERE) -> TinyModel:
    """The pre-trained tiny backbone, float32, in eval mode; the keys must be exactly the library's."""
    model = build(family)
    state = load_file(str(folder / f"{family}.safetensors"))
    model.load_state_dict({name: value.float() for name, value in state.items()}, strict=True)
    return model.eval()


def token_ids(family: str, texts: list[str]) -> Tensor:
    """Texts -> int64 `(P, CONTEXT)`, cut where too long: start (not SigLIP), ids, end, padding."""
    out = torch.full((len(texts), CONTEXT), PAD, dtype=torch.long)
    for row, text in zip(out, texts, strict=True):
        ids = encode(text) if family == "siglip" else [START, *encode(text)]
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
