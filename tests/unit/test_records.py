"""From a run id to the run, and every metric again from stored predictions."""

import json
import subprocess
import sys

import made_runs
import numpy as np
import pandas as pd
import pytest
from commands import bench

from bench import index, metrics, records, rescoring, store
from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.stored_results import Results

A, B, C = "a1b2c3d4e5f6", "a1b2ffffffff", "0123456789ab"


@pytest.fixture
def home(tmp_path):
    """What conftest.py sets BENCH_HOME to, with two complete runs and a failed one."""
    home = tmp_path / "bench_home"
    made_runs.complete(home, A, seed=1)
    made_runs.complete(home, B, seed=2)
    made_runs.failed(home, C)
    return home


def scores_csv(home, run_id):
    return store.run_folder(home, run_id) / "scores.csv"


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [A, "a1b2c", "a1b2c3d4e5f"])
def test_the_first_characters_of_an_id_are_enough(home, given):
    assert records.find(home, given) == A


@pytest.mark.parametrize("prefix", ["a", "a1", "a1b2"])
def test_characters_that_several_runs_begin_with_list_them(home, prefix):
    with pytest.raises(BenchError, match=f"2 runs begin with {prefix}: {A}, {B}"):
        records.find(home, prefix)


@pytest.mark.parametrize("odd", ["", "zz", "../runs", "A1", A + "0", "*", "a/1"])
def test_what_is_no_id_is_said_to_be_none(home, odd):
    with pytest.raises(BenchError, match="is no run id"):
        records.find(home, odd)


def test_a_folder_without_a_result_is_no_run(home):
    store.run_folder(home, "cccccccccccc").mkdir(parents=True)
    with pytest.raises(BenchError, match="no finished run cc"):
        records.find(home, "cc")


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_tells_the_run_its_numbers_with_intervals_and_where_they_lie(home, command, capsys):
    code, out, _ = command("show", "a1b2c")
    found = made_runs.predictions(1)
    right = (found.logits.argmax(1) == found.labels).astype(float)
    assert code == 0 and f"run {A}: complete" in out
    assert f"top1 {right.mean():.4f} [" in out and "over 3 subjects" in out and "around" not in out
    assert "12 videos, 3 classes, 3 groups" in out and str(store.run_folder(home, A)) in out
    assert (
        "command: python -m bench run --root 'all clips' folder:" in out
        and "numpy 2.2" in out
        and "host node17" in out
        and "seconds 1.5" in out
    )
    assert "and 7 more" in out, "the first five predictions are shown"


def test_show_of_a_failed_run_tells_why_with_its_traceback_and_takes_brackets_for_what_they_are(home, command):
    code, out, _ = command("show", C)
    assert code == 0 and f"run {C}: failed" in out
    assert "why: ValueError: [bold]odd[/bold]" in out and "Traceback: line 1" in out


def test_show_as_json_is_the_stored_record_with_the_scores(home, capsys, monkeypatch):
    from bench.cli.records import show

    show("a1b2c", as_json=True)
    told = json.loads(capsys.readouterr().out)
    stored = json.loads((store.run_folder(home, A) / "run.json").read_text())
    assert told.pop("scores") == records.scores(home, A) and told == stored


def test_show_never_cuts_a_line_in_a_pipe(home, capsys, monkeypatch):
    from bench.cli.records import show

    long = "x" * 30 + " y" * 200
    made_runs.failed(home, "dddddddddddd", reason=long)
    monkeypatch.setenv("COLUMNS", "40")
    show("ddd")
    assert f"why: {long}" in capsys.readouterr().out.splitlines()


def test_show_of_damaged_predictions_says_so_and_tells_the_rest(home, command):
    (store.run_folder(home, A) / "predictions.npz").write_bytes(b"no archive")
    code, out, _ = command("show", A)
    assert code == 0 and f"run {A}: damaged" in out and "command: python -m bench run" in out
    assert "why: runs/a1/" in out and "predictions.npz cannot be read" in out and "delete the folder" in out
    assert "top1 0." in out, "the scores are there"


def test_show_of_lost_scores_says_so_and_how_to_have_them_back(home, command):
    scores_csv(home, A).unlink()
    code, out, _ = command("show", A)
    assert code == 0 and f"run {A}: damaged" in out and "12 videos, 3 classes" in out
    assert f"scores.csv is missing; python -m bench rescore {A} writes it again" in out


