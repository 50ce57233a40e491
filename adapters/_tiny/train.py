"""The contrastive training of the tiny backbones: a producer renders batches, the trainer never waits for long."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from adapters._tiny.captions import caption
from adapters._tiny.compositions import Sampler
from adapters._tiny.model import TinyModel, build, normalise, shrink, token_ids
from bench.datasets._figure import render
from bench.datasets._motion import pose

BATCH, FRAMES = 128, 3
LOG_EVERY = 100
VIDEO_SIZE = 128  # as the toy videos: drawn large, then shrunk by the transform


def _produce(family: str, seed: int, steps: int, queue: Any) -> None:
    """Put `steps` batches into the queue: uint8 frames `(BATCH, FRAMES, S, S, 3)` and token ids `(BATCH, CONTEXT)`."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sampler, rng = Sampler(seed), np.random.default_rng(seed + 1)
    for _ in range(steps):
        clips = [sampler.clip() for _ in range(BATCH)]
        # One random time in each third: mean-pooled frames at test time are segment centres.
        times = (np.arange(FRAMES) + rng.random((BATCH, FRAMES))) / FRAMES
        joints = pose(clips, times, rng)
        frames = np.stack([shrink(render(clip, size=VIDEO_SIZE, thickness=int(rng.integers(2, 5)))) for clip in joints])
        queue.put((frames, token_ids(family, [caption(clip, rng) for clip in clips]).numpy()))


def batches(family: str, seed: int, steps: int) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Batches from a producer process, the same for the same seed."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=4)
    producer = context.Process(target=_produce, args=(family, seed, steps, queue), daemon=True)
    producer.start()
    try:
        for _ in range(steps):
            frames, ids = queue.get(timeout=300)
            yield frames, torch.from_numpy(ids)
    finally:
        producer.terminate()
        producer.join()


def _loss(family: str, model: TinyModel, video: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """The family's contrastive loss of L2-normalised `(B, D)` features, and the batch's video-to-text accuracy."""
    logits = model.logit_scale.exp() * video @ text.T
    target = torch.arange(len(video))
    accuracy = (logits.argmax(1) == target).float().mean()
    if family == "clip":
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2, accuracy
    signs = 2 * torch.eye(len(video)) - 1
    return -F.logsigmoid(signs * (logits + model.logit_bias)).sum() / len(video), accuracy


def warm_start(model: TinyModel, source: dict[str, Tensor]) -> None:
    """Go on from a stored state of the same class; SigLIP also takes what fits of a trained CLIP, but its own scale."""
    if source.keys() == model.state_dict().keys():
        model.load_state_dict(source)
        return
    own = model.state_dict()
    for name in own:
        old = name.removeprefix("text.") if name.startswith("text.") else name
        if old == "text_projection.weight":
            own[name] = source["text_projection"].T.clone()
        elif old in source and source[old].shape == own[name].shape and old != "logit_scale":
            own[name] = source[old].clone()
    model.load_state_dict(own)


def train(
    family: str, seed: int, steps: int, rate: float, start: dict[str, Tensor] | None = None, log: Any = print
) -> tuple[TinyModel, dict[str, Any]]:
    """Train one tiny backbone.

    Args:
        family: `clip` or `siglip`.
        seed: of the weights and of all data.
        steps: batches of `BATCH` clips.
        rate: the highest learning rate (AdamW, linear warm-up, cosine).
        start: state of a trained CLIP to start from.
        log: called with a line every 100 steps.

    Returns:
        The model in eval mode, and {steps, seconds, loss, accuracy} with means over the last 50 steps.
    """
    torch.manual_seed(seed)
    model = build(family)
    if start is not None:
        warm_start(model, start)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98)
    )
    warm_up = 60
    history: list[tuple[float, float]] = []
    began = time.monotonic()
    model.train()
    # Torch's flash attention for the CPU is many times slower backward than plain matrix products at 17 tokens.
    with sdpa_kernel(SDPBackend.MATH):
        for step, (frames, ids) in enumerate(batches(family, seed, steps)):
            progress = max(0.0, step - warm_up) / max(1, steps - warm_up)
            lr = rate * min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * progress))
            for group in optimizer.param_groups:
                group["lr"] = max(lr, 1e-6)
            pixels = normalise(frames).flatten(0, 1)
            with torch.autocast("cpu", torch.bfloat16):
                frame_features, text = model.encode_image(pixels), model.encode_text(ids)
            # Mean of un-normalised frame features: what the adapters do with a video's frames.
            video, text = frame_features.float().unflatten(0, (BATCH, FRAMES)).mean(1), text.float()
            loss, accuracy = _loss(family, model, F.normalize(video, dim=-1), F.normalize(text, dim=-1))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            history.append((loss.item(), accuracy.item()))
            if (step + 1) % LOG_EVERY == 0:
                mean = np.mean(history[-50:], axis=0)
                seconds = time.monotonic() - began
                log(f"{family} step {step + 1}/{steps} loss {mean[0]:.3f} accuracy {mean[1]:.3f} {seconds:.0f} s")
    last = np.mean(history[-50:], axis=0)
    facts = {
        "steps": steps,
        "seconds": round(time.monotonic() - began, 1),
        "loss": float(last[0]),
        "accuracy": float(last[1]),
    }
    return model.eval(), facts
