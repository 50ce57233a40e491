"""A data set whose videos are never opened, and the command that imports predictions for it."""

import pandas as pd
import pytest
from commands import bench
from imported import CLASSES, IDS, TRUTH


@pytest.fixture
def root(tmp_path):
    """A data set whose videos are never opened."""
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = [(v, c, f"s{i % 4}", "test") for i, (v, c) in enumerate(zip(IDS, TRUTH, strict=True))]
    rows += [(f"train{i}.mp4", CLASSES[i % 7], f"t{i % 5}", "train") for i in range(70)]
    for video, *_ in rows:
        (folder / video).write_bytes(video.encode())
    pd.DataFrame(rows, columns=["path", "label", "group", "split"]).to_csv(folder / "list.csv", index=False)
    return folder


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture
def command(capsys, monkeypatch, root):
    def run(file, *words, name="mine"):
        where = f"--dataset folder --root {root} --option csv=list.csv --option group=group --option split=split"
        return bench(capsys, monkeypatch, "import-predictions", str(file), "--name", name, *where.split(), *words)

    return run
