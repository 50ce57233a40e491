import json
import shutil

import numpy as np
import pandas as pd
import pytest

from bench import _files, store
from bench.contracts import BenchError
from bench.store import COMPLETE, Predictions, is_complete, run_folder, write, write_failure
from bench.stored_results import Results

RUN, OTHER, THIRD = "0123456789ab", "0123fedcba98", "ffffffffffff"
COLUMNS = {
    "dataset": "toy",
    "manifest": "m0",
    "backbone": "fake",
    "shots": None,
    "seed": 1,
    "series": "s",
    "versions": {"method": 1, "protocol": 1},
}
RECORD = {"spec": {"seed": 1}, "columns": COLUMNS}


def predictions(num=5, shift=0.0):
    logits = np.arange(num * 3, dtype=np.float32).reshape(num, 3) % 7 + np.float32(shift)
    ids = [f"{i:03}" for i in range(num)]
    return Predictions(
        logits,
        np.arange(num) % 3,
        ids,
        [f"s{i % 2}" for i in range(num)],
        ["a", "b", "NA"],
        {"x.mp4": "no frame, \n really"},
    )


def complete(home, run_id=RUN, top1=0.5, **columns):
    record = {**RECORD, "columns": {**RECORD["columns"], **columns}}
    return write(home, run_id, record, predictions(), {"top1": top1, "nll": 1.25})


def fail(home, run_id=OTHER, status="failed", reason="ValueError: no"):
    write_failure(home, run_id, RECORD, reason, "Traceback ...", status)


# --- one run -----------------------------------------------------------------------------------------------------


def test_a_run_comes_back_as_it_was_written(tmp_path):
    assert not is_complete(tmp_path, RUN)
    folder = complete(tmp_path)
    assert folder == tmp_path / "runs" / "01" / RUN
    assert is_complete(tmp_path, RUN)
    assert sorted(p.name for p in folder.iterdir()) == [COMPLETE, "predictions.npz", "run.json", "scores.csv"]
    back, made = store.read_predictions(tmp_path, RUN), predictions()
    np.testing.assert_array_equal(back.logits, made.logits)
    np.testing.assert_array_equal(back.labels, made.labels)
    assert (back.video_ids, back.groups, back.class_names, back.failed) == (
        made.video_ids,
        made.groups,
        made.class_names,
        made.failed,
    )
    record = store.read_record(tmp_path, RUN)
    assert record["columns"] == RECORD["columns"] and record["run_id"] == RUN


def test_the_same_run_written_twice_is_the_same_bytes(tmp_path):
    a, b = complete(tmp_path / "a"), complete(tmp_path / "b")
    for file in a.iterdir():
        assert file.read_bytes() == (b / file.name).read_bytes()


class Crash(BaseException):
    """What no `except Exception` catches, as a kill would not."""


@pytest.mark.parametrize("after", range(4))
def test_a_crash_between_any_two_files_leaves_no_complete_run(after, tmp_path, monkeypatch):
    written = []

    def stop(path, content):
        if len(written) == after:
            raise Crash
        written.append(path.name)
        _files.write_whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_whole", stop)
        with pytest.raises(Crash):
            complete(tmp_path)
    assert len(written) == after and COMPLETE not in written
    assert not is_complete(tmp_path, RUN)
    assert Results(tmp_path).scores.empty
    complete(tmp_path, top1=0.75)
    assert is_complete(tmp_path, RUN)
    assert Results(tmp_path).scores.set_index("metric")["value"].to_dict() == {"top1": 0.75, "nll": 1.25}


def test_a_complete_run_is_never_written_again(tmp_path):
    folder = complete(tmp_path)
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    assert complete(tmp_path, top1=0.75) == folder
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()} == before


def test_what_is_read_back_wrong_never_becomes_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_stored", lambda path: predictions(num=4))
    with pytest.raises(OSError, match="not what was written"):
        complete(tmp_path)
    assert not is_complete(tmp_path, RUN)


def test_a_score_that_is_not_a_number_in_the_record_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, RUN, {"columns": {"seconds": float("nan")}}, predictions(), {"top1": 0.5})
    assert not is_complete(tmp_path, RUN)


