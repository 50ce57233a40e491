"""What a learnt prompt can be asked: which words its vectors lie near, and which statement fits which frame of a video.

Shape legend: N videos, T frames, P statements, C classes, M context vectors, W text width, V words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import knowledge
from bench.contracts import Adapter, Classes, Features, Predictor, PromptableAdapter, Videos
from bench.prompting import embed_ids

NEAREST = 5  # words a vector, as CoOp's authors print them
MOST_VIDEOS = 12  # of the test side whose statements are kept frame by frame: one a class, the first of it
DIGITS = 4


@dataclass(frozen=True)
class Interpretation:
    """What a predictor tells of itself for some videos.

    `context` are the learnt vectors float32 `(M, W)`, by class name, or by "" where all classes share them. `fits` float32
    `(N, T, P)` are the logits of the statements `texts`, frame by frame; `owner` int `(P,)` is the class of each.
    """

    context: Mapping[str, Tensor]
    texts: Sequence[str]
    owner: Sequence[int]
    fits: Tensor


def frame_logits(adapter: Adapter, features: Features, text: Tensor) -> Tensor:
    """Logits `(N, T, P)` that the adapter gives each frame as a video of one frame. What else it needs of a video (X-CLIP: the patch
    map that conditions the texts) every frame takes from its video.
    """
    num, num_frames = features.frames.shape[:2]
    extra = {name: value.repeat_interleave(num_frames, 0) for name, value in features.extra.items()}
    logits = adapter.similarity(Features(features.frames.flatten(0, 1)[:, None], extra), text)
    return logits.reshape(num, num_frames, -1)


def interpret(
    predictor: Predictor,
    adapter: Adapter,
    test: Features | Videos,
    video_ids: Sequence[str],
    labels: np.ndarray,
    logits: np.ndarray,
    classes: Classes,
) -> dict[str, Any] | None:
    """What the method tells of itself for one test video of each class; None where it tells nothing."""
    tells = getattr(predictor, "interpret", None)
    if tells is None:
        return None
    rows = samples(labels)
    with torch.inference_mode():
        found = tells(test.select(rows), classes)
        ids, of = [video_ids[r] for r in rows], labels[rows].tolist()
        return told(adapter, found, knowledge.words(), ids, of, logits[rows], classes.names)  # type: ignore[arg-type]


def samples(labels: np.ndarray) -> list[int]:
    """Rows of the first test video of each class, in the order of the classes, at most MOST_VIDEOS."""
    _, first = np.unique(labels, return_index=True)
    return [int(row) for row in first[:MOST_VIDEOS]]


def told(
    adapter: PromptableAdapter,
    found: Interpretation,
    words: Sequence[str],
    video_ids: Sequence[str],
    labels: Sequence[int],
    logits: np.ndarray,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """The interpretation as it is kept beside a run: nearest words, and of each video the statements of its class and its rival.

    Args:
        words: where nearest words are looked for; those that the tower takes as one token are.
        logits: `(N, C)` of the same videos; the rival is the class with the highest but the video's own.
    """
    known, embedded = _single(adapter, words)
    rows = []
    for class_name, vectors in found.context.items() if known else ():
        distances = torch.cdist(vectors.to(embedded.device), embedded)
        nearest = distances.topk(min(NEAREST, len(known)), largest=False)
        for position, (places, values) in enumerate(
            zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True)
        ):
            near = [[known[place], round(value, DIGITS)] for place, value in zip(places, values, strict=True)]
            rows.append({"class": class_name, "position": position + 1, "nearest": near})
    between = torch.cdist(embedded, embedded).fill_diagonal_(torch.inf).min(dim=1).values if len(known) > 1 else None
    videos = []
    for row, (video_id, label) in enumerate(zip(video_ids, labels, strict=True)):
        others = np.where(np.arange(len(class_names)) == label, -np.inf, logits[row])
        rival = int(others.argmax())
        shown = [p for p, c in enumerate(found.owner) if c in (label, rival)]
        videos.append(
            {
                "video_id": str(video_id),
                "class": class_names[label],
                "rival": class_names[rival],
                "right": bool(logits[row].argmax() == label),
                "texts": [found.texts[p] for p in shown],
                "of_rival": [found.owner[p] == rival for p in shown],
                "fits": [[round(v, DIGITS) for v in found.fits[row, :, p].tolist()] for p in shown],
            }
        )
    return {
        "num_words": len(known),
        "between_words": None if between is None else round(float(between.median()), DIGITS),
        "context": rows,
        "videos": videos,
    }


def _single(adapter: PromptableAdapter, words: Sequence[str]) -> tuple[list[str], Tensor]:
    """The words that are one token of the tower, and their embeddings float32 `(V, W)`."""
    distinct = sorted({word.lower() for word in words if re.fullmatch(r"[A-Za-z]{2,}", word)})
    tokens = adapter.tokenize(distinct)
    start = int(adapter.tokenize(["a"], 1).context[0, 0])  # behind the start token, where there is one
    # An adapter that does not say how long its texts are has no word of which we know that it is one token.
    one = torch.zeros(len(distinct), dtype=torch.bool) if tokens.num_text is None else tokens.num_text.cpu() == 1
    with torch.no_grad():
        embedded = embed_ids(adapter, tokens.ids[one.to(tokens.ids.device), start])
    return [word for word, single in zip(distinct, one.tolist(), strict=True) if single], embedded
