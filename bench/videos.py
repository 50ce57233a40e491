"""Videos as they lie on disk, for methods that read frames: what a feature store is to the others.

Every video is decoded whole once before a run, so that what cannot be decoded is recorded and counted, and nothing takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import frames
from bench.contracts import BenchError, Video, Videos
from bench.manifest import MISSING, parse_box

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bench.manifest import Manifest


@dataclass(frozen=True)
class VideoFiles:
    """The videos of a manifest; `threads` of them are decoded at once."""

    threads: int = 1

    def load(self, manifest: Manifest, positions: Sequence[int]) -> tuple[Videos, list[int], dict[int, str]]:
        """The videos at these positions, in their order.

        Returns:
            the decodable ones, their positions, and position -> reason for the others.

        Raises:
            BenchError: none can be decoded.
        """
        rows = [manifest.rows.iloc[p] for p in positions]
        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(_examined, rows))
        good = {p: video for p, video in zip(positions, found, strict=True) if isinstance(video, Video)}
        failed = {p: reason for p, reason in zip(positions, found, strict=True) if isinstance(reason, str)}
        if not good:
            raise BenchError(
                f"none of the {len(positions)} videos can be decoded: {next(iter(failed.values()), 'no videos')}"
            )
        return Videos(tuple(good.values())), list(good), failed

    def ms_a_video(self, manifest: Manifest, positions: Sequence[int]) -> None:
        """No features are computed, so they take no time."""

    def computed_with(self, manifest: Manifest, positions: Sequence[int]) -> list[dict[str, Any]]:
        """No features are computed."""
        return []


def _examined(row: pd.Series) -> Video | str:
    """A manifest's row as a video, or the reason why it cannot be decoded."""
    if str(row["stamp"]).startswith(MISSING):
        return "no such file"
    path, box = Path(row["path"]), parse_box(row["box"])
    try:
        count, fps = frames.examine(path, row["start_s"], row["end_s"])
    except frames.UndecodableVideo as error:
        return str(error).removeprefix(f"{path.name}: ")
    return Video(path, count, fps, float(row["start_s"]), float(row["end_s"]), box)


def read(video: Video, numbers: Sequence[int]) -> np.ndarray:
    """Frames of these numbers of a video that was examined, uint8 `(T, H, W, 3)`.

    Raises:
        BenchError: it no longer decodes as it did.
    """
    return frames.read_at(video.path, numbers, video.start_s, video.end_s, video.box)
