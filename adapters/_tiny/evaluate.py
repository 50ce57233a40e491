"""Zero-shot figures of a tiny backbone on decoded video files: class names, descriptions, shuffled descriptions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapters._open_clip import FrameTransform
from adapters._tiny.model import MEAN, PREPROCESS, SIZE, STD, TinyModel, token_ids
from bench.frames import read
from bench.knowledge import statements

if TYPE_CHECKING:
    from bench.manifest import Manifest

NUM_FRAMES = 8
SHUFFLES = 10


@torch.inference_mode()
def encode_videos(model: TinyModel, manifest: Manifest) -> Tensor:
    """float32 `(N, D)`, L2-normalised: the mean of un-normalised frame features at 8 segment centres."""
    transform = FrameTransform((SIZE, SIZE), MEAN, STD, PREPROCESS["interpolation"], PREPROCESS["resize_mode"])
    rows = []
    for path in manifest.rows["path"]:
        features = model.encode_image(transform(read(path, NUM_FRAMES)))
        rows.append(features.mean(0))
    return F.normalize(torch.stack(rows), dim=-1)


@torch.inference_mode()
def class_features(family: str, model: TinyModel, texts: tuple[tuple[str, ...], ...]) -> Tensor:
    """float32 `(C, D)`: the mean of each class's L2-normalised text features, so that a product is a mean cosine."""
    return torch.stack(
        [F.normalize(model.encode_text(token_ids(family, list(group))), dim=-1).mean(0) for group in texts]
    )


def zero_shot(family: str, model: TinyModel, manifest: Manifest, bank: str) -> dict[str, Any]:
    """Top-1 accuracies in [0, 1].

    Returns:
        `names`, `descriptions`, `shuffled` (mean over permutations of the classes), `majority`, `chance`, `videos`, and
        `test` with names and descriptions on the test side of the published splits 1 to 3.
    """
    labels = torch.tensor([manifest.class_names.index(label) for label in manifest.rows["label"]])
    video = encode_videos(model, manifest)
    names = class_features(family, model, tuple((name,) for name in manifest.class_names))
    described = class_features(family, model, statements(bank, manifest.class_names))
    rng = np.random.default_rng(0)
    orders = [torch.from_numpy(rng.permutation(len(described))) for _ in range(SHUFFLES)]

    def accuracy(text: Tensor, chosen: Tensor) -> float:
        hits = (video[chosen] @ text.T).argmax(1) == labels[chosen]
        return round(float(hits.float().mean()), 4)

    everything = torch.arange(len(labels))
    test = {}
    for split in manifest.splits[:3]:
        chosen = torch.from_numpy(np.flatnonzero(manifest.rows[f"split:{split}"] == "test"))
        test[split] = {"names": accuracy(names, chosen), "descriptions": accuracy(described, chosen)}
    return {
        "videos": len(labels),
        "names": accuracy(names, everything),
        "descriptions": accuracy(described, everything),
        "shuffled": round(float(np.mean([accuracy(described[order], everything) for order in orders])), 4),
        "majority": round(float(labels.bincount().max() / len(labels)), 4),
        "chance": round(1 / len(manifest.class_names), 4),
        "test": test,
    }


def skeleton_root() -> Path | None:
    """Where the real Kinect sets lie: $BENCH_SHARED_DATA/skeletons or ../shared/data/skeletons, or None."""
    folder = Path(os.environ.get("BENCH_SHARED_DATA", "../shared/data")) / "skeletons"
    return folder if folder.is_dir() else None
