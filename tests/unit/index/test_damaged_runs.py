"""A run that is damaged, misplaced or changes meanwhile is shown as such and stops nothing."""

import io
import os
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
import synthetic
from indexed import anew, fill, known, odd, same, touched

from bench import _folders, _table, index, rescoring, store
from bench._folders import kind_of_damage
from bench.contracts import BenchError
from bench.store import COMPLETE, FAILED, run_folder
from bench.stored_results import Results


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
