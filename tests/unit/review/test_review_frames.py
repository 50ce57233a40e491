"""The frames that the review shows beside statements."""

import cv2
import numpy as np
import pandas as pd
import pytest
from fakes import write_video
from reviewing import HERE, ODD, client_of

from bench.contracts import BenchError
from bench.knowledge import _pictures
from bench.knowledge._pictures import FRAMES, GAP, HEIGHT, VIDEOS
from bench.knowledge.desk import open_desk
from bench.manifest import build


@pytest.fixture
def manifest(tmp_path):
    """Of waving: a test video, two training videos of one person and one of another; of clapping: test videos, one is broken."""
    videos = tmp_path / "videos"
    rows = [("wave", "t", "test"), ("wave", "a", "train"), ("wave", "a", "train"), ("wave", "b", "train")]
    rows += [("clap", "t", "test"), ("clap", "t", "test")]
    for i in range(5):
        write_video(videos / f"{i}.mp4", 6, first=3 * i, colour=(220, 40, 40))
    (videos / "5.mp4").write_bytes(b"no video")
    table = [{"video_id": str(i), "path": f"{i}.mp4", "label": c, "group": g} for i, (c, g, _) in enumerate(rows)]
    return build("mine", table, ("clap", "wave"), videos, splits={"1": [role for *_, role in rows]})


def test_frames_are_from_training_videos_of_different_people_first(manifest, path):
    samples = open_desk(path, "Ada", manifest).samples
    assert [r["path"][-5:] for r in samples["wave"].rows] == ["1.mp4", "3.mp4", "2.mp4"]
    assert samples["wave"].side == "training videos" and "every video" in samples["clap"].side
    assert len(samples["wave"].rows) == VIDEOS


def test_a_video_that_any_split_tests_is_not_shown(tmp_path):
    rows = [{"video_id": str(i), "path": f"{i}.mp4", "label": "wave", "group": str(i)} for i in range(3)]
    for i in range(3):
        write_video(tmp_path / f"{i}.mp4", 2)
    roles = {"1": ["train", "test", "train"], "2": ["train", "train", "test"]}
    (shown,) = _pictures.samples(build("mine", rows, ("wave",), tmp_path, splits=roles)).values()
    assert [r["path"][-5:] for r in shown.rows] == ["0.mp4"] and shown.side == "training videos"


def test_frames_come_as_pictures_by_class_and_number(manifest, path):
    client = client_of(open_desk(path, "Ada", manifest))
    state = client.get("/bank", base_url=HERE).json
    frames = {c["name"]: c["frames"] for c in state["classes"]}
    assert state["dataset"] == "mine" and frames["wave"]["count"] == 3 and frames[ODD] is None
    answer = client.get(f"/frames/{frames['wave']['label']}/0", base_url=HERE)
    assert answer.mimetype == "image/jpeg"
    coloured = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
    blue, _, red = coloured[:, 160:220].mean(axis=(0, 1))
    assert red > 180 and blue < 80
    picture = coloured.mean(axis=2)
    assert picture.shape == (HEIGHT, FRAMES * 240 + (FRAMES - 1) * GAP)  # of 32 x 48
    shades = [picture[:, t * (240 + GAP) + 20 : t * (240 + GAP) + 100].mean() for t in range(FRAMES)]
    assert shades == sorted(shades) and shades[0] < shades[-1]


@pytest.mark.parametrize(
    "where", ["9/0", "0/9", "-1/0", "0/-1", "../../bank", "%2e%2e/%2e%2e/etc/passwd", "0/0/../1", "a/b", "0/0.mp4"]
)
def test_other_frames_there_are_none(where, manifest, path):
    answer = client_of(open_desk(path, "Ada", manifest)).get(f"/frames/{where}", base_url=HERE)
    assert answer.status_code == 404 and answer.json["error"]


def test_a_video_that_cannot_be_decoded_says_why(manifest, path):
    client = client_of(open_desk(path, "Ada", manifest))
    label = client.get("/bank", base_url=HERE).json["classes"][1]["frames"]["label"]
    answer = client.get(f"/frames/{label}/1", base_url=HERE)
    assert answer.status_code == 422 and "5.mp4" in answer.json["error"]


def test_a_data_set_without_a_published_split_says_so(manifest, path):
    table = manifest.rows.drop(columns="split:1")
    samples = open_desk(path, "Ada", type(manifest)("mine", manifest.class_names, pd.DataFrame(table))).samples
    assert samples["clap"].side == "the data set publishes no split" and len(samples["wave"].rows) == 3


def test_a_data_set_of_other_classes_is_an_error(manifest, path):
    path.write_text(path.read_text().replace('"wave": [', '"bow": [').replace('"clap": [', '"sit": ['))
    with pytest.raises(
        BenchError, match=r"mine has none of the classes of .*mine.json: it has .*; the bank has bow, sit"
    ):
        open_desk(path, "Ada", manifest)
