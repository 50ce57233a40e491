"""The index follows the folders: only what is new or changed is read, and it ends as reading all at once does."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import synthetic
from indexed import anew, fill, known, odd, same, touched

from bench import _table, index, metrics, store
from bench.contracts import BenchError
from bench.store import COMPLETE, FAILED, run_folder
from bench.stored_results import Results


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
