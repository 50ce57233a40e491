"""Methods that read frames: videos instead of features, nothing to be extracted, what cannot be decoded counted, the test view unseen."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import frame_numbers, plug_in_adapter, write_classes, write_video

from bench import extraction, frames, planning, plugins, runner, store, videos
from bench.contracts import FRAMES, TRAIN, BenchError, LabelledVideos, NotApplicable, Video, Videos
from bench.specs import FrameSpec, RunSpec
from bench.work import work_of

CLASSES = ("clap", "run", "wave")


@dataclasses.dataclass(frozen=True)
class Config:
    scale: float = 1.0


class NearestColour:
    """The mean colour of each class; notes which files it read."""

    num_trainable = 9

    def __init__(self, by_class, read):
        self.by_class, self.read = by_class, read

    def __call__(self, found, classes):
        assert isinstance(found, Videos)
        self.read += [video.path for video in found.rows]
        colours = torch.stack([colour(video) for video in found.rows])
        return -torch.cdist(colours, torch.stack([self.by_class[name] for name in classes.names]))


def colour(video):
    return torch.from_numpy(videos.read(video, [0, video.num_frames - 1]).mean(axis=(0, 1, 2))).float()


@pytest.fixture
def looking(monkeypatch):
    """The method `looks`, and what it was given."""
    seen = SimpleNamespace(fitted=[], predicted=[])

    def fit(config, adapter, train, val, classes, seed):
        assert isinstance(train, LabelledVideos) and len(train.videos) == len(train.labels)
        seen.fitted += [v.path for view in (train, val) for v in view.videos.rows]
        by_class = {
            name: torch.stack([colour(train.videos.rows[i]) for i in torch.where(train.labels == c)[0]]).mean(0)
            for c, name in enumerate(classes.names)
        }
        return NearestColour(by_class, seen.predicted)

    method = SimpleNamespace(
        Config=Config,
        NEEDS=frozenset({FRAMES, TRAIN}),
        TRAINABLE="all",
        VERSION=1,
        fit=fit,
        suggest=lambda trial: {},
        describe=lambda config: "nearest colour",
        columns=lambda config, adapter: {"num_frames": 2, "num_views": 3},
    )
    find = plugins.find
    monkeypatch.setattr(plugins, "find", lambda kind, name: method if name == "looks" else find(kind, name))
    seen.adapter = plug_in_adapter(monkeypatch)
    return seen


def spec(root, **fields):
    return RunSpec(
        dataset="folder", backbone="fake", method="looks", protocol="few_shot", shots=2, root=str(root), **fields
    )


@pytest.fixture
def root(tmp_path):
    return write_classes(tmp_path / "videos", CLASSES, 8)


def test_such_a_run_needs_no_features(root, tmp_path, looking):
    resolved = planning.resolve(spec(root), tmp_path)
    assert planning.needs([resolved], tmp_path) == []
    work = work_of([resolved], tmp_path)
    assert work.num_videos == work.megabytes == 0 and len(work.stages["runs"]) == 1
    assert extraction.extract([resolved], tmp_path) == []


def test_it_is_an_ordinary_run(root, tmp_path, looking):
    resolved = planning.resolve(spec(root), tmp_path)
    scores = runner.run(spec(root), tmp_path)
    told = store.read_record(tmp_path, resolved.run_id)
    columns = told["columns"]
    assert scores["top1"] == 1.0 and columns["num_test"] == 24
    assert (columns["num_frames"], columns["num_views"], columns["num_trainable"]) == (2, 3, 9)
    assert (columns["feature_ms"], told["forward"], told["features"]) == (None, [], "")
    assert looking.adapter.num_encoded == 0 and not (tmp_path / "features").exists()
    assert not {*looking.fitted} & {*looking.predicted} and all("/test/" in str(p) for p in looking.predicted)


def test_what_cannot_be_decoded_is_counted_and_nothing_takes_its_place(root, tmp_path, looking):
    plain = planning.resolve(spec(root), tmp_path)
    manifest = planning.load_manifest(tmp_path, plain.manifest)
    views = planning.views_of(plain, tmp_path)
    broken = [manifest.rows["path"].iloc[view[0]] for view in (views.train, views.test)]
    runner.run(spec(root), tmp_path)
    whole = [*looking.fitted]
    for path in broken:
        with Path(path).open("r+b") as f:  # the stamp, and so the draw, stays what it was
            size = f.seek(0, 2)
            f.seek(size // 4)
            f.write(b"\0" * (size // 2))
    store.remove(tmp_path, plain.run_id)
    looking.fitted.clear()
    runner.execute(plain, tmp_path)
    columns = store.read_record(tmp_path, plain.run_id)["columns"]
    assert (columns["num_failed_train"], columns["num_failed"], columns["num_test"]) == (1, 1, 23)
    assert sorted(looking.fitted) == sorted(p for p in whole if str(p) != broken[0])
    failed = store.read_predictions(tmp_path, plain.run_id).failed
    assert list(failed) == [manifest.rows["video_id"].iloc[views.test[0]]] and all(failed.values())


def test_what_was_seen_is_not_looked_at_again(root, tmp_path, looking, monkeypatch):
    looked = []
    examine = frames.examine
    monkeypatch.setattr(frames, "examine", lambda path, *window: looked.append(path) or examine(path, *window))
    monkeypatch.setattr(videos, "AT_ONCE", 4)
    runner.run(spec(root), tmp_path)
    resolved = planning.resolve(spec(root), tmp_path)
    manifest = planning.load_manifest(tmp_path, resolved.manifest)
    wanted = store.read_predictions(tmp_path, resolved.run_id).logits
    views, num = planning.views_of(resolved, tmp_path), len(looked)
    assert num == len(set(looked)) == sum(map(len, (views.train, views.val, views.test)))
    source = videos.VideoFiles(1, tmp_path / "videos")
    found = repr(source.load(manifest, views.test))  # NaN is not itself
    assert len(looked) == num and found == repr(videos.VideoFiles(1).load(manifest, views.test))
    looked.clear()

    touched = Path(manifest.rows["path"].iloc[views.test[0]])
    touched.touch()  # written to since, as far as is to be seen
    (torn, *_) = sorted((tmp_path / "videos").iterdir())
    torn.write_text(torn.read_text()[:-9])
    store.remove(tmp_path, resolved.run_id)
    runner.execute(resolved, tmp_path)
    assert touched in looked and len(looked) <= 2
    assert np.array_equal(store.read_predictions(tmp_path, resolved.run_id).logits, wanted)


def test_the_reason_is_kept_too(root, tmp_path, looking, monkeypatch):
    resolved = planning.resolve(spec(root), tmp_path)
    manifest = planning.load_manifest(tmp_path, resolved.manifest)
    path = Path(manifest.rows["path"].iloc[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = videos.VideoFiles(1, tmp_path / "videos")
    first = source.load(manifest, [0, 1])
    monkeypatch.setattr(frames, "examine", None)
    assert repr(source.load(manifest, [0, 1])) == repr(first) and first[1] == [1] and first[2][0]


@pytest.mark.parametrize("asked", [{"frames": FrameSpec(num_frames=4)}, {"precision": "bf16"}, {"compile": True}])
def test_what_is_asked_of_features_does_not_reach_it_and_it_says_so(asked, root, tmp_path, looking):
    with pytest.raises(BenchError, match="runs the visual side itself, so --frames, --precision and --compile"):
        planning.resolve(spec(root, **asked), tmp_path)


# --- frames by number --------------------------------------------------------------------------------------------


def numbers(pictures):
    return list(frame_numbers(pictures))


def test_frames_by_number_in_any_order(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, 30)
    count, fps = frames.examine(path)
    assert count == 30 and fps > 0
    assert numbers(frames.read_at(path, [7, 0, 29, 7])) == [7, 0, 29, 7]
    with pytest.raises(frames.UndecodableVideo, match="it has no frame 30"):
        frames.read_at(path, [3, 30])


def test_frames_by_number_count_from_the_part_that_is_meant(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, 30)
    _, fps = frames.examine(path)
    start, end = 10 / fps - 0.001, 20 / fps - 0.001
    assert frames.examine(path, start, end)[0] == 10
    assert numbers(frames.read_at(path, [0, 9], start, end)) == [10, 19]


def test_a_box_cuts_frames_by_number(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, 4)
    whole = frames.read_at(path, [2])
    cut = videos.read(Video(path, 4, 10.0, box=(0.0, 0.0, 0.5, 1.0)), [2])
    assert np.array_equal(cut, whole[:, :, : whole.shape[2] // 2])


def test_a_file_that_is_cut_off_or_no_video_is_told_when_it_is_examined(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(frames.UndecodableVideo, match="a.mp4"):
        frames.examine(path)
    with pytest.raises(frames.UndecodableVideo, match="no such file"):
        frames.examine(tmp_path / "b.mp4")


def test_a_recogniser_s_method_on_another_backbone_is_not_applicable(tmp_path):
    root = write_classes(tmp_path / "videos", ("clap", "wave"), 4)
    spec = RunSpec(
        dataset="folder",
        root=str(root),
        backbone="tiny-clip",
        method="mmaction2_recognizer",
        protocol="few_shot",
        shots=1,
    )
    run = planning.resolve(spec, tmp_path / "home")
    with pytest.raises(NotApplicable, match="needs recognizer, which tiny-clip does not have"):
        runner.execute(run, tmp_path / "home")
    assert store.failure(tmp_path / "home", run.run_id)["status"] == "n/a"


def test_what_a_method_finds_wrong_with_its_config_ends_planning(root, tmp_path, looking, monkeypatch):
    asked = []

    def check(config, adapter, class_names):
        asked.append((config, adapter, class_names))
        raise BenchError("no map for these classes")

    monkeypatch.setattr(plugins.find("methods", "looks"), "check", check, raising=False)
    with pytest.raises(BenchError, match="no map for these classes"):
        planning.resolve(spec(root), tmp_path)
    assert asked == [(Config(), looking.adapter, CLASSES)]
    monkeypatch.setattr(plugins.find("methods", "looks"), "NEEDS", frozenset({FRAMES, TRAIN, "wings"}))
    planning.resolve(spec(root), tmp_path)
    assert len(asked) == 1, "what cannot run there is n/a, whatever its config"
