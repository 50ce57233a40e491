"""The smallest weights that open_clip takes, in the folders where they are looked for."""

import torch
from safetensors.torch import save_file

from adapters import _weights
from adapters._open_clip import build

SMALL = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


CUSTOM = {**SMALL, "custom_text": True, "init_logit_bias": -10.0}


def state_of(cfg):
    torch.manual_seed(0)
    return {k: v.clone().contiguous() for k, v in build(cfg).state_dict().items()}


def put(name, state, file="model.safetensors"):
    path = _weights.folder(name) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path
