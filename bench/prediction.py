"""From a predictor to the logits of the test videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench import metrics

if TYPE_CHECKING:
    from bench.contracts import Classes, Features, Predictor, Videos

PREDICT_ROWS = 1024  # test videos a predictor call


def predict(
    predictor: Predictor, test: Features | Videos, labels: np.ndarray, classes: Classes, base: Sequence[int]
) -> tuple[np.ndarray, list[str]]:
    """Logits `(N, C)`, and for base-to-novel the part of each video: told apart among its part's classes, -inf for the others."""
    if not base:
        return _logits(predictor, test, classes), []
    logits = np.full((len(labels), len(classes)), -np.inf, dtype=np.float32)
    is_base = np.isin(labels, base)
    novel = np.setdiff1d(np.arange(len(classes)), base)
    for rows, own in ((np.flatnonzero(is_base), np.asarray(base)), (np.flatnonzero(~is_base), novel)):
        if len(rows):
            logits[np.ix_(rows, own)] = _logits(predictor, test.select(rows), classes.select(own.tolist()))
    return logits, np.where(is_base, *metrics.PARTS).tolist()


def _logits(predictor: Predictor, test: Features | Videos, classes: Classes) -> np.ndarray:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(test), PREDICT_ROWS):
            parts.append(predictor(test.select(range(start, min(start + PREDICT_ROWS, len(test)))), classes).cpu())
    logits = torch.cat(parts)
    if logits.shape != (len(test), len(classes)) or logits.dtype != torch.float32:
        raise AssertionError(
            f"logits are {tuple(logits.shape)} {logits.dtype}, not ({len(test)}, {len(classes)}) float32"
        )
    return logits.numpy()
