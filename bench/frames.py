"""A video file and a FrameSpec -> uint8 `(T, H, W, 3)`: PyAV, from the first frame on, never by seeking.

Seeking gives wrong frames in files with B-frames and in many AVIs, and container headers lie about counts; decoding in order does not.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from bench.clips import indices
from bench.contracts import SEGMENT_CENTRE, BenchError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

INFRASTRUCTURE = frozenset(
    {errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}
)
WHOLE = 0.9  # share of the header's frames below which a file is taken for cut off; headers miscount by a frame or two
DECODE_THREADS = 1  # one worker a core; more threads a file make workers fight


class UndecodableVideo(BenchError):
    """A video that gives no frame; recorded with its reason and counted, never replaced by another."""


def read(
    path: Path | str,
    num_frames: int,
    start_s: float = math.nan,
    end_s: float = math.nan,
    box: tuple[float, float, float, float] | None = None,
    sampling: str = SEGMENT_CENTRE,
) -> np.ndarray:
    """Decode the frames that `sampling` chooses (see `bench.clips.indices`) from a video, or from its part in [start_s, end_s).

    They are upright and cut to `box` (x0, y0, x1, y1 in [0, 1]).

    Returns:
        uint8 `(T, H, W, 3)` RGB, a fresh array.

    Raises:
        UndecodableVideo: no such file, not a video, no frame in the window, or frames of changing size.
        OSError: the disk or the network drive failed, or the file may not be read.
    """
    path = Path(path)
    with _told(path):
        whole = math.isnan(start_s) and math.isnan(end_s)
        # One pass where the header tells the truth; a second one with the right count where it does not.
        told, fps = _header(path)
        guess = told if whole else 0
        count = guess or _count(path, start_s, end_s)
        chosen, seen = _take(path, indices(sampling, count, num_frames, fps), start_s, end_s) if count else ([], 0)
        _check_whole(path, guess, seen)
        if seen != count and seen > 0:
            chosen, _ = _take(path, indices(sampling, seen, num_frames, fps), start_s, end_s)
        return _stacked(path, chosen, start_s, end_s, box)


def examine(path: Path | str, start_s: float = math.nan, end_s: float = math.nan) -> tuple[int, float]:
    """How many frames a video, or its part in [start_s, end_s), has when all of them are decoded, and its frames a second (0: not told).

    Raises:
        UndecodableVideo, OSError: as `read`.
    """
    path = Path(path)
    with _told(path):
        whole = math.isnan(start_s) and math.isnan(end_s)
        guess, fps = _header(path)
        last, count, shape = None, 0, None
        for frame in _frames(path, start_s, end_s):
            shape = shape or (frame.height, frame.width)
            if (frame.height, frame.width) != shape:
                raise UndecodableVideo(_CHANGES.format(path.name))
            last, count = frame, count + 1
        if whole:
            _check_whole(path, guess, count)
        if last is None:
            raise UndecodableVideo(_no_frame(path, start_s, end_s))
        _upright(last)  # a pixel format that cannot be shown is found out here
        return count, fps


def read_at(
    path: Path | str,
    numbers: Sequence[int] | np.ndarray,
    start_s: float = math.nan,
    end_s: float = math.nan,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Decode the frames of these numbers, counted from 0 in the part [start_s, end_s), in any order, with repeats, as `read` does.

    Returns:
        uint8 `(T, H, W, 3)` RGB, a fresh array.

    Raises:
        UndecodableVideo: as `read`, or there is no frame of such a number.
        OSError: as `read`.
    """
    path, wanted = Path(path), [int(i) for i in numbers]
    with _told(path):
        found: dict[int, VideoFrame] = {}
        needed, most = set(wanted), max(wanted)
        for number, frame in enumerate(_frames(path, start_s, end_s)):
            if number in needed:
                found[number] = frame
            if number == most:
                break
        if len(found) < len(needed):
            raise UndecodableVideo(f"{path.name}: it has no frame {min(needed - set(found))}")
        pictures = {number: _upright(frame) for number, frame in found.items()}
        return _stacked(path, [pictures[i] for i in wanted], start_s, end_s, box)


