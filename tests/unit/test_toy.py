"""The toy set: held-out compositions, names that captions never use, whole folders, the same files for everyone."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters._tiny.captions import caption, words
from adapters._tiny.compositions import Sampler
from bench.contracts import BenchError, DataRequest
from bench.datasets import _rendered, toy
from bench.datasets._actions import ACTIONS, HELD_OUT, held_out
from bench.datasets._clips import Move, composition, contains
from bench.datasets._figure import render
from bench.datasets._primitives import ARMS, LEGS, TRUNK
from bench.frames import read

if TYPE_CHECKING:
    from pathlib import Path

CLIPS = 4000


@pytest.fixture(scope="module")
def sample() -> tuple[list[str], list[tuple[Move, ...]], Sampler]:
    sampler, rng = Sampler(7), np.random.default_rng(7)
    clips = [sampler.clip() for _ in range(CLIPS)]
    return [caption(clip, rng) for clip in clips], [clip.moves for clip in clips], sampler


def test_there_are_enough_classes_subjects_and_videos() -> None:
    assert len(ACTIONS) >= 12 and len(toy.SUBJECTS) == 10 and len(toy.TRAIN_SUBJECTS) == 5
    # 16 shots and 4 validation videos a class must be had from the training subjects alone.
    assert toy.REPETITIONS * len(toy.TRAIN_SUBJECTS) >= 16 + 4


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_several_known_primitives(name: str) -> None:
    moves = ACTIONS[name]
    assert len(HELD_OUT[name]) >= 2
    for move in moves:
        table = ARMS if move.part.endswith("arm") else TRUNK if move.part == "trunk" else LEGS
        assert move.mode in table[move.primitive].modes


def test_no_action_contains_another() -> None:
    for name, part in HELD_OUT.items():
        assert [other for other, whole in HELD_OUT.items() if contains(whole, part)] == [name]


def test_pre_training_never_shows_a_held_out_composition(sample) -> None:
    _, shown, sampler = sample
    for moves in shown:
        assert not any(contains(composition(moves), part) for part in HELD_OUT.values())
    assert sampler.rejected > 0  # the draw does reach them: holding out is not vacuous


def test_every_primitive_of_an_action_is_pre_trained(sample) -> None:
    counts = Counter(move.primitive for moves in sample[1] for move in moves)
    assert set(counts) >= {primitive for part in HELD_OUT.values() for _, primitive in part}
    assert set(counts) == {*ARMS, *LEGS, *TRUNK}
    assert min(counts.values()) > CLIPS / 200  # no rare primitives: they are not learnt


@pytest.mark.parametrize("name", ACTIONS)
def test_mirrored_or_with_something_added_it_stays_held_out(name: str) -> None:
    extra = Move(part="trunk", primitive="twist", mode="cycle")
    mirrored = tuple(
        Move(part=part, primitive=primitive, mode="hold")
        for part, primitive in {(_swap(move.part), move.primitive) for move in ACTIONS[name]}
    )
    assert held_out(mirrored) == name
    if "trunk" not in {move.part for move in ACTIONS[name]}:
        assert held_out((*ACTIONS[name], extra)) == name
    assert held_out(ACTIONS[name][:1]) is None


def _swap(part: str) -> str:
    other = {"left": "right", "right": "left"}
    side, _, rest = part.partition("_")
    return f"{other[side]}_{rest}" if side in other else part


def test_captions_never_hold_a_word_of_a_class_name(sample) -> None:
    text = " ".join(sample[0]).lower()
    used = set(words(text))
    for name in ACTIONS:
        for word in words(name):
            assert word not in used, f"{word!r} of {name!r} is in the captions"
            assert word not in text, f"{word!r} of {name!r} is inside a word of the captions"


def test_the_same_seed_gives_the_same_videos() -> None:
    def first(count: int) -> list[_rendered.Rendered]:
        return list(islice(toy._videos(), count))

    for one, other in zip(first(7), first(7), strict=True):
        assert (one.video_id, one.numeric) == (other.video_id, other.numeric)
        np.testing.assert_array_equal(one.frames, other.frames)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory):
    """The manifest of a toy set with one repetition, and its workspace."""
    workspace = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "REPETITIONS", 1)
        yield toy.manifest(DataRequest(root=None, workspace=workspace)), workspace


def test_the_manifest_lists_real_video_files_with_one_published_split(small) -> None:
    manifest, workspace = small
    assert manifest.class_names == tuple(ACTIONS) and len(manifest.rows) == 14 * 10
    assert manifest.group_kind == "subject" and manifest.splits == ("1",)
    assert set(manifest.rows["split:1"]) == {"train", "test"}
    by_side = manifest.rows.groupby("split:1")["group"].unique()
    assert set(by_side["train"]) == set(toy.TRAIN_SUBJECTS) and not set(by_side["train"]) & set(by_side["test"])
    frames = read(manifest.rows["path"].iloc[3], 8)
    assert frames.shape == (8, toy.SIZE, toy.SIZE, 3) and frames.max() > 150
    assert (workspace / "toy-v1" / "COMPLETE").is_file()
    speeds = manifest.rows.filter(like="num:speed_")
    assert speeds.shape[1] == 6 and (speeds > 0).all(axis=None) and (speeds < 20).all(axis=None)


def test_decoded_frames_are_the_rendered_ones(small) -> None:
    manifest, _ = small
    video = next(iter(toy._videos()))
    path = manifest.rows.set_index("video_id").loc[video.video_id, "path"]
    decoded = read(path, len(video.frames)).astype(int)
    assert np.abs(decoded - video.frames).mean() < 2.0


def test_a_second_manifest_writes_nothing(small, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, workspace = small
    monkeypatch.setattr(toy, "_videos", lambda: pytest.fail("it is all there"))
    again = toy.manifest(DataRequest(root=None, workspace=workspace))
    assert again.digest == manifest.digest


@pytest.mark.parametrize("given", [{"root": "x"}, {"options": {"size": "3"}}])
def test_a_root_or_an_option_is_refused(given: dict, tmp_path: Path) -> None:
    request = {"root": None, **given}
    request["root"] = tmp_path if request["root"] else None
    with pytest.raises(BenchError, match="toy"):
        toy.manifest(DataRequest(workspace=tmp_path, **request))


def videos(count: int, broken_at: int | None = None):
    frames = render(np.random.default_rng(0).random((4, 15, 3)).astype(np.float32), size=32)
    for number in range(count):
        if number == broken_at:
            raise KeyboardInterrupt
        yield _rendered.Rendered(f"v{number}", "a b", "s1", frames if number else None, {"speed": 0.5})


def ensure(folder: Path, **how) -> list[str]:
    return _rendered.ensure(folder, 10, lambda: videos(3, **how), 3, lambda *_: None)["video_id"].tolist()


def test_a_broken_off_write_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    folder = tmp_path / "set-v1"
    with pytest.raises(KeyboardInterrupt):
        ensure(folder, broken_at=2)
    assert list(tmp_path.iterdir()) == []
    assert ensure(folder) == ["v0", "v1", "v2"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("lost", ["COMPLETE", "index.csv"])
def test_a_folder_without_its_marker_is_written_again(tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "set-v1"
    ensure(folder)
    (folder / lost).unlink()
    (folder / "a_b" / "v1.mp4").write_bytes(b"half")
    assert not _rendered.is_whole(folder)
    assert ensure(folder) == ["v0", "v1", "v2"]
    assert (folder / "a_b" / "v1.mp4").stat().st_size > 100


def test_an_index_shorter_than_the_marker_says_is_not_whole(tmp_path: Path) -> None:
    folder = tmp_path / "set-v1"
    ensure(folder)
    index = folder / "index.csv"
    index.write_text("\n".join(index.read_text().splitlines()[:-1]) + "\n")
    assert not _rendered.is_whole(folder)


def test_a_video_without_frames_has_a_row_but_no_file(tmp_path: Path) -> None:
    ensure(tmp_path / "set-v1")
    assert not (tmp_path / "set-v1" / "a_b" / "v0.mp4").exists()
    assert (tmp_path / "set-v1" / "a_b" / "v1.mp4").exists()


def test_files_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ensure(tmp_path / name)
    one, other = ((tmp_path / name / "a_b" / "v2.mp4").read_bytes() for name in ("a", "b"))
    assert one == other
