"""Predictions from elsewhere: an ordinary run, what is reported of a file, and what leaves nothing behind."""

import numpy as np
import pandas as pd
import pytest
from commands import bench
from imported import CLASSES, IDS, LABELS, NUM, TRUTH, good, jsonl, only, ranked

from bench import importing, index, judging, metrics, plugins, records, rescoring, store
from bench.contracts import BenchError
from bench.stored_results import Results
from results._data import board

# --- an ordinary run -------------------------------------------------------------------------------------------------


def test_a_file_becomes_an_ordinary_run(command, home, tmp_path):
    file = jsonl(tmp_path / "a.jsonl", good(_0=ranked("clap")))
    code, said, _ = command(file, "--protocol", "zero_shot")
    run_id = only(home)
    assert code == 0 and run_id in said
    assert records.scores(home, run_id)["top1"] == 13 / 14
    assert not {"nll", "ece"} & set(records.scores(home, run_id))
    found = store.read_predictions(home, run_id)
    assert found.video_ids == IDS and found.labels.tolist() == LABELS.tolist()
    assert set(found.not_scored) == {"nll", "ece"} and "no probabilities" in found.not_scored["ece"]
    told = "\n".join(records.told(home, run_id))
    assert "mine (imported)" in told and "scores_are" in told
    done = rescoring.rescore(home)
    assert done.changes == () and done.damaged == {}
    runs = Results(home).runs
    assert runs["method"].tolist() == ["imported"] and runs["trainable"].tolist() == ["imported"]


def test_every_table_and_plot_takes_imported_runs(command, home, tmp_path):
    command(jsonl(tmp_path / "a.jsonl", good(_0=ranked("clap"))), "--protocol", "zero_shot", name="first")
    command(jsonl(tmp_path / "b.jsonl", good(skip=9)), "--protocol", "zero_shot", name="<b>second")
    command(jsonl(tmp_path / "b.jsonl", good(skip=9)), "--protocol", "zero_shot", name="second")
    results = Results(home)
    made = {
        a.name: a.content for name in plugins.names("results") for a in plugins.find("results", name).render(results)
    }
    table = made["leaderboard.md"]
    assert "first (imported)" in table and "elsewhere (? × ?)" in table
    assert "Imported, not run here: first (imported), second (imported)" in table
    assert "9 test videos of a run have no answer and count as wrong" in table
    assert "no complete run that tells probabilities" in made["reliability.md"]
    assert not any(name.startswith("reliability") and name.endswith(".csv") for name in made)
    cells = {cell.name: cell for cell in board(results).cells}
    test = board(results).compare(cells["first (imported)"], cells["second (imported)"])
    assert test.difference == pytest.approx(8 / 14, abs=0.2) and test.num_groups == 4


def test_the_same_file_again_is_the_same_run_and_writes_nothing(command, home, tmp_path):
    file = jsonl(tmp_path / "a.jsonl", good())
    command(file, "--protocol", "zero_shot")
    before = index.scan(home)
    code, said, _ = command(file, "--protocol", "zero_shot")
    assert code == 0 and "nothing to do" in said and index.scan(home) == before


def test_another_file_under_one_name_is_refused_with_the_ways_out(command, home, tmp_path):
    command(jsonl(tmp_path / "a.jsonl", good()), "--protocol", "zero_shot")
    first, other = only(home), jsonl(tmp_path / "a.jsonl", good(_0=ranked("run")))
    code, _, error = command(other, "--protocol", "zero_shot")
    assert code == 2 and f"(run {first}, top-1 100.00)" in error and only(home) == first
    assert all(way in error for way in ("--replace", "--seed 2", "another --name"))
    code, said, error = command(other, "--protocol", "zero_shot", "--replace")
    assert code == 0 and f"in place of {first}, which is removed" in said, error
    assert only(home) != first and "nothing to do" in command(other, "--protocol", "zero_shot")[1]
    (cell,) = board(Results(home)).cells
    assert (cell.status, cell.top1) == ("complete", 13 / 14)


def test_several_runs_of_one_system_are_told_apart_by_their_seed(command, home, tmp_path):
    command(jsonl(tmp_path / "a.jsonl", good()), "--protocol", "zero_shot")
    assert (
        command(jsonl(tmp_path / "b.jsonl", good(_0=ranked("run"))), *"--protocol zero_shot --seed 2".split())[0] == 0
    )
    (cell,) = board(Results(home)).cells
    assert (cell.status, cell.top1, len(cell.done)) == ("complete", pytest.approx(27 / 28), 2)
    code, _, error = command(jsonl(tmp_path / "c.jsonl", good(_0=ranked("dive"))), "--protocol", "zero_shot")
    assert code == 2 and "--seed 3 keeps both" in error, "one that is free"


