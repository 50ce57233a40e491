"""A run from videos to tables, from Python and from the command line, with a fake backbone."""

import json

import numpy as np
import pytest
import torch
from commands import WORDS
from folder_runs import few_shot, method_of, spec_of

import bench as kpbench
from bench import runner, store
from bench.features import FeatureStore
from bench.stored_results import Results


def files(home):
    """Everything in a home with its time of writing."""
    return {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}


# --- from Python -------------------------------------------------------------------------------------------------


def test_a_run_from_python_gives_its_scores_and_a_row_each_in_the_results(home, adapter, videos):
    scores = kpbench.run(spec_of(videos))
    assert {"top1", "mean_class_accuracy", "nll", "ece"} <= set(scores)
    table = kpbench.results()
    assert table.set_index("metric")["value"].to_dict() == scores
    row = table.iloc[0]
    assert (row["dataset"], row["backbone"], row["method"], row["status"]) == (
        videos.name,
        "fake",
        "zero_shot",
        "complete",
    )
    assert (row["num_classes"], row["num_test"], row["num_failed"]) == (3, 36, 0)
    assert bool(row["toy_scale"]) and row["selection"] == "none needed"


def test_the_scores_are_those_of_the_stored_predictions(home, adapter, videos):
    scores = kpbench.run(few_shot(videos, "linear_probe"))
    results = Results(home)
    run_id = results.scores["run_id"].iloc[0]
    table = results.predictions(run_id)
    assert scores["top1"] == table["correct"].mean()
    assert set(table["video_id"]) == {str(p.relative_to(videos)) for p in (videos / "test").rglob("*.mp4")}
    true = [v.split("/")[1] for v in table["video_id"]]
    assert [("clap", "run", "wave")[label] for label in table["label"]] == true


def test_a_probe_on_colours_that_are_easy_to_tell_is_right(home, adapter, videos):
    """The one place where the whole path, labels and columns and all, must come out right and not only the same."""
    assert kpbench.run(few_shot(videos, "linear_probe", 4))["top1"] == 1.0
    assert kpbench.run(spec_of(videos, "majority", protocol="cross_subject"))["top1"] == pytest.approx(1 / 3)


def test_a_run_that_is_done_is_not_done_again(home, adapter, videos):
    spec = few_shot(videos, "coop", 1, config={"epochs": 2})
    first, seen, before = kpbench.run(spec), adapter.num_encoded, files(home / "runs") | files(home / "features")
    assert kpbench.run(spec) == first
    assert adapter.num_encoded == seen
    assert files(home / "runs") | files(home / "features") == before


def test_runs_of_one_backbone_share_its_features(home, adapter, videos):
    kpbench.run(spec_of(videos))
    assert adapter.num_encoded == 36
    kpbench.run(spec_of(videos, config={"text": "templates"}))
    kpbench.run(few_shot(videos, "linear_probe", 1))
    assert adapter.num_encoded == 36 + 3 + 3


def test_the_test_features_are_opened_after_the_fit(home, adapter, videos, monkeypatch):
    order, load = [], FeatureStore.load
    monkeypatch.setattr(
        FeatureStore,
        "load",
        lambda self, m, p: (order.append(m.rows["split:1"].iloc[list(p)].unique().item()), load(self, m, p))[1],
    )
    method = peeking(monkeypatch, lambda train, val: order.append("fit"))
    kpbench.run(few_shot(videos, method))
    assert order == ["train", "train", "fit", "test"]


def peeking(monkeypatch, look):
    """A method that shows what its fit receives, and answers nothing but zeros."""

    def fit(config, adapter, train, val, classes, seed):
        look(train, val)
        return lambda features, classes: torch.zeros(len(features), len(classes))

    return method_of(monkeypatch, "peeking", fit)


def test_a_fit_gets_shots_and_validation_of_the_right_size_and_labels(home, adapter, videos, monkeypatch):
    seen = {}
    method = peeking(monkeypatch, lambda train, val: seen.update(train=train, val=val))
    kpbench.run(few_shot(videos, method, 6))
    assert torch.bincount(seen["train"].labels).tolist() == [6, 6, 6]
    assert torch.bincount(seen["val"].labels).tolist() == [4, 4, 4]
    assert seen["train"].features.frames.shape == (18, 4, 16)


