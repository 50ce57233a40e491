"""Published numbers beside measured ones: which stand there, how they are marked, and the commands that print them.

Accept the table: `python -m pytest tests/unit/test_published_tables.py --accept-golden`, then look at `git diff tests/golden/published`.
"""

import dataclasses
import shutil
from pathlib import Path, PurePath

import made_runs
import numpy as np
import pytest
from latex import compiled

from bench import conflicts, plugins, published
from bench.stored_results import Results
from results import published_numbers

GOLDEN = Path(__file__).parent.parent / "golden" / "published"


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


def measured(home, dataset="ucf101", protocol="few_shot", shots=16, split="1", run_id="a1b2c3d4e5f6", **more):
    columns = made_runs.record()["columns"] | {"dataset": dataset, "protocol": protocol, "shots": shots, "split": split}
    made_runs.complete(home, run_id, columns=columns, **more)
    return Results(home)


def test_rows_of_the_same_setting_alone_stand_beside_measured_ones():
    rows = published.beside("ucf101", "few_shot", 16, {"1"}, "top1")
    assert rows and {(r.dataset, r.shots, r.metric, r.protocol) for r in rows} == {
        ("UCF-101", 16, "top1", "few_shot_all_way")
    }
    assert all(r.split == "" for r in rows)
    assert published.beside("ucf101", "few_shot", 3, {"1"}, "top1") == []
    assert published.beside("ucf102", "few_shot", 16, {"1"}, "top1") == []
    three = published.beside("ucf101", "zero_shot", None, {"1", "2", "3"}, "top1")
    assert {r.over for r in three} == {"", "mean of splits 1, 2, 3"}
    assert {r.method for r in three if r.protocol == "zero_shot_from_K400"} == {"CLIP (frozen)"}
    one = published.beside("UCF-101", "cross_subject", None, {"1"}, "top1")
    assert {(r.over, r.our_protocol) for r in one} == {("", "cross_subject"), ("split1", "cross_subject")}


def block(table, metric, what):
    """The lines of a table that are of a metric and measured or reported, as texts."""
    lines = [[cell.text for cell in line] for part in table.blocks for line in part]
    return [line for line in lines if line[:2] == [what, published_numbers.METRICS[metric]]]


@pytest.mark.parametrize(
    ("metric", "printed", "dataset", "protocol", "shots", "theirs"),
    [
        ("top1", "top1", "UCF-101", "few_shot", 8, "few_shot_all_way"),
        ("top5", "top5", "Kinetics-700", "zero_shot", None, "zero_shot_no_video_training"),
        ("mean_class_accuracy", "mCA", "Toyota Smarthome CS", "cross_subject", None, "fully_supervised"),
        ("base_top1", "base", "HMDB-51", "base_to_novel", 16, "base_to_novel_K16"),
        ("novel_top1", "novel", "HMDB-51", "base_to_novel", 16, "base_to_novel_K16"),
        ("harmonic_mean", "HM", "HMDB-51", "base_to_novel", 16, "base_to_novel_K16"),
    ],
)
def test_every_metric_that_is_measured_stands_beside_its_published_numbers(
    home, metric, printed, dataset, protocol, shots, theirs
):
    scores = {"top1": 0.5, "top5": 0.8, "mean_class_accuracy": 0.4}
    found = None
    if protocol == "base_to_novel":
        scores = {"top1": 0.5, "base_top1": 0.6, "novel_top1": 0.3, "harmonic_mean": 0.4}
        parts = ["base" if i % 4 < 2 else "novel" for i in range(12)]
        rng = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
        other = np.array([[part == "novel", part == "novel", part == "base", part == "base"] for part in parts])
        found = made_runs.predictions(
            logits=np.where(other, -np.inf, rng).astype(np.float32),
            labels=np.arange(12) % 4,
            class_names=("clap", "run", "wave", "sit"),
            parts=parts,
        )
    results = measured(home, dataset, protocol, shots, scores=scores, found=found)
    (table,) = published_numbers.tables(results)
    expected = sorted(
        (r.method, r.pretraining or "not told", r.frames or "not told", r.views or "not told", f"{r.value:g}")
        for r in published.load()
        if (r.dataset, r.metric, r.shots, r.protocol) == (dataset, printed, shots, theirs)
    )
    lines = block(table, metric, "reported")
    got = sorted((line[2], line[4], line[5], line[6], line[8].partition(" ")[0]) for line in lines)
    assert expected and got == expected
    ((*_, value),) = block(table, metric, "measured")
    assert value.partition(" ")[0] == f"{100 * scores[metric]:.1f}"
    frame = table.frame.set_index("metric").loc[[metric]]
    assert sorted(frame["what"].unique()) == ["measured", "reported"]
    (ours,) = frame[frame["what"] == "measured"].to_dict("records")
    assert (ours["value"], ours["pretraining"], ours["frames"], ours["views"]) == (scores[metric], "sticks", 8, 1)


def test_a_metric_that_no_run_has_is_in_no_table(home):
    (table,) = published_numbers.tables(measured(home, "Kinetics-700", "zero_shot", None, scores={"top1": 0.5}))
    assert set(table.frame["metric"]) == {"top1"}
    results = measured(home, "Kinetics-700", "zero_shot", None, scores={"top1": 0.5, "top5": 0.7})
    (table,) = published_numbers.tables(results)
    assert set(table.frame["metric"]) == {"top1", "top5"}
    (top5,) = [line for line in table.blocks[2] if line[0].text == "measured"]
    assert "no interval" in dict(table.footnotes)[top5[-1].marks[0]]


