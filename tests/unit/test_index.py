import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import synthetic

from bench import _folders, _table, index, metrics, rescoring, store
from bench._files import temporary_beside
from bench._folders import kind_of_damage
from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.store import COMPLETE, FAILED, Predictions, Results, run_folder

SMALL = {"datasets": 2, "backbones": 2, "methods": 3, "seeds": 3, "num_videos": 30, "num_groups": 6}


def fill(home, **more):
    return synthetic.fill(home, **{**SMALL, **more})


def anew(home):
    """Everything that a reader of the folders finds, without any index."""
    return _table.frame(index.read_here(home, store.run_ids(home)))


def known(home):
    return _table.frame(index.load(home))


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def touched(path):
    """A later time of change, whatever the clock's grain."""
    ns = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(ns, ns))


@pytest.fixture
def reads(monkeypatch):
    """The run ids that are read from their folders."""
    seen, real = [], index.read
    monkeypatch.setattr(index, "read", lambda home, run_id, lists: seen.append(run_id) or real(home, run_id, lists))
    return seen


# --- the made-up runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nasty", [False, True])
def test_a_made_up_run_is_the_bytes_of_one_that_the_store_wrote(nasty, tmp_path):
    ends = set()
    for run in synthetic.made(**SMALL, failed=0.2, not_applicable=0.2, nasty=nasty):
        ends.add(run.status)
        synthetic.put(tmp_path / "a", run)
        if run.predictions is not None:
            store.write(tmp_path / "b", run.run_id, run.record, run.predictions, run.scores)
        else:
            store.write_failure(tmp_path / "b", run.run_id, run.record, run.reason, synthetic.TRACE, run.status)
        a, b = (run_folder(tmp_path / home, run.run_id) for home in "ab")
        assert sorted(f.name for f in a.iterdir()) == sorted(f.name for f in b.iterdir())
        for file in a.iterdir():
            assert file.read_bytes() == (b / file.name).read_bytes(), file.name
    assert ends == {"complete", "failed", "n/a"}


def test_made_up_runs_are_as_many_as_asked_for_and_always_the_same(tmp_path):
    ids = fill(tmp_path)
    assert len(set(ids)) == len(ids) == 2 * 2 * (1 + 2 * 3)
    assert fill(tmp_path) == ids
    assert set(fill(tmp_path / "fewer", missing=0.3)) < set(ids)


# --- what it says ----------------------------------------------------------------------------------------------------


def test_runs_have_a_row_each_with_their_columns_and_metrics(tmp_path):
    fill(tmp_path, failed=0.2, not_applicable=0.1)
    results = Results(tmp_path)
    runs = results.runs
    assert runs["run_id"].tolist() == list(store.run_ids(tmp_path)) and set(runs["status"]) == {
        "complete",
        "failed",
        "n/a",
    }
    assert results.metrics == ("top1", "top5", "mean_class_accuracy", "macro_f1", "nll", "ece")
    for row in runs.to_dict("records"):
        record = store.read_record(tmp_path, row["run_id"])
        for name, value in record["columns"].items():
            told = json.loads(row[name]) if isinstance(value, dict) else row[name]
            assert pd.isna(told) if value is None else told == value, name
        assert row["reason"] == record.get("reason", "")
        if row["status"] == "complete":
            assert json.loads(row["config"]) == dict(record["identity"]["config"]) and row["metrics_version"] == 1
            p = store.read_predictions(tmp_path, row["run_id"])
            assert {m: row[m] for m in results.metrics} == metrics.compute(p.logits, p.labels)
        else:
            assert row["config"] == "" and pd.isna(row["metrics_version"]) and pd.isna(row["top1"])


def test_columns_have_plain_types_that_a_failed_run_does_not_change(tmp_path):
    fill(tmp_path, failed=0.2)
    kinds = {name: str(kind) for name, kind in Results(tmp_path).runs.dtypes.items()}
    for names, kind in [
        (("run_id", "dataset", "label", "status", "reason", "config", "versions"), "str"),
        (("seed", "num_frames", "num_classes"), "int64"),
        (("needs_train", "toy_scale"), "bool"),
        (("shots", "metrics_version"), "Int64"),
        (("top1", "nll", "seconds", "gflops", "num_train"), "float64"),
    ]:
        assert {kinds[name] for name in names} == {kind}, names
    assert Results(tmp_path).runs is not None
    results = Results(tmp_path)
    assert results.runs is results.runs


