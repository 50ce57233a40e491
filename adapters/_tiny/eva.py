"""A tiny EVA02 image tower under a name that timm, and through it open_clip, can build."""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.eva import Eva

EVA_NAME = "eva02_stick_patch16_64"


@register_model
def eva02_stick_patch16_64(pretrained: bool = False, **options: Any) -> Eva:
    """EVA02 as `eva02_base_patch16_clip_224` has it (SwiGLU with a norm, rotary positions, inner attention norm), 64 pixels, width 96."""
    if pretrained:
        raise ValueError("the tiny tower's weights are loaded with the whole model's")
    # What timm's builders pass along for their own bookkeeping.
    for name in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        options.pop(name, None)
    return Eva(
        **{
            "img_size": 64,
            "patch_size": 16,
            "embed_dim": 96,
            "depth": 4,
            "num_heads": 3,
            "qkv_fused": False,
            "mlp_ratio": 4 * 2 / 3,
            "swiglu_mlp": True,
            "scale_mlp": True,
            "scale_attn_inner": True,
            "use_rot_pos_emb": True,
            "ref_feat_shape": (4, 4),
            **options,
        }
    )
