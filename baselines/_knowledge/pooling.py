"""Frames to a video: what is learnt between the frozen frame features and the adapter's own comparison. All start as the mean.

Shape legend: N videos, T frames, D joint size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines._knowledge.initial import drawn
from bench.contracts import BenchError, Features

WIDTH, HEADS = 128, 4


class AttentionPooling(nn.Module):
    """One learnt query: frames weighted by softmax(query . f / |f|). The query starts at 0, where all weights are the same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(dim))

    def forward(self, features: Features) -> Features:
        """Features of one frame a video: the weighted mean. What else a video has stays."""
        frames = features.frames
        weights = (F.normalize(frames, dim=-1) @ self.query).softmax(-1)
        return Features((weights[..., None] * frames).sum(1, keepdim=True), features.extra)


class TransformerPooling(nn.Module):
    """f + |f| / sqrt(128 D) out(transformer(in(sqrt(D) f / |f|) + position)): a small transformer over the frames, after A5/A6 (Ju et
    al., 2022), as a residual of each frame whose last layer starts at 0. The factors make its units a frame's own entries, so that
    the context's learning rate does for it.

    Narrow (128 wide, 4 heads) because there are few videos; positions are learnt, so the number of frames is that of training.
    """

    def __init__(self, dim: int, num_frames: int, num_layers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = dim**0.5
        self.enter = drawn(lambda: nn.Linear(dim, WIDTH), generator)
        self.position = nn.Parameter(0.02 * torch.randn(num_frames, WIDTH, generator=generator))
        self.layers = nn.ModuleList(drawn(_layer, generator) for _ in range(num_layers))
        self.norm = drawn(lambda: nn.LayerNorm(WIDTH), generator)
        self.leave = drawn(lambda: nn.Linear(WIDTH, dim), generator)
        nn.init.zeros_(self.leave.weight)

    def forward(self, features: Features) -> Features:
        """Features of as many frames, whose mean is the pooled one. Raises BenchError on another number of frames than in training."""
        frames, num = features.frames, len(self.position)
        if frames.shape[1] != num:
            raise BenchError(f"the transformer over frames was trained on {num} frames a video, not {frames.shape[1]}")
        lengths = frames.norm(dim=-1, keepdim=True)
        x = self.enter(self.scale * frames / lengths) + self.position
        for layer in self.layers:
            x = layer(x)
        return Features(frames + lengths / (self.scale * WIDTH**0.5) * self.leave(self.norm(x)), features.extra)


def _layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, batch_first=True, norm_first=True)


def pooling(how: str, frames: Tensor, num_layers: int, generator: torch.Generator) -> nn.Module | None:
    """The learnt pooling for frame features `(N, T, D)`; None for the mean, which is the adapter's own."""
    if how == "attention":
        return AttentionPooling(frames.shape[2])
    if how == "transformer":
        return TransformerPooling(frames.shape[2], frames.shape[1], num_layers, generator)
    return None
