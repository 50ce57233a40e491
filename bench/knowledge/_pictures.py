"""A few sample frames of a class for the eye of a reviewer, from videos of the training side where there is one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench import frames
from bench.contracts import BenchError
from bench.manifest import Manifest, parse_box

VIDEOS, FRAMES = 3, 4  # videos a class, each of another group where there are as many, and frames a video
HEIGHT, WIDEST, GAP = 160, 320, 3  # pixels of a frame, and between two
QUALITY = 85  # of the JPEG
_DECODERS = threading.Semaphore(2)  # a page asks for all its pictures at once


@dataclass(frozen=True)
class Samples:
    """The videos shown of one class (rows of a manifest), and which side of the splits they are from."""

    rows: Sequence[Mapping[str, Any]]
    side: str


def samples(manifest: Manifest) -> dict[str, Samples]:
    """What is shown of each class; videos that are tested under no split come first, so that no wording is fitted to a test."""
    splits = [f"split:{name}" for name in manifest.splits]
    return {str(label): _of_class(rows, splits) for label, rows in manifest.rows.groupby("label", sort=False)}


def _of_class(rows: Any, splits: Sequence[str]) -> Samples:
    side = "the data set publishes no split"
    if splits:
        training = rows[~(rows[list(splits)] == "test").any(axis=1)]
        side = "test videos: every video of this class is tested under some split"
        if len(training):
            rows, side = training, "training videos"
    turn = rows.groupby("group", sort=False).cumcount()
    chosen = rows.assign(_turn=turn).sort_values("_turn", kind="stable").head(VIDEOS)
    return Samples(tuple(chosen[["path", "start_s", "end_s", "box"]].to_dict("records")), side)


def strip(row: Mapping[str, Any]) -> bytes:
    """A JPEG: FRAMES frames of a video from left to right. Raises BenchError where it cannot be decoded or read."""
    return _strip(row["path"], row["start_s"], row["end_s"], row["box"])


@lru_cache(maxsize=128)
def _strip(path: str, start_s: float, end_s: float, box: str) -> bytes:
    with _DECODERS:
        try:
            video = frames.read(Path(path), FRAMES, start_s, end_s, parse_box(box))
        except OSError as error:
            raise BenchError(f"{Path(path).name}: it cannot be read ({error.strerror})") from error
    height, width = video.shape[1:3]
    scale = min(HEIGHT / height, WIDEST / width)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in video]
    gap = np.full((size[1], GAP, 3), 255, dtype=np.uint8)
    whole = np.hstack([part for frame in small for part in (frame, gap)][:-1])
    done, jpeg = cv2.imencode(".jpg", whole[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise BenchError(f"{Path(path).name}: no picture could be made of it")
    return jpeg.tobytes()
