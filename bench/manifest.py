"""Rows of a data set: which videos there are, what they show, who is in them, which side of which split they are on."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench._files import write_atomic
from bench.contracts import BenchError, digest

STAMP_BYTES = 65536  # head and tail that are hashed; enough to tell two encodings of one clip apart
COLUMNS = ("video_id", "path", "start_s", "end_s", "label", "group", "box", "stamp")
ROLES = ("train", "val", "test", "")
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # what a csv, or a terminal, would not give back as it was
MISSING = "missing"  # begins the stamp of a file that was not there when the list was made
UNKNOWN_GROUP = ""  # good for training only: nobody can say on which side of a split it belongs


@dataclass(frozen=True, eq=False)  # so that it can be a key: nothing asks whether two of them are equal
class Manifest:
    """A validated data set.

    `rows` has the columns of COLUMNS plus `split:<name>` (a role of ROLES) for each published split and `num:<name>` (float) for each
    numeric column. `label` is a class name. `start_s`/`end_s` are seconds or NaN for the whole file; `box` is "x0,y0,x1,y1" in [0, 1]
    or "". `group` is the subject or source video (`group_kind` says which); "" is an unknown one. `whole` is what a limit was put on, and
    None where none was.
    """

    dataset: str
    class_names: tuple[str, ...]
    rows: pd.DataFrame
    group_kind: str = "video"
    whole: Manifest | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(c.removeprefix("split:") for c in self.rows.columns if c.startswith("split:"))

    @property
    def numeric(self) -> tuple[str, ...]:
        return tuple(c.removeprefix("num:") for c in self.rows.columns if c.startswith("num:"))

    @cached_property
    def digest(self) -> str:
        """Over everything but the paths: moving a data set changes nothing, another video or label does."""
        text = self.rows.drop(columns="path").to_csv(index=False)
        return digest([list(self.class_names), self.group_kind, text])

    def limited(self, per_class: int | None) -> Manifest:
        """At most `per_class` rows a class, label and split role, spread evenly over the groups; None changes nothing."""
        if per_class is None:
            return self
        if per_class < 1:
            raise BenchError(f"a limit of {per_class} videos a class leaves nothing; give 1 or more")
        by = ["label", *[c for c in self.rows.columns if c.startswith("split:")]]
        turn = self.rows.groupby([*by, "group"], sort=False, dropna=False).cumcount()
        order = self.rows.assign(_turn=turn).sort_values("_turn", kind="stable")
        kept = order.groupby(by, sort=False, dropna=False).head(per_class).index
        return replace(self, rows=self.rows.loc[self.rows.index.isin(kept)].reset_index(drop=True), whole=self)


def stamp(path: Path | str) -> str:
    """Content stamp of a file: its size and a hash of its first and last 64 kB, 24 hex characters; "" if it is not there.

    Raises:
        BenchError: it is there and cannot be read: the disk's fault, to be mended before anything is recorded.
    """
    try:
        with open(path, "rb", buffering=0) as f:  # noqa: PTH123 - of half a million files
            size = os.fstat(f.fileno()).st_size
            head = f.read(STAMP_BYTES)
            f.seek(max(len(head), size - STAMP_BYTES))
            tail = f.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BenchError(
            f"{path} cannot be read ({error.strerror}); mend that and run the same command again"
        ) from error
    return hashlib.sha256(str(size).encode() + b"\0" + head + tail).hexdigest()[:24]


def build(
    dataset: str,
    rows: Sequence[Mapping[str, object]] | pd.DataFrame,
    class_names: Sequence[str],
    root: Path,
    splits: Mapping[str, Sequence[str]] | None = None,
    numeric: Mapping[str, Sequence[float]] | None = None,
    group_kind: str = "video",
) -> Manifest:
    """Check rows and make a manifest of them.

    Args:
        rows: video_id, path (relative to `root` or absolute inside it), label; optionally group, start_s, end_s, box.
        splits: for each published split, a role ("train", "val", "test" or "") a row.
        numeric: for each numeric column, a number a row.
        group_kind: what a group is ("subject", "source video"); without a `group` column each video is its own.

    Raises:
        BenchError: an id twice, a label outside the classes, a class without videos, a path out of the root, a group on both sides
            of a split, an impossible time window or box.
    """
    # As objects: pandas' own strings cannot even hold a file's name that is not UTF-8.
    table = pd.DataFrame(rows, dtype=object).reset_index(drop=True)
    if table.empty:
        raise BenchError(f"{dataset}: no videos found under {root}")
    _printable(dataset, table)
    for column in ("video_id", "path", "label"):
        if column not in table:
            raise BenchError(
                f"{dataset}: the rows lack the column {column!r}; they have {', '.join(map(str, table.columns))}"
            )
    inside = _Inside(root.resolve(), dataset)
    paths = [inside(str(p)) for p in table["path"]]
    for name, values in (numeric or {}).items():
        if len(values) != len(table):
            raise BenchError(f"{dataset}: numeric column {name} has {len(values)} values for {len(table)} rows")
    for name, roles in (splits or {}).items():
        if len(roles) != len(table):
            raise BenchError(f"{dataset}, split {name}: {len(roles)} roles for {len(table)} rows")
    frame = pd.DataFrame(
        {
            "video_id": table["video_id"].astype(str),
            "path": paths,
            "start_s": table["start_s"].astype(float) if "start_s" in table else float("nan"),
            "end_s": table["end_s"].astype(float) if "end_s" in table else float("nan"),
            "label": table["label"].astype(str),
            "group": table["group"].fillna("").astype(str) if "group" in table else table["video_id"].astype(str),
            "box": table["box"].fillna("").astype(str) if "box" in table else "",
            # Absent files have no content to be kept by: each gets a key of its own.
            "stamp": [
                stamp(p) or f"{MISSING} {video_id}" for p, video_id in zip(paths, table["video_id"], strict=True)
            ],
            **{f"split:{name}": pd.Series(list(roles), dtype=str) for name, roles in (splits or {}).items()},
            **{f"num:{name}": pd.Series([float(v) for v in values]) for name, values in (numeric or {}).items()},
        }
    )
    manifest = Manifest(dataset, tuple(map(str, class_names)), frame, group_kind if "group" in table else "video")
    validate(manifest)
    return manifest


def _printable(dataset: str, table: pd.DataFrame) -> None:
    for column in [c for c in ("video_id", "path", "label", "group") if c in table]:
        texts = [_text(value) for value in table[column]]
        if UNPRINTABLE.search(" ".join(texts)):  # one search for all, for there may be half a million
            strange = [text for text in texts if UNPRINTABLE.search(text)]
            raise BenchError(
                f"{dataset}: the {column} {strange[0]!r} holds a control character or is not valid UTF-8; rename it"
            )


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | Path) else ""


def validate(manifest: Manifest) -> None:
    """Raise one BenchError that names the first rows at fault; see `build`."""
    rows, name = manifest.rows, manifest.dataset
    if len(set(manifest.class_names)) != len(manifest.class_names):
        raise BenchError(f"{name}: a class is listed twice: {_some(pd.Series(manifest.class_names))}")
    _printable(name, rows)
    twice = rows["video_id"][rows["video_id"].duplicated()]
    if len(twice):
        raise BenchError(f"{name}: {len(twice)} video ids occur more than once: {_some(twice)}; ids must be distinct")
    foreign = rows["label"][~rows["label"].isin(manifest.class_names)]
    if len(foreign):
        raise BenchError(
            f"{name}: {len(foreign)} rows have a label that is not in the class list: {_some(foreign)}; "
            f"the classes are {', '.join(manifest.class_names[:20])}"
        )
    shown = set(rows["label"])
    empty = [c for c in manifest.class_names if c not in shown]
    if empty:
        raise BenchError(f"{name}: no videos for {', '.join(empty)}; add some or take the class out")
    window = rows["start_s"].fillna(0.0) >= rows["end_s"].fillna(float("inf"))
    if window.any():
        raise BenchError(f"{name}: end_s is not after start_s for {_some(rows['video_id'][window])}")
    for text in rows["box"].unique():
        parse_box(text)
    for split in manifest.splits:
        _check_split(manifest, split)


def _check_split(manifest: Manifest, split: str) -> None:
    roles, groups = manifest.rows[f"split:{split}"], manifest.rows["group"]
    strange = roles[~roles.isin(ROLES)]
    if len(strange):
        raise BenchError(
            f"{manifest.dataset}, split {split}: unknown role {_some(strange)}; a role is train, val, test or empty"
        )
    known = groups != UNKNOWN_GROUP
    both = set(groups[(roles == "test") & known]) & set(groups[roles.isin(("train", "val")) & known])
    if both:
        raise BenchError(
            f"{manifest.dataset}, split {split}: {len(both)} groups stand on both sides (e.g. {_some(pd.Series(sorted(both)))}); "
            "a subject or source video belongs to training or to test, not to both"
        )
    if ((roles == "test") & ~known).any():
        raise BenchError(
            f"{manifest.dataset}, split {split}: a video of an unknown group is in test; such videos are for training only"
        )


def parse_box(text: str) -> tuple[float, float, float, float] | None:
    """Numbers of "x0,y0,x1,y1" in [0, 1]; "" -> None. Raises BenchError on anything else."""
    if text == "":
        return None
    try:
        x0, y0, x1, y1 = (float(v) for v in text.split(","))
    except ValueError:
        raise BenchError(f"a box is four numbers 'x0,y0,x1,y1' in [0, 1], not {text!r}") from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise BenchError(f"the box {text!r} is empty or leaves the picture; it needs 0 <= x0 < x1 <= 1, likewise y")
    return x0, y0, x1, y1


def save(manifest: Manifest, folder: Path) -> Path:
    """Write `<digest>.csv` with a header of facts beside it; a worker reads it back by digest."""
    key = manifest.digest
    write_atomic(folder / f"{key}.csv", manifest.rows.to_csv(index=False))
    facts = {
        "dataset": manifest.dataset,
        "class_names": list(manifest.class_names),
        "group_kind": manifest.group_kind,
        "num_rows": len(manifest.rows),
        "decoder": "pyav",
    }
    write_atomic(folder / f"{key}.json", json.dumps(facts, indent=1))
    return folder / f"{key}.csv"


def load(folder: Path, key: str) -> Manifest:
    """Read a manifest that `save` wrote. Raises BenchError where it is not there or not what its name says."""
    if not re.fullmatch(r"[0-9a-f]{16}", key):
        raise BenchError(f"{key!r} is not a manifest digest")
    try:
        facts = json.loads((folder / f"{key}.json").read_text())
        text = (folder / f"{key}.csv").read_text()
    except FileNotFoundError:
        raise BenchError(f"no manifest {key} in {folder}; run the same command again from the start") from None
    # Everything as text first: pandas would turn an id "001" into 1 and a group "NA" into a missing value.
    rows = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    for column in rows.columns:
        if column in ("start_s", "end_s") or column.startswith("num:"):
            rows[column] = rows[column].replace("", "nan").astype(float)
    manifest = Manifest(facts["dataset"], tuple(facts["class_names"]), rows, facts["group_kind"])
    if manifest.digest != key:
        raise BenchError(
            f"the manifest {folder / key}.csv was changed by hand: its digest is {manifest.digest}; delete it and run again"
        )
    return manifest


class _Inside:
    """From a path as a row gives it to the file it leads to, which must lie under `base`; each folder is looked up once."""

    def __init__(self, base: Path, dataset: str) -> None:
        self.base, self.dataset = base, dataset
        self._folders: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        folder, name = os.path.split(text)
        # As texts, for there may be half a million of them and a Path takes longer to make than its file to read.
        if name in ("", os.curdir, os.pardir) or os.path.islink(os.path.join(self.base, text)):  # noqa: PTH114, PTH118
            return self._resolved(text, text)
        if folder not in self._folders:
            self._folders[folder] = self._resolved(folder, text)
        return os.path.join(self._folders[folder], name)  # noqa: PTH118

    def _resolved(self, place: str, text: str) -> str:
        path = (self.base / place).resolve()
        if not path.is_relative_to(self.base):
            raise BenchError(f"{self.dataset}: the path {text!r} leaves the root {self.base}; paths stay inside it")
        return str(path)


def _some(values: pd.Series) -> str:
    shown = [repr(v) for v in values.unique()[:5]]
    return ", ".join(shown) + (", ..." if values.nunique() > 5 else "")
