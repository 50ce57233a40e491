"""One's own videos: a directory a class, or a csv with columns for path, label and group (subject or source video).

Layouts: ROOT/<class>/*.mp4; or ROOT/train/<class>/*, ROOT/test/<class>/* (and val); or a csv inside ROOT named by the option `csv`.
Without a published split there are five folds, grouped by the group column so that no subject or source is on both sides.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.contracts import BenchError, DataRequest, DatasetFacts
from bench.datasets import _csv
from bench.manifest import UNKNOWN_GROUP, Manifest, build

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})
SIDES = ("train", "val", "test")

DATASET = DatasetFacts(
    name="folder",
    summary="your own videos: a directory a class, or a csv",
    licence="yours",
    needs_root=True,
    templates=("{}", "a video of {}.", "a video of a person doing {}.", "a photo of {}."),
    shots=(1, 4, 16),
    split_per_seed=True,
    options={
        "csv": "csv file inside the root, one video a row",
        "path": "its column of paths, relative to the root (default: path)",
        "label": "its column of class names (default: label)",
        "group": "its column of subjects or source videos",
        "unknown_group": "the value there that means nobody knows; such videos only train",
        "split": "its column with train, val or test; several, parted by commas, are the splits 1, 2, ...",
        "name": "what the tables call the data set (default: the root's name)",
        "classes": "text file inside the root, one class name a line; other labels are errors",
    },
)


def manifest(request: DataRequest) -> Manifest:
    """Rows of the videos under the root. Raises BenchError for a missing column, an unknown label, a class without videos."""
    assert request.root is not None
    root, options = request.root, request.options
    if not root.is_dir():
        raise BenchError(f"folder: the root {root} is a file; give the folder that holds the videos")
    if "csv" in options:
        return _from_csv(root, dict(options))
    used = sorted(set(options) - {"classes", "name"})
    if used:
        raise BenchError(f"folder: the option {', '.join(used)} needs the option csv")
    return _from_directories(root, options.get("name", root.name), _class_list(root, options.get("classes")))


def _from_csv(root: Path, options: dict[str, str]) -> Manifest:
    path = _inside(root, options["csv"])
    columns = {what: options.get(what, what) for what in ("path", "label")}
    columns |= {"group": options["group"]} if "group" in options else {}
    sides = options["split"].split(",") if "split" in options else []
    asked = [*columns.items(), *(("split", column) for column in sides)]
    table = _csv.table(path, asked, "name another with --option {what}=COLUMN")
    rows = pd.DataFrame(
        {"video_id": table[columns["path"]], "path": table[columns["path"]], "label": table[columns["label"]]}
    )
    if "group" in columns:
        groups = table[columns["group"]]
        rows["group"] = (
            groups.mask(groups == options["unknown_group"], UNKNOWN_GROUP) if "unknown_group" in options else groups
        )
    classes = _class_list(root, options.get("classes")) or tuple(sorted(rows["label"].unique()))
    splits = {str(i): table[column].tolist() for i, column in enumerate(sides, start=1)} or None
    kind = options.get("group", "video").replace("_", " ")
    return build(options.get("name", root.name), rows, classes, root, splits=splits, group_kind=kind)


def _from_directories(root: Path, name: str, classes: tuple[str, ...] | None) -> Manifest:
    sides = [s for s in SIDES if (root / s).is_dir()]
    published = "train" in sides and "test" in sides
    tops = [(s, root / s) for s in sides] if published else [("", root)]
    rows, roles, found = [], [], set()
    for side, top in tops:
        for folder in sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith(".")):
            found.add(folder.name)
            for video in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
                path = str(video.relative_to(root))
                rows.append({"video_id": path, "path": path, "label": folder.name})
                roles.append(side)
    loose = sum(p.suffix.lower() in SUFFIXES for p in root.iterdir())
    if not rows and loose:
        raise BenchError(
            f"folder: {loose} videos lie directly in {root}; put them into one directory a class, or list them in a csv"
        )
    if not found:
        raise BenchError(
            f"folder: {root} has no sub-directories; make one a class, or name a csv with --option csv=FILE"
        )
    return build(name, rows, classes or tuple(sorted(found)), root, splits={"1": roles} if published else None)


def _class_list(root: Path, name: str | None) -> tuple[str, ...] | None:
    if name is None:
        return None
    return tuple(line.strip() for line in _inside(root, name).read_text(encoding="utf-8").splitlines() if line.strip())


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise BenchError(f"folder: {name!r} leaves the root {root}")
    if not path.is_file():
        raise BenchError(f"folder: there is no file {path}")
    return path