def test_scores_of_two_kinds_never_share_a_row(command, home, tmp_path):
    frame = pd.DataFrame(np.eye(7)[LABELS], columns=CLASSES).assign(video_id=IDS)
    frame.to_csv(tmp_path / "a.csv", index=False)
    command(tmp_path / "a.csv", "--protocol", "zero_shot")
    for words in ("--seed 2", "--seed 2 --replace"):
        code, _, error = command(tmp_path / "a.csv", *f"--protocol zero_shot --scores logits {words}".split())
        assert code == 2 and f"than --scores logits (run {only(home)})" in error
    first = only(home)
    assert command(tmp_path / "a.csv", *"--protocol zero_shot --scores logits --replace".split())[0] == 0
    assert only(home) != first


def test_a_newer_version_of_the_judging_takes_the_place_of_the_older(command, home, tmp_path, monkeypatch):
    file = jsonl(tmp_path / "a.jsonl", good())
    command(file, "--protocol", "zero_shot")
    monkeypatch.setattr(judging, "VERSION", judging.VERSION + 1)
    assert command(file, "--protocol", "zero_shot")[0] == 0 and len(list(store.run_ids(home))) == 2
    (cell,) = board(Results(home)).cells
    assert (cell.status, len(cell.runs)) == ("complete", 1)
    other = jsonl(tmp_path / "b.jsonl", good(_0=ranked("run")))
    code, said, error = command(other, "--protocol", "zero_shot", "--replace")
    assert code == 0 and only(home) in said, (error, "neither of the two versions comes back")


def test_an_imported_run_cannot_be_done_again_and_says_so(command, home, tmp_path, capsys, monkeypatch):
    command(jsonl(tmp_path / "a.jsonl", good()), "--protocol", "zero_shot")
    code, _, said = bench(capsys, monkeypatch, "reproduce", only(home))
    assert code == 2 and "was imported from the file a.jsonl" in said


def test_scope_is_part_of_the_id(command, home, tmp_path):
    file = jsonl(tmp_path / "a.jsonl", good())
    for words in ("zero_shot", "cross_subject", "zero_shot --seed 2", "few_shot --shots 1", "zero_shot --frames 8"):
        assert command(file, "--protocol", *words.split())[0] == 0
    assert len(list(store.run_ids(home))) == 5


# --- what is reported ------------------------------------------------------------------------------------------------


def test_missing_videos_are_named_and_count_as_wrong(command, home, tmp_path):
    code, said, _ = command(jsonl(tmp_path / "a.jsonl", good(skip=4)), "--protocol", "zero_shot")
    kept = store.read_record(home, only(home))["imported"]
    assert code == 0 and kept["missing"] == IDS[:4]
    assert (kept["top1_answered"], kept["top1_all"]) == (1.0, 10 / 14)
    assert "100.00 over the 10 videos that were answered, 71.43 over all 14" in said
    assert "4 test videos without an answer: test0.mp4, test1.mp4" in said
    scores = records.scores(home, only(home))
    assert scores["top1"] == scores["top5"] == 10 / 14 and "macro_f1" not in scores
    assert kept["not_applicable"]["macro_f1"].startswith("4 videos have no answer")


def test_unknown_videos_are_named(command, home, tmp_path):
    odd = [{"video_id": v, "ranked": ranked("run")} for v in ("train3.mp4", "nowhere.mp4")]
    _, said, _ = command(jsonl(tmp_path / "a.jsonl", [*good(), *odd]), "--protocol", "zero_shot")
    assert "2 answers on what is no test video here, ignored: train3.mp4, nowhere.mp4" in said
    assert records.scores(home, only(home))["top1"] == 1


def test_classes_that_match_no_name_are_told_with_the_nearest_and_are_wrong(command, home, tmp_path):
    entries = good(_0=["aply lipstik", TRUTH[0], "run", "wave", "jump"], _1=["xyz", TRUTH[1], "run", "wave", "jump"])
    _, said, _ = command(jsonl(tmp_path / "a.jsonl", entries), "--protocol", "zero_shot")
    assert "no class is called 'aply lipstik' (1 times, wrong each time); did you mean 'Apply Lipstick'?" in said
    scores, record = records.scores(home, only(home)), store.read_record(home, only(home))
    assert scores["top1"] == 12 / 14 and scores["top5"] == 1
    assert record["imported"]["unknown_classes"]["xyz"] == {"times": 1, "nearest": ""}