def test_an_interval_around_another_number_than_the_score_says_so(home, command):
    found = made_runs.predictions(2, groups=["s0"] * 7 + ["s1"] * 3 + ["s2"] * 2)
    made_runs.complete(home, B, found=found)
    right = found.logits.argmax(1) == found.labels
    mean = np.mean([right[:7].mean(), right[7:10].mean(), right[10:].mean()])
    assert f"{mean:.4f}" != f"{right.mean():.4f}"
    _, out, _ = command("show", B)
    assert f"top1 {right.mean():.4f} [" in out and f"] around {mean:.4f} over 3 subjects" in out


def test_what_is_not_set_is_said_to_be_so(home, command):
    identity = {"method": "coop", "config": [["epochs", None], ["nothing", "null"], ["lr", 0.1]]}
    made_runs.complete(home, B, identity=identity)
    _, out, _ = command("show", B)
    assert "config (whole) epochs not set nothing null lr 0.1 identity" in out


@pytest.mark.parametrize(
    "words, line",
    [
        (["/opt/a/bench/__main__.py", "run", "--root", "my videos"], "python -m bench run --root 'my videos'"),
        (["/usr/bin/kpbench", "run", "a;b"], "python -m bench run 'a;b'"),
        (["my study.py", "x y"], "python 'my study.py' 'x y'"),
        (["/opt/pytest/__main__.py", "-q"], "python /opt/pytest/__main__.py -q"),
        (["-c"], "-c"),
    ],
)
def test_the_command_can_be_pasted_into_a_shell(words, line):
    assert records.pasteable(words) == line


def test_the_log_is_that_of_the_worker_that_did_the_run_or_of_its_launch(home):
    for job, run_id in (("1-old", A), ("2-new", A), ("3-other", B)):
        (home / "jobs" / job / "done").mkdir(parents=True)
        (home / "jobs" / job / "submitit").mkdir()
        (home / "jobs" / job / "done" / "runs-0.json").write_text(json.dumps({"run_id": run_id, "log": "7_0_log.err"}))
    logs = home / "jobs" / "2-new" / "submitit"
    assert records.log_line(home, A) == f"logs of all workers of its launch: {logs}"
    (logs / "7_0_log.err").touch()
    assert records.log_line(home, A) == f"log of its worker: {logs / '7_0_log.err'}"
    (logs / "7_0_log.err").unlink()
    logs.rmdir()
    assert (
        records.log_line(home, A)
        == f"log: none, it was done in the process that launched it; its launch: {logs.parent}"
    )
    assert records.log_line(home, C) == f"log: none is left under {home / 'jobs'}"


def test_an_interval_for_each_part_of_the_classes_is_over_its_own_videos():
    found = made_runs.predictions(3, parts=["base", "novel"] * 6)
    units = records._per_video(found)
    right = found.logits.argmax(1) == found.labels
    assert units.keys() == {"top1", "base_top1", "novel_top1"}
    assert units["novel_top1"][0].tolist() == right[1::2].tolist()
    assert units["base_top1"][1].tolist() == found.groups[::2]


# --- rescore ---------------------------------------------------------------------------------------------------------


def test_a_new_metric_appears_a_mended_one_changes_and_a_dropped_one_goes(home, monkeypatch):
    real = metrics.compute

    def other(logits, labels):
        found = real(logits, labels)
        del found["ece"]
        return found | {"nll": found["nll"] + 1, "brand_new": 0.25}

    before = records.scores(home, A)
    monkeypatch.setattr(metrics, "compute", other)
    monkeypatch.setattr(metrics, "VERSION", metrics.VERSION + 1)
    done = rescoring.rescore(home)
    assert done.num == 2 and set(done.replaced) == {A, B} and not done.damaged
    mine = {c.metric: (c.old, c.new) for c in done.changes if c.run_id == A}
    assert mine == {
        "brand_new": (None, 0.25),
        "ece": (before["ece"], None),
        "nll": (before["nll"], pytest.approx(before["nll"] + 1)),
    }
    after = records.scores(home, A)
    assert after["brand_new"] == 0.25 and "ece" not in after and after["top1"] == before["top1"]
    assert records.metrics_version(home, A) == metrics.VERSION
    assert not rescoring.rescore(home).replaced, "the second time there is nothing to do"


