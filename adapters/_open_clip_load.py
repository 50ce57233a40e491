"""From a released file of weights to an adapter: open_clip's own configs, conversions, preprocessing and tokenizers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.tokenizer import SimpleTokenizer

from adapters import _weights
from adapters._open_clip import (
    FrameTransform,
    OpenClipAdapter,
    OpenClipTextAdapter,
    Unfilled,
    build,
    why_no_prompts,
)
from adapters._sentence_pieces import TOLD_BY, SentencePieces, library_tokenizer
from adapters._state import State, load_strict, sha256
from adapters._text import BytePairs
from bench import cost
from bench.contracts import BenchError, digest

if TYPE_CHECKING:
    from adapters._cards import Card
    from adapters._open_clip import Model

PREPROCESS = ("mean", "std", "interpolation", "resize_mode")
# Keys of released files that open_clip's own loader drops (factory.load_checkpoint).
DROPPED = ("text.transformer.embeddings.position_ids",)
CLEANED = {"lower": "; lower-cased", "canonicalize": "; lower-cased, punctuation removed", "whitespace": ""}


def load(name: str, card: Card, family: str, version: int, device: str) -> OpenClipAdapter | OpenClipTextAdapter:
    """A named model with its own preprocessing and tokenizer, from its folder on this machine."""
    path = _weights.locate(name, card)
    check_published(path, card.architecture, card.tag)
    model_cfg, preprocess = model_config(card.architecture, card.tag)
    facts = {
        "family": family,
        "architecture": card.architecture,
        "weights": card.tag,
        "num_frames": card.num_frames,
        "fixed_num_frames": card.fixed_num_frames,
        "pretraining": card.pretraining,
        "licence": card.licence,
        "version": version,
        "gflops": card.gflops,
        "precisions": card.precisions,
        "padding": card.text_rule,
    }
    model, sha256 = loaded(name, model_cfg, path, card.sha256)
    return adapt(name, model, model_cfg, preprocess, sha256, facts, device)


def check_published(path: Path, architecture: str, tag: str) -> None:
    """Where open_clip's own address of a file ends in the beginning of its sha256, a file of that name must have it.

    Raises:
        BenchError: it has another.
    """
    published = str(open_clip.get_pretrained_cfg(architecture, tag).get("url") or "").rpartition("/")[2]
    prefix = re.search(r"-([0-9a-f]{8,64})\.(?:pt|pth|bin)$", published)
    if prefix and path.name == published and not (found := sha256(path)).startswith(prefix[1]):
        raise BenchError(
            f"{path} has sha256 {found}, but its publisher says that it begins with {prefix[1]}; get it again"
        )


def adapt(
    name: str,
    model: Model,
    model_cfg: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    sha256: str,
    facts: Mapping[str, Any],
    device: str,
    files: Path | None = None,
) -> OpenClipAdapter | OpenClipTextAdapter:
    """The adapter of a filled model: with prompts where its text tower is one of ours to halve, else with sentences only.

    Args:
        name: what the user calls it.
        model: with its weights.
        model_cfg: open_clip's config of it.
        preprocess: of PREPROCESS, what was said of it; the rest is OpenAI's.
        sha256: of its weights.
        facts: what the model itself cannot say.
        device: where it is to run.
        files: where its tokenizer lies, if not in its folder.
    """
    transform, text_cfg = transform_of(model, preprocess), model_cfg["text_cfg"]
    files = files or _weights.folder(name)
    facts = {
        "name": _weights.safe(name),
        "weights_sha256": sha256,
        "tokenizer": _weights.digest_of_files(files, TOLD_BY)
        if text_cfg.get("hf_tokenizer_name")
        else "CLIP byte pairs",
        **facts,
        # Heads, activation and pooling are not in the weights, and two configs may differ in nothing else.
        "architecture": f"{facts['architecture']}-{digest(model_cfg, 8)}",
    }
    tokenizer = None if why_no_prompts(model) else promptable_tokenizer(name, files, text_cfg)
    if tokenizer is not None:
        return OpenClipAdapter(model, transform, tokenizer, facts, device)
    return OpenClipTextAdapter(model, transform, lambda: whole_tokenizer(name, files, text_cfg), facts, device)


def model_config(architecture: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's model config with the activation that the tag was trained with, and the tag's preprocessing."""
    model_cfg, cfg = dict(open_clip.get_model_config(architecture)), open_clip.get_pretrained_cfg(architecture, tag)
    if cfg.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    return model_cfg, {k: cfg[k] for k in PREPROCESS if cfg.get(k) is not None}


