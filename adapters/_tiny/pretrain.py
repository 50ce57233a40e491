"""Pre-train the tiny backbones on procedural motion and store them with the figures that came out.

    python -m adapters._tiny.pretrain --family all

Writes `<family>.safetensors` and `<family>.json` beside this file. Both families together take about 20 minutes on
two free cores. SigLIP starts from the trained CLIP.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import load_file

from adapters._tiny.captions import caption, shared_ngrams
from adapters._tiny.compositions import Sampler
from adapters._tiny.evaluate import skeleton_root, zero_shot
from adapters._tiny.model import HERE, load, save
from adapters._tiny.train import BATCH, FRAMES, train
from bench._files import bench_home
from bench.contracts import DataRequest
from bench.knowledge import statements
from bench.plugins import find

FAMILIES = ("clip", "siglip")
STEPS = {"clip": 1500, "siglip": 800}
RATE = {"clip": 2e-3, "siglip": 1e-3}
DATASETS = ("toy", "utkinect", "florence3d")
CAPTION_SAMPLE = 20_000


def overlap(dataset: str, class_names: Sequence[str]) -> dict[str, Any]:
    """How many of a bank's distinct 5-grams occur in a large sample of captions."""
    sampler, rng = Sampler(1), np.random.default_rng(1)
    captions = [caption(sampler.clip(), rng) for _ in range(CAPTION_SAMPLE)]
    bank = dict(zip(class_names, statements(dataset, class_names), strict=True))
    shared, total, _ = shared_ngrams(bank, captions)
    return {"shared": shared, "of": total, "captions": CAPTION_SAMPLE}


def figures(family: str, folder: Path) -> dict[str, Any]:
    """Zero-shot figures on every data set at hand, and the banks' word-for-word overlap with the captions."""
    model, found = load(family, folder), {}
    for dataset in DATASETS:
        root = None if dataset == "toy" else skeleton_root()
        if dataset != "toy" and root is None:
            print(f"{dataset}: no data at hand, not tested")
            continue
        manifest = find("datasets", dataset).manifest(DataRequest(root=root, workspace=bench_home() / "data"))
        found[dataset] = zero_shot(family, model, manifest, dataset)
        found[dataset]["bank_5grams_in_captions"] = overlap(dataset, manifest.class_names)
        print(f"{family} on {dataset}: {json.dumps(found[dataset])}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, train, store, test, and store again with the figures."""
    parser = argparse.ArgumentParser(description="Pre-train the tiny backbones; example: --family all")
    parser.add_argument("--family", choices=(*FAMILIES, "all"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="batches, instead of the family's own number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for weights and records")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES if given.family == "all" else (given.family,):
        start = None
        if family == "siglip":
            start = {name: value.float() for name, value in load_file(str(given.out / "clip.safetensors")).items()}
        steps = given.steps or STEPS[family]
        model, trained = train(family, given.seed + FAMILIES.index(family), steps, RATE[family], start)
        facts: dict[str, Any] = {
            "pretraining": {
                "seed": given.seed + FAMILIES.index(family),
                "rate": RATE[family],
                "batch": BATCH,
                "frames": FRAMES,
                "threads": given.threads,
                "warm_start": "clip" if start else None,
                **trained,
            },
            "versions": {
                "torch": torch.__version__,
                "open_clip": open_clip.__version__,
                "python": platform.python_version(),
            },
        }
        save(family, model, facts, given.out)
        save(family, model, {**facts, "figures": figures(family, given.out)}, given.out)


if __name__ == "__main__":
    main()
