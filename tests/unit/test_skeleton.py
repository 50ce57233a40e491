"""Kinect sequences: checked, turned the right way round, rendered, with the published splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts import BenchError, DataRequest
from bench.datasets import _skeleton, florence3d, skeleton, utkinect
from bench.datasets._clips import Body, Clip, Move
from bench.datasets._figure import KINECT20_TO_15, to_figure
from bench.datasets._motion import pose
from bench.frames import UndecodableVideo, read


def person(frames: int) -> np.ndarray:
    """A figure with the right hand up, facing the viewer: float32 `(frames, 15, 3)` in the figure's own axes."""
    moves = (Move(part="right_arm", primitive="overhead", mode="hold"),)
    return pose([Clip(body=Body(), moves=moves)], np.zeros((1, frames)), np.random.default_rng(0))[0]


def kinect(joints: np.ndarray, up: int) -> np.ndarray:
    """The same person in Kinect camera coordinates, two metres away, with up as the second or the third axis."""
    x, y, z = -1.6 * joints[..., 0], 1.6 * joints[..., 1] - 1, 2 - 1.6 * joints[..., 2]
    return np.stack([x, y, z] if up == 1 else [x, z, y], -1).astype(np.float32)


def arrays(**changes: object) -> dict[str, object]:
    """Four sequences of 5 frames, two classes, two subjects, one split."""
    return {
        "joints": np.concatenate([kinect(person(5), up=1) for _ in range(4)]),
        "length": np.full(4, 5),
        "label": np.array([0, 1, 0, 1]),
        "subject": np.array([1, 1, 2, 2]),
        "classes": np.array(["sitDown", "waveHands"]),
        "train_subjects": np.array([[1]], dtype=np.uint8),
        "test_subjects": np.array([[2]], dtype=np.uint8),
        **changes,
    }


@pytest.fixture
def file(tmp_path: Path):
    def write(**changes: object) -> Path:
        kept = {key: value for key, value in arrays(**changes).items() if value is not None}
        np.savez(tmp_path / "some.npz", **kept)
        return tmp_path / "some.npz"

    return write


def request(tmp_path: Path, root: Path | None, **options: str) -> DataRequest:
    return DataRequest(root=root, workspace=tmp_path / "home", options=options)


def test_sequences_become_videos_with_splits_groups_and_speeds(file, tmp_path: Path) -> None:
    manifest = skeleton.manifest(request(tmp_path, file()))
    assert manifest.class_names == ("sit down", "wave hands")
    assert list(manifest.rows["split:1"]) == ["train", "train", "test", "test"]
    assert set(manifest.rows["group"]) == {"s01", "s02"} and manifest.group_kind == "subject"
    assert (manifest.rows["num:frames_dropped"] == 0).all() and "speed_head" in manifest.numeric
    for path in manifest.rows["path"]:
        assert Path(path).is_relative_to(tmp_path / "home")
        assert read(path, 2).shape == (2, 128, 128, 3)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("joints", [15, 20])
def test_kinect_axes_give_back_the_figure(up: int, joints: int) -> None:
    figure = person(5)
    raw = kinect(figure, up)
    if joints == 20:
        wide = np.zeros((5, 20, 3), dtype=np.float32)
        wide[:, list(KINECT20_TO_15)] = raw
        raw = wide
    back = to_figure(raw, *_skeleton.to_axes(raw)) / 1.6
    np.testing.assert_allclose(np.diff(back, axis=1), np.diff(figure, axis=1), atol=1e-5)


def test_two_files_of_one_name_do_not_share_videos(file, tmp_path: Path) -> None:
    first = skeleton.manifest(request(tmp_path, file()))
    joints = arrays()["joints"]
    assert isinstance(joints, np.ndarray)
    second = skeleton.manifest(request(tmp_path, file(joints=joints[::-1] * np.float32(1.2))))
    assert set(first.rows["path"]).isdisjoint(second.rows["path"])