def loaded(name: str, model_cfg: Mapping[str, Any], path: Path, pinned: str | None = None) -> tuple[Model, str]:
    """A filled model and the hex sha256 of its file, which is not opened where it is another than was published or loaded as `name`."""
    with _weights.verified(name, path, pinned) as found:
        return filled(model_cfg, path), found


def filled(model_cfg: Mapping[str, Any], path: Path) -> Model:
    """A model of this config with the weights of a file, every one."""
    with Unfilled():
        model = build(model_cfg)
    load_strict(model, path, lambda state: converted(model, state))
    return model


def converted(model: Model, state: State) -> State:
    """What open_clip's loader does to the keys of released files, but nothing that makes up a weight or resizes one."""
    state = dict(convert_state_dict(model, state))
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for key in ("logit_scale", "logit_bias"):
        own = getattr(model, key, None)
        if key in state and own is not None and state[key].numel() == own.numel():
            state[key] = state[key].reshape(own.shape)
    return {k: v for k, v in state.items() if k not in DROPPED}


def transform_of(model: Model, preprocess: Mapping[str, Any]) -> FrameTransform:
    """open_clip's evaluation transform: a tag's or folder's mean, std and resizing at the model's size."""
    size = model.visual.image_size
    return FrameTransform(
        tuple(size) if isinstance(size, tuple | list) else (size, size),
        tuple(preprocess.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        tuple(preprocess.get("std") or open_clip.OPENAI_DATASET_STD),
        preprocess.get("interpolation") or "bicubic",
        preprocess.get("resize_mode") or "shortest",
    )


def promptable_tokenizer(name: str, files: Path, text_cfg: Mapping[str, Any]) -> Callable[[], Any] | None:
    """How to get the tokenizer whose ids the two halves expect; None where another one stands between text and tower."""
    from_hub, causal = bool(text_cfg.get("hf_tokenizer_name")), not text_cfg.get("no_causal_mask")
    if set(text_cfg.get("tokenizer_kwargs", {})) - {"clean"} or text_cfg.get("tokenizer_mode") or from_hub == causal:
        return None
    if from_hub:
        return lambda: SentencePieces(name, files, text_cfg)
    return lambda: BytePairs(SimpleTokenizer(**text_cfg.get("tokenizer_kwargs", {})))


def whole_tokenizer(name: str, files: Path, text_cfg: Mapping[str, Any]) -> Any:
    """open_clip's own tokenizer, texts -> ids `(P, L)`."""
    if text_cfg.get("hf_tokenizer_name"):
        return library_tokenizer(name, files, text_cfg)
    return SimpleTokenizer(context_length=text_cfg.get("context_length", 77), **text_cfg.get("tokenizer_kwargs", {}))


def family_of(model: Model, model_cfg: Mapping[str, Any]) -> str:
    """CLIP, SigLIP, EVA-CLIP, or the open_clip class of anything else."""
    if why_no_prompts(model):
        return "CoCa" if "multimodal_cfg" in model_cfg else "open_clip"
    if model_cfg["text_cfg"].get("no_causal_mask"):
        return "SigLIP" if model.logit_bias is not None else "open_clip"
    trunk = str(model_cfg["vision_cfg"].get("timm_model_name") or "")
    return "EVA-CLIP" if trunk.startswith("eva") else "open_clip" if trunk else "CLIP"


def text_rule(model_cfg: Mapping[str, Any]) -> str:
    """In words: how long texts are, how they are padded, pooled and cleaned."""
    text = model_cfg["text_cfg"]
    length, pool = text.get("context_length", 77), text.get("pool_type", "argmax")
    clean = text.get("tokenizer_kwargs", {}).get("clean", "whitespace" if text.get("hf_tokenizer_name") else "lower")
    pooled = {"argmax": "at end-of-text", "eos": "at end-of-text", "last": "at the last position"}.get(pool, pool)
    how = f"padded to {length}, not causal" if text.get("no_causal_mask") else f"{length} tokens, causal"
    return f"{how}, pooled {pooled}{CLEANED[clean]}"


def visual_operations(model_cfg: Mapping[str, Any]) -> cost.Operations:
    """Of the visual side, a frame; no weights are needed."""
    with torch.device("meta"):
        model = build(model_cfg).eval()
    return cost.operations(model.visual, (1, 3, *transform_of(model, {}).size))
