"""Video files that a data set makes itself: written into one folder that is taken as whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pandas as pd

from bench._staging import publish

if TYPE_CHECKING:
    from bench.datasets._figure import ImageArray

MARKER = "COMPLETE"
INDEX = "index.csv"


@dataclass(frozen=True)
class Rendered:
    """One video: its id (also the file's stem), label, group, uint8 frames `(T, H, W, 3)` or None, and its numbers."""

    video_id: str
    label: str
    group: str
    frames: ImageArray | None
    numeric: dict[str, float]

    @property
    def path(self) -> str:
        return f"{self.label.replace(' ', '_')}/{self.video_id}.mp4"


def write_mp4(path: Path, frames: ImageArray, fps: int) -> None:
    """Write uint8 RGB `(T, H, W, 3)` (H, W even) as H.264; one thread, so that the same frames give the same bytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "veryfast", "threads": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def is_whole(folder: Path) -> bool:
    """Whether the marker, written last, is there and counts as many rows as the index has."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        return bool(len(_read_index(folder)) == marker["videos"])
    except (OSError, ValueError, KeyError, pd.errors.ParserError):
        return False


def _read_index(folder: Path) -> pd.DataFrame:
    text = (folder / INDEX).read_text()
    rows = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    for column in rows.columns.difference(["video_id", "path", "label", "group"]):
        rows[column] = pd.to_numeric(rows[column])
    return rows


def ensure(
    folder: Path,
    fps: int,
    videos: Callable[[], Iterator[Rendered]],
    total: int,
    progress: Callable[[str, int, int], None],
) -> pd.DataFrame:
    """The index of a folder of rendered videos; writes all of them where the folder is not there as a whole.

    Args:
        folder: the finished folder; it appears by one rename, its marker already in it.
        fps: frames per second of the files.
        videos: yields what to write. A video whose frames are None gets a row but no file, so that it is recorded as
            undecodable later on.
        total: how many there will be, for the progress bar.
        progress: called with what is done, how many, of how many.

    Returns:
        Rows video_id, path (relative to `folder`), label, group, and one column for each number.
    """
    if is_whole(folder):
        return _read_index(folder)

    def fill(staged: Path) -> None:
        rows: list[dict[str, object]] = []
        for done, video in enumerate(videos(), start=1):
            path = staged / video.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if video.frames is not None:
                write_mp4(path, video.frames, fps)
            told = {"video_id": video.video_id, "path": video.path, "label": video.label, "group": video.group}
            rows.append({**told, **video.numeric})
            progress(f"write {folder.name}", done, total)
        (staged / INDEX).write_text(pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
        (staged / MARKER).write_text(json.dumps({"videos": len(rows), "fps": fps}))

    publish(folder, fill, is_whole)
    return _read_index(folder)