def test_a_dry_run_tells_the_same_and_writes_nothing(home, monkeypatch):
    real = metrics.compute
    monkeypatch.setattr(metrics, "compute", lambda *a: real(*a) | {"top1": 0.125})
    before = made_runs.files(home / "runs")
    dry = rescoring.rescore(home, dry_run=True)
    assert made_runs.files(home / "runs") == before and dry.changes
    assert rescoring.rescore(home) == dry
    assert records.scores(home, B)["top1"] == 0.125


def test_scores_of_an_older_metrics_version_are_marked_as_of_this_one(home):
    frame = pd.read_csv(scores_csv(home, A)).drop(columns="metrics_version")
    frame.to_csv(scores_csv(home, A), index=False)
    done = rescoring.rescore(home)
    assert done.replaced == (A,) and not done.changes
    assert records.metrics_version(home, A) == metrics.VERSION


def test_the_value_that_was_wrong_by_the_last_digit_is_put_right(home):
    old = records.scores(home, A)["top1"]
    text = scores_csv(home, A).read_text()
    scores_csv(home, A).write_text(text.replace(f"top1,{old!r}", f"top1,{float(np.nextafter(old, 1))!r}"))
    assert scores_csv(home, A).read_text() != text
    assert [(c.run_id, c.metric) for c in rescoring.rescore(home).changes] == [(A, "top1")]


def damaged(home, run_id, how):
    path = store.run_folder(home, run_id) / "predictions.npz"
    if how == "gone":
        path.unlink()
    elif how == "cut off":
        path.write_bytes(path.read_bytes()[:-200])
    elif how == "flipped":
        content = bytearray(path.read_bytes())
        content[150] ^= 0xFF
        path.write_bytes(bytes(content))
    elif how == "fewer":
        (path.parent / store.COMPLETE).write_text("13 videos\n")


@pytest.mark.parametrize("how", ["gone", "cut off", "flipped", "fewer"])
def test_damaged_predictions_are_listed_with_exit_code_1_and_the_others_are_done(home, command, how):
    damaged(home, A, how)
    for run_id in (A, B):
        scores_csv(home, run_id).write_text("metric,value,num_videos\ntop1,0.5,12\n")
    code, out, err = command("rescore")
    assert code == 1 and f"damaged {A} run {A} is damaged" in err and "1 damaged" in out
    assert records.scores(home, A) == {"top1": 0.5}, "what cannot be computed is left alone"
    assert records.scores(home, B).keys() == {"top1", "mean_class_accuracy", "macro_f1", "nll", "ece"}


def other_number(text):
    return text.replace(",12,", ",13,")


def twice(text):
    return text + text.splitlines()[-1] + "\n"


@pytest.mark.parametrize(
    "content", ["", "metric\n", "metric,value,num_videos\n", "metric,value\ntop1,high\n", other_number, twice]
)
def test_spoilt_scores_are_written_again(home, content):
    before = scores_csv(home, A).read_text()
    scores_csv(home, A).write_text(content if isinstance(content, str) else content(before))
    assert Results(home).runs.set_index("run_id").loc[A, "status"] == "damaged"
    assert rescoring.rescore(home, [A]).replaced == (A,)
    assert scores_csv(home, A).read_text() == before
    assert not rescoring.rescore(home, [A]).replaced
    assert Results(home).runs.set_index("run_id").loc[A, "status"] == "complete"


def test_a_metric_that_is_not_a_number_stays_as_it_is(home, monkeypatch):
    real = metrics.compute
    monkeypatch.setattr(metrics, "compute", lambda *a: {**real(*a), "odd": float("nan")})
    assert set(rescoring.rescore(home).replaced) == {A, B}
    again = rescoring.rescore(home)
    assert not again.replaced and not again.changes


def test_a_run_whose_record_is_spoilt_is_told_and_does_not_stop_the_others(home):
    for run_id in (A, B):
        scores_csv(home, run_id).write_text("metric,value,num_videos\ntop1,0.5,12\n")
    (store.run_folder(home, A) / "run.json").write_text('{"cut')
    done = rescoring.rescore(home)
    assert done.replaced == (B,) and "run.json is damaged" in done.damaged[A]


