"""`reproduce` of a published number: the spec that is its own, what is missing, the runs, and both numbers side by side."""

from types import SimpleNamespace

import pandas as pd
import pytest
from commands import bench
from fakes import write_video

from bench import planning, plugins, published, reported, runner, store
from bench.specs import RunSpec


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: bench(capsys, monkeypatch, *words)


def frozen_clip(dataset="UCF-101", frames="16"):
    rows = [r for r in published.load() if r.method == "CLIP (frozen zero-shot)" and r.backbone == "CLIP ViT-B/16"]
    return next(r for r in rows if (r.dataset, r.frames, r.our_protocol) == (dataset, frames, "zero_shot"))


def test_a_name_that_nobody_has_and_one_of_many_are_told(command):
    code, _, said = command("reproduce", "X-CLIPP")
    assert code == 2 and "no published number is called 'X-CLIPP'; did you mean X-CLIP" in said
    code, _, said = command("reproduce", "X-CLIP")
    assert code == 2 and "74 published numbers are of X-CLIP; give the name of one: p-" in said


def test_a_number_without_a_spec_says_which_part_is_missing(command):
    row = published.load()[0]
    code, _, said = command("reproduce", row.name)
    assert code == 2 and f"{row.name} has no matching spec here" in said
    assert "method 'X-CLIP', protocol 'fully_supervised'" in said


def test_missing_weights_say_what_to_fetch_and_missing_data_where_to_put_it(command, monkeypatch):
    code, _, said = command("reproduce", frozen_clip().name)
    assert code == 2 and "clip-vit-b-16" in said and "fetch" in said
    monkeypatch.setattr(plugins.find("adapters", "clip-vit-b-16"), "at_hand", lambda name: "")
    code, _, said = command("reproduce", frozen_clip().name)
    assert code == 2 and "is on UCF-101, which does not come with the project" in said and "--root FOLDER" in said


def test_the_spec_is_the_numbers_own(monkeypatch):
    monkeypatch.setattr(plugins.find("adapters", "clip-vit-b-16"), "at_hand", lambda name: "")
    (spec, *others) = reported.specs(frozen_clip(), "/videos")
    assert (spec.backbone, spec.method, spec.protocol, spec.frames.num_frames) == (
        *("clip-vit-b-16", "zero_shot", "zero_shot"),
        16,
    )
    assert len(others) + 1 == len(frozen_clip().our_splits or {"1"})


@pytest.mark.parametrize(("off", "code", "words"), [(0.4, 0, "within the tolerance"), (-1.4, 1, "NOT within")])
def test_measured_is_held_against_reported_with_a_tolerance(command, monkeypatch, off, code, words):
    row = frozen_clip()

    def measure(row, home, root, options, progress):
        return reported.Comparison(row, row.value + off, ("a1b2c3d4e5f6",), {"frames": ("16", "8")})

    monkeypatch.setattr(reported, "measure", measure)
    found, said, _ = command("reproduce", row.name)
    assert found == code and words in said and f"apart by {off:+.2f} points" in said
    assert "frames: 16 -> 8" in said and f"reported {row.value:.2f}" in said
    assert command("reproduce", row.name, "--tolerance", "3")[0] == 0
    assert "0 to 100 points" in command("reproduce", row.name, "--tolerance", "-1")[2]


def test_the_runs_are_done_and_what_differs_is_told(monkeypatch, home):
    asked = []
    monkeypatch.setattr(plugins.find("adapters", "clip-vit-b-16"), "at_hand", lambda name: "")
    monkeypatch.setattr(runner, "run", lambda spec, home: asked.append(spec) or {"top1": 0.5})
    real = planning.resolve(
        RunSpec(dataset="toy", backbone="tiny-clip", method="zero_shot", limit=1),
        home,
    )
    monkeypatch.setattr(planning, "resolve", lambda spec, home, progress: real)
    splits = {"splits": ("1", "2", "3")}
    monkeypatch.setattr(planning, "build_manifest", lambda spec, home, progress: SimpleNamespace(**splits))
    result = reported.measure(frozen_clip(), home, "/videos")
    assert result.measured == 50 and len(asked) == len(result.run_ids)
    assert result.differences["views"] == ("not told", "1x1")
    assert result.differences["precision"] == ("not told", "float32")
    assert "{}" in result.differences["template"][1] and result.differences["frames"][0] == "16"
    assert "split" not in result.differences, "the number is a mean over the same three"


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Small videos of six classes with three splits; a tiny backbone stands for the one of the published numbers."""
    rows = [
        (f"{c}{i}.mp4", f"class {c}", *(("train", "test")[(i + s) % 3 == 0] for s in range(3)))
        for c in range(6)
        for i in range(6)
    ]
    root = tmp_path / "videos"
    for number, (path, *_) in enumerate(rows):
        write_video(root / path, 6, first=number)
    pd.DataFrame(rows, columns=["path", "label", "s1", "s2", "s3"]).to_csv(root / "list.csv", index=False)
    monkeypatch.setitem(reported.BACKBONES, "CLIP ViT-B/16", "tiny-clip")
    return root


def test_a_published_mean_over_three_splits_is_measured_from_end_to_end(real, home, command):
    row = frozen_clip()
    words = ("reproduce", row.name, "--root", str(real), "--option", "csv=list.csv", "--option", "split=s1,s2,s3")
    code, said, error = command(*words)
    assert code == 1, error
    runs = store.Results(home).runs
    assert (
        sorted(runs["split"]) == ["1", "2", "3"] and set(runs["num_frames"]) == {16} and set(runs["num_test"]) == {12}
    )
    measured = 100 * runs["top1"].mean()
    assert f"reported 69.90, measured {measured:.2f} ({', '.join(runs.sort_values('split')['run_id'])})" in said
    assert f"apart by {measured - 69.9:+.2f} points: NOT within the tolerance of 1 points" in said
    told = said.split("why they may differ")[1]
    for text in (
        "views: not told -> 1x1",
        "template: not told -> mean over {}",
        "precision: not told -> float32",
        "tiny-clip",
    ):
        assert text in told, text
    assert "split:" not in told and "frames:" not in told, "these are the number's own"
    assert command(*words, "--tolerance", "100")[0] == 0 and len(store.Results(home).runs) == 3, "the same runs again"


def test_a_number_on_published_splits_is_not_measured_on_folds_of_our_own(real, home, command):
    words = ("reproduce", frozen_clip().name, "--root", str(real), "--option", "csv=list.csv")
    for more, lacking in (((), "1, 2, 3"), (("--option", "split=s1"), "2, 3")):
        code, _, error = command(*words, *more)
        assert (
            code == 2
            and f"is on the published split 1, 2, 3, and under {real} there is none called {lacking};" in error
        )
        assert "--option split=COLUMN,COLUMN,COLUMN" in error and not (home / "runs").exists()


def test_a_number_whose_source_tells_no_split_says_where_it_was_measured(real, home, command):
    (row,) = [r for r in published.load() if r.name == "p-e23fcbf0"]
    assert row.split == "" and row.frames == "8"
    words = ("reproduce", row.name, "--root", str(real), "--option", "csv=list.csv")
    assert "split: not told -> fold 1 of 5: no split lies under the root" in command(*words)[1]
    assert "split: not told -> 1 template:" in command(*words, "--option", "split=s1")[1]
