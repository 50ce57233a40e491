"""What is known of one backbone, and what number formats and torch.compile change in it on this machine, in lines of text.

Shape legend: T frames, P texts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import TEXT, Adapter, BackboneFacts, BenchError, Features
from bench.forward import Encoder

NUM_VIDEOS = 4
HEIGHT, WIDTH = 240, 320
SENTENCES = tuple(
    f"a video of a person {doing}."
    for doing in ("running", "waving", "sitting down", "throwing a ball", "drinking", "fighting", "playing the guitar")
)


def examine(adapter: Adapter) -> Iterator[str]:
    """Lines about a backbone: its facts, then what each other way to compute changes here against float32, as they are measured."""
    yield from _fact_lines(adapter.facts)
    videos = [adapter.transform(video) for video in pictures(NUM_VIDEOS, adapter.facts.num_frames)]
    exact = Encoder(adapter)
    yield (
        f"against float32 on {exact.record['device']}: {NUM_VIDEOS} made-up videos of {adapter.facts.num_frames} frames"
        + (f", {len(SENTENCES)} sentences" if TEXT in adapter.facts.capabilities else "")
        + "; difference of a feature vector over its length"
    )
    ways = [(precision, False) for precision in adapter.facts.precisions if precision != "float32"]
    for precision, compiled in [*ways, *((p, True) for p in adapter.facts.precisions)]:
        name = f"{precision}{'+compile' if compiled else ''}"
        try:
            d = compare(exact, Encoder(adapter, precision, compiled), videos, SENTENCES)
        except BenchError as error:
            yield f"  {name:16} {error}"
            if compiled:
                return  # the others cannot be compiled either
            continue
        text = "" if d.probability is None else f", softmax at most {d.probability:.1e}, same top-1 {d.agreement:.0%}"
        yield (
            f"  {name:16} largest {d.largest:.1e}, mean {d.mean:.1e}, smallest cosine {d.cosine:.7f}{text}, "
            f"speed {d.speed:.2f} x float32"
        )


def _fact_lines(facts: BackboneFacts) -> Iterator[str]:
    has_text = TEXT in facts.capabilities
    scale = f"times {facts.logit_scale:.4g}, plus {facts.logit_bias:.4g}"
    for name, value in {
        "backbone": facts.name + (" (toy scale: its numbers say nothing about real models)" if facts.toy_scale else ""),
        "family": facts.family,
        "architecture": facts.architecture,
        "weights": facts.weights,
        "weights sha256": facts.weights_sha256,
        "parameters": f"{facts.num_parameters:,}",
        "GFLOPs a frame": (facts.gflops_source or "not stated") if facts.gflops is None else f"{facts.gflops:.4g}",
        "frames": f"{facts.num_frames}{', no other number' if facts.fixed_num_frames else ''}",
        "transform": facts.transform,
        "text": f"{facts.context_length} tokens, {facts.padding}" if has_text else "none",
        "logits": f"cosine {scale}" if has_text else "none",
        "precisions": ", ".join(facts.precisions),
        "pretraining": facts.pretraining,
        "licence": facts.licence,
    }.items():
        yield f"{name:16} {value}"


def pictures(num_videos: int, num_frames: int) -> Iterator[np.ndarray]:
    """Made-up videos uint8 `(T, HEIGHT, WIDTH, 3)`: noise with the 1/f spectrum of natural pictures, panned; the same each time."""
    down, across = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    fall = 1 / np.maximum(np.hypot(down, across), 1 / WIDTH)[..., None]
    for seed in range(num_videos):
        white = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH, 3))
        picture = np.fft.irfft2(np.fft.rfft2(white, axes=(0, 1)) * fall, s=(HEIGHT, WIDTH), axes=(0, 1))
        picture = np.clip(128 + 50 * (picture - picture.mean()) / picture.std(), 0, 255).astype(np.uint8)
        yield np.stack([np.roll(picture, (2 * t, (3 + seed) * t), axis=(0, 1)) for t in range(num_frames)])


@dataclass(frozen=True)
class Difference:
    """Features of one way to compute, held against float32's in the same process.

    `largest` and `mean` are over vectors of a frame (and over each video's `extra`): length of the difference over length of
    float32's. `cosine` is the smallest. `probability` is the largest difference of the softmax over the texts and `agreement` the
    share of videos with the same first text; None without texts. `speed` is float32's time over this one's, measured in turn.
    """

    largest: float
    mean: float
    cosine: float
    probability: float | None
    agreement: float | None
    speed: float


def compare(exact: Encoder, other: Encoder, videos: Sequence[Tensor], texts: Sequence[str]) -> Difference:
    """Measure another way to compute against an exact one, on videos `(T, 3, h, w)` and, where there is a text side, P texts.

    Raises:
        BenchError: the other way cannot run here.
    """
    adapter, batch = exact.adapter, exact.gather(videos)
    wanted, found = exact.forward(batch), other.forward(batch)
    a, b = _vectors(wanted), _vectors(found)
    relative = torch.cat([(y - x).norm(dim=-1) / x.norm(dim=-1) for x, y in zip(a, b, strict=True)])
    cosines = torch.cat([F.cosine_similarity(x, y, dim=-1) for x, y in zip(a, b, strict=True)])
    probability = agreement = None
    if TEXT in adapter.facts.capabilities:
        with torch.inference_mode():
            text = adapter.encode_text(texts)
            p, q = (adapter.similarity(features, text).softmax(-1) for features in (wanted, found))
        probability = float((p - q).abs().max())
        agreement = float((p.argmax(-1) == q.argmax(-1)).float().mean())
    slow, fast = _in_turn([lambda: exact.forward(batch), lambda: other.forward(batch)], exact.device)
    return Difference(
        float(relative.max()), float(relative.mean()), float(cosines.min()), probability, agreement, slow / fast
    )


def _vectors(features: Features) -> list[Tensor]:
    """Everything in float64, as rows whose differences have a meaning."""
    return [features.frames.flatten(0, 1).double(), *(v.flatten(1).double() for v in features.extra.values())]


def _in_turn(work: Sequence[Callable[[], object]], device: torch.device, enough_s: float = 2.0) -> list[float]:
    """Median seconds of each, one after the other in turn, so that what else the machine does falls on all alike."""
    times: list[list[float]] = [[] for _ in work]
    rounds, began = 0, time.perf_counter()
    while rounds < 3 and (rounds == 0 or time.perf_counter() - began < enough_s):
        for call, taken in zip(work, times, strict=True):
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - start)
        rounds += 1
    return [statistics.median(taken) for taken in times]
