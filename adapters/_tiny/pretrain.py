"""Pre-train the tiny backbones on procedural motion and store them with the figures that came out.

    python -m adapters._tiny.pretrain --family all

Writes `<family>.safetensors` and `<family>.json` beside this file. The other families start from the trained CLIP.
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
import timm
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from adapters import _tiny
from adapters._tiny.captions import caption, shared_ngrams
from adapters._tiny.compositions import Sampler
from adapters._tiny.evaluate import order, skeleton_root, zero_shot
from adapters._tiny.model import HERE, load, save
from adapters._tiny.train import RECIPES, train
from bench.contracts import DataRequest
from bench.knowledge import statements
from bench.places import bench_home
from bench.plugins import find

FAMILIES = tuple(RECIPES)
STAGE_SEED = 100  # between the seeds of two stages
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
    """Zero-shot figures on every data set at hand, the banks' word-for-word overlap with the captions, and whether order is seen."""
    adapter = _tiny.load(family, f"tiny-{family}", family, 1, "cpu", folder)
    found: dict[str, Any] = {"order": order(adapter)}
    for dataset in DATASETS:
        root = None if dataset == "toy" else skeleton_root()
        if dataset != "toy" and root is None:
            print(f"{dataset}: no data at hand, not tested")
            continue
        manifest = find("datasets", dataset).manifest(DataRequest(root=root, workspace=bench_home() / "data"))
        found[dataset] = zero_shot(adapter, manifest, dataset)
        found[dataset]["bank_5grams_in_captions"] = overlap(dataset, manifest.class_names)
        print(f"{family} on {dataset}: {json.dumps(found[dataset])}", flush=True)
    return found


def _stored(family: str, folder: Path) -> dict[str, Tensor]:
    return {name: value.float() for name, value in load_file(str(folder / f"{family}.safetensors")).items()}


def _record(family: str, folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / f"{family}.json").read_text())
    return record


def pretrain(family: str, seed: int, first_stage: int, out: Path) -> None:
    """Train one family stage by stage, store it after each one, and in the end store it with its figures."""
    number, recipe = FAMILIES.index(family), RECIPES[family]
    stages: list[dict[str, Any]] = []
    if first_stage > 1:
        stages = _record(family, out)["pretraining"]["stages"][: first_stage - 1]
    facts = {} if not stages else {k: v for k, v in _record(family, out).items() if k in ("pretraining", "versions")}
    for stage, (steps, rate) in enumerate(recipe.stages, start=1):
        if stage < first_stage:
            continue
        before = family if stage > 1 else recipe.start
        start = _stored(before, out) if before else None
        stage_seed = seed + number + STAGE_SEED * (stage - 1)
        model, trained = train(family, stage_seed, steps, rate, start)
        stages.append({"seed": stage_seed, "rate": rate, "threads": torch.get_num_threads(), **trained})
        facts = {
            "pretraining": {
                "seed": seed,
                "steps": sum(done["steps"] for done in stages),
                "seconds": round(sum(done["seconds"] for done in stages), 1),
                "batch": recipe.batch,
                "frames": recipe.frames,
                "warm_start": recipe.start,
                "reversed_share": recipe.reversed_share,
                "bf16": recipe.bf16,
                "stages": stages,
            },
            "versions": {
                "torch": torch.__version__,
                "open_clip": open_clip.__version__,
                "timm": timm.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
        }
        save(family, model, facts, out)
    save(family, load(family, out), facts, out)  # also where no stage was left to train
    save(family, load(family, out), {**facts, "figures": figures(family, out)}, out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and pre-train."""
    parser = argparse.ArgumentParser(description="Pre-train the tiny backbones; example: --family all")
    parser.add_argument("--family", choices=(*FAMILIES, "all"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--first-stage",
        type=int,
        default=1,
        help="go on from the stored weights of the stage before; one past the last only measures",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for weights and records")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES if given.family == "all" else (given.family,):
        pretrain(
            family, given.seed, given.first_stage if family == FAMILIES[0] or given.family != "all" else 1, given.out
        )


if __name__ == "__main__":
    main()
