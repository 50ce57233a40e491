"""Predictions from elsewhere: what is reported of a file, what is refused, and that the rest is an ordinary run."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import bench

from bench import answers, importing, index, judging, metrics, plugins, records, rescoring, store
from bench.cli import main
from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.stored_results import Results
from results._data import board

CLASSES = ("Apply Lipstick", "clap", "dive", "jump", "run", "swim", "wave")
NUM = 14  # test videos, two of each class
IDS = [f"test{i}.mp4" for i in range(NUM)]
LABELS = np.arange(NUM) % len(CLASSES)
TRUTH = [CLASSES[i] for i in LABELS]


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


def ranked(first, num=5):
    """A list of classes that begins with this one."""
    return ([first] + [c for c in CLASSES if c != first])[:num]


def jsonl(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def good(skip=0, **changes):
    """Right on all videos but the first `skip`, which are left out; `changes`: position -> list."""
    lists = {i: ranked(TRUTH[i]) for i in range(skip, NUM)} | {int(k[1:]): v for k, v in changes.items()}
    return [{"video_id": IDS[i], "ranked": some} for i, some in lists.items()]


def judge(entries, kind="ranking"):
    text = "".join(json.dumps(e) + "\n" for e in entries).encode()
    return judging.judge(answers.parse(text, ".jsonl"), IDS, LABELS, CLASSES, kind)


def only(home):
    (run_id,) = store.run_ids(home)
    return run_id


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


def test_an_imported_run_cannot_be_done_again_and_says_so(command, home, tmp_path, capsys, monkeypatch):
    command(jsonl(tmp_path / "a.jsonl", good()), "--protocol", "zero_shot")
    code, _, said = bench(capsys, monkeypatch, "reproduce", only(home))
    assert code == 2 and "was imported from the file a.jsonl" in said


def test_scope_is_part_of_the_id(command, home, tmp_path):
    file = jsonl(tmp_path / "a.jsonl", good())
    for words in ("zero_shot", "cross_subject", "zero_shot --seed 2", "few_shot --shots 1", "zero_shot --frames 8"):
        assert command(file, "--protocol", *words.split())[0] == 0
    assert len(list(store.run_ids(home))) == 5


# --- what is asked ---------------------------------------------------------------------------------------------------


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


def test_the_recipe_of_the_docs_closes_the_circle(asked, command, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, words in (("videos.csv", []), ("classes.csv", ["--classes"])):
        (tmp_path / name).write_text(asked("--protocol", "zero_shot", *words).out)
    text = (ROOT / "docs" / "import.md").read_text().split("<!-- ask -->\n```python\n")[1].split("```")[0]
    exec(text, {"ask": lambda path, classes: classes[LABELS[IDS.index(Path(path).name)]]})
    assert command(tmp_path / "answers.csv", "--protocol", "zero_shot")[0] == 0
    assert records.scores(home, only(home))["top1"] == 1


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


def test_videos_answered_twice_in_the_same_way_are_named():
    assert judge([*good(), good()[2], good()[2]]).report["twice"] == [IDS[2]]


def test_videos_answered_twice_in_two_ways_are_an_error_with_both_lines():
    with pytest.raises(BenchError, match="line 15: another answer on 'test0.mp4' than line 1"):
        judge([*good(), {"video_id": IDS[0], "ranked": ["run"]}])


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


@pytest.mark.parametrize("label", range(7))
@pytest.mark.parametrize("said", [["?"], ["?", 0], ["?", 6, 5, 4, 3, 2, 1, 0], []])
def test_an_answer_that_is_no_class_is_never_right(label, said):
    answer = answers.Answer("line 1", "v", ranked=tuple(said))
    found = judging.judge([answer], ["v"], np.array([label]), CLASSES, "ranking")
    assert found.logits[0].argmax() != label and np.isfinite(found.logits).all()


def test_of_two_classes_too():
    for label in (0, 1):
        for said in (
            ["?"],
            ["?", 0, 1],
            ["?", 1, 0],
            ["?", "?", label],
            *(["?"] * k + [1 - label] for k in range(1, 13)),
        ):
            answer = answers.Answer("line 1", "v", ranked=tuple(said))
            assert judging.judge([answer], ["v"], np.array([label]), ("a", "b"), "ranking").logits[0].argmax() != label


def test_short_lists_are_counted_and_leave_no_top5(command, home, tmp_path):
    _, said, _ = command(jsonl(tmp_path / "a.jsonl", good(_0=["wave"], _3=["run", "wave"])), "--protocol", "zero_shot")
    assert "2 answers name fewer than five classes" in said and "top5: n/a, 2 answers" in said
    assert "top5" not in records.scores(home, only(home))


def test_a_list_puts_classes_in_its_order_and_the_others_below():
    logits = judge([{"video_id": IDS[0], "ranked": ["dive", "wave", "jump"]}]).logits[0]
    order = np.argsort(-logits, kind="stable").tolist()
    assert order == [2, 6, 3, 1, 4, 5, 0]  # its own, which it does not name, last of all


def test_scores_are_an_order_unless_said_otherwise():
    entries = [{"video_id": v, "scores": {"run": 0.1, "clap": 0.7, "wave": 0.7}} for v in IDS]
    logits = judge(entries).logits[1]
    assert logits[1] == logits[6] == 0 and logits[4] == -1 and logits.argmax() == 1
    assert "--scores" in judge(entries).not_scored["nll"], "they may be logits"
    assert "--scores" not in judge(good()).not_scored["nll"], "lists are an order, whatever is said"


@pytest.mark.parametrize("name", ["apply_lipstick", "ApplyLipstick", 0, "0", "APPLY LIPSTICK"])
def test_a_class_is_found_by_number_and_whatever_its_case_and_signs(name):
    found = judging.judge([answers.Answer("", "v", (name,))], ["v"], np.array([0]), CLASSES, "ranking")
    assert found.logits[0].argmax() == 0 and not found.report["unknown_classes"]


def test_a_name_that_is_a_number_goes_before_the_number():
    match = judging.Matcher(("1", "0"))
    assert (match("0"), match("1")) == (1, 0) and not match.by_number
    assert (match(0), match(1)) == (0, 1) and match.by_number == {0, 1}


def test_classes_that_are_called_by_number_are_told_with_their_names(command, tmp_path):
    by_number = [{"video_id": v, "ranked": [int(label)]} for v, label in zip(IDS, LABELS, strict=True)]
    _, said, _ = command(jsonl(tmp_path / "a.jsonl", by_number), "--protocol", "zero_shot")
    assert "called by number, from 0 in the data set's order: 0 is 'Apply Lipstick', 1 is 'clap', 2 is 'dive'" in said
    _, said, _ = command(jsonl(tmp_path / "b.jsonl", good()), "--protocol", "zero_shot", name="by name")
    assert "by number" not in said


@pytest.mark.parametrize(
    ("said", "near"),
    [
        ("The person in this video seems to swim, I think.", "swim"),
        ("I would say: apply_lipstick (makeup)", "Apply Lipstick"),
        ("aply lipstik", "Apply Lipstick"),
        ("the swimmers are swimming in some pool", ""),
    ],
)
def test_the_nearest_of_a_sentence_is_the_class_that_stands_in_it(said, near):
    assert judging.Matcher(CLASSES).nearest(said) == near


# --- scores ----------------------------------------------------------------------------------------------------------


def test_logits_are_taken_as_they_are(command, home, tmp_path):
    logits = np.random.default_rng(0).normal(size=(NUM, 7))
    frame = pd.DataFrame(logits, columns=CLASSES)[list(reversed(CLASSES))].assign(video_id=IDS)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert command(tmp_path / "a.csv", *"--protocol zero_shot --scores logits".split())[0] == 0
    assert records.scores(home, only(home)) == metrics.compute(logits.astype(np.float32), LABELS)


def test_probabilities_give_their_own_nll():
    p = np.random.default_rng(0).dirichlet(np.ones(7), NUM)
    found = judge([{"video_id": v, "scores": row} for v, row in zip(IDS, p.tolist(), strict=True)], "probabilities")
    nll = metrics.compute(found.logits, LABELS)["nll"]
    assert nll == pytest.approx(-np.log(p[np.arange(NUM), LABELS]).mean(), rel=1e-5) and not found.not_scored


@pytest.mark.parametrize(
    ("scores", "kind", "said"),
    [
        ([0.5] * 7, "probabilities", "line 1: its scores are no probabilities: the least is 0.5, their sum 3.5"),
        ([-0.5, 1.5, 0, 0, 0, 0, 0], "probabilities", "the least is -0.5"),
        ([1.0] * 6, "logits", "line 1: logits are a number for each of the 7 classes"),
        ([1e300] * 7, "logits", "line 1: a score is too large for float32"),
        ([1.0] * 7, "odds", "unknown kind of scores 'odds'"),
    ],
)
def test_scores_that_are_not_what_was_said_are_refused(scores, kind, said):
    with pytest.raises(BenchError, match=said):
        judge([{"video_id": v, "scores": scores} for v in IDS], kind)


def test_logits_of_some_videos_and_of_lists_are_refused():
    with pytest.raises(BenchError, match="13 test videos have no logits, such as 'test1.mp4'"):
        judge([{"video_id": IDS[0], "scores": [1.0] * 7}], "logits")
    with pytest.raises(BenchError, match="ranked lists are no logits"):
        judge(good(), "logits")


# --- bad files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".csv", "", "line 1: its columns are ; a file has the column video_id"),
        (".csv", "video,rank_1\na,run\n", "line 1: its columns are 'video', 'rank_1'; a file has the column video_id"),
        (".csv", "video_id\na\n", "line 1: its columns are 'video_id'"),
        (".csv", "video_id,rank_1,rank_3\n", "line 1: .*they are rank_1, rank_2"),
        (".csv", "video_id,rank_1,run\n", "line 1: .*they are rank_1, rank_2"),
        (".csv", "video_id,run,run\n", "line 1: the column 'run' is there twice"),
        (".csv", "video_id,run,\n", "line 1: a column has no name"),
        (".csv", "video_id,rank_1\n", "there are no answers"),
        (".csv", "video_id,rank_1\na,run\nb\n", "line 3: it has 1 fields, the header has 2"),
        (".csv", "video_id,rank_1\n,run\n", "line 2: its video_id is ''"),
        (".csv", "video_id,rank_1,rank_2\na,,run\n", "line 2: '' is no class name"),
        (".csv", "video_id,run\na,0.5\nb,nan\n", "line 3: the score of 'run' is 'nan', which is no finite number"),
        (".csv", "video_id,run\na,inf\n", "line 2: the score of 'run' is 'inf'"),
        (".csv", "video_id,run\na,much\n", "line 2: the score of 'run' is 'much', .* are called rank_1, rank_2"),
        (".csv", "video_id;rank_1\na;run\n", "parted by commas, not by ';'"),
        (".csv", "video_id\trank_1\na\trun\n", r"parted by commas, not by '\\t'"),
        (".csv", 'video_id,rank_1\na,"run\n', "is no csv"),
        (".csv", "video_id,rank_1\na,ru\0n\n", "line 2: it holds a NUL"),
        (".csv", "video_id,rank_1\na\x1b[2J,run\n", r"line 2: 'a\\x1b\[2J' holds a control character"),
        (".csv", b"video_id,rank_1\na,\xff\n", "line 2: it is not UTF-8"),
        (".jsonl", '{"video_id": "a", "ranked": ["run"]}\n{"video_id"\n', "line 2: it is no JSON"),
        (".jsonl", '{"video_id": "a", "scores": {"run": NaN}}\n', "NaN is no score"),
        (".jsonl", '\n{"video_id": "a", "scores": {"run": NaN}}\n', "line 2: NaN is no score"),
        (".jsonl", '{"video_id": "a", "scores": {"run": null}}\n', "line 1: the score of 'run' is None"),
        (".jsonl", '{"video_id": "a", "scores": {"run": 1, "run": 2}}\n', "line 1: the key 'run' is there twice"),
        (".jsonl", '{"video_id": "a", "answer": "run"}\n', "line 1: an answer is an object with video_id and either"),
        (".jsonl", '["a"]\n', "line 1: an answer is an object"),
        (".jsonl", '{"video_id": "a", "ranked": "run"}\n', "line 1: ranked is a list"),
        (".jsonl", '{"video_id": "a", "ranked": [true]}\n', "line 1: True is no class name"),
        (".jsonl", '{"video_id": 1.5, "ranked": ["run"]}\n', "line 1: its video_id is 1.5"),
        (".jsonl", '{"video_id": "a", "ranked": ["r\\u0000n"]}\n', r"line 1: 'r\\x00n' holds a control character"),
        (".jsonl", '{"video_id":"a","ranked":["x"]}\n{"video_id":"b","scores":{"x":1}}\n', "some answers are ranked"),
        (".json", "3", "neither a list of answers nor an object"),
        (".json", "[", "line 1: it is no JSON"),
        (".json", "[" * 100000, "line 1: it is no JSON that can be read"),
        (".json", '[{"video_id": "a", "ranked": ["x"]}, 7]', "entry 2: an answer is an object"),
        (".json", "<html>", "line 1: it is no JSON"),
        (".pkl", "x", "the file's name ends in .pkl; it is one of .csv, .jsonl, .json"),
    ],
)
def test_what_is_no_table_of_answers_is_refused_with_its_line(suffix, content, said):
    with pytest.raises(BenchError, match=said):
        answers.parse(content if isinstance(content, bytes) else content.encode(), suffix)


def test_three_forms_of_one_content_are_read_alike():
    lists = "video_id,rank_1,rank_2\n7,run,wave\nb,clap,\n"
    entries = [{"video_id": 7, "ranked": ["run", "wave"]}, {"video_id": "b", "ranked": ["clap"]}]
    forms = [
        answers.parse(lists.encode(), ".csv"),
        answers.parse("\n\n".join(map(json.dumps, entries)).encode(), ".jsonl"),
        answers.parse(json.dumps(entries).encode(), ".json"),
        answers.parse(json.dumps({str(e["video_id"]): e["ranked"] for e in entries}).encode(), ".json"),
        answers.parse(b"\xef\xbb\xbf" + lists.replace("\n", "\r\n").encode(), ".csv"),
    ]
    assert all([(a.video_id, a.ranked) for a in form] == [("7", ("run", "wave")), ("b", ("clap",))] for form in forms)


def test_a_class_named_twice_in_one_answer_is_refused():
    with pytest.raises(BenchError, match="line 1: the class 'run' is named twice"):
        judge([{"video_id": IDS[0], "ranked": ["run", "RUN"]}])


def test_a_file_of_other_videos_is_refused_with_examples():
    with pytest.raises(BenchError, match="none of its 1 videos is a test video here; .* such as 'q'.*'test0.mp4'"):
        judge([{"video_id": "q", "ranked": ["run"]}])


# --- base to novel ---------------------------------------------------------------------------------------------------

BASE = (0, 2, 3, 6)  # Apply Lipstick, dive, jump, wave; the novel ones are clap, run and swim


def told_apart(entries, kind="ranking", labels=(2, 5)):
    """Judged answers on the videos "base" (a dive, or the first of `labels`) and "novel" (a swim, or the second)."""
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    found = answers.parse(lines.encode(), ".jsonl")
    return judging.judge(found, ["base", "novel"], np.array(labels), CLASSES, kind, BASE)


def test_a_video_is_told_apart_among_the_classes_of_its_part():
    said = ["swim", "run", "jump", "dive", "clap"]
    logits = told_apart([{"video_id": v, "ranked": said} for v in ("base", "novel")]).logits
    own = np.isin(np.arange(7), BASE)
    assert np.isneginf(logits[0][~own]).all() and np.isfinite(logits[0][own]).all()
    assert np.isneginf(logits[1][own]).all() and np.isfinite(logits[1][~own]).all()
    assert (logits[0][3], logits[0][2]) == (0, -1) and (logits[1][5], logits[1][4], logits[1][1]) == (0, -1, -2)


@pytest.mark.parametrize("said", [[], ["swim"], ["swim", "run", "clap"], ["?"], ["?", "dive"]])
def test_an_answer_without_a_class_of_the_part_at_its_head_is_wrong(said):
    found = told_apart([{"video_id": v, "ranked": said} for v in ("base", "novel")])
    assert found.logits[0].argmax() != 2 and found.logits[0].argmax() in BASE
    assert "macro_f1" in found.not_scored


def test_scores_may_be_of_all_classes_or_of_the_part_alone():
    whole = {c: float(i) for i, c in enumerate(CLASSES)}
    parts = [{c: whole[c] for i, c in enumerate(CLASSES) if (i in BASE) == base} for base in (True, False)]
    first = told_apart([{"video_id": v, "scores": whole} for v in ("base", "novel")], "logits").logits
    alone = told_apart(
        [{"video_id": v, "scores": s} for v, s in zip(("base", "novel"), parts, strict=True)], "logits"
    ).logits
    assert first[0].tolist() == [0, -np.inf, 2, 3, -np.inf, -np.inf, 6] and np.array_equal(first, alone)
    for wrong in ({"dive": 1.0}, {**parts[0], "clap": 1.0}, parts[1]):
        with pytest.raises(BenchError, match="each of the 7 classes, or of the 4 of its part, and no other"):
            told_apart([{"video_id": v, "scores": wrong} for v in ("base", "novel")], "logits")


def test_probabilities_of_a_part_are_taken_as_they_are():
    shares = {"dive": 0.5, "jump": 0.25, "wave": 0.25, "Apply Lipstick": 0}
    both = [{"video_id": "base", "scores": shares}, {"video_id": "novel", "scores": {"clap": 1, "run": 0, "swim": 0}}]
    found = told_apart(both, "probabilities")
    assert metrics.compute(found.logits, np.array([2, 1]), ["base", "novel"])["nll"] == pytest.approx(np.log(2) / 2)


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


@pytest.mark.parametrize(
    "name", ["", "../up", "/tmp/x", "a/b", "a..b", "<b>", "a\x1b[2J", "a\0", "x" * 81, "-x", "a\n"]
)
def test_a_name_is_no_path_and_no_markup(name):
    with pytest.raises(BenchError, match="--name is"):
        importing.Source(name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--protocol base_to_novel", "shots is None"),
        ("--protocol zero_shots", "unknown protocol 'zero_shots'"),
        ("--protocol few_shot", "shots is None"),
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