def test_scores_are_the_long_form_of_the_runs(tmp_path):
    fill(tmp_path, failed=0.2)
    results = Results(tmp_path)
    runs, scores = results.runs, results.scores
    assert scores["run_id"].drop_duplicates().tolist() == runs["run_id"].tolist()
    assert {"config", "metrics_version", "top1"}.isdisjoint(scores.columns)
    wide = scores.dropna(subset=["metric"]).pivot_table(index="run_id", columns="metric", values="value")
    done = runs[runs["status"] == "complete"].set_index("run_id")
    same(wide[list(results.metrics)].rename_axis(columns=None), done[list(results.metrics)])
    lost = scores[scores["status"] != "complete"]
    assert len(lost) == (runs["status"] != "complete").sum() and lost["metric"].isna().all()
    assert scores["versions"].iloc[0] == {"dataset": 1, "method": 1, "protocol": 1, "adapter": 1}


def test_metrics_are_those_of_the_runs_that_are_shown(tmp_path):
    one, other = synthetic.made(datasets=2, backbones=1, methods=1)
    store.write(tmp_path, one.run_id, one.record, one.predictions, {"top1": 0.5})
    store.write(tmp_path, other.run_id, other.record, other.predictions, {"top1": 0.25, "harmonic_mean": float("nan")})
    assert set(Results(tmp_path).metrics) == {"top1", "harmonic_mean"}
    mine = Results(tmp_path, one.record["columns"]["manifest"])
    assert mine.metrics == ("top1",) and "harmonic_mean" not in mine.runs and mine.runs["top1"].tolist() == [0.5]
    long = Results(tmp_path).scores
    assert sorted(long["metric"]) == ["harmonic_mean", "top1", "top1"] and long["value"].isna().sum() == 1


def test_tested_says_which_videos_were_right_and_shares_their_list(tmp_path):
    fill(tmp_path, failed=0.1)
    results, lists = Results(tmp_path), {}
    for run_id in results.runs.loc[results.runs["status"] == "complete", "run_id"]:
        videos, correct = results.tested(run_id)
        table = results.predictions(run_id)
        assert correct.dtype == bool and correct.tolist() == table["correct"].tolist()
        assert list(videos.ids) == table["video_id"].tolist() and list(videos.groups) == table["group"].tolist()
        assert videos.labels.dtype == np.int64 and videos.labels.tolist() == table["label"].tolist()
        assert videos.class_names == tuple(store.read_predictions(tmp_path, run_id).class_names)
        assert lists.setdefault(videos.digest, videos) is videos
    assert len(lists) == 2, "one a data set"


@pytest.mark.parametrize("num", [1, 7, 8, 9, 65])
def test_bits_come_back_whatever_the_number_of_videos(num, tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1, num_videos=num, scores=synthetic.quick_scores)
    synthetic.put(tmp_path, run)
    _, correct = Results(tmp_path).tested(run.run_id)
    assert correct.tolist() == (run.predictions.logits.argmax(axis=1) == run.predictions.labels).tolist()


@pytest.mark.parametrize("change", ["ids", "groups", "labels", "names", "parts"])
def test_lists_that_differ_in_anything_are_different_lists(change, tmp_path):
    run, other = list(synthetic.made(backbones=2, methods=1))
    p = run.predictions
    fields = dict(logits=p.logits, labels=p.labels, video_ids=p.video_ids, groups=p.groups, class_names=p.class_names)
    fields |= {"failed": {}, "parts": ()}
    changed = {
        "ids": {"video_ids": [f"{v} " for v in p.video_ids]},
        "groups": {"groups": ["one"] * len(p.groups)},
        "labels": {"labels": (p.labels + 1) % 6},
        "names": {"class_names": [f"{c}!" for c in p.class_names]},
        "parts": {"parts": ["base", "novel"] * 30},
    }[change]
    for one, content in ((run, fields), (other, {**fields, **changed})):
        store.write(tmp_path, one.run_id, one.record, Predictions(**content), {"top1": 0.5})
    results = Results(tmp_path)
    a, b = results.tested(run.run_id)[0], results.tested(other.run_id)[0]
    assert a.digest != b.digest
    assert b.parts == tuple(changed.get("parts", ())) == tuple(store.read_predictions(tmp_path, other.run_id).parts)


