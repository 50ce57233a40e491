"""Scores of one run: logits and labels in, plain numbers out. All of it can be recomputed from stored predictions.

Shape legend: N videos, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.contracts import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

VERSION = 1  # raise it when a number changes; runs scored by an older one can be rescored
NUM_BINS = 15  # of the expected calibration error, as in Guo et al. 2017
PARTS = ("base", "novel")  # of base-to-novel: each is told apart among classes of its own


def compute(
    logits: NDArray[np.float32], labels: NDArray[np.int64], parts: Sequence[str] | None = None
) -> dict[str, float]:
    """Score float32 logits `(N, C)` against int64 labels `(N,)` in [0, C).

    Where logits tie, the class that comes first wins, in `top1` and `top5` alike.

    Args:
        parts: `(N,)` "base" or "novel"; a video's logits are -inf just for the classes of the other part.

    Returns:
        In [0, 1]: `top1`, `top5` (only where each video has more than 5 classes), `mean_class_accuracy` (mean recall over
        the classes that occur among the labels), `macro_f1` (over the classes that occur among labels or predictions), `ece`
        (15 bins). In nats, at least 0: `nll` of the softmax over logits. With parts also `base_top1`, `novel_top1` and
        their harmonic mean `harmonic_mean`, 2BN / (B + N), 0 where one of them is 0.

    Raises:
        BenchError: no videos, shapes that do not fit, labels out of range, logits that are not finite, or parts without
            videos or with classes in common.
    """
    own_NC = _own_classes(np.asarray(logits), parts)
    logits_NC, labels_N = _checked(np.asarray(logits), np.asarray(labels), own_NC)
    num_classes = logits_NC.shape[1]
    predicted_N = logits_NC.argmax(axis=1)
    right_N = predicted_N == labels_N
    scores = {"top1": float(right_N.mean())}
    if parts is not None:
        part_N = np.asarray(parts)
        of_parts = [float(right_N[part_N == part].mean()) for part in PARTS]
        scores |= {f"{part}_top1": share for part, share in zip(PARTS, of_parts, strict=True)}
        scores["harmonic_mean"] = float(1 / np.mean(1 / np.array(of_parts))) if min(of_parts) > 0 else 0.0
    own_N1 = np.take_along_axis(logits_NC, labels_N[:, None], axis=1)
    if own_NC.sum(axis=1).min() > 5:
        first_NC = (logits_NC == own_N1) & (np.arange(num_classes) < labels_N[:, None])
        place_N = (logits_NC > own_N1).sum(axis=1) + first_NC.sum(axis=1)  # of the video's own class, from 0
        scores["top5"] = float((place_N < 5).mean())
    hits_C, labels_C, predicted_C = (
        np.bincount(classes, minlength=num_classes) for classes in (labels_N[right_N], labels_N, predicted_N)
    )
    occurring = labels_C > 0
    scores["mean_class_accuracy"] = float(np.mean(hits_C[occurring] / labels_C[occurring]))
    told = labels_C + predicted_C > 0
    scores["macro_f1"] = float(np.mean(2.0 * hits_C[told] / (labels_C + predicted_C)[told]))
    # The logarithm of the softmax, of the two classes of each video that anything below asks for.
    top_N1 = logits_NC.max(axis=1, keepdims=True)
    log_sum_N = np.log(np.exp(logits_NC - top_N1).sum(axis=1))
    log_p_N = (own_N1 - top_N1)[:, 0] - log_sum_N
    scores["nll"] = max(0.0, float(-log_p_N.mean()))
    scores["ece"] = _calibration_error(np.exp(-log_sum_N), right_N)
    return scores


def _own_classes(logits: NDArray[np.floating], parts: Sequence[str] | None) -> NDArray[np.bool_]:
    """The classes, bool `(N, C)`, that each video is told apart among; all of them where there are no parts."""
    if parts is None:
        return np.ones(logits.shape, dtype=bool)
    part_N = np.asarray(parts)
    if part_N.shape != logits.shape[:1] or set(part_N.tolist()) != set(PARTS):
        raise BenchError(f"each of {len(logits)} videos is of the part {' or '.join(PARTS)}, and both have videos")
    base_N = part_N == "base"
    base_C, novel_C = ((~np.isneginf(logits[rows])).any(axis=0) for rows in (base_N, ~base_N))
    if (base_C & novel_C).any():
        raise BenchError(
            "base and novel videos have logits for the same classes; those of the other part are to be -inf"
        )
    return base_N[:, None] & base_C | ~base_N[:, None] & novel_C  # type: ignore[no-any-return]


def _checked(
    logits: NDArray[np.floating], labels: NDArray[np.integer], own: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same logits as float64 and labels as int64, or a BenchError that says what is wrong with them."""
    if logits.ndim != 2 or labels.ndim != 1 or len(logits) != len(labels):
        raise BenchError(f"logits must be (N, C) and labels (N,), not {logits.shape} and {labels.shape}")
    if not logits.size:
        raise BenchError(f"nothing to score: logits are {logits.shape}; is the test view empty?")
    if not np.issubdtype(labels.dtype, np.integer):
        raise BenchError(f"labels must be integers, not {labels.dtype}")
    bad = ~(np.isfinite(logits) | ~own).all(axis=1)
    if bad.any():
        raise BenchError(
            f"{bad.sum()} of {len(bad)} videos have NaN or infinite logits, the first in row {bad.argmax()}"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise BenchError(f"labels span {labels.min()} to {labels.max()}, but there are {logits.shape[1]} classes")
    if not own[np.arange(len(labels)), labels].all():
        raise BenchError(
            "a video's own class has the logit -inf: it is not among those that the video is told apart among"
        )
    return logits.astype(np.float64), labels.astype(np.int64)


def _calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Mean gap in [0, 1] between confidence `(N,)` and accuracy, over equally wide bins `(low, high]` by their size."""
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))
