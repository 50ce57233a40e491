"""What another system is asked."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imported import CLASSES, IDS, LABELS, TRUTH, only

from bench import questions, records
from bench.cli import main
from bench.plugins import ROOT


@pytest.fixture
def asked(capsys, monkeypatch, root):
    def run(*words):
        where = f"--dataset folder --root {root} --option csv=list.csv --option group=group --option split=split"
        monkeypatch.setattr("sys.argv", ["bench", "test-videos", *where.split(), *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        return capsys.readouterr()

    return run


def test_the_test_videos_are_listed_without_what_they_show(asked, root):
    said, note = asked("--protocol", "zero_shot")
    videos = pd.read_csv(io.StringIO(said))
    assert videos.columns.tolist() == ["video_id", "path"] and set(videos["video_id"]) == set(IDS)
    assert videos["path"].tolist() == [str(root / v) for v in videos["video_id"]] and not note.strip()
    of = dict(zip(IDS, LABELS, strict=True))
    assert (np.diff([of[v] for v in videos["video_id"]]) < 0).sum() > 2, "the order tells nothing"
    assert asked("--protocol", "few_shot", "--shots", "1").out == said, "and is always the same"
    labelled = pd.read_csv(io.StringIO(asked("--protocol", "zero_shot", "--labels").out))
    assert dict(zip(labelled["video_id"], labelled["label"], strict=True)) == dict(zip(IDS, TRUTH, strict=True))
    classes = pd.read_csv(io.StringIO(asked("--protocol", "zero_shot", "--classes").out))
    assert classes["number"].tolist() == list(range(7)) and tuple(classes["class"]) == CLASSES


def test_parts_of_base_to_novel_are_told(asked):
    words = ("--protocol", "base_to_novel", "--shots", "1")
    videos, classes = (pd.read_csv(io.StringIO(asked(*words, *more).out)) for more in (["--labels"], ["--classes"]))
    part = dict(zip(classes["class"], classes["part"], strict=True))
    assert sorted(part.values()) == ["base"] * 4 + ["novel"] * 3
    assert videos["part"].tolist() == [part[label] for label in videos["label"]]


def test_names_that_tell_the_class_are_remarked_on(asked, root):
    rows = pd.read_csv(root / "list.csv")
    (root / "apply_lipstick").mkdir()
    (root / IDS[0]).rename(root / "apply_lipstick" / "1.mp4")
    rows.loc[rows["path"] == IDS[0], "path"] = "apply_lipstick/1.mp4"
    rows.to_csv(root / "list.csv", index=False)
    assert "1 of 14 videos have the name of their class" in " ".join(asked("--protocol", "zero_shot").err.split())


def test_a_class_that_is_called_by_signs_alone_stands_in_no_name():
    assert not questions._tells("1.mp4", "/videos/1.mp4", "+")
    assert questions._tells("1.mp4", "/videos/Sit-Down/1.mp4", "sit down")


@pytest.mark.parametrize("others", [None, 4])
def test_the_recipe_of_the_docs_closes_the_circle(asked, command, home, tmp_path, monkeypatch, others):
    """One answer a video, or a list of them."""

    def ask(path, classes):
        right = classes[LABELS[IDS.index(Path(path).name)]]
        return right if others is None else [right, *(c for c in classes if c != right)][: 1 + others]

    monkeypatch.chdir(tmp_path)
    for name, words in (("videos.csv", []), ("classes.csv", ["--classes"])):
        (tmp_path / name).write_text(asked("--protocol", "zero_shot", *words).out)
    text = (ROOT / "docs" / "import.md").read_text().split("<!-- ask -->\n```python\n")[1].split("```")[0]
    exec(text, {"ask": ask})
    assert command(tmp_path / "answers.csv", "--protocol", "zero_shot")[0] == 0
    scores = records.scores(home, only(home))
    assert scores["top1"] == 1 and ("top5" in scores) == (others is not None)