def test_frames_with_nan_are_left_out_and_counted(file, tmp_path: Path) -> None:
    joints = np.array(arrays()["joints"])
    joints[2, 7, 1] = np.nan  # one frame of the first sequence
    joints[5:10] = np.nan  # all of the second
    rows = skeleton.manifest(request(tmp_path, file(joints=joints))).rows
    assert list(rows["num:frames_dropped"]) == [1, 5, 0, 0]
    with pytest.raises(UndecodableVideo):
        read(rows["path"].iloc[1], 2)
    assert len(read(rows["path"].iloc[0], 4)) == 4
    assert np.isnan(rows["num:speed_head"].iloc[1])


@pytest.mark.parametrize("key", _skeleton.KEYS)
def test_a_missing_key_is_named(file, tmp_path: Path, key: str) -> None:
    with pytest.raises(BenchError, match=f"lacks {key}"):
        skeleton.manifest(request(tmp_path, file(**{key: None})))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"joints": np.zeros((20, 14, 3))}, "shape"),
        ({"length": np.full(4, 4)}, "sum to 16"),
        ({"length": np.array([0, 10, 5, 5])}, ">= 1"),
        ({"subject": np.array([1, 1])}, "differ in size"),
        ({"label": np.array([0, 1, 2, 1])}, "0 to 2 for 2 classes"),
        ({"train_subjects": np.array([1])}, "one row a split"),
        ({"test_subjects": np.array([[1]])}, "split 1 has subjects on both sides: 1"),
        ({"joints": np.zeros((20, 15, 3))}, "up axis"),
        ({"joints": np.full((20, 15, 3), np.nan)}, "finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(file, tmp_path: Path, changes: dict, says: str) -> None:
    with pytest.raises(BenchError, match=says):
        skeleton.manifest(request(tmp_path, file(**changes)))


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 broken"])
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchError, match="bad.npz"):
        skeleton.manifest(request(tmp_path, path))


def test_root_and_options(tmp_path: Path, file) -> None:
    for module in (skeleton, utkinect, florence3d):
        assert module.DATASET.needs_root
        with pytest.raises(BenchError, match="root"):
            module.manifest(request(tmp_path, None))
    with pytest.raises(BenchError, match=r"utkinect\.npz"):
        utkinect.manifest(request(tmp_path, tmp_path))
    with pytest.raises(BenchError, match="no options"):
        skeleton.manifest(request(tmp_path, file(), speed="2"))


@pytest.mark.parametrize(
    ("raw", "name"),
    [("sitDown", "sit down"), ("clapHands", "clap hands"), ("answer phone", "answer phone"), ("a_b", "a b")],
)
def test_class_names_are_words(raw: str, name: str) -> None:
    assert _skeleton.class_name(raw) == name


@pytest.mark.parametrize(("module", "videos", "classes"), [(utkinect, 199, 10), (florence3d, 215, 9)])
def test_the_real_sets_are_whole_and_people_are_the_right_way_round(
    module, videos: int, classes: int, shared_data: Path
) -> None:
    data = _skeleton.load(shared_data / "skeletons" / f"{module.DATASET.name}.npz")
    assert len(data["length"]) == videos and len(data["classes"]) == classes
    assert data["train_subjects"].shape == (10, 5)
    for train, test in zip(data["train_subjects"], data["test_subjects"], strict=True):
        assert sorted([*train, *test]) == list(range(1, 11))
    raw = data["joints"].astype(np.float32)
    joints = to_figure(raw, *_skeleton.to_axes(raw))
    joints = joints[np.isfinite(joints).all(axis=(1, 2))]
    assert np.median(joints[:, 0, 1] - joints[:, 11, 1]) > 1  # heads a metre above feet
    # Forearms bend to where a person faces: left x up = forward, which a mirrored figure would turn round.
    across, up = joints[:, 3] - joints[:, 6], joints[:, 1] - joints[:, [9, 12]].mean(axis=1)
    forward = np.cross(across, up)
    for elbow, hand in ((4, 5), (7, 8)):
        assert np.mean(((joints[:, hand] - joints[:, elbow]) * forward).sum(-1) > 0) > 0.75
    assert np.median(forward[:, 2]) > 0  # most people face the camera