def test_a_class_outside_of_a_video_s_label_space_is_never_the_answer(tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1)
    p = run.predictions
    logits = np.where(np.arange(6) == p.labels[:, None], p.logits, -np.inf)
    store.write(
        tmp_path,
        run.run_id,
        run.record,
        Predictions(logits, p.labels, p.video_ids, p.groups, p.class_names, {}),
        {"top1": 1.0},
    )
    assert Results(tmp_path).tested(run.run_id)[1].all()


def test_there_is_nothing_tested_of_a_run_that_failed_or_is_not_there(tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1, failed=1)
    synthetic.put(tmp_path, run)
    for run_id in (run.run_id, "0" * 12):
        with pytest.raises(BenchError, match=f"{run_id} has no predictions"):
            Results(tmp_path).tested(run_id)


# --- following the folders -------------------------------------------------------------------------------------------


def test_only_new_and_changed_runs_are_read(tmp_path, reads):
    ids = fill(tmp_path, failed=0.2)
    first = Results(tmp_path).runs
    assert sorted(reads) == sorted(ids)
    content, inode = index.path(tmp_path).read_bytes(), index.path(tmp_path).stat().st_ino
    reads.clear()
    same(Results(tmp_path).runs, first)
    assert not reads and index.path(tmp_path).stat().st_ino == inode, "nothing changed, so nothing is written"
    (more,) = synthetic.made(backbones=1, methods=1, random_state=1)
    synthetic.put(tmp_path, more)
    assert len(Results(tmp_path).runs) == len(first) + 1
    assert reads == [more.run_id] and index.path(tmp_path).read_bytes() != content


def test_tested_opens_no_folder_when_warm(tmp_path, monkeypatch):
    (run,) = synthetic.made(backbones=1, methods=1)
    synthetic.put(tmp_path, run)
    before = Results(tmp_path).tested(run.run_id)
    monkeypatch.setattr(index, "read", None)
    monkeypatch.setattr(store, "read_predictions", None)
    after = Results(tmp_path).tested(run.run_id)
    assert after[0].digest == before[0].digest and (after[1] == before[1]).all()


def test_scores_that_are_written_anew_are_read_anew(tmp_path, reads):
    ids = fill(tmp_path)
    run_id = sorted(ids)[3]
    Results(tmp_path).runs  # noqa: B018 - fills the index
    mark = (run_folder(tmp_path, run_id) / COMPLETE).stat().st_mtime_ns
    reads.clear()
    store.write_scores(tmp_path, run_id, {"top1": 0.125, "mine": 2.0})
    touched(run_folder(tmp_path, run_id) / "scores.csv")
    row = Results(tmp_path).runs.set_index("run_id").loc[run_id]
    assert (row["top1"], row["mine"], row["status"]) == (0.125, 2.0, "complete") and pd.isna(row["nll"])
    assert reads == [run_id] and mark == (run_folder(tmp_path, run_id) / COMPLETE).stat().st_mtime_ns


def test_scores_say_the_version_of_the_metrics_and_old_ones_count_as_the_first(tmp_path, monkeypatch):
    old, new = list(synthetic.made(backbones=2, methods=1))
    for run in (old, new):
        synthetic.put(tmp_path, run)
    monkeypatch.setattr(metrics, "VERSION", 7)
    store.write_scores(tmp_path, new.run_id, new.scores)
    path = run_folder(tmp_path, old.run_id) / "scores.csv"
    path.write_text("".join(line.rsplit(",", 1)[0] + "\n" for line in path.read_text().splitlines()))
    assert path.read_text().startswith("metric,value,num_videos\n")
    found = Results(tmp_path).runs.set_index("run_id")["metrics_version"].to_dict()
    assert found == {old.run_id: 1, new.run_id: 7}


def test_scores_of_a_run_that_is_not_complete_are_not_written(tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1, failed=1)
    synthetic.put(tmp_path, run)
    with pytest.raises(BenchError, match=f"{run.run_id} is not complete"):
        store.write_scores(tmp_path, run.run_id, {"top1": 1.0})
    assert [f.name for f in run_folder(tmp_path, run.run_id).iterdir()] == [FAILED]


