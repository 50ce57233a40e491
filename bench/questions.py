"""The test videos of a protocol and split and the classes to choose among, for another system to answer on. Torch-free."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench import metrics, protocols
from bench.planning import Progress, build_manifest, silent
from bench.published import loose

if TYPE_CHECKING:
    from bench.specs import RunSpec


@dataclass(frozen=True)
class Questions:
    """What is asked.

    `videos`, a row each: `video_id`, `path` (absolute), where any has one `start_s` and `end_s` (seconds, NaN: the whole file) and
    `box` (x0,y0,x1,y1 in [0, 1], "": the whole picture), under base-to-novel `part`, and `label` where it was asked for. They are in an
    order that is always the same and tells nothing, so that any first ones of them are a fair sample. `classes`: `number` from 0,
    `class`, under base-to-novel `part`. `telling` is how many videos have their class's name in their id, or in their file's or
    folder's name.
    """

    videos: pd.DataFrame
    classes: pd.DataFrame
    telling: int


def questions(spec: RunSpec, home: Path, progress: Progress = silent, labels: bool = False) -> Questions:
    """The test view of a spec; with `labels` the true class of each video, too. Raises BenchError as the data set and protocol do."""
    manifest = build_manifest(spec, home, progress)
    views = protocols.views(manifest, spec.protocol, spec.split, spec.seed, spec.shots)
    rows = manifest.rows.iloc[list(views.test)]
    # By a hash: in the data set's order the videos of a class stand together.
    rows = rows.iloc[np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in rows["video_id"]])]
    base = {manifest.class_names[i] for i in views.base}
    kept = ["video_id", "path", *(name for name in ("start_s", "end_s") if rows[name].notna().any())]
    videos = rows[kept + (["box"] if (rows["box"] != "").any() else [])]
    classes = pd.DataFrame({"number": range(len(manifest.class_names)), "class": manifest.class_names})
    if base:
        videos = videos.assign(part=np.where(rows["label"].isin(base), *metrics.PARTS))
        classes = classes.assign(part=np.where(classes["class"].isin(base), *metrics.PARTS))
    if labels:
        videos = videos.assign(label=rows["label"])
    return Questions(
        videos.reset_index(drop=True), classes, sum(map(_tells, rows["video_id"], rows["path"], rows["label"]))
    )


def _tells(video_id: str, path: str, label: str) -> bool:
    """Whether a video's class stands in what it is called."""
    name = loose(label)  # "" of one that is all signs, which stands in everything
    return name != "" and any(name in loose(text) for text in (video_id, *Path(path).parts[-2:]))