@pytest.mark.parametrize(
    "run_id",
    ["", "..", "../../../etc/passwd", "0123456789a", "0123456789abc", "0123456789AB", "/0123456789a", "0123456789ab\n"],
)
def test_only_a_run_id_names_a_folder(run_id, tmp_path):
    for use in (run_folder, is_complete, store.read_record, store.read_predictions, store.failure, store.remove):
        with pytest.raises(BenchError, match="is no run id"):
            use(tmp_path, run_id)


@pytest.mark.parametrize("read", [store.read_record, store.read_predictions])
def test_a_run_that_is_not_there_is_an_error(read, tmp_path):
    with pytest.raises(BenchError, match=RUN):
        read(tmp_path, RUN)


@pytest.mark.parametrize("schema", [0, 2, None, "1"])
def test_a_folder_of_another_schema_is_refused_not_guessed_at(schema, tmp_path):
    path = complete(tmp_path) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    for use in (is_complete, store.read_record):
        with pytest.raises(
            BenchError, match=rf"{path.parent}.*schema {schema}, this version reads schema 1.*BENCH_HOME elsewhere"
        ):
            use(tmp_path, RUN)
    with pytest.raises(BenchError, match=f"schema {schema}"):
        Results(tmp_path).scores  # noqa: B018 - reading is the test


def test_a_removed_run_is_gone_and_its_marker_goes_first(tmp_path, monkeypatch):
    folder = complete(tmp_path)
    monkeypatch.setattr(store.shutil, "rmtree", lambda *args, **kwargs: None)
    store.remove(tmp_path, RUN)
    assert not is_complete(tmp_path, RUN) and (folder / "run.json").exists()
    monkeypatch.undo()
    store.remove(tmp_path, RUN)
    assert not folder.exists()


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_failure_is_recorded_with_its_traceback(tmp_path):
    fail(tmp_path, OTHER)
    record = store.failure(tmp_path, OTHER)
    assert (record["status"], record["reason"], record["traceback"]) == ("failed", "ValueError: no", "Traceback ...")
    assert store.read_record(tmp_path, OTHER) == record
    assert not is_complete(tmp_path, OTHER)
    assert store.failure(tmp_path, RUN) is None


def test_a_failure_is_never_written_over_a_complete_run(tmp_path):
    complete(tmp_path, RUN)
    fail(tmp_path, RUN)
    assert is_complete(tmp_path, RUN) and store.failure(tmp_path, RUN) is None


def test_a_run_that_works_in_the_end_is_no_failure(tmp_path):
    fail(tmp_path, RUN)
    complete(tmp_path, RUN)
    assert store.failure(tmp_path, RUN) is None
    assert Results(tmp_path).scores["status"].unique().tolist() == ["complete"]


def test_a_failure_after_a_crash_is_a_failure(tmp_path):
    """The crash left run.json and scores.csv; without COMPLETE they count for nothing."""
    (complete(tmp_path, RUN) / COMPLETE).unlink()
    fail(tmp_path, RUN)
    assert store.read_record(tmp_path, RUN)["status"] == "failed"
    scores = Results(tmp_path).scores
    assert scores["status"].tolist() == ["failed"] and scores["metric"].isna().all()


def test_what_a_crash_left_is_no_record(tmp_path):
    (complete(tmp_path, RUN) / COMPLETE).unlink()
    with pytest.raises(BenchError, match=RUN):
        store.read_record(tmp_path, RUN)


# --- all runs ----------------------------------------------------------------------------------------------------


def filled(home):
    complete(home, RUN)
    fail(home, OTHER)
    fail(home, THIRD, "n/a", "NotApplicable: no text tower")
    (home / "runs" / "aa" / ("a" * 12)).mkdir(parents=True)  # under way
    (home / "runs" / "aa" / "notes").mkdir()


def test_results_show_complete_failed_and_inapplicable_runs(tmp_path):
    filled(tmp_path)
    scores = Results(tmp_path).scores
    by_run = scores.groupby("run_id")["status"].unique().map(list).to_dict()
    assert by_run == {RUN: ["complete"], OTHER: ["failed"], THIRD: ["n/a"]}
    assert scores[scores["run_id"] == RUN].set_index("metric")["value"].to_dict() == {"top1": 0.5, "nll": 1.25}
    other = scores[scores["run_id"] == THIRD].iloc[0]
    assert other["reason"] == "NotApplicable: no text tower" and pd.isna(other["metric"]) and pd.isna(other["value"])
    assert scores["shots"].dtype == "Int64" and scores["dataset"].unique().tolist() == ["toy"]


