"""The terms of the loss, each by itself.

Shape legend: N videos, C classes, P statements, D joint size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ALPHA, BETA, GAMMA = 0.25, 0.2, 2.0  # GaVA-CLIP, training/loss_utils.py


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of each video `(N,)`; the target is `1 - smoothing` for the label, and `smoothing` spread evenly over all."""
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


def focal_ordinal_weights(logits: Tensor, labels: Tensor) -> Tensor:
    """What each video's cross-entropy is multiplied by `(N,)`: beta |y - argmax| / (C - 1) + alpha (1 - p_y)^gamma, so that what is
    further off in the order of the classes, or less sure, counts more. The second term carries a gradient, as in the source.
    """
    steps = (labels - logits.argmax(1)).abs() / max(1, logits.shape[1] - 1)
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    return BETA * steps + ALPHA * (1 - p) ** GAMMA


def balance(labels: Tensor, num_classes: int) -> Tensor:
    """A weight a class `(C,)`, N / (C n_c), so that each class counts alike and the mean over the N videos is 1; 0 without videos."""
    counts = torch.bincount(labels, minlength=num_classes)
    return torch.where(counts > 0, len(labels) / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)


def consistency(text: Tensor, frozen: Tensor) -> Tensor:
    """1 - cos of each prompted statement's feature with the frozen one of the same words, the mean over `(P, D)` (KgCoOp)."""
    return 1 - F.cosine_similarity(text, frozen, dim=-1).mean()
