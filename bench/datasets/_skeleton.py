"""Kinect joint sequences in one .npz: checked, turned into stick-figure videos, with their published splits.

The layout: `joints` float `(sum of lengths, J, 3)` metres with J = 20 (Kinect v1 order) or 15 (this project's order),
`length`, `label`, `subject` `(N,)`, `classes`, and `train_subjects`, `test_subjects` `(splits, subjects)`, one row a
published split.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.contracts import BenchError, DataRequest
from bench.datasets._figure import FloatArray, render, to_figure
from bench.datasets._motion import SPEED_COLUMNS, joint_speeds
from bench.datasets._rendered import Rendered, ensure
from bench.manifest import Manifest, build, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
FPS = 15  # nominal: the sets come without time stamps, so joint speeds compare within a set only
SIZE = 128
KEYS = ("joints", "length", "label", "subject", "classes", "train_subjects", "test_subjects")
DROPPED = "frames_dropped"  # frames of a sequence that are left out because a joint is not finite


def load(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read and check an .npz of joint sequences.

    Raises:
        BenchError: no such file, no .npz, a missing key, or arrays that do not fit together.
    """
    if not path.is_file():
        raise BenchError(
            f"there is no joint file {path}; give the .npz as the root (its layout: bench/datasets/_skeleton.py)"
        )
    try:
        # Opened here: np.load leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            data = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise BenchError(f"{path} is no readable .npz file: {error}") from error
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise BenchError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(data) or 'nothing'}, needed are {', '.join(KEYS)}"
        )
    joints, length = data["joints"], data["length"]
    if joints.ndim != 3 or joints.shape[1] not in (15, 20) or joints.shape[2] != 3:
        raise BenchError(f"{path}: joints have shape {joints.shape}; expected (frames, 15 or 20, 3)")
    sizes = {key: len(data[key]) for key in ("length", "label", "subject")}
    if len(set(sizes.values())) != 1:
        raise BenchError(f"{path}: length, label and subject differ in size: {sizes}")
    if len(length) == 0 or length.min() < 1 or int(length.sum()) != len(joints):
        raise BenchError(
            f"{path}: the lengths sum to {int(length.sum())} but there are {len(joints)} frames; each must be >= 1"
        )
    if data["label"].min() < 0 or data["label"].max() >= len(data["classes"]):
        raise BenchError(
            f"{path}: labels run from {data['label'].min()} to {data['label'].max()} for {len(data['classes'])} classes"
        )
    if data["train_subjects"].ndim != 2 or len(data["train_subjects"]) != len(data["test_subjects"]):
        raise BenchError(f"{path}: train_subjects and test_subjects must have one row a split each")
    for number, (train, test) in enumerate(zip(data["train_subjects"], data["test_subjects"], strict=True), start=1):
        both = sorted(set(train.tolist()) & set(test.tolist()))
        if both:
            raise BenchError(f"{path}: split {number} has subjects on both sides: {', '.join(map(str, both))}")
    return data


def class_name(raw: str) -> str:
    """A class name as words: "sitDown" -> "sit down"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", raw).lower()


def to_axes(joints: FloatArray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Which input axes are right, up and towards the viewer, and their signs, for Kinect camera coordinates.

    Kinect's x grows to the camera's left and its depth away from it, so both change sign. Its up axis is the second;
    some files hold depth second and up third. The up axis is the one along which heads lie above feet.

    Args:
        joints: float `(frames, J, 3)`; J = 20 or 15.

    Raises:
        BenchError: if heads do not lie above feet along either axis.
    """
    finite = joints[np.isfinite(joints).all(axis=(1, 2))]
    head, feet = (3, [14, 18]) if joints.shape[1] == 20 else (0, [11, 14])
    if len(finite) == 0:
        raise BenchError("no frame of the joint file is finite")
    rise = np.median(finite[:, head] - finite[:, feet].mean(axis=1), axis=0)
    size = np.abs(rise).max()
    if rise[1] > 0.5 * size > 0:
        return (0, 1, 2), (-1, 1, -1)
    if rise[2] > 0.5 * size > 0:
        return (0, 2, 1), (-1, 1, -1)
    raise BenchError(
        f"heads lie above feet along no axis (median offset {rise.round(2).tolist()}); is y or z the up axis?"
    )


def _videos(data: dict[str, NDArray[np.generic]]) -> Iterator[Rendered]:
    axes, signs = to_axes(data["joints"].astype(np.float32))
    ends = np.cumsum(data["length"])
    seen: dict[tuple[str, str], int] = {}
    for end, length, label, subject in zip(ends, data["length"], data["label"], data["subject"], strict=True):
        joints = to_figure(data["joints"][end - length : end].astype(np.float32), axes, signs)
        finite = joints[np.isfinite(joints).all(axis=(1, 2))]
        name, group = class_name(str(data["classes"][label])), f"s{int(subject):02d}"
        take = seen[name, group] = seen.get((name, group), 0) + 1
        # A frame that is not finite cannot be drawn and is not invented: the video is that much shorter, and says so.
        # Without any finite frame there is no file: the row is then recorded as undecodable.
        numbers = joint_speeds(finite, FPS) if len(finite) else dict.fromkeys(SPEED_COLUMNS, float("nan"))
        yield Rendered(
            video_id=f"{name.replace(' ', '_')}_{group}_{take}",
            label=name,
            group=group,
            frames=render(finite, size=SIZE) if len(finite) else None,
            numeric={**numbers, DROPPED: float(len(joints) - len(finite))},
        )


def manifest(name: str, path: Path, request: DataRequest) -> Manifest:
    """Render the sequences of `path` into the workspace where they are not there yet, and list them with all splits.

    Raises:
        BenchError: on an option, or what `load` and `to_axes` raise.
    """
    if request.options:
        raise BenchError(f"{name} takes no options, not {', '.join(request.options)}")
    data = load(path)
    # The content stamp keeps two files of the same name apart.
    folder = request.workspace / f"{name}-v{VERSION}-{stamp(path)[:12]}"
    try:
        rows = ensure(folder, FPS, lambda: _videos(data), len(data["length"]), request.progress)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    subjects = rows["group"].str[1:].astype(int)
    splits = {}
    for number, (train, test) in enumerate(zip(data["train_subjects"], data["test_subjects"], strict=True), start=1):
        roles = np.where(subjects.isin(train), "train", np.where(subjects.isin(test), "test", ""))
        splits[str(number)] = [str(role) for role in roles]
    return build(
        name,
        rows[["video_id", "path", "label", "group"]],
        [class_name(str(raw)) for raw in data["classes"]],
        folder,
        splits=splits,
        numeric={column: rows[column].tolist() for column in (*SPEED_COLUMNS, DROPPED)},
        group_kind="subject",
    )


def in_folder(name: str, request: DataRequest) -> Path:
    """The file `<root>/<name>.npz`, or root itself where it is a file."""
    if request.root is None:
        raise BenchError(f"{name} needs the folder that holds {name}.npz: give it as ROOT= or root=")
    return request.root if request.root.is_file() else request.root / f"{name}.npz"
