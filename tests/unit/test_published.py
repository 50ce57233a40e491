"""Published numbers: what the table that ships holds, what is refused, how it stands beside measured rows, and `reproduce` of one.

Accept the tables: `python -m pytest tests/unit/test_published.py --accept-golden`, then look at `git diff tests/golden/published`.
"""

import dataclasses
import shutil
from pathlib import Path, PurePath
from types import SimpleNamespace

import made_runs
import pandas as pd
import pytest
from commands import bench
from fakes import write_video
from latex import compiled

from bench import planning, plugins, published, reported, runner, store
from bench.contracts import BenchError
from bench.specs import RunSpec
from results import published_numbers

GOLDEN = Path(__file__).parent.parent / "golden" / "published"
K400, K600, UCF, HMDB, SSV2 = "Kinetics-400", "Kinetics-600", "UCF-101", "HMDB-51", "SSv2"
# Typed from the READMEs: microsoft/VideoX X-CLIP/README.md at 0cf704a, muzairkhattak/ViFi-CLIP README.md at 2938602, and
# open-mmlab/mmaction2 configs/recognition/mvit/README.md at 14118a3. (source, backbone, frames, data set, shots, metric, value)
TYPED = [
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/32", "8", K400, None, "top1", 80.4),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/32", "16", K400, None, "top5", 95.5),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "8", K400, None, "top1", 83.8),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "16", K400, None, "top5", 96.8),
    ("X-CLIP", "X-CLIP", "CLIP ViT-L/14@336", "16", K400, None, "top1", 87.7),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "8", K600, None, "top5", 97.1),
    ("X-CLIP", "X-CLIP", "CLIP ViT-L/14", "8", K600, None, "top1", 88.3),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", HMDB, 2, "top1", 53.0),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", HMDB, 8, "top1", 62.8),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", UCF, 4, "top1", 83.4),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", UCF, 16, "top1", 91.4),
    ("ViFi-CLIP", "CLIP image-FT", "CLIP ViT-B/16", "32", HMDB, None, "top1", 49.0),
    ("ViFi-CLIP", "CLIP text-FT", "CLIP ViT-B/16", "32", K600, None, "top1", 68.5),
    ("ViFi-CLIP", "ViFi-CLIP", "CLIP ViT-B/16", "32", UCF, None, "top1", 76.8),
    ("ViFi-CLIP", "CLIP image-FT", "CLIP ViT-B/16", "32", K400, 16, "novel", 58.0),
    ("ViFi-CLIP", "ViFi-CLIP", "CLIP ViT-B/16", "32", K400, 16, "HM", 67.9),
    ("ViFi-CLIP", "CLIP text-FT", "CLIP ViT-B/16", "32", HMDB, 16, "base", 70.0),
    ("ViFi-CLIP", "ViFi-CLIP", "CLIP ViT-B/16", "32", UCF, 16, "base", 92.9),
    ("mmaction2", "mmaction2 mvit", "MViTv2-B", "32x3x1", K400, None, "top1", 82.6),
    ("mmaction2", "mmaction2 mvit", "MViTv2-L", "40x3x1", K400, None, "top5", 96.2),
    ("mmaction2", "mmaction2 mvit", "MViTv2-B", "uniform 32", SSV2, None, "top1", 70.8),
    ("mmaction2", "mmaction2 mvit", "MViTv2-L", "uniform 40", SSV2, None, "top5", 94.0),
]


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: bench(capsys, monkeypatch, *words)


def measured(home, dataset="ucf101", protocol="few_shot", shots=16, split="1", run_id="a1b2c3d4e5f6"):
    columns = made_runs.record()["columns"] | {"dataset": dataset, "protocol": protocol, "shots": shots, "split": split}
    made_runs.complete(home, run_id, columns=columns)
    return store.Results(home)


# --- the table that ships --------------------------------------------------------------------------------------------


def test_every_row_parses_and_has_a_source_and_a_name_of_its_own():
    rows = published.load()
    assert len(rows) == 1518 and published.FILE.stat().st_size < 2_000_000
    assert all(row.source and row.reported_by for row in rows)
    assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize("typed", TYPED, ids=str)
def test_values_are_those_of_the_cited_readme(typed):
    by, method, backbone, frames, dataset, shots, metric, value = typed
    found = [
        row.value
        for row in published.load()
        if (row.reported_by, row.method, row.backbone, row.frames) == (by, method, backbone, frames)
        and (row.dataset, row.shots, row.metric) == (dataset, shots, metric)
        and "github:" in row.source
    ]
    assert found == [value]


HEADER = published.FILE.read_text().splitlines()[0]
GOOD = "X,CLIP,,,8,1x1,zero_shot_LVLM,,UCF-101,,top1,80.4,0.5,Y,a README,"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GOOD.replace("80.4", "nan"), "'nan' is no number"),
        (GOOD.replace("80.4", ""), "'' is no number"),
        (GOOD.replace("80.4", "100.4"), "the value 100.4 is not in percent"),
        (GOOD.replace("80.4", "0.804"), "the value 0.804 is not in percent"),
        (GOOD.replace("80.4", "-3"), "the value -3 is not in percent"),
        (GOOD.replace("0.5", "-1"), "the std -1 is no standard deviation"),
        (GOOD.replace("a README", ""), "it has no source"),
        (GOOD.replace("top1", "top2"), "unknown metric 'top2'"),
        (GOOD.replace("zero_shot_LVLM", "zero"), "unknown protocol 'zero'"),
        (GOOD.replace("LVLM,,", "LVLM,0,"), "shots is '0'"),
        (GOOD + ",", "it has 17 fields, not 16"),
        (GOOD.replace("UCF", "U\x1bF"), "holds a control character"),
        (GOOD.replace("UCF", " UCF"), "blanks around it"),
        (GOOD + "\n" + GOOD, "the same row as line 2"),
        ('"' + GOOD, "it is no csv"),
    ],
)
def test_a_row_that_is_none_is_refused_with_its_line(tmp_path, line, said):
    path = tmp_path / "published.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(BenchError, match=r"line [23].*" + said):
        published.load(path)


