"""What the index says of runs, held against made-up ones that are the bytes of the store's own."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import synthetic
from indexed import SMALL, fill, same

from bench import metrics, store
from bench.contracts import BenchError
from bench.store import Predictions, run_folder
from bench.stored_results import Results, states


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
    found = states(tmp_path, COLUMNS)
    assert found["run_id"].tolist() == [f"{number:012x}" for number in (1, 2, 9)] and len(set(found["dataset"])) == 3
    same(found, Results(tmp_path).runs[["run_id", "status", "reason", *COLUMNS]])
    for number in range(4):
        store.remove(tmp_path, f"{number:012x}")
    same(states(tmp_path, COLUMNS[:-1]), Results(tmp_path).runs[["run_id", "status", "reason", *COLUMNS[:-1]]])


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
