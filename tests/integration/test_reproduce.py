"""A stored run done again here and now: the same number, or the reason why not."""

import json
import os
import subprocess
import sys

import made_runs
import numpy as np
import pandas as pd
import pytest

import bench as kpbench
from bench import planning, reproducing, runner, store
from bench._swap import LOCK, hold
from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.specs import RunSpec

pytestmark = pytest.mark.slow
LIMIT = 6  # videos a class and side: enough for validation


@pytest.fixture(scope="module")
def kept(toy_workspace, tmp_path_factory):
    """A home with a complete and a failed run on a slice of the toy set."""
    home = tmp_path_factory.mktemp("kept") / "home"
    home.mkdir()
    toy_workspace.mkdir(exist_ok=True)
    (home / "data").symlink_to(toy_workspace, target_is_directory=True)
    kpbench.run(spec(), home)
    return home


def spec(method="linear_probe", **more):
    return RunSpec(dataset="toy", backbone="tiny-clip", method=method, protocol="cross_subject", limit=LIMIT, **more)


@pytest.fixture
def home(kept, tmp_path):
    """A copy, so that a test may spoil it."""
    import shutil

    home = tmp_path / "bench_home"
    shutil.copytree(kept, home, symlinks=True)
    return home


@pytest.fixture
def run_id(home):
    return next(iter(store.run_ids(home)))


def scratch_of(home):
    return list(home.glob("reproduce*"))


def edit(home, run_id, change):
    path = store.run_folder(home, run_id) / "run.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_here_and_now_it_is_the_same_bit_for_bit_and_the_scratch_home_is_removed(home, run_id, command):
    features = {p: p.stat().st_mtime_ns for p in home.glob("features/*/*")}
    code, out, err = command("reproduce", run_id[:6])
    assert code == 0, out + err
    assert f"run {run_id}: reproduced, bit for bit" in out and "0 of" in out and "(differs)" not in out
    assert not scratch_of(home) and any((home / "data").iterdir()), "links are removed, not what they lead to"
    assert "scores.csv: what the stored predictions give" in out
    assert {p: p.stat().st_mtime_ns for p in home.glob("features/*/*")} == features
    assert list(store.run_ids(home)) == [run_id]


def test_features_are_computed_anew_and_kept_where_asked(home, run_id, command):
    for shard in home.glob("features/*/*"):
        shard.unlink()
    code, out, _ = command("reproduce", run_id, "--keep")
    (scratch,) = scratch_of(home)
    assert code == 0 and str(scratch) in out
    assert store.is_complete(scratch, run_id) and list(scratch.glob("features/*/*.safetensors"))
    assert (scratch / "data").is_symlink() and not (scratch / "features").is_symlink()
    assert not list(home.glob("features/*/*.safetensors")) and not (home / "weights").exists()


def test_other_numbers_are_told_with_how_far_how_many_answers_and_what_is_different_around(home, run_id, command):
    folder = store.run_folder(home, run_id)
    with np.load(folder / "predictions.npz") as f:
        arrays = dict(f)
    right = arrays["logits"].argmax(1)
    arrays["logits"][:2, :] = -arrays["logits"][:2, :]  # two answers and no others
    changed = int((arrays["logits"].argmax(1) != right).sum())
    np.savez(folder / "predictions.npz", **arrays)
    edit(home, run_id, lambda r: r["provenance"]["versions"].update(numpy="1.0.0"))
    edit(home, run_id, lambda r: r["provenance"].update(gpu="H100", cpus=999))
    code, out, _ = command("reproduce", run_id)
    assert code == 1 and "NOT reproduced: the same run gives other numbers" in out
    assert changed and f"{changed} of {len(right)} top-1 answers differ" in out and "possible reason" in out
    assert f"library numpy: 1.0.0 -> {np.__version__}" in out and "cpus: 999 ->" in out
    assert str(*scratch_of(home)) in out, "it stays, to be looked at"
    assert "scores.csv: what the run gives now, but NOT what its stored predictions give" in out