def test_a_table_of_other_columns_is_refused(tmp_path):
    (tmp_path / "published.csv").write_text("method,value\n")
    with pytest.raises(BenchError, match="line 1: its columns are not method, backbone"):
        published.load(tmp_path / "published.csv")


# --- beside measured rows --------------------------------------------------------------------------------------------


def test_rows_of_the_same_setting_alone_stand_beside_measured_ones(home):
    rows = published.beside("ucf101", "few_shot", 16, {"1"}, "top1")
    assert rows and {(r.dataset, r.shots, r.metric, r.protocol) for r in rows} == {
        ("UCF-101", 16, "top1", "few_shot_all_way")
    }
    assert all(r.split == "" for r in rows)
    assert published.beside("ucf101", "few_shot", 3, {"1"}, "top1") == []
    assert published.beside("ucf102", "few_shot", 16, {"1"}, "top1") == []
    three = published.beside("ucf101", "zero_shot", None, {"1", "2", "3"}, "top1")
    assert not any(r.protocol == "zero_shot_from_K400" for r in three)
    assert {r.split for r in published.beside("UCF-101", "cross_subject", None, {"1"}, "top1")} <= {"", "split1"}


def test_sources_that_contradict_each_other_both_stand_and_are_marked(home):
    (table,) = published_numbers.tables(measured(home, shots=8))
    block = table.blocks[1]
    rows = published.beside("ucf101", "few_shot", 8, {"1"}, "top1")
    assert len(block) == len(rows)
    feet = dict(table.footnotes)
    torn = [row for row in rows if published.conflicts(row, rows)]
    assert torn
    for row in torn:
        told = [
            feet[mark]
            for line in block
            if line[1].text == row.method and line[-1].text.startswith(f"{row.value:g}")
            for mark in line[-1].marks
        ]
        assert any(text.startswith("other numbers for it: ") for text in told)


def test_reported_rows_are_marked_and_in_no_statistics(home):
    results = measured(home)
    (table,) = published_numbers.tables(results)
    assert {line[0].text for line in table.blocks[1]} == {"reported"} and table.blocks[0][0][0].text == "measured"
    assert not any(cell.bold for block in table.blocks for line in block for cell in line)
    frame = table.frame[table.frame["what"] == "reported"]
    assert frame["top1"].between(0, 1).all() and frame["source"].all()
    assert "X-CLIP" not in next(a.content for a in plugins.find("results", "leaderboard").render(results))


def test_a_data_set_without_published_numbers_has_no_table(home):
    results = measured(home, dataset="toy")
    assert list(published_numbers.render(results)) == []
    assert "No number is published" in published_numbers.text(results)


def test_the_new_table_stays_as_it_was_accepted(home, request):
    found = {a.name: a.content for a in published_numbers.render(measured(home, shots=8))}
    if request.config.getoption("--accept-golden"):
        shutil.rmtree(GOLDEN, ignore_errors=True)
        GOLDEN.mkdir(parents=True)
        for name, content in found.items():
            (GOLDEN / name).write_text(content)
    assert {p.name: p.read_text() for p in GOLDEN.glob("*")} == found
    assert {PurePath(name).suffix for name in found} == {".md", ".csv", ".tex", ".html"}


def test_markup_in_a_published_row_is_escaped(home, monkeypatch):
    odd = dataclasses.replace(published.load()[25], method="<script>alert(1)</script> _50%_ $x$ \\input")
    assert odd.dataset == "UCF-101" and odd.shots == 16
    monkeypatch.setattr(published, "load", lambda: (odd,))
    made = {PurePath(a.name).suffix: a.content for a in published_numbers.render(measured(home))}
    assert "<script>" not in made[".html"] and "\\input" not in made[".tex"] and "$x$" not in made[".tex"]
    assert "<script>" not in made[".md"]


def test_the_commands_print_both(home, command):
    measured(home)
    code, said, _ = command("leaderboard", "--published")
    assert code == 0 and "reported" in said and "measured" in said and "X-CLIP" in said
    assert "X-CLIP" not in command("leaderboard")[1]
    code, said, _ = command("published", "x-clip", "ucf", "few_shot")
    assert code == 0 and "p-" in said and "91.4" in said and "HMDB" not in said


# --- reproduce -------------------------------------------------------------------------------------------------------


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


@pytest.mark.latex
def test_the_table_compiles_in_latex(home, tmp_path):
    tex = next(a.content for a in published_numbers.render(measured(home)) if a.name.endswith(".tex"))
    _, shown = compiled(tmp_path, tex)
    assert "reported" in shown and "X-CLIP" in shown