ODD = [
    {"x": 1}, {"x": 1.5}, {"x": "1"}, {"x": None}, {"x": True}, {"x": [1, 2]}, {"x": {"b": 1, "a": None}}, {}, {"x": 2**70},
    {"x": "\ud800"}, {"x": ""}, {"y": 0.1}, {"x": float("nan")}, {"x": -0.0, "y": None},
]  # fmt: skip


def odd(home, number, columns):
    store.write_failure(
        home, f"{number:012x}", {"columns": {"dataset": "d", "manifest": "m", **columns}}, "no", "", "failed"
    )


@pytest.mark.parametrize("seed", range(12))
def test_step_by_step_the_index_is_what_reading_all_at_once_gives(seed, tmp_path):
    """Runs of all kinds of columns come, change and go in any order."""
    rng = np.random.default_rng(seed)
    for step in range(8):
        for number in rng.integers(0, 12, 3):
            odd(tmp_path, number, ODD[rng.integers(len(ODD))])
            touched_ns = 10**18 + step * 10**9 + int(rng.integers(10**6))
            os.utime(run_folder(tmp_path, f"{number:012x}") / FAILED, ns=(touched_ns, touched_ns))
        store.remove(tmp_path, f"{rng.integers(12):012x}")
        same(_table.frame(index.refresh(tmp_path)), anew(tmp_path))
        if index.load(tmp_path) is not None:
            same(known(tmp_path), anew(tmp_path))
    grown = index.pack(index.load(tmp_path))
    assert index.rebuild(tmp_path) == len(list(store.run_ids(tmp_path)))
    assert index.pack(index.load(tmp_path)) == grown


@pytest.mark.parametrize("value", [v for row in ODD for v in row.values()], ids=repr)
def test_values_of_every_kind_come_back_as_they_were(value, tmp_path):
    odd(tmp_path, 1, {"x": value})
    odd(tmp_path, 2, {})
    runs = Results(tmp_path).runs
    found = runs["x"][0]
    if value == "\ud800":
        assert found == "?", "what UTF-8 cannot hold"
    elif isinstance(value, dict | list):
        assert json.loads(found) == value and Results(tmp_path).scores["x"][0] == value
    else:
        assert (
            pd.isna(found)
            if value is None or value != value
            else found == value and isinstance(found, bool) == isinstance(value, bool)
        )
    assert pd.isna(runs["x"][1])


def test_a_rebuild_does_not_believe_the_index(tmp_path):
    ids = fill(tmp_path)
    whole = Results(tmp_path).runs
    liar = index.load(tmp_path)
    flipped = liar.runs.set_column(liar.runs.column_names.index("m:top1"), "m:top1", [[0.0] * len(ids)])
    index.path(tmp_path).write_bytes(index.pack(_table.Index(flipped, liar.lists)))
    assert (Results(tmp_path).runs["top1"] == 0).all(), "an index that is whole is believed"
    assert index.rebuild(tmp_path) == len(ids)
    same(Results(tmp_path).runs, whole)


def test_lists_that_no_run_has_any_more_are_left_out(tmp_path):
    ids = fill(tmp_path)
    results = Results(tmp_path)
    (other,) = set(results.runs["dataset"]) - {results.runs["dataset"][0]}
    for run_id in results.runs.loc[results.runs["dataset"] == other, "run_id"]:
        store.remove(tmp_path, run_id)
    assert 0 < len(Results(tmp_path).runs) < len(ids)
    assert index.load(tmp_path).lists.num_rows == 1


def test_many_runs_are_read_by_several_processes_with_the_same_outcome(tmp_path, monkeypatch, reads):
    fill(tmp_path, failed=0.1)
    monkeypatch.setattr(index, "MANY", 10)
    monkeypatch.setattr(index, "cores", lambda: 3)
    index.rebuild(tmp_path)
    assert not reads, "all were read elsewhere"
    together = index.pack(index.load(tmp_path))
    monkeypatch.setattr(index, "MANY", 10**9)
    index.rebuild(tmp_path)
    assert reads and index.pack(index.load(tmp_path)) == together