def test_only_the_runs_that_were_named_are_scored(home, command):
    for run_id in (A, B):
        scores_csv(home, run_id).write_text("metric,value,num_videos\ntop1,0.5,12\n")
    code, out, _ = command("rescore", "a1b2f")
    assert code == 0 and "1 runs scored" in out
    assert records.scores(home, A) == {"top1": 0.5} != records.scores(home, B)
    assert (home / "report" / "index.html").is_file()


def test_a_run_without_predictions_cannot_be_scored(home, command):
    code, _, err = command("rescore", C)
    assert code == 2 and f"run {C} is not complete" in err


def test_several_processes_give_what_one_gives(home):
    for number in range(8):
        made_runs.complete(home, f"{number:012x}", seed=number, scores={"top1": 0.5})
    one = rescoring.rescore(home, dry_run=True, workers=1)
    several = rescoring.rescore(home, workers=2)
    assert one == several and len(one.replaced) == 8


def test_looking_scoring_and_exporting_need_no_torch(home, tmp_path):
    program = (
        "import sys\n"
        "from bench.cli import main\n"
        "for words in (['show', sys.argv[1]], ['rescore'], ['render'], ['index'], ['status']):\n"
        "    sys.argv = ['bench', *words]\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert not stop.code or words == ['status'], (words, stop.code)\n"
        "    sys.argv = ['bench', '']\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'open_clip', 'timm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    ).replace("sys.argv[1]", repr(A))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- index, status, list ---------------------------------------------------------------------------------------------


def test_index_rebuild_reads_every_folder_again(home, command):
    code, out, _ = command("index")
    assert code == 0 and out.startswith("3 runs")
    (home / "index" / "runs.index").write_bytes(b"spoilt")
    code, out, _ = command("index", "--rebuild")
    assert code == 0 and out.startswith("3 runs")
    assert len(Results(home).runs) == 3


@pytest.mark.parametrize("words", [("status",), ("status", "--runs"), ("list", "--kind", "adapters")])
def test_nothing_is_wrapped_or_cut_in_a_pipe(tmp_path, words):
    import os

    home = tmp_path / "bench_home"
    long = (
        "a method whose words go on and on, far beyond the eighty columns that a terminal without a size is taken for"
    )
    changed = made_runs.record()
    changed["columns"]["label"] = long
    made_runs.complete(home, A, columns=changed["columns"])
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env={**os.environ, "BENCH_HOME": str(home), "COLUMNS": "60"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if words[0] == "status":
        assert any(long in line for line in done.stdout.splitlines())
    else:
        assert any(
            "toy-scale weights of this repository" in line and "tiny-clip" in line for line in done.stdout.splitlines()
        )
        assert not any(line.endswith(" ") for line in done.stdout.splitlines())


@pytest.mark.parametrize("words", [("show", "a" * 12), ("show", "a" * 12, "--json"), ("reproduce", "a" * 12)])
def test_a_spoilt_record_is_an_error_that_names_it(words, tmp_path, capsys, monkeypatch):
    home = tmp_path / "bench_home"
    made_runs.complete(home, "a" * 12)
    (store.run_folder(home, "a" * 12) / "run.json").write_text('{"cut')
    code, _, err = bench(capsys, monkeypatch, *words)
    assert code == 2 and "run.json is damaged" in err and "delete the folder" in err


def test_status_counts_damaged_runs_and_says_why(tmp_path, capsys, monkeypatch):
    home = tmp_path / "bench_home"
    made_runs.complete(home, "a" * 12)
    made_runs.complete(home, "b" * 12, seed=2)
    (store.run_folder(home, "b" * 12) / "predictions.npz").write_bytes(b"no archive")
    code, out, err = bench(capsys, monkeypatch, "status")
    assert code == 1 and "damaged" in out and "damaged bbbbbbbbbbbb" in err and "predictions.npz" in err
    (store.run_folder(home, "a" * 12) / "run.json").write_text('{"cut')
    (store.run_folder(home, "b" * 12) / "run.json").write_text('{"cut')
    index.path(home).unlink()
    for words in (("status",), ("status", "--runs")):
        assert bench(capsys, monkeypatch, *words)[0] == 1
