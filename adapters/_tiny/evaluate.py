"""Figures of a tiny backbone: zero-shot on decoded video files, and whether it can tell a movement from the same backwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from adapters._tiny.reversal import PAIRS, Pair
from bench.clips import segment_centres
from bench.contracts import Adapter, Features
from bench.datasets._clips import Clip, sample_body
from bench.datasets._figure import render
from bench.datasets._motion import pose
from bench.frames import read
from bench.knowledge import statements
from bench.prompting import flatten, mean_by_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.manifest import Manifest

SHUFFLES = 10
CLIPS_A_PAIR = 20
BATCH = 32
# Real classes of which one is the other backwards.
REAL_PAIRS = {"utkinect": (("sit down", "stand up"),), "florence3d": (("sit down", "stand up"),)}


def encode_videos(adapter: Adapter, videos: Sequence[np.ndarray]) -> Features:
    """Features of N videos, each uint8 `(T, H, W, 3)`."""
    parts = []
    for start in range(0, len(videos), BATCH):
        parts.append(
            adapter.encode_video(torch.stack([adapter.transform(video) for video in videos[start : start + BATCH]]))
        )
    extra = {name: torch.cat([part.extra[name] for part in parts]) for name in parts[0].extra}
    return Features(torch.cat([part.frames for part in parts]), extra)


def class_logits(adapter: Adapter, features: Features, texts: Sequence[Sequence[str]]) -> Tensor:
    """float32 `(N, C)`: the mean over each class's statements of their logits."""
    flat, owner = flatten(texts)
    return mean_by_class(adapter.similarity(features, adapter.encode_text(flat)), owner, len(texts))


def zero_shot(adapter: Adapter, manifest: Manifest, bank: str) -> dict[str, Any]:
    """Top-1 accuracies in [0, 1].

    Returns:
        `names`, `descriptions`, `shuffled` (mean over permutations of the classes), `majority`, `chance`, `videos`,
        `test` with names and descriptions on the test side of the published splits 1 to 3, and `order`: how often, on videos
        of two real actions of which one is the other backwards, the right one of the two scores higher.
    """
    labels = torch.tensor([manifest.class_names.index(label) for label in manifest.rows["label"]])
    features = encode_videos(adapter, [read(path, adapter.facts.num_frames) for path in manifest.rows["path"]])
    names = class_logits(adapter, features, [(name,) for name in manifest.class_names])
    described = class_logits(adapter, features, statements(bank, manifest.class_names))
    rng = np.random.default_rng(0)
    orders = [torch.from_numpy(rng.permutation(described.shape[1])) for _ in range(SHUFFLES)]

    def accuracy(logits: Tensor, chosen: Tensor) -> float:
        return round(float((logits[chosen].argmax(1) == labels[chosen]).float().mean()), 4)

    everything = torch.arange(len(labels))
    test = {}
    for split in manifest.splits[:3]:
        chosen = torch.from_numpy(np.flatnonzero(manifest.rows[f"split:{split}"] == "test"))
        test[split] = {"names": accuracy(names, chosen), "descriptions": accuracy(described, chosen)}
    found = {
        "videos": len(labels),
        "names": accuracy(names, everything),
        "descriptions": accuracy(described, everything),
        "shuffled": round(float(np.mean([accuracy(described[:, order], everything) for order in orders])), 4),
        "majority": round(float(labels.bincount().max() / len(labels)), 4),
        "chance": round(1 / len(manifest.class_names), 4),
        "test": test,
    }
    for pair in REAL_PAIRS.get(bank, ()):
        columns = [manifest.class_names.index(name) for name in pair]
        rows = torch.isin(labels, torch.tensor(columns))
        right = described[rows][:, columns].argmax(1) == (labels[rows] == columns[1]).long()
        found["order"] = {" / ".join(pair): round(float(right.float().mean()), 4), "videos": int(rows.sum())}
    return found


def _clips(pair: Pair, rng: np.random.Generator) -> list[np.ndarray]:
    """CLIPS_A_PAIR videos uint8 `(8, 128, 128, 3)` of the pair's first action, of as many people before as many cameras."""
    times = np.repeat((segment_centres(1000, 8)[None] + 0.5) / 1000, CLIPS_A_PAIR, axis=0)
    clips = [Clip(body=sample_body(rng), moves=pair.moves) for _ in range(CLIPS_A_PAIR)]
    return [render(joints) for joints in pose(clips, times, rng)]


def order(adapter: Adapter, seed: int = 7) -> dict[str, float]:
    """Two-way accuracy in [0, 1] (chance .5) on each of PAIRS: half the clips are the first action, half the same clips backwards.

    Returns:
        pair of names -> accuracy, `mean` over the pairs, and `largest_change`: of any score when a clip is turned round.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, float] = {}
    largest = 0.0
    for pair in PAIRS:
        forward = _clips(pair, rng)
        features = [encode_videos(adapter, videos) for videos in (forward, [video[::-1].copy() for video in forward])]
        logits = [class_logits(adapter, f, pair.statements) for f in features]
        right = torch.cat([logits[0][:, 0] > logits[0][:, 1], logits[1][:, 1] > logits[1][:, 0]])
        found[" / ".join(pair.names)] = round(float(right.float().mean()), 4)
        largest = max(largest, float((logits[0] - logits[1]).abs().max() / adapter.facts.logit_scale))
    return {**found, "mean": round(float(np.mean(list(found.values()))), 4), "largest_change": float(f"{largest:.3g}")}


def skeleton_root() -> Path | None:
    """Where the real Kinect sets lie: $BENCH_SHARED_DATA/skeletons or ../shared/data/skeletons, or None."""
    folder = Path(os.environ.get("BENCH_SHARED_DATA", "../shared/data")) / "skeletons"
    return folder if folder.is_dir() else None