@pytest.mark.parametrize(
    "share, tolerance, code", [(1e-6, None, 0), (1e-4, None, 1), (1e-4, "1e-3", 0), (1e-6, "0", 1)]
)
def test_a_small_difference_is_held_against_the_tolerance(home, run_id, command, share, tolerance, code):
    folder = store.run_folder(home, run_id)
    with np.load(folder / "predictions.npz") as f:
        arrays = dict(f)
    arrays["logits"][0, 0] += share * np.abs(arrays["logits"]).max()
    np.savez(folder / "predictions.npz", **arrays)
    found, out, _ = command("reproduce", run_id, *(["--tolerance", tolerance] if tolerance else []))
    assert found == code and ("reproduced within the tolerance" in out) == (code == 0)


def test_a_raised_version_and_another_default_are_named_as_what_makes_it_another_run(
    home, run_id, command, monkeypatch
):
    from baselines import linear_probe

    monkeypatch.setattr(linear_probe, "VERSION", linear_probe.VERSION + 1)
    now = linear_probe.VERSION
    code, out, _ = command("reproduce", run_id)
    assert code == 1 and "another run here and now" in out
    assert f"versions: method: {now - 1} -> {now}" in out and "equal bit for bit" in out
    assert "rows of the data set" not in out and "knowledge bank" not in out


def test_another_config_default_is_named(home, run_id, command):
    record = store.read_record(home, run_id)
    name, value = record["identity"]["config"][0]
    edit(home, run_id, lambda r: r["identity"].update(config=[[name, "another"], *r["identity"]["config"][1:]]))
    monkey = reproducing.reproduce(home, run_id)
    assert [(d.what, d.then, d.now) for d in monkey.identity] == [(f"config: {name}", "another", value)]


def test_other_rows_are_named_and_predictions_on_other_videos_are_not_compared(home, run_id, command):
    edit(home, run_id, lambda r: r["spec"].update(limit=LIMIT - 1))
    code, out, _ = command("reproduce", run_id)
    assert code == 1 and "rows of the data set:" in out and "cannot be compared: the video ids differ" in out