def test_a_recogniser_as_it_is_stands_beside_the_fully_supervised_numbers_of_its_own_data_set(home):
    facts = {"dataset": "kinetics400", "protocol": "zero_shot", "shots": None, "pretraining": "ImageNet, Kinetics-400"}
    columns = made_runs.record()["columns"] | facts | {"method": "mmaction2_as_is", "label": "recogniser as is"}
    made_runs.complete(home, "a1b2c3d4e5f6", columns=columns)
    (table,) = published_numbers.tables(Results(home))
    assert "cross-subject" in table.title and "recogniser as is" in {
        line[2] for line in block(table, "top1", "measured")
    }
    assert (
        len(block(table, "top1", "reported"))
        == len(published.beside("kinetics400", "cross_subject", 0, {"1"}, "top1"))
        > 100
    )
    assert any("Trained by others on the data set's own training videos" in note for note in table.notes)


@pytest.mark.parametrize(
    ("pretraining", "dataset", "expected"),
    [
        ("ImageNet, Kinetics-400", "kinetics400", True),
        ("Kinetics-710 + Kinetics-400", "Kinetics-710", True),
        ("WIT-400M (CLIP), then Kinetics-400 fully supervised: contaminated for Kinetics", "kinetics400", True),
        ("WIT-400M (CLIP), then Kinetics-400 fully supervised: contaminated for Kinetics", "kinetics", False),
        ("ImageNet, Kinetics-400", "kinetics600", False),
        ("ImageNet, SthV2", "ssv2", True),
        ("TSM, SthV1", "SSv1", True),
        ("ImageNet, SthV2", "ssv1", False),
        ("Kinetics-710", "kinetics600", True),
        ("Kinetics-710 + Kinetics-400, Moments in Time V1", "MiT-v1", True),
        ("procedural stick figures (toy scale)", "toy", False),
        ("not stated (own weights)", "ucf101", False),
        ("", "", False),
    ],
)
def test_what_a_backbone_was_trained_on_is_read_from_its_facts(pretraining, dataset, expected):
    assert published.trained_on(pretraining, dataset) is expected


def test_draws_of_classes_are_called_so_and_stand_beside_no_split(home):
    (table,) = published_numbers.tables(measured(home, "kinetics600", "zero_shot", None))
    assert {line[7] for line in block(table, "top1", "reported")} == {"not told"}
    results = measured(home, "ucf101", "zero_shot", None, split="1")
    table = next(t for t in published_numbers.tables(results) if "ucf101" in t.name)
    assert "mean of splits 1, 2, 3" not in {line[7] for line in block(table, "top1", "reported")}


def test_sources_that_contradict_each_other_both_stand_and_are_marked(home):
    (table,) = published_numbers.tables(measured(home, shots=8))
    lines = [line for part in table.blocks for line in part if line[0].text == "reported"]
    rows = published.beside("ucf101", "few_shot", 8, {"1"}, "top1")
    assert [line[2].text for line in lines] == [row.method for row in rows], "none is left out or put together"
    feet = dict(table.footnotes)
    marks = {
        (row.value, row.reported_by): [feet[m] for m in line[-1].marks if feet[m].startswith("other numbers")]
        for row, line in zip(rows, lines, strict=True)
    }
    told = {key: texts for key, texts in marks.items() if texts}
    assert told == {
        (88.3, "X-CLIP"): ["other numbers for it: 83.7 (MAXI)"],
        (88.3, "MoTE"): ["other numbers for it: 83.7 (MAXI)"],
        (83.7, "MAXI"): ["other numbers for it: 88.3 (X-CLIP), 88.3 (MoTE)"],
    }
    assert [row.value for row in rows if conflicts.conflicts(row, rows)] == [88.3, 88.3, 83.7]


def test_a_conflict_names_who_did_it_again():
    rows = published.beside("ucf101", "zero_shot", None, {"1", "2", "3"}, "top1")
    (row,) = [r for r in rows if (r.method, r.value) == ("CLIP (frozen)", 73.8)]
    assert [conflicts.told(row, other) for other in conflicts.conflicts(row, rows)] == [
        "69.9 (CLIP (frozen zero-shot), MAXI)"
    ]


def test_reported_rows_are_marked_and_in_no_statistics(home):
    results = measured(home)
    (table,) = published_numbers.tables(results)
    assert {line[0].text for line in table.blocks[1]} == {"reported"} and table.blocks[0][0][0].text == "measured"
    assert not any(cell.bold for part in table.blocks for line in part for cell in line)
    frame = table.frame[table.frame["what"] == "reported"]
    assert frame["value"].between(0, 1).all() and frame["source"].all()
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
    code, said, _ = command("published", "--conflicts", "x-clip", "few_shot")
    assert code == 0 and "48.5" in said and "3 settings of which sources tell different numbers" in said


@pytest.mark.latex
def test_the_table_compiles_in_latex(home, tmp_path):
    tex = next(a.content for a in published_numbers.render(measured(home)) if a.name.endswith(".tex"))
    _, shown = compiled(tmp_path, tex)
    assert "reported" in shown and "X-CLIP" in shown