def test_results_of_one_data_set(tmp_path):
    complete(tmp_path, RUN)
    complete(tmp_path, OTHER, dataset="mine", manifest="m1")
    assert Results(tmp_path, "m1").scores["run_id"].unique().tolist() == [OTHER]
    assert Results(tmp_path, "nothing").scores.empty


def test_one_data_set_of_a_home_where_no_run_tells_its_data_set(tmp_path):
    assert Results(tmp_path, "m1").runs.empty
    (complete(tmp_path, RUN) / "run.json").write_text('{"cut')
    runs = Results(tmp_path, "m1").runs
    assert runs["run_id"].tolist() == [RUN] and runs["status"].tolist() == ["damaged"]


@pytest.mark.parametrize("status", ["complete", "failed"])
def test_a_complete_run_of_a_newer_version_supersedes_the_older_one_and_a_failed_one_does_not(status, tmp_path):
    complete(tmp_path, RUN)
    newer = {"series": "s", "versions": {"method": 2, "protocol": 1}}
    if status == "complete":
        complete(tmp_path, OTHER, **newer)
    else:
        write_failure(tmp_path, OTHER, {**RECORD, "columns": {**COLUMNS, **newer}}, "no", "Traceback")
    complete(tmp_path, THIRD, series="another run", versions={"method": 1, "protocol": 1})
    shown = {OTHER, THIRD} if status == "complete" else {RUN, OTHER, THIRD}
    assert set(Results(tmp_path).scores["run_id"]) == shown
    assert store.is_complete(tmp_path, RUN), "it stays on disk"


def test_results_of_nothing_are_empty_and_have_their_columns(tmp_path):
    assert list(Results(tmp_path).scores.columns) == ["run_id", "status", "metric", "value"]
    assert not (tmp_path / "runs").exists()


def test_predictions_are_a_row_a_video(tmp_path):
    complete(tmp_path, RUN)
    table = Results(tmp_path).predictions(RUN)
    made = predictions()
    assert table["video_id"].tolist() == ["000", "001", "002", "003", "004"]
    assert table["predicted"].tolist() == made.logits.argmax(axis=1).tolist()
    assert table["correct"].tolist() == (made.logits.argmax(axis=1) == made.labels).tolist()
    np.testing.assert_array_equal(Results(tmp_path).logits(RUN), made.logits)


@pytest.mark.parametrize("spoil", ["gone", "no archive", "one array less", "fewer videos"])
def test_damaged_predictions_are_an_error_that_names_run_file_and_remedy(spoil, tmp_path):
    path = complete(tmp_path) / "predictions.npz"
    with np.load(path) as f:
        arrays = dict(f)
    if spoil == "gone":
        path.unlink()
    elif spoil == "no archive":
        path.write_bytes(b"no archive")
    elif spoil == "one array less":
        np.savez(path, **{name: value for name, value in arrays.items() if name != "groups"})
    else:
        np.savez(path, **{name: value[:4] if len(value) == 5 else value for name, value in arrays.items()})
    results = Results(tmp_path)
    for read in (results.predictions, results.logits, lambda run_id: store.read_predictions(tmp_path, run_id)):
        with pytest.raises(
            BenchError, match=f"run {RUN} is damaged: {path} .*delete the folder {path.parent} and start"
        ):
            read(RUN)


def test_the_index_follows_runs_that_come_go_and_change(tmp_path):
    filled(tmp_path)
    assert len(Results(tmp_path).scores) == 4
    shutil.rmtree(run_folder(tmp_path, OTHER))
    complete(tmp_path, THIRD, top1=1.0)
    scores = Results(tmp_path).scores
    assert scores.set_index(["run_id", "metric"])["value"].to_dict() == {
        (RUN, "top1"): 0.5, (RUN, "nll"): 1.25, (THIRD, "top1"): 1.0, (THIRD, "nll"): 1.25,
    }  # fmt: skip
