"""A stored run done again here and now: the same number, or the reason why not."""

import json

import numpy as np
import pytest
from commands import bench

import bench as kpbench
from bench import planning, reproducing, store
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


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: bench(capsys, monkeypatch, *words)


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
    assert not (home / "reproduce").exists() and any((home / "data").iterdir()), (
        "links are removed, not what they lead to"
    )
    assert {p: p.stat().st_mtime_ns for p in home.glob("features/*/*")} == features
    assert list(store.run_ids(home)) == [run_id]


def test_features_are_computed_anew_and_kept_where_asked(home, run_id, command):
    for shard in home.glob("features/*/*"):
        shard.unlink()
    code, out, _ = command("reproduce", run_id, "--keep")
    scratch = reproducing.scratch_folder(home, run_id)
    assert code == 0 and str(scratch) in out
    assert store.is_complete(scratch, run_id) and list(scratch.glob("features/*/*.safetensors"))
    assert (scratch / "data").is_symlink()


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
    assert reproducing.scratch_folder(home, run_id).is_dir(), "it stays, to be looked at"


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