# --- debug and local ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_debug_gives_the_bytes_of_workers(home, adapter, videos, undisturbed, command):
    code, out, err = command(*WORDS, "--where", "debug", "--root", videos)
    assert code == 0, err
    assert "3 runs, 0 complete" in out and "72 videos encoded now, 0 were stored, 0 cannot be decoded" in out
    for run_id, content in undisturbed.predictions.items():
        assert (store.run_folder(home, run_id) / "predictions.npz").read_bytes() == content
    assert {p.name: p.read_bytes() for p in home.glob("features/*/*.safetensors")} == {
        p.name: p.read_bytes() for p in undisturbed.shards
    }


# --- cost --------------------------------------------------------------------------------------------------------


def test_the_time_to_predict_is_that_of_a_video_without_loading(home, adapter, videos, monkeypatch):
    now = [0.0]

    def takes(seconds, function):
        def slow(*args, **kwargs):
            now[0] += seconds
            return function(*args, **kwargs)

        return slow

    monkeypatch.setattr("bench.cost.time.perf_counter", lambda: now[0])
    for owner, name, seconds in ((runner, "fit", 7.0), (FeatureStore, "load", 1000.0), (runner, "predict", 36.0)):
        monkeypatch.setattr(owner, name, takes(seconds, getattr(owner, name)))
    kpbench.run(spec_of(videos))
    assert Results(home).runs["predict_ms"].tolist() == [1000.0]
    assert Results(home).runs["fit_seconds"].tolist() == [7.0]


def test_what_a_run_costs_is_kept_beside_it(home, adapter, videos):
    kpbench.run(few_shot(videos, "coop", 1, config={"epochs": 2}))
    kpbench.run(spec_of(videos))
    runs = Results(home).runs.set_index("method")
    coop, zero = runs.loc["coop"], runs.loc["zero_shot"]
    assert coop["num_trainable"] == 16 * adapter.module.embedding.shape[1] and zero["num_trainable"] == 0
    for run in (coop, zero):
        assert run["num_parameters"] == adapter.facts.num_parameters and run["num_pool"] == 36
        assert run["resolution"] == adapter.transform(np.zeros((1, 9, 9, 3), np.uint8)).shape[-1]
        assert run["feature_ms"] > 0 and run["predict_ms"] > 0 and run["peak_memory_mb"] > 10
        assert 10 < run["start_memory_mb"] <= run["peak_memory_mb"]
        assert run["fit_seconds"] >= 0 and run["hardware"].endswith("cores")
    assert coop["fit_seconds"] > zero["fit_seconds"]


# --- commands ----------------------------------------------------------------------------------------------------


def test_dry_run_prints_the_plan_and_starts_nothing(home, adapter, videos, command):
    code, out, err = command(*WORDS, "--root", videos, "--dry-run")
    assert code == 0 and out.count("to do") == 3
    assert adapter.num_encoded == 0 and not (home / "runs").exists() and not (home / "report").exists()


def test_show_tells_a_run_and_gives_its_record_as_json(home, adapter, videos, command, capsys):
    scores = kpbench.run(spec_of(videos))
    run_id = kpbench.results()["run_id"].iloc[0]
    from bench.cli.records import show

    capsys.readouterr()
    show(run_id, as_json=True)
    record = json.loads(capsys.readouterr().out)
    assert record["run_id"] == run_id and record["spec"]["root"] == str(videos)
    assert {"git", "python", "versions", "host"} <= set(record["provenance"]) and record["scores"] == scores
    code, out, _ = command("show", run_id[:5])
    assert code == 0 and f"run {run_id}: complete" in out and f"root {videos}" in out and "predictions.npz: " in out


def test_without_a_root_the_folder_data_set_asks_for_one(home, adapter, command):
    code, _, err = command("run", "--dataset", "folder", "--backbones", "fake")
    assert code == 2 and "--root FOLDER" in err


def test_a_default_sweep_on_a_published_split_needs_no_choice_of_seeds(home, adapter, videos, command):
    code, out, err = command(
        "run",
        "--where",
        "debug",
        "--sweep",
        "zero_shot",
        "--dataset",
        "folder",
        "--root",
        videos,
        "--backbones",
        "fake",
    )
    assert code == 0, err


def test_predictions_do_not_depend_on_how_many_videos_are_judged_at_once(home, adapter, videos, monkeypatch):
    a = kpbench.run(spec_of(videos))
    monkeypatch.setattr("bench.prediction.PREDICT_ROWS", 5)
    run_id = kpbench.results()["run_id"].iloc[0]
    logits = store.read_predictions(home, run_id).logits
    store.remove(home, run_id)
    assert kpbench.run(spec_of(videos)) == pytest.approx(a)
    np.testing.assert_allclose(store.read_predictions(home, run_id).logits, logits, atol=1e-5)
