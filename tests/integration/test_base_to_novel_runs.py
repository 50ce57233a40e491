"""Runs under base-to-novel, from a spec to their table."""

import shutil

import numpy as np
import pytest
import torch
from fakes import write_classes
from folder_runs import method_of, spec_of

import bench as kpbench
from bench import planning, store


@pytest.fixture
def later_base(four, home, adapter):
    """The four classes with fewer training videos of the first and the third: the base classes are jump and wave, numbers 1 and 3."""
    folder = home.parent / "later"
    shutil.copytree(four, folder)
    for name in ("clap", "run"):
        for video in sorted((folder / "train" / name).iterdir())[:2]:
            video.unlink()
    return folder


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("four"), ("clap", "jump", "run", "wave"))


def base_to_novel(videos, method, shots=1, **more):
    return spec_of(videos, method, protocol="base_to_novel", shots=shots, **more)


def test_base_and_novel_videos_are_told_apart_among_their_own_classes(home, adapter, later_base, monkeypatch):
    """The method answers by the name it is asked for, so that a column in the wrong place shows."""
    seen = []
    scale = {"clap": 1.0, "jump": 2.0, "run": 3.0, "wave": 4.0}

    def fit(config, adapter, train, val, classes, seed):
        seen.append((classes.names, sorted(train.labels.tolist()), sorted(val.labels.tolist())))
        return lambda features, classes: torch.tensor([[scale[c] for c in classes.names]]).expand(len(features), -1)

    scores = kpbench.run(base_to_novel(later_base, method_of(monkeypatch, "named", fit)))
    assert seen == [(("jump", "wave"), [0, 1], [0, 1])], "numbered over the base classes"
    assert scores["base_top1"] == scores["novel_top1"] == scores["harmonic_mean"] == 0.5
    run_id = kpbench.results()["run_id"].iloc[0]
    found = store.read_predictions(home, run_id)
    assert list(found.class_names) == ["clap", "jump", "run", "wave"]
    for label, part, row in zip(found.labels, found.parts, found.logits, strict=True):
        assert part == ("base" if label in (1, 3) else "novel")
        assert row.tolist() == ([-np.inf, 2, -np.inf, 4] if part == "base" else [1, -np.inf, 3, -np.inf])


def test_tuning_under_base_to_novel_sees_base_classes_alone(home, adapter, later_base, monkeypatch):
    asked = []

    def fit(config, adapter, train, val, classes, seed):
        def predict(features, classes):
            asked.append(classes.names)
            return torch.eye(len(classes))[torch.zeros(len(features), dtype=torch.long)]

        return predict

    trial = base_to_novel(later_base, method_of(monkeypatch, "first", fit), 2, evaluation="validation")
    assert kpbench.run(trial)["top1"] == 0.5  # two videos of each of two classes
    assert asked == [("jump", "wave")]
    run_id = planning.resolve(trial, home).run_id
    assert list(store.read_predictions(home, run_id).class_names) == ["jump", "wave"]


def test_base_to_novel_in_a_sweep_ends_in_its_own_table(home, adapter, four, command):
    words = ("run --where debug --sweep base_to_novel --dataset folder --backbones fake --shots 1 --seeds 1,2").split()
    code, out, err = command(*words, "--root", four)
    assert code == 0, err
    assert "a linear probe knows only its training classes" in out
    table = (home / "report" / f"base-to-novel-{four.name}.md").read_text()
    assert "CoOp" in table and "zero-shot, class names" in table and "n/a" in table and "Harmonic mean" in table
    code, out, err = command("rescore", "--dry-run")
    assert code == 0 and "numbers of 0 would be changed" in out
