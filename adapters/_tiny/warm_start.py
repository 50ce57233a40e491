"""Starting a tiny backbone of one family from the trained tiny CLIP: what fits is copied, under the other library's names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def warm_start(family: str, model: nn.Module, source: dict[str, Tensor]) -> int:
    """Go on from a stored state of the same class, or take from a trained CLIP what fits, but keep SigLIP's own scale.

    Args:
        family: of `model`.
        model: an untrained tiny backbone; written into.
        source: state of a model of the same class, or of the tiny CLIP.

    Returns:
        How many of the model's tensors were set.
    """
    own = model.state_dict()
    taken = source if source.keys() == own.keys() else _NAMES[family](source)
    fitting = {name: _narrowed(name, value, own[name], taken) for name, value in taken.items() if name in own}
    model.load_state_dict({**own, **{k: v for k, v in fitting.items() if v.shape == own[k].shape}})
    return sum(v.shape == own[k].shape for k, v in fitting.items())


def _siglip(clip: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {name if name.startswith("visual.") else f"text.{name}": value for name, value in clip.items()}
    out.pop("text.logit_scale")
    out["text.text_projection.weight"] = out.pop("text.text_projection").T
    return out


def _eva_clip(clip: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {f"text.{name}": value for name, value in clip.items() if not name.startswith("visual.")}
    out["logit_scale"] = out.pop("text.logit_scale")
    trunk = "visual.trunk."
    out[f"{trunk}patch_embed.proj.weight"] = clip["visual.conv1.weight"]
    out[f"{trunk}cls_token"] = clip["visual.class_embedding"][None, None]
    out[f"{trunk}pos_embed"] = clip["visual.positional_embedding"][None]
    out[f"{trunk}head.weight"] = clip["visual.proj"].T
    for end in ("weight", "bias"):
        out[f"{trunk}fc_norm.{end}"] = clip[f"visual.ln_post.{end}"]
    for layer in range(_layers(clip, "visual.transformer")):
        old, new = f"visual.transformer.resblocks.{layer}.", f"{trunk}blocks.{layer}."
        out |= _attention(clip, f"{old}attn.", f"{new}attn.", "proj")
        for end in ("weight", "bias"):
            out[f"{new}norm1.{end}"], out[f"{new}norm2.{end}"] = clip[f"{old}ln_1.{end}"], clip[f"{old}ln_2.{end}"]
    return out


def _xclip(clip: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {
        "logit_scale": clip["logit_scale"],
        "text_projection.weight": clip["text_projection"].T,
        "text_model.embeddings.token_embedding.weight": clip["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": clip["positional_embedding"],
        "visual_projection.weight": clip["visual.proj"].T,
        "vision_model.embeddings.patch_embedding.weight": clip["visual.conv1.weight"],
        "vision_model.embeddings.class_embedding": clip["visual.class_embedding"],
        "vision_model.embeddings.position_embedding.weight": clip["visual.positional_embedding"],
    }
    for end in ("weight", "bias"):
        out[f"text_model.final_layer_norm.{end}"] = clip[f"ln_final.{end}"]
        out[f"vision_model.pre_layernorm.{end}"] = clip[f"visual.ln_pre.{end}"]
        out[f"vision_model.post_layernorm.{end}"] = clip[f"visual.ln_post.{end}"]
    for tower, theirs in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
        for layer in range(_layers(clip, tower)):
            old, new = f"{tower}.resblocks.{layer}.", f"{theirs}.encoder.layers.{layer}."
            out |= _attention(clip, f"{old}attn.", f"{new}self_attn.", "out_proj")
            for end in ("weight", "bias"):
                for ours, name in (
                    ("ln_1", "layer_norm1"),
                    ("ln_2", "layer_norm2"),
                    ("mlp.c_fc", "mlp.fc1"),
                    ("mlp.c_proj", "mlp.fc2"),
                ):
                    out[f"{new}{name}.{end}"] = clip[f"{old}{ours}.{end}"]
    return out


_NAMES = {"siglip": _siglip, "eva_clip": _eva_clip, "xclip": _xclip}


def _layers(clip: dict[str, Tensor], tower: str) -> int:
    return sum(name.startswith(f"{tower}.resblocks.") and name.endswith("ln_1.weight") for name in clip)


def _attention(clip: dict[str, Tensor], old: str, new: str, out_name: str) -> dict[str, Tensor]:
    """Torch's packed query, key and value rows, and the projection behind them, under separate names."""
    out = {}
    for end in ("weight", "bias"):
        for name, rows in zip("qkv", clip[f"{old}in_proj_{end}"].chunk(3), strict=True):
            out[f"{new}{name}_proj.{end}"] = rows
        out[f"{new}{out_name}.{end}"] = clip[f"{old}out_proj.{end}"]
    return out


def _narrowed(name: str, value: Tensor, own: Tensor, taken: dict[str, Tensor]) -> Tensor:
    """A perceptron's tensor cut to the hidden units that matter most, where the model has fewer; others as they are."""
    stem, _, end = name.rpartition(".mlp.")
    if not stem or value.shape == own.shape:
        return value
    into, out = taken[f"{stem}.mlp.fc1.weight"], taken[f"{stem}.mlp.fc2.weight"]
    keep = torch.topk(
        into.norm(dim=1) * out.norm(dim=0), min(own.shape[-1] if end == "fc2.weight" else own.shape[0], len(into))
    ).indices
    return value[:, keep] if end == "fc2.weight" else value[keep]
