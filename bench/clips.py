"""Which frames and which part of them a backbone looks at: equal segments, or the middle view of MMAction2's test pipelines.

A view is one clip in time and one crop in space. Decode workers need this, and importing MMAction2 would take each of them seconds: its
`SampleFrames`, `Resize` and so on are rewritten here from its 1.2.0 (mmaction/datasets/transforms, Apache-2.0), rounding by rounding.
Shape legend: V views in time, T frames of a view.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.contracts import SEGMENT_CENTRE, BenchError

CROPS = {"CenterCrop": 1, "ThreeCrop": 3, "TenCrop": 10}


def segment_centres(count: int, num_frames: int) -> np.ndarray:
    """int64 `(T,)`: the centre frame of each of T equal segments of `count` frames; short videos repeat frames.

    Source: TSN's test-time sampling (Wang et al., 2016). Unlike a fixed stride it reaches the last segment.
    """
    if count < 1 or num_frames < 1:
        raise ValueError(f"count {count} and num_frames {num_frames} must be positive")
    return ((2 * np.arange(num_frames) + 1) * count // (2 * num_frames)).astype(np.int64)


def indices(sampling: str, count: int, num_frames: int, fps: float | None = None) -> np.ndarray:
    """int64 `(T,)`: the frames of a video of `count` frames that one view shows.

    Args:
        sampling: "segment_centre", or the `text` of a Sampling.
        count: frames of the video, or of the part of it that is meant.
        num_frames: T.
        fps: frames a second of the video, for a sampling that goes by time; None or 0 where it is not known.
    """
    if sampling == SEGMENT_CENTRE:
        return segment_centres(count, num_frames)
    return Sampling.parse(sampling, num_frames)(count, fps).reshape(-1)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How clips are taken from a video at test time; the fields are those of MMAction2's step `rule`.

    With a `clip_len` of 1 the `num_clips` single frames make one view. `target_fps` goes by time instead of by frames.
    `positions` (of DenseSampleFrames, whose clips lie within 64 frames) are spread over the video; a single one is in its middle.
    """

    rule: str
    clip_len: int
    frame_interval: int = 1
    num_clips: int = 1
    twice_sample: bool = False
    target_fps: int | None = None
    positions: int = 1
    sample_range: int = 64

    @classmethod
    def of(cls, step: Mapping[str, Any]) -> Sampling:
        """The sampling step of a test pipeline. Raises BenchError on one that is not rewritten here."""
        known = {f.name for f in dataclasses.fields(cls)} - {"rule", "positions"}
        given = {name: value for name, value in step.items() if name not in ("type", "num_sample_positions")}
        if step["type"] not in _RULES or set(given) - known - {"test_mode"} or not given.pop("test_mode", False):
            raise BenchError(f"MMAction2's sampling {dict(step)} is not known here; known are {', '.join(_RULES)}")
        positions = step.get("num_sample_positions", 10) if step["type"] == "DenseSampleFrames" else 1
        return cls(rule=step["type"], positions=positions, **given)

    @property
    def num_frames(self) -> int:
        """T."""
        return self.num_clips if self.clip_len == 1 else self.clip_len

    @property
    def one(self) -> Sampling:
        """The same for a single view: the middle clip, not one of several."""
        clips = self.num_clips if self.clip_len == 1 else 1
        return dataclasses.replace(self, num_clips=clips, twice_sample=False, positions=1)

    @property
    def text(self) -> str:
        """A single view's sampling, without its number of frames, such as "clip/2": what a run's identity holds."""
        kind = _KINDS[self.rule, self.clip_len == 1]
        interval = f"/{self.frame_interval}" if kind in ("clip", "dense_clip") else ""
        return kind + interval + (f"@{self.target_fps}fps" if self.target_fps else "")

    @classmethod
    def parse(cls, text: str, num_frames: int) -> Sampling:
        """What `text` of a sampling says, for so many frames. Raises BenchError on what it never says."""
        kinds = {kind: key for key, kind in _KINDS.items()}
        found = re.fullmatch(r"(\w+?)(?:/(\d+))?(?:@(\d+)fps)?", text)
        if found is None or found[1] not in kinds:
            raise BenchError(f"unknown sampling {text!r}; it is one of {', '.join((SEGMENT_CENTRE, *kinds))}")
        rule, single = kinds[found[1]]
        return cls(
            rule=rule,
            clip_len=1 if single else num_frames,
            num_clips=num_frames if single else 1,
            frame_interval=int(found[2] or 1),
            target_fps=int(found[3]) if found[3] else None,
        )

    def __call__(self, count: int, fps: float | None = None) -> np.ndarray:
        """int64 `(V, T)`: the frames of every view in time of a video of `count` frames; a clip longer than the video begins it again."""
        taken = np.mod(_RULES[self.rule](self, count, fps), count).astype(np.int64)
        return np.asarray(taken.reshape(-1, self.num_frames))