def test_a_failed_run_fails_again_for_the_same_reason_or_does_not(home, command, monkeypatch):
    from baselines import linear_probe

    real = linear_probe.fit
    monkeypatch.setattr(linear_probe, "fit", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kpbench.run(spec(seed=7), home)
    (run_id,) = [r for r in store.run_ids(home) if store.failure(home, r)]
    code, out, _ = command("reproduce", run_id)
    assert code == 0 and "it fails again, for the same reason" in out and "ZeroDivisionError" in out
    monkeypatch.setattr(linear_probe, "fit", real)
    code, out, _ = command("reproduce", run_id)
    assert code == 1 and "another outcome" in out and "now: a result" in out


def test_the_data_may_lie_elsewhere_here(home, tmp_path, command, monkeypatch):
    from fakes import plug_in_adapter, write_classes

    plug_in_adapter(monkeypatch)
    there = write_classes(tmp_path / "there", ("run", "wave"), 2)
    kpbench.run(RunSpec(dataset="folder", root=str(there), backbone="fake", method="zero_shot"), home)
    (run_id,) = [r for r in store.run_ids(home) if store.read_record(home, r)["spec"]["dataset"] == "folder"]
    there.rename(tmp_path / "here")
    planning._built.clear()
    code, _, err = command("reproduce", run_id)
    assert code == 2 and "there is no such file or folder" in err
    code, out, _ = command("reproduce", run_id, "--root", tmp_path / "here")
    # The folder's name is the data set's name, so this is the same rows under another name only if that is kept.
    assert "predictions: equal bit for bit" in out


# --- on a fake backbone, which is fast -------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A home with one run on a folder of videos; home, id and adapter."""
    from fakes import plug_in_adapter, write_classes

    home = tmp_path / "bench_home"
    home.mkdir()
    adapter = plug_in_adapter(monkeypatch)
    there = write_classes(tmp_path / "there", ("run", "wave"), 2)
    kpbench.run(RunSpec(dataset="folder", root=str(there), backbone="fake", method="zero_shot"), home)
    return home, next(iter(store.run_ids(home))), adapter


def edit_scores(home, run_id, change):
    path = store.run_folder(home, run_id) / "scores.csv"
    table = pd.read_csv(path)
    change(table)
    table.to_csv(path, index=False)


def test_stored_features_are_not_used(fake):
    home, run_id, adapter = fake
    encoded = adapter.num_encoded
    for _ in range(2):
        assert reproducing.reproduce(home, run_id).status == "identical"
    assert encoded and adapter.num_encoded == 3 * encoded, "each time all of them"
    assert sorted(p.name for p in home.iterdir()) == [".reproduce.lock", "features", "manifests", "runs"]


def test_two_at_once_do_not_disturb_each_other(fake, monkeypatch):
    home, run_id, _ = fake
    real, inner = runner.execute, []

    def execute(resolved, scratch):
        if not inner:
            inner.append(None)
            inner[0] = reproducing.reproduce(home, run_id)
        real(resolved, scratch)

    monkeypatch.setattr(runner, "execute", execute)
    outer = reproducing.reproduce(home, run_id, keep=True)
    assert outer.status == inner[0].status == "identical"
    assert store.is_complete(outer.folder, run_id) and scratch_of(home) == [outer.folder]


def test_nothing_is_left_after_an_error(fake, monkeypatch):
    home, run_id, _ = fake
    with pytest.raises(BenchError, match="there is no such file or folder"):
        reproducing.reproduce(home, run_id, root=str(home / "nowhere"))
    monkeypatch.setattr(reproducing, "compare", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reproducing.reproduce(home, run_id)
    assert not scratch_of(home) and not (home / "data").exists()


def test_scores_that_nobody_computed_are_told_and_do_not_stand(fake, command):
    home, run_id, _ = fake
    edit_scores(home, run_id, lambda table: table.loc.__setitem__((table["metric"] == "top1", "value"), 0.99))
    code, out, _ = command("reproduce", run_id)
    assert code == 1 and "reproduced, bit for bit" in out
    assert "scores.csv: NOT what the stored predictions give" in out and "top1: 0.990000 there, " in out
    assert out.count(" there, ") == 1, "the other metrics are as they were"


def test_scores_by_other_metrics_are_no_failure_and_none_at_all_are_one(fake):
    home, run_id, _ = fake

    def change(table):
        table["value"], table["metrics_version"] = table["value"] / 2, 99

    edit_scores(home, run_id, change)
    found = reproducing.reproduce(home, run_id)
    assert found.scores == "another metrics version" and found.holds and found.scored
    (store.run_folder(home, run_id) / "scores.csv").write_text("metric,value\n")
    found = reproducing.reproduce(home, run_id)
    assert (found.status, found.scores, found.holds) == ("identical", "unreadable", False)


@pytest.mark.parametrize(
    "then, now, same",
    [
        (RuntimeError("{home}/features is full"), RuntimeError("{home}/features is full"), True),
        (RuntimeError("{root}/run is gone"), RuntimeError("{root}/run is gone"), True),
        (RuntimeError("{home}/features is full"), RuntimeError("{home}/runs is full"), False),
        (ValueError("odd"), ValueError("even"), False),
        (ValueError("odd"), TypeError("odd"), False),
    ],
)
def test_a_failure_is_the_same_by_its_type_and_words_and_not_by_where_it_was(fake, monkeypatch, then, now, same):
    home, _, _ = fake
    raised = [then]

    def fail(resolved, where):
        error = raised[0]
        raise type(error)(str(error).format(home=where, root=resolved.spec.root))

    monkeypatch.setattr(runner, "_fit_and_predict", fail)
    root = home.parent / "there"
    with pytest.raises(type(then)):
        kpbench.run(RunSpec(dataset="folder", root=str(root), backbone="fake", method="zero_shot", seed=7), home)
    (failed,) = [r for r in store.run_ids(home) if store.failure(home, r)]
    raised[0] = now
    (root.parent / "elsewhere").mkdir()
    moved = root.rename(root.parent / "elsewhere" / "there")
    found = reproducing.reproduce(home, failed, root=str(moved))
    assert (found.status, found.holds) == (("same failure", True) if same else ("other outcome", False))
    assert found.reasons[0].startswith(type(then).__name__) and found.reasons[1].startswith(type(now).__name__)


NONE, INF, NAN = -np.inf, np.inf, np.nan


@pytest.mark.parametrize("then, now", [(NONE, 0.0), (0.0, NONE), (NONE, NAN), (NAN, 0.0), (NONE, INF), (0.0, NAN)])
def test_what_is_not_finite_at_one_time_alone_is_a_difference(then, now):
    rows = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
    before, after = (made_runs.predictions(num=2, logits=rows.copy()) for _ in range(2))
    before.logits[1, 2], after.logits[1, 2] = then, now
    found, why_not = reproducing.compare(before, after)
    assert found is None and "infinite or NaN" in why_not
    after.logits[1, 2] = then
    found, _ = reproducing.compare(before, after)
    assert found.identical and found.relative == 0


CHANGES = {
    "backbone": {"backbone": "gone"},
    "method": {"method": "gone"},
    "weights": {"backbone": "clip-vit-b-16"},
    "root": {"dataset": "folder", "root": "/nowhere/at/all"},
}


@pytest.mark.parametrize(
    "spoil, said",
    [
        (None, "no finished run"),
        ("spec", "no spec"),
        ("predictions", "damaged"),
        ("backbone", "unknown adapter 'gone'"),
        ("method", "unknown method 'gone'"),
        ("weights", "fetch clip-vit-b-16"),
        ("root", "no such file or folder; say where the data set folder lies here with --root"),
    ],
)
def test_what_cannot_be_done_again_is_refused_before_torch_is_loaded(tmp_path, spoil, said):
    home, run_id = tmp_path / "home", "a1b2c3d4e5f6"
    made_runs.complete(home, run_id)
    folder = store.run_folder(home, run_id)
    if spoil == "spec":
        edit(home, run_id, lambda record: record.pop("spec"))
    elif spoil in CHANGES:
        edit(home, run_id, lambda record: record["spec"].update(CHANGES[spoil]))
    elif spoil:
        (folder / "predictions.npz").write_bytes(b"PK")
    asked = run_id if spoil else "0" * 12
    program = (
        "import sys; from bench.cli import main\n"
        f"sys.argv = ['bench', 'reproduce', {asked!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code, 'torch' in sys.modules)\n"
    )
    env = {**os.environ, "BENCH_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"] and said in " ".join(done.stderr.split())
    assert not scratch_of(home) and not (home / "data").exists()


def test_what_a_killed_one_left_goes_and_what_is_used_or_kept_stays(home, run_id):
    left, used, kept = (home / f"reproduce-{run_id}-{name}" for name in ("left", "used", "kept"))
    for folder in (left, used, kept):
        folder.mkdir()
    (left / LOCK).touch()
    lock = hold(used / LOCK)
    again = reproducing.reproduce(home, run_id, keep=True)
    os.close(lock)
    assert sorted(scratch_of(home)) == sorted([used, kept, again.folder])
    assert not (again.folder / LOCK).exists(), "it is there to be looked at"
    reproducing.reproduce(home, run_id)
    assert sorted(scratch_of(home)) == sorted([kept, again.folder])