def test_the_share_of_a_process_that_dies_is_read_here(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setattr(index, "MANY", 10)
    monkeypatch.setattr(index, "cores", lambda: 2)
    monkeypatch.setattr(index.sys, "executable", "/bin/false")
    same(_table.frame(index.refresh(tmp_path)), anew(tmp_path))


# --- an index that is not as it should be ----------------------------------------------------------------------------


def spoilt(content):
    rng = np.random.default_rng(0)
    yield "empty", b""
    yield "of another program", b"PAR1" + content[4:]
    yield "of another format", content.replace(f"index {index.FORMAT}.".encode(), b"index 1.", 1)
    yield "longer", content + b"\0"
    for cut in (1, 20, len(content) // 2, len(content) - 1):
        yield f"cut at {cut}", content[:cut]
    for place in rng.integers(0, len(content), 40):
        yield f"flipped at {place}", content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def test_an_index_that_is_spoilt_in_any_way_is_rebuilt_without_a_word(tmp_path):
    fill(tmp_path)
    fresh = Results(tmp_path).runs
    content = index.path(tmp_path).read_bytes()
    for how, bad in spoilt(content):
        index.path(tmp_path).write_bytes(bad)
        assert index.load(tmp_path) is None, how
    same(Results(tmp_path).runs, fresh)
    assert index.path(tmp_path).read_bytes() == content
    index.path(tmp_path).unlink()
    same(Results(tmp_path).runs, fresh)
    assert index.path(tmp_path).read_bytes() == content


def test_a_home_that_cannot_be_written_to_is_read_all_the_same(tmp_path, monkeypatch):
    ids = fill(tmp_path)
    (tmp_path / "index").write_text("in the way of a folder")
    assert len(Results(tmp_path).runs) == len(ids)
    with pytest.raises(BenchError, match="cannot be written.*make .* writable"):
        index.rebuild(tmp_path)
    (tmp_path / "index").unlink()

    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(index, "write_atomic", refuse)
        assert len(Results(tmp_path).runs) == len(ids)
        assert Results(tmp_path).tested(ids[0])[1].size == 30
    assert not (tmp_path / "index").exists()


def test_nothing_is_written_where_there_are_no_runs(tmp_path):
    assert Results(tmp_path).runs.empty and Results(tmp_path).metrics == () and Results(tmp_path).scores.empty
    assert list(tmp_path.iterdir()) == []


LOOP = """
import sys, time
from pathlib import Path
from bench import index
home, end = Path(sys.argv[1]), time.time() + float(sys.argv[2])
print("ready", flush=True)
while time.time() < end:
    index.refresh(home)
    index.rebuild(home)
"""


@contextmanager
def looping(home, seconds):
    """A process that refreshes and rebuilds as long as it may."""
    command = [sys.executable, "-c", LOOP, str(home), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"ready\n"
        yield worker


def test_two_processes_that_refresh_at_once_leave_a_whole_index(tmp_path):
    runs = list(synthetic.made(**SMALL, scores=synthetic.quick_scores))
    for run in runs[:10]:
        synthetic.put(tmp_path, run)
    loads = 0
    with looping(tmp_path, 3) as one, looping(tmp_path, 3) as other:
        for run in runs[10:]:
            synthetic.put(tmp_path, run)
            if index.path(tmp_path).exists():
                assert index.load(tmp_path) is not None
                loads += 1
            time.sleep(0.05)
    assert loads and (one.returncode, other.returncode) == (0, 0)
    index.refresh(tmp_path)
    same(known(tmp_path), anew(tmp_path))
    assert [f.name for f in (tmp_path / "index").iterdir()] == ["runs.index"]


@pytest.mark.slow
def test_killed_at_any_moment_a_refresh_leaves_the_old_index_or_the_new_one(tmp_path):
    ids = fill(tmp_path, scores=synthetic.quick_scores)
    for wait in (0.0, 0.01, 0.03, 0.06, 0.1):
        with looping(tmp_path, 60) as worker:
            time.sleep(wait)
            worker.send_signal(signal.SIGKILL)
        assert not index.path(tmp_path).exists() or len(known(tmp_path)) == len(ids)
        same(_table.frame(index.refresh(tmp_path)), anew(tmp_path))


def test_a_rebuild_clears_what_killed_processes_left(tmp_path):
    fill(tmp_path)
    index.refresh(tmp_path)
    ours = temporary_beside(index.path(tmp_path))
    theirs = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-7"))
    for file in (ours, theirs):
        file.write_bytes(b"half")
    index.rebuild(tmp_path)
    assert not theirs.exists() and ours.exists(), "this process may be writing it"


# --- a run that is not as it should be -------------------------------------------------------------------------------


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    place = content.index(b"logits.npy") + 300
    content[place] ^= 1
    path.write_bytes(bytes(content))


def text(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


def everywhere(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


def without(*rows):
    def change(path):
        with np.load(path) as f:
            arrays = {name: f[name][:-1] if name in rows else f[name] for name in f.files}
        np.savez(path, **arrays)

    return change


BAD = {
    "no record": ("run.json", os.unlink, "run.json is missing"),
    "half a record": ("run.json", half, "run.json cannot be read"),
    "no columns": ("run.json", text('"columns"', '"pillars"'), "run.json cannot be read"),
    "a list for a record": ("run.json", lambda path: path.write_text("[1]"), "run.json cannot be read"),
    "bytes": ("run.json", lambda path: path.write_bytes(b"\xff\xfe\0"), "run.json cannot be read"),
    "no scores": ("scores.csv", os.unlink, "scores.csv is missing"),
    "no number": ("scores.csv", text("top1,0", "top1,a"), "scores.csv cannot be read"),
    "no head": ("scores.csv", text("metric", "tric"), "scores.csv cannot be read"),
    "another number of videos": ("scores.csv", text(",30,", ",31,"), "scores.csv cannot be read"),
    "another number in all rows": ("scores.csv", everywhere(",30,", ",31,"), "scores.csv cannot be read.*31.*has 30"),
    "no rows": ("scores.csv", lambda path: path.write_text("metric,value,num_videos\n"), "scores.csv cannot be read"),
    "another count": (
        "COMPLETE",
        lambda path: path.write_text("31 videos\n"),
        "predictions.npz cannot be read.*31 were",
    ),
    "a metric twice": ("scores.csv", text("nll", "top1"), "scores.csv cannot be read"),
    "no predictions": ("predictions.npz", os.unlink, "predictions.npz is missing"),
    "half of the predictions": ("predictions.npz", half, "predictions.npz cannot be read"),
    "a flipped bit": ("predictions.npz", flip, "predictions.npz cannot be read.*CRC"),
    "one label less": ("predictions.npz", without("labels"), "predictions.npz cannot be read"),
    "one id less": ("predictions.npz", without("video_ids"), "predictions.npz cannot be read"),
    "one group less": ("predictions.npz", without("groups"), "predictions.npz cannot be read"),
    "one class less": ("predictions.npz", without("class_names"), "predictions.npz cannot be read"),
    "one video less": (
        "predictions.npz",
        without("labels", "logits", "video_ids", "groups"),
        "predictions.npz cannot be read.*it has 29 videos, 30 were written",
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_a_damaged_run_is_shown_as_such_and_stops_nothing(how, tmp_path):
    ids = fill(tmp_path)
    whole = Results(tmp_path).runs.set_index("run_id")
    name, spoil, said = BAD[how]
    run_id = sorted(ids)[5]
    spoil(run_folder(tmp_path, run_id) / name)
    index.path(tmp_path).unlink()
    results = Results(tmp_path)
    runs = results.runs.set_index("run_id")
    row = runs.loc[run_id]
    place = f"runs/{run_id[:2]}/{run_id}"
    assert row["status"] == "damaged"
    remedy = f"delete the folder {place} and start the same sweep again"
    if name == "scores.csv":
        remedy = f"python -m bench rescore {run_id} writes it again"
    assert re.fullmatch(f"{place}/{said}.*; {remedy}", row["reason"], re.DOTALL)
    assert re.fullmatch(
        r"(run\.json|scores\.csv|predictions\.npz) (is missing|cannot be read)", kind_of_damage(row["reason"])
    )
    if name == "scores.csv":
        assert rescoring.rescore(tmp_path).replaced == (run_id,), "as it says"
        same(Results(tmp_path).runs.set_index("run_id"), whole)
        return
    assert row[list(results.metrics)].isna().all()
    assert (row["dataset"] == whole.loc[run_id, "dataset"]) == (name != "run.json"), "what can be read is shown"
    others, before = runs.drop(index=run_id), whole.drop(index=run_id)
    pd.testing.assert_frame_equal(others, before, check_exact=True, check_dtype=False)
    assert runs.dtypes["seed"] == whole.dtypes["seed"] and runs.dtypes["needs_train"] == whole.dtypes["needs_train"]
    assert results.scores.set_index("run_id").loc[run_id, "status"] == "damaged"
    with pytest.raises(BenchError):
        results.tested(run_id)
    assert (runs.drop(index=run_id)["status"] == "complete").all()


def test_a_damaged_failure_is_shown_too(tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1, failed=1)
    synthetic.put(tmp_path, run)
    half(run_folder(tmp_path, run.run_id) / FAILED)
    row = Results(tmp_path).runs.iloc[0]
    assert row["status"] == "damaged" and "FAILED.json cannot be read" in row["reason"]


def test_a_damaged_run_that_was_mended_is_whole_again(tmp_path):
    ids = fill(tmp_path)
    path = run_folder(tmp_path, ids[0]) / "predictions.npz"
    content = path.read_bytes()
    half(path)
    assert set(Results(tmp_path).runs["status"]) == {"complete", "damaged"}
    assert set(Results(tmp_path).runs["status"]) == {"complete", "damaged"}, "and from the index"
    path.write_bytes(content)
    assert set(Results(tmp_path).runs["status"]) == {"complete"}


def test_a_damaged_run_whose_folder_was_deleted_as_it_says_is_gone(tmp_path):
    ids = fill(tmp_path)
    half(run_folder(tmp_path, ids[0]) / "predictions.npz")
    assert "damaged" in set(Results(tmp_path).runs["status"])
    store.remove(tmp_path, ids[0])
    same(_table.frame(index.refresh(tmp_path)), anew(tmp_path))
    same(known(tmp_path), anew(tmp_path))
    assert sorted(Results(tmp_path).runs["run_id"]) == sorted(ids[1:])


COLUMNS = ("dataset", "protocol", "backbone", "label", "shots", "split", "seed", "top1")


def test_few_columns_of_the_runs_are_those_of_all(tmp_path):
    """Also which runs are shown, and what a data set is called, depends on columns that were not asked for."""
    (run,) = synthetic.made(backbones=1, methods=1)
    newer = {"versions": {**run.record["columns"]["versions"], "adapter": 2}}
    other, trial = {"manifest": "m2", "series": "s2"}, {"evaluation": "validation", "series": "s3"}
    for number, changed in enumerate(({}, newer, other, trial)):
        record = {**run.record, "columns": {**run.record["columns"], **changed}}
        synthetic.put(tmp_path, dataclasses.replace(run, run_id=f"{number:012x}", record=record))
    synthetic.put(tmp_path, dataclasses.replace(run, run_id=f"{9:012x}"))
    (run_folder(tmp_path, f"{9:012x}") / "run.json").write_text("{")
    found = store.states(tmp_path, COLUMNS)
    assert found["run_id"].tolist() == [f"{number:012x}" for number in (1, 2, 9)] and len(set(found["dataset"])) == 3
    same(found, Results(tmp_path).runs[["run_id", "status", "reason", *COLUMNS]])
    for number in range(4):
        store.remove(tmp_path, f"{number:012x}")
    same(store.states(tmp_path, COLUMNS[:-1]), Results(tmp_path).runs[["run_id", "status", "reason", *COLUMNS[:-1]]])


@pytest.mark.parametrize("how", ["gone", "cut", "spoilt in place"])
def test_predictions_that_are_damaged_after_the_index_was_made_make_the_run_damaged(how, tmp_path, reads):
    ids = sorted(fill(tmp_path))
    index.refresh(tmp_path)
    path = run_folder(tmp_path, ids[3]) / "predictions.npz"
    if how == "gone":
        path.unlink()
    elif how == "cut":
        half(path)
    else:
        flip(path)
        touched(path)
    reads.clear()
    runs = Results(tmp_path).runs.set_index("run_id")
    assert reads == [ids[3]]
    assert runs.loc[ids[3], "status"] == "damaged" and "predictions.npz" in runs.loc[ids[3], "reason"]
    assert (runs.drop(index=ids[3])["status"] == "complete").all()


@pytest.mark.parametrize("name", [COMPLETE, "scores.csv", "predictions.npz"])
@pytest.mark.parametrize("what", ["time", "size", "inode"])
def test_a_stamp_is_another_when_time_size_or_inode_of_a_file_is(name, what, tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1)
    synthetic.put(tmp_path, run)
    folder = run_folder(tmp_path, run.run_id)
    before, was = _folders.stamp(folder), (folder / name).stat()
    content = (folder / name).read_bytes()
    if what == "inode":
        (folder / "other").write_bytes(content)
        (folder / "other").replace(folder / name)
    elif what == "size":
        (folder / name).write_bytes(content + b" ")
    ns = was.st_mtime_ns + (what == "time")
    os.utime(folder / name, ns=(ns, ns))
    assert _folders.stamp(folder) != before


def test_a_run_in_the_wrong_place_is_an_error_that_says_where_to(tmp_path):
    one, other = synthetic.made(backbones=2, methods=1)
    for run in (one, other):
        synthetic.put(tmp_path, run)
    right = run_folder(tmp_path, one.run_id)
    shelf = "00" if right.parent.name != "00" else "01"
    wrong = tmp_path / "runs" / shelf / one.run_id
    wrong.parent.mkdir(exist_ok=True)
    right.rename(wrong)
    with pytest.raises(BenchError, match=f"{wrong} is a run in the wrong place.*move it to {right}"):
        Results(tmp_path).runs  # noqa: B018 - reading is the test
    (wrong / COMPLETE).unlink()
    assert Results(tmp_path).runs["run_id"].tolist() == [other.run_id], "what is not finished is no run"


class Pickled:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_of_objects_is_never_unpickled_whatever_its_header(version, tmp_path):
    (run,) = synthetic.made(backbones=1, methods=1)
    synthetic.put(tmp_path, run)
    path, seen = run_folder(tmp_path, run.run_id) / "predictions.npz", tmp_path / "unpickled"
    odd = io.BytesIO()
    np.lib.format.write_array(odd, np.array([Pickled(seen)] * 60, dtype=object), version, allow_pickle=True)
    with np.load(path) as f:
        arrays = {name: f[name] for name in f.files if name != "groups"}
    np.savez(path, **arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("groups.npy", odd.getvalue())
    assert "predictions.npz cannot be read (ValueError" in Results(tmp_path).runs["reason"][0]
    with pytest.raises(BenchError, match="cannot be read .ValueError"):
        store.read_predictions(tmp_path, run.run_id)
    assert not seen.exists()


def test_a_run_that_goes_away_while_it_is_looked_for_is_no_run(tmp_path, monkeypatch):
    ids = fill(tmp_path)
    found = index.scan(tmp_path)
    store.remove(tmp_path, ids[0])
    monkeypatch.setattr(index, "scan", lambda home: found)
    assert sorted(Results(tmp_path).runs["run_id"]) == sorted(ids[1:])


def test_a_run_that_changes_under_our_hands_is_read_again_and_not_called_damaged(tmp_path, monkeypatch):
    """It is scored anew, with other metrics, after its stamp was taken."""
    (run,) = synthetic.made(backbones=1, methods=1)
    synthetic.put(tmp_path, run)
    folder, real = run_folder(tmp_path, run.run_id), _folders.scores_of
    texts = []

    def meanwhile(text):
        texts.append(text)
        if len(texts) == 1:
            touched(folder / "scores.csv")
            raise ValueError("half of it is the old one")
        return real(text)

    monkeypatch.setattr(_folders, "scores_of", meanwhile)
    assert Results(tmp_path).runs["status"].tolist() == ["complete"] and len(texts) == 2


def test_a_column_is_of_one_type_again_when_the_run_that_was_otherwise_has_gone(tmp_path):
    for number, value in enumerate([1, 2, "three"]):
        odd(tmp_path, number, {"x": value})
    assert Results(tmp_path).runs["x"].tolist() == [1, 2, "three"]
    store.remove(tmp_path, f"{2:012x}")
    assert Results(tmp_path).runs["x"].dtype == "int64"
    assert index.load(tmp_path).runs.schema.field("c:x").type == "int64"