def _sample_frames(s: Sampling, count: int, fps: float | None) -> np.ndarray:
    if s.clip_len == 1:
        interval = count / float(s.num_clips)
        starts = np.arange(s.num_clips) * interval
        centres = starts + interval / 2.0
        return np.concatenate([centres, starts]) if s.twice_sample else centres
    if s.target_fps is not None:
        reach = max(1, s.clip_len * s.frame_interval * (fps / s.target_fps if fps else 1.0))
        offsets = np.linspace(0, reach - 1, s.clip_len).astype(np.int64)
    else:
        reach = (s.clip_len - 1) * s.frame_interval + 1
        offsets = np.arange(s.clip_len) * s.frame_interval
    room = max(count - reach, 0)
    if s.num_clips == 1:
        return room // 2 + offsets
    between = room / float(s.num_clips - 1)
    clips = np.arange(s.num_clips)
    first = clips * np.floor(between) if s.target_fps is not None else np.round(clips * between)
    return first[:, None] + offsets


def _dense_sample_frames(s: Sampling, count: int, fps: float | None) -> np.ndarray:
    last = max(1, 1 + count - s.sample_range) - 1
    first = np.linspace(0, last, num=s.positions, dtype=int) if s.positions > 1 else np.array([last // 2])
    clips = (first[:, None] + np.arange(s.num_clips) * (s.sample_range // s.num_clips)) % count
    return np.asarray(clips.reshape(-1, 1) + np.arange(s.clip_len) * s.frame_interval)


def _uniform_sample(s: Sampling, count: int, fps: float | None) -> np.ndarray:
    segment = float(count - 1) / s.clip_len
    starts = np.array([int(np.round(segment * i)) for i in range(s.clip_len)])
    shift = np.array([int(segment / (s.num_clips + 1) * (k + 1)) for k in range(s.num_clips)])
    return np.asarray(shift[:, None] + starts)


_RULES = {
    "SampleFrames": _sample_frames,
    "DenseSampleFrames": _dense_sample_frames,
    "UniformSample": _uniform_sample,
}
_KINDS = {
    ("SampleFrames", True): "segments",
    ("SampleFrames", False): "clip",
    ("DenseSampleFrames", True): "dense",
    ("DenseSampleFrames", False): "dense_clip",
    ("UniformSample", False): "uniform",
}


_WITHOUT_EFFECT = ("Init", "Decode", "FormatShape", "PackActionInputs")  # on which frames and pixels are looked at


@dataclass(frozen=True)
class Pipeline:
    """What a config's test pipeline does to a video: the clips, the shorter side in pixels, the side of its square crops in pixels."""

    sampling: Sampling
    side: int
    size: int

    @classmethod
    def of(cls, steps: Sequence[Mapping[str, Any]]) -> Pipeline:
        """The steps of a test pipeline as MMAction2 writes them. Raises BenchError on a step that is not known here."""
        sampling, resize, crop = None, None, None
        for step in steps:
            if "Sample" in step["type"]:
                sampling = Sampling.of(step)
            elif step["type"] == "Resize" and set(step) == {"type", "scale"} and step["scale"][0] == -1:
                resize = step["scale"][1]
            elif step["type"] in CROPS:
                crop = step
            elif not step["type"].endswith(_WITHOUT_EFFECT):
                raise BenchError(f"MMAction2's step {dict(step)} of a test pipeline is not known here")
        if sampling is None or resize is None or crop is None:
            raise BenchError("its test pipeline has no sampling, no resizing or no crop")
        return cls(sampling, resize, crop["crop_size"])


def middle(frames: np.ndarray, side: int, size: int) -> np.ndarray:
    """The middle crop: uint8 `(T, H, W, 3)` -> uint8 `(T, size, size, 3)` of frames whose shorter side OpenCV's bilinear makes `side`."""
    import cv2

    height, width = frames.shape[1:3]
    scale = side / min(height, width)
    width, height = int(width * scale + 0.5), int(height * scale + 0.5)
    left, top = (width - size) // 2, (height - size) // 2
    small = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames])
    return small[:, top : top + size, left : left + size]
