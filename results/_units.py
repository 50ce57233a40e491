"""Right or wrong, video by video: what intervals over groups and paired tests are computed from.

Shape legend: N test videos of a split, G groups (subjects, source videos).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.stats import group_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contracts import ResultsView, VideoList


class Listed:
    """A list of test videos with its groups numbered."""

    def __init__(self, videos: VideoList) -> None:
        self.videos = videos

    @cached_property
    def groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Group numbers int64 `(N,)` and their names `(G,)`."""
        codes, names = pd.factorize(np.asarray(self.videos.groups, dtype=object))
        return np.asarray(codes), np.asarray(names)

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each video stands."""
        return {video: place for place, video in enumerate(self.videos.ids)}


@dataclass(frozen=True, eq=False)
class Units:
    """The test videos of one split and the share of runs, in [0, 1], that were right on each: `correct` `(N,)`."""

    split: str
    listed: Listed
    correct: np.ndarray

    def both(self, other: Units) -> tuple[np.ndarray, np.ndarray]:
        """`correct` of both on the videos that both have, in this one's order."""
        mine, theirs = _common(self, other)
        return self.correct[mine], other.correct[theirs]


class UnitStore:
    """Reads what each run was right on, once; runs on one list of videos share its groups."""

    def __init__(self, results: ResultsView) -> None:
        self._results = results
        self._listed: dict[str, Listed] = {}
        self._known: dict[tuple[str, ...], tuple[Units, ...]] = {}

    def of(self, run_ids: np.ndarray, splits: np.ndarray) -> tuple[Units, ...]:
        """One `Units` a split, in order of first appearance."""
        key = tuple(run_ids.tolist())
        if key not in self._known:
            by_split: dict[str, list[str]] = {}
            for run_id, split in zip(run_ids.tolist(), splits.tolist(), strict=True):
                by_split.setdefault(split, []).append(run_id)
            self._known[key] = tuple(self._mean(split, runs) for split, runs in by_split.items())
        return self._known[key]

    def _mean(self, split: str, run_ids: list[str]) -> Units:
        parts = []
        for run_id in run_ids:
            videos, correct = self._results.tested(run_id)
            parts.append((self._listed.setdefault(videos.digest, Listed(videos)), np.asarray(correct, dtype=float)))
        first = parts[0][0]
        if all(listed is first for listed, _ in parts):
            return Units(split, first, np.mean([correct for _, correct in parts], axis=0))
        return _merged(split, parts)


def _merged(split: str, parts: Sequence[tuple[Listed, np.ndarray]]) -> Units:
    """Runs of one split that could not all decode the same videos: each video counts in the runs that saw it."""
    frames = []
    for listed, correct in parts:
        videos = listed.videos
        told = {"video": videos.ids, "group": videos.groups, "part": videos.parts or None, "right": correct}
        frames.append(pd.DataFrame(told))
    by_video = pd.concat(frames).groupby("video", sort=False)
    merged = by_video.agg(group=("group", "first"), part=("part", "first"), right=("right", "mean"))
    has_parts = bool(parts[0][0].videos.parts)
    union = _Videos(tuple(merged.index), tuple(merged["group"]), tuple(merged["part"]) if has_parts else ())
    return Units(split, Listed(union), merged["right"].to_numpy(float))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Videos:
    """A list of videos that no single run was tested on."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    parts: tuple[str, ...]


def group_differences(
    first: Sequence[Units], second: Sequence[Units] | None
) -> tuple[np.ndarray, list[float], int, int]:
    """Mean of `first - second` in each group, pooled over the splits of both; without `second`, of `first` alone.

    Returns:
        float64 `(G,)`; the mean difference of each split; the number of videos that both have; the most that one of them has.
    """
    others = {units.split: units for units in second or ()}
    codes, names, values, by_split = [], [], [], []
    for units in first:
        if second is None:
            rows, difference = np.arange(len(units.correct)), units.correct
        elif units.split in others:
            rows, theirs = _common(units, others[units.split])
            difference = units.correct[rows] - others[units.split].correct[theirs]
        else:
            continue
        if not len(rows):
            continue
        of_split, named = units.listed.groups
        codes.append(of_split[rows])
        names.append(named)
        values.append(difference)
        by_split.append(float(difference.mean()))
    num, most = sum(map(len, values)), max(_size(first), _size(second or ()))
    if not num:
        return np.empty(0), [], 0, most
    if len(codes) == 1:
        return group_means(values[0], codes[0]), by_split, num, most
    told = np.concatenate([named[of_split] for named, of_split in zip(names, codes, strict=True)])
    return group_means(np.concatenate(values), np.asarray(pd.factorize(told)[0])), by_split, num, most


def _common(a: Units, b: Units) -> tuple[np.ndarray, np.ndarray]:
    """Places of the videos that both have, in each."""
    if a.listed is b.listed:
        rows = np.arange(len(a.correct))
        return rows, rows
    pairs = [(i, b.listed.places[v]) for i, v in enumerate(a.listed.videos.ids) if v in b.listed.places]
    places = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1]


def _size(units: Sequence[Units]) -> int:
    return sum(len(one.correct) for one in units)