_CHANGES = "{}: the picture size changes within the video"


def _no_frame(path: Path, start_s: float, end_s: float) -> str:
    window = "" if math.isnan(start_s) and math.isnan(end_s) else f" between {start_s} s and {end_s} s"
    return f"{path.name}: no frame{window}"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a decoder says of a video in the block is told as what it means for the video."""
    if not path.is_file():
        raise UndecodableVideo(f"{path.name}: no such file")
    if path.stat().st_size == 0:
        raise UndecodableVideo(f"{path.name}: the file is empty")
    try:
        yield
    except UndecodableVideo:
        raise
    except OSError as error:
        if error.errno in INFRASTRUCTURE:
            raise  # the disk's fault, not the video's: to be tried again, not to be recorded
        raise UndecodableVideo(f"{path.name}: {type(error).__name__}: {error}") from error
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise UndecodableVideo(f"{path.name}: {type(error).__name__}: {error}") from error


def _check_whole(path: Path, told: int, seen: int) -> None:
    if 0 < seen < WHOLE * told:
        raise UndecodableVideo(f"{path.name}: cut off: its header says {told} frames, {seen} can be decoded")


def _stacked(
    path: Path,
    chosen: Sequence[np.ndarray],
    start_s: float,
    end_s: float,
    box: tuple[float, float, float, float] | None,
) -> np.ndarray:
    """Frames as one array, cut to the box."""
    if not chosen:
        raise UndecodableVideo(_no_frame(path, start_s, end_s))
    if len({frame.shape for frame in chosen}) != 1:
        raise UndecodableVideo(_CHANGES.format(path.name))
    video = np.stack(chosen)
    if box is not None:
        height, width = video.shape[1:3]
        x0, y0 = int(box[0] * width), int(box[1] * height)
        x1, y1 = max(x0 + 1, math.ceil(box[2] * width)), max(y0 + 1, math.ceil(box[3] * height))
        video = np.ascontiguousarray(video[:, y0:y1, x0:x1])
    return video


def _header(path: Path) -> tuple[int, float]:
    """What the container says of frames and of frames a second; 0 where it does not."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if container.streams.video else None
        return (stream.frames, float(stream.average_rate or 0)) if stream else (0, 0.0)


def _frames(path: Path, start_s: float, end_s: float) -> Iterator[VideoFrame]:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise UndecodableVideo(f"{path.name}: it has no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = DECODE_THREADS
        # Windows count from the video's own beginning, which some containers do not put at 0.
        begin = float((stream.start_time or 0) * (stream.time_base or 0))
        decoded = 0
        try:
            for frame in container.decode(stream):
                decoded += 1
                if not math.isnan(start_s) and frame.time is not None and frame.time - begin < start_s:
                    continue
                if not math.isnan(end_s) and frame.time is not None and frame.time - begin >= end_s:
                    return
                yield frame
        except av.FFmpegError as error:
            # A file cut off in its middle would otherwise pass as a shorter video.
            raise UndecodableVideo(f"{path.name}: broken after {decoded} frames: {error}") from error


def _count(path: Path, start_s: float, end_s: float) -> int:
    return sum(1 for _ in _frames(path, start_s, end_s))


def _take(path: Path, wanted: np.ndarray, start_s: float, end_s: float) -> tuple[list[np.ndarray], int]:
    """The wanted frames (indices in any order, repeats allowed), those that there are, and how many frames there were in all."""
    needed = set(wanted.tolist())
    found: dict[int, np.ndarray] = {}
    seen = 0
    for seen, frame in enumerate(_frames(path, start_s, end_s), start=1):  # noqa: B007 - the last value is the count
        if seen - 1 in needed:
            found[seen - 1] = _upright(frame)
    return [found[i] for i in wanted.tolist() if i in found], seen


def _upright(frame: VideoFrame) -> np.ndarray:
    """RGB, turned by the rotation that a phone wrote into the file's metadata (degrees counter-clockwise)."""
    picture = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
