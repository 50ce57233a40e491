"""What the methods on recognisers of MMAction2 share: how one is shown videos at test time, and what that is called in the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from bench import cost, memory, recognizers, videos
from bench.compat import mmaction2
from bench.compat import mmaction2_data as data
from bench.contracts import BenchError, RecognizerAdapter, Videos
from bench.judging import LEAST

VIEWS_AT_ONCE = 16  # of a batch on the CPU, where more are no faster
VIEWS = ("test", "one")


def scale(recipe: Mapping[str, Any], resolution: int | None) -> float:
    """What all sizes of a recogniser's pipelines are multiplied by, so that it is trained on pictures of `resolution` pixels."""
    return 1.0 if resolution is None else resolution / data.training_size(recipe)


def test_steps(recipe: Mapping[str, Any], frames: int | None, resolution: int | None, views: str) -> list[Any]:
    """The pipeline that test videos go through: the config's own views, or one."""
    stage = "test" if views == "test" else "val"
    return data.adapted(data.steps(recipe, stage), frames, scale(recipe, resolution), videos.read)


@torch.no_grad()
def predict(model: torch.nn.Module, found: Videos, steps: Sequence[Any], device: torch.device) -> Tensor:
    """Logits float32 `(N, C)` of the recogniser's own classes on the CPU: the logarithm of the probabilities' mean over views, or
    the scores' mean where the config says so.

    Raises:
        BenchError: memory does not hold the views of one video.
    """
    model.eval().to(device)
    head: Any = model.cls_head
    if head.average_clips is None:
        head.average_clips = "prob"
    clips = data.Clips(found, None, steps, seed=0)
    scores: list[Tensor] = []

    def forward(size: int) -> Tensor:
        batch = [clips[0, number][0] for number in range(len(scores), min(len(scores) + size, len(clips)))]
        with data.drawing(0):  # the head of TRN draws frames at test time, too: the same ones for each batch
            told = model.test_step(  # type: ignore[operator]
                {"inputs": [b["inputs"] for b in batch], "data_samples": [b["data_samples"] for b in batch]}
            )
        return torch.stack([one.pred_score for one in told]).float().cpu()

    size = 0
    while len(scores) < len(clips):
        if not size:
            size = max(1, VIEWS_AT_ONCE // len(clips[0, 0][0]["inputs"]))
        try:
            found_scores, size = memory.halving(forward, size)
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            raise BenchError(
                f"out of memory: it does not hold the {len(clips[0, 0][0]['inputs'])} views of one video; set views=one, or use a "
                f"machine with more memory: {error}"
            ) from error
        scores.extend(found_scores)
    out = torch.stack(scores)
    return out.clamp_min(LEAST).log() if head.average_clips == "prob" else out


def columns(adapter: RecognizerAdapter, frames: int | None, resolution: int | None, views: str) -> dict[str, Any]:
    """What the tables say of what a recogniser is shown at test time; `gflops` are one view's."""
    seen = recognizers.views(adapter.recipe, "test" if views == "test" else "val", frames)
    told = {name: value or 1 for name, value in seen.items()}
    side = told["resolution"] if resolution is None else round(told["resolution"] * scale(adapter.recipe, resolution))
    shown = told["frames"]
    counted = operations(adapter.facts.architecture, shown, side)
    return {
        "num_frames": shown,
        "num_views": told["clips"] * told["crops"],
        "resolution": side,
        "gflops": counted.gflops,
        "gflops_source": counted.why_not,
    }


@lru_cache(maxsize=64)
def operations(config: str, num_frames: int, side: int) -> cost.Operations:
    """Of one view of a recogniser, classifier included."""
    model = mmaction2.build(recognizers.path_of(config), values=False, num_frames=num_frames).eval()
    view = (
        (1, num_frames, 3, side, side) if type(model).__name__ == "Recognizer2D" else (1, 1, 3, num_frames, side, side)
    )
    return cost.operations(model, view, lambda model, view: model.extract_feat(view, stage="head"))