def test_short_lists_are_counted_and_leave_no_top5(command, home, tmp_path):
    _, said, _ = command(jsonl(tmp_path / "a.jsonl", good(_0=["wave"], _3=["run", "wave"])), "--protocol", "zero_shot")
    assert "2 answers name fewer than five classes" in said and "top5: n/a, 2 answers" in said
    assert "top5" not in records.scores(home, only(home))


def test_classes_that_are_called_by_number_are_told_with_their_names(command, tmp_path):
    by_number = [{"video_id": v, "ranked": [int(label)]} for v, label in zip(IDS, LABELS, strict=True)]
    _, said, _ = command(jsonl(tmp_path / "a.jsonl", by_number), "--protocol", "zero_shot")
    assert "called by number, from 0 in the data set's order: 0 is 'Apply Lipstick', 1 is 'clap', 2 is 'dive'" in said
    _, said, _ = command(jsonl(tmp_path / "b.jsonl", good()), "--protocol", "zero_shot", name="by name")
    assert "by number" not in said


# --- scores, base to novel -------------------------------------------------------------------------------------------


def test_logits_are_taken_as_they_are(command, home, tmp_path):
    logits = np.random.default_rng(0).normal(size=(NUM, 7))
    frame = pd.DataFrame(logits, columns=CLASSES)[list(reversed(CLASSES))].assign(video_id=IDS)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert command(tmp_path / "a.csv", *"--protocol zero_shot --scores logits".split())[0] == 0
    assert records.scores(home, only(home)) == metrics.compute(logits.astype(np.float32), LABELS)


def test_base_to_novel_is_an_ordinary_run_with_both_parts_and_their_harmonic_mean(command, home, tmp_path):
    entries = good()
    scope = ("--protocol", "base_to_novel", "--shots", "1")
    code, said, error = command(jsonl(tmp_path / "a.jsonl", entries), *scope)
    assert code == 0 and "top-1 100.00" in said, error
    predictions = store.read_predictions(home, only(home))
    assert set(predictions.parts) == {"base", "novel"}
    wrong = [
        {**e, "ranked": [c for c in CLASSES if c != t][:5]} if part == "novel" else e
        for e, t, part in zip(entries, TRUTH, predictions.parts, strict=True)
    ]
    code, said, error = command(jsonl(tmp_path / "b.jsonl", wrong), *scope, name="half")
    assert code == 0, error
    runs = Results(home).runs.set_index("label")
    assert runs.loc["half (imported)", ["base_top1", "novel_top1", "harmonic_mean"]].tolist() == [1, 0, 0]
    assert runs.loc["mine (imported)", ["base_top1", "novel_top1", "harmonic_mean"]].tolist() == [1, 1, 1]
    (table,) = [a for a in plugins.find("results", "base_to_novel").render(Results(home)) if a.name.endswith(".md")]
    assert "half (imported)" in table.content and "mine (imported)" in table.content


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "../up", "/tmp/x", "a/b", "a..b", "<b>", "a\x1b[2J", "a\0", "x" * 81, "-x", "a\n"]
)
def test_a_name_is_no_path_and_no_markup(name):
    with pytest.raises(BenchError, match="--name is"):
        importing.Source(name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--protocol base_to_novel", "say it with --shots"),
        ("--protocol zero_shots", "unknown protocol 'zero_shots'"),
        ("--protocol few_shot", "say it with --shots"),
        ("--protocol zero_shot --split 9", "no split '9'"),
        ("--protocol zero_shot --dataset foldr", "unknown dataset 'foldr'; did you mean folder"),
    ],
)
def test_what_cannot_be_imported_leaves_nothing_behind(command, home, tmp_path, words, said):
    file = jsonl(tmp_path / "a.jsonl", good())
    code, _, error = command(file, *words.split())
    assert code == 2 and said in error and not (home / "runs").exists()


def test_a_bad_file_leaves_nothing_behind_and_a_missing_one_is_said(command, home, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"video_id": "test0.mp4", "ranked": ["run"]}\n[]\n')
    code, _, error = command(tmp_path / "a.jsonl", "--protocol", "zero_shot")
    assert code == 2 and "a.jsonl: line 2: an answer is" in error and not (home / "runs").exists()
    code, _, error = command(tmp_path / "none.csv", "--protocol", "zero_shot")
    assert code == 2 and "cannot be read (No such file" in error
