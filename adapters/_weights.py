"""Pinned weights of real models: where they lie on this machine, and how to get them on one with network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip

from adapters._open_clip import FrameTransform, OpenClipAdapter, build, load_strict, sha256
from bench._files import bench_home
from bench.contracts import BenchError

if TYPE_CHECKING:
    from adapters._cards import Card

SUFFIXES = (".safetensors", ".bin", ".pt")


def folder(name: str) -> Path:
    """Where a model's weights are looked for: $BENCH_HOME/weights/NAME."""
    return bench_home() / "weights" / name


def locate(name: str, card: Card) -> Path:
    """The weights file of a model. Raises BenchError with what is missing and where to put it."""
    found = sorted(p for p in folder(name).rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not found:
        raise BenchError(
            f"no weights of {name} on this machine: put open_clip's file of {card.architecture} / {card.tag} (*.safetensors, *.bin or "
            f"*.pt) into {folder(name)}, or run `python -m bench fetch {name}` where there is network"
        )
    if len(found) > 1:
        raise BenchError(
            f"{folder(name)} holds {len(found)} weight files ({', '.join(p.name for p in found[:3])}); leave one"
        )
    return found[0]


def fetch(name: str, card: Card) -> Path:
    """Download a model's weights by open_clip's own pinned address into its folder (needs network)."""
    cfg = open_clip.get_pretrained_cfg(card.architecture, card.tag)
    folder(name).mkdir(parents=True, exist_ok=True)
    try:
        open_clip.download_pretrained(cfg, cache_dir=str(folder(name)))
    except Exception as error:
        raise BenchError(
            f"{name} could not be fetched ({type(error).__name__}: {error}); is there network here?"
        ) from error
    return locate(name, card)


def load(name: str, card: Card, family: str, version: int, tokenizer: Any, device: str) -> OpenClipAdapter:
    """A real model with its own preprocessing, from the weights on this machine."""
    path = locate(name, card)
    cfg = open_clip.get_pretrained_cfg(card.architecture, card.tag)
    model_cfg = dict(open_clip.get_model_config(card.architecture))
    if cfg.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    model = build(model_cfg)
    load_strict(model, path)
    facts = {
        "name": name,
        "family": family,
        "architecture": card.architecture,
        "weights": card.tag,
        "weights_sha256": sha256(path),
        "num_frames": card.num_frames,
        "pretraining": card.pretraining,
        "licence": card.licence,
        "version": version,
    }
    return OpenClipAdapter(model, transform_of(model, cfg), tokenizer, facts, device)


def transform_of(model: Any, cfg: dict[str, Any]) -> FrameTransform:
    """open_clip's evaluation transform for a pretrained tag: the tag's mean, std and resizing at the model's size."""
    size = model.visual.image_size
    size = size if isinstance(size, tuple) else (size, size)
    mean, std = cfg.get("mean") or open_clip.OPENAI_DATASET_MEAN, cfg.get("std") or open_clip.OPENAI_DATASET_STD
    return FrameTransform(
        size, tuple(mean), tuple(std), cfg.get("interpolation") or "bicubic", cfg.get("resize_mode") or "shortest"
    )
