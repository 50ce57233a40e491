"""Videos as they lie on disk, for methods that read frames: what a feature store is to the others.

Every video is decoded whole once before it is used, so that what cannot be decoded is recorded and counted, and nothing takes its place.
What was seen is kept in the home, for the next run: it decides nothing that looking again would not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from bench import frames
from bench._files import write_atomic
from bench.contracts import BenchError, Video, Videos, digest
from bench.manifest import MISSING, parse_box

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bench.manifest import Manifest

KEPT = f"seen-1-pyav{av.__version__}"  # by which decoder
AT_ONCE = 1000  # videos to a file of what was seen: what a kill costs at most


@dataclass(frozen=True)
class VideoFiles:
    """The videos of a manifest; `threads` of them are decoded at once. What is seen of them is kept in `folder`, where there is one."""

    threads: int = 1
    folder: Path | None = None

    def load(self, manifest: Manifest, positions: Sequence[int]) -> tuple[Videos, list[int], dict[int, str]]:
        """The videos at these positions, in their order.

        Returns:
            the decodable ones, their positions, and position -> reason for the others.

        Raises:
            BenchError: none can be decoded.
        """
        found = self._examined([manifest.rows.iloc[p] for p in positions])
        good = {p: video for p, video in zip(positions, found, strict=True) if isinstance(video, Video)}
        failed = {p: reason for p, reason in zip(positions, found, strict=True) if isinstance(reason, str)}
        if not good:
            raise BenchError(
                f"none of the {len(positions)} videos can be decoded: {next(iter(failed.values()), 'no videos')}"
            )
        return Videos(tuple(good.values())), list(good), failed

    def _examined(self, rows: Sequence[pd.Series]) -> list[Video | str]:
        """Each row as a video, or the reason why it cannot be decoded; only those are decoded that nobody has looked at yet."""
        known = _kept(self.folder) if self.folder else {}
        keys = [_key(row) for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
        with ThreadPoolExecutor(self.threads) as pool:
            for part in (list(new)[start : start + AT_ONCE] for start in range(0, len(new), AT_ONCE)):
                seen = dict(zip(part, pool.map(_seen, (new[key] for key in part)), strict=True))
                known |= seen
                if self.folder:
                    lines = "".join(f"{json.dumps([key, *found])}\n" for key, found in seen.items())
                    write_atomic(self.folder / f"{KEPT}-{digest(sorted(seen))}.jsonl", lines)
        return [_video(row, *known[key]) for key, row in zip(keys, rows, strict=True)]

    def ms_a_video(self, manifest: Manifest, positions: Sequence[int]) -> None:
        """No features are computed, so they take no time."""

    def computed_with(self, manifest: Manifest, positions: Sequence[int]) -> list[dict[str, Any]]:
        """No features are computed."""
        return []


def _key(row: pd.Series) -> str:
    """Which part of which file, as it is now: a file that was written to since, or is away, has another."""
    try:
        state = Path(row["path"]).stat()
        now = [state.st_size, state.st_mtime_ns]
    except OSError:
        now = []
    return digest([str(row["stamp"]), repr(float(row["start_s"])), repr(float(row["end_s"])), now])


def _kept(folder: Path) -> dict[str, list[Any]]:
    """What was seen of videos before: key -> number of frames, frames a second, and the reason where it cannot be decoded."""
    known = {}
    for path in sorted(folder.glob(f"{KEPT}-*.jsonl")):
        with suppress(OSError, ValueError):  # of another time; what is missing is looked at again
            for line in path.read_text().splitlines():
                key, *known[key] = json.loads(line)
    return known


def _seen(row: pd.Series) -> list[Any]:
    """Number of frames, frames a second, and "" or the reason why it cannot be decoded."""
    if str(row["stamp"]).startswith(MISSING):
        return [0, 0.0, "no such file"]
    path = Path(row["path"])
    try:
        return [*frames.examine(path, row["start_s"], row["end_s"]), ""]
    except frames.UndecodableVideo as error:
        return [0, 0.0, str(error).removeprefix(f"{path.name}: ")]


def _video(row: pd.Series, count: int, fps: float, reason: str) -> Video | str:
    """A manifest's row as a video, or the reason why it cannot be decoded."""
    box = parse_box(row["box"])
    return reason or Video(Path(row["path"]), count, fps, float(row["start_s"]), float(row["end_s"]), box)


def read(video: Video, numbers: Sequence[int]) -> np.ndarray:
    """Frames of these numbers of a video that was examined, uint8 `(T, H, W, 3)`.

    Raises:
        BenchError: it no longer decodes as it did.
    """
    return frames.read_at(video.path, numbers, video.start_s, video.end_s, video.box)
