import json
import shutil

import numpy as np
import pytest
import torch
from commands import WORDS, bench
from fakes import FakeAdapter, plug_in, plug_in_adapter, write_classes

import bench as kpbench
from bench import planning, runner, store
from bench.contracts import NotApplicable
from bench.features import FeatureStore
from bench.specs import RunSpec
from bench.stored_results import Results


@pytest.fixture
def home(tmp_path):
    """What conftest.py sets BENCH_HOME to."""
    return tmp_path / "bench_home"


@pytest.fixture
def adapter(monkeypatch):
    return plug_in_adapter(monkeypatch)


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: bench(capsys, monkeypatch, *words)


def spec_of(videos, method="zero_shot", **more):
    return RunSpec(dataset="folder", root=str(videos), backbone="fake", method=method, **more)


def few_shot(videos, method, shots=2, **more):
    return spec_of(videos, method, protocol="few_shot", shots=shots, **more)


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


def method_of(monkeypatch, name, fit, needs=frozenset({"train"})):
    from baselines import majority

    plug_in(
        monkeypatch, "methods", name, Config=majority.Config, NEEDS=needs, TRAINABLE="head", VERSION=1,
        fit=fit, suggest=majority.suggest, describe=lambda config: name,
    )  # fmt: skip
    return name


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


# --- failures ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sweep(monkeypatch):
    """Make these specs a sweep of their own."""
    return lambda *specs: plug_in(monkeypatch, "sweeps", "mine", runs=lambda choice: iter(specs))


RUN_MINE = "run --where debug --sweep mine --dataset folder --backbones fake".split()


def broken(monkeypatch, error):
    def fit(config, adapter, train, val, classes, seed):
        raise error

    return method_of(monkeypatch, "broken", fit)


def test_a_method_that_raises_is_a_visible_failure_and_the_others_are_done(
    home, adapter, videos, monkeypatch, sweep, command
):
    sweep(
        few_shot(videos, broken(monkeypatch, RuntimeError("no luck"))),
        spec_of(videos),
        few_shot(videos, "linear_probe"),
    )
    code, out, err = command(*RUN_MINE, "--root", videos)
    assert code == 1
    assert "RuntimeError: no luck" in err and "1 runs have no result" in err and "show RUN_ID" in err
    assert "runs: 2 done now" in out
    assert "zero-shot, class names" in out and "linear probe" in out, "the leaderboard of this data set is printed"
    scores = kpbench.results()
    failed = scores[scores["status"] == "failed"]
    assert failed["method"].tolist() == ["broken"] and failed["metric"].isna().all()
    assert set(scores["method"][scores["status"] == "complete"]) == {"zero_shot", "linear_probe"}
    run_id = failed["run_id"].item()
    assert run_id in err

    code, out, err = command("status")
    assert code == 1 and run_id in err and "no luck" in err
    code, out, err = command("show", run_id)
    assert code == 0 and "Traceback" in out and "no luck" in out
    table = (home / "report" / f"backbones-{videos.name}.md").read_text()
    assert "failed" in table and "no luck" in table


def test_a_failed_run_is_tried_again_by_the_same_command(home, adapter, videos, monkeypatch, sweep, command):
    luck = []

    def fit(config, adapter, train, val, classes, seed):
        if not luck:
            raise RuntimeError("no luck")
        return lambda features, classes: torch.zeros(len(features), len(classes))

    sweep(few_shot(videos, method_of(monkeypatch, "unsteady", fit)))
    assert command(*RUN_MINE, "--root", videos)[0] == 1
    before = kpbench.results()["run_id"].tolist()
    luck.append("now")
    assert command(*RUN_MINE, "--root", videos)[0] == 0
    assert set(kpbench.results()["run_id"]) == set(before)
    assert kpbench.results()["status"].unique().tolist() == ["complete"]
    assert command("status")[0] == 0


def test_from_python_a_failure_is_raised_and_recorded(home, adapter, videos, monkeypatch):
    with pytest.raises(RuntimeError, match="no luck"):
        kpbench.run(few_shot(videos, broken(monkeypatch, RuntimeError("no luck"))))
    assert kpbench.results()["reason"].tolist() == ["RuntimeError: no luck"]


ANSWERS = {
    "a missing row": lambda features, classes: torch.zeros(len(features) - 1, len(classes)),
    "transposed": lambda features, classes: torch.zeros(len(classes), len(features)),
    "float64": lambda features, classes: torch.zeros(len(features), len(classes)).double(),
    "NaN": lambda features, classes: torch.full((len(features), len(classes)), torch.nan),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_logits_that_are_none_are_a_failure_and_no_score(answer, home, adapter, videos, monkeypatch):
    method = method_of(monkeypatch, "odd", lambda *a: ANSWERS[answer])
    with pytest.raises((AssertionError, ValueError)):
        kpbench.run(few_shot(videos, method))
    assert kpbench.results()["status"].tolist() == ["failed"]


@pytest.mark.parametrize("amount", [1.0, 1e-6])
def test_a_method_that_touches_the_backbone_is_a_failure(amount, home, adapter, videos, monkeypatch):
    def fit(config, adapter, train, val, classes, seed):
        adapter.module.positions.add_(amount)
        return lambda features, classes: torch.zeros(len(features), len(classes))

    with pytest.raises(AssertionError, match="careless changed parameters of the frozen backbone fake"):
        kpbench.run(few_shot(videos, method_of(monkeypatch, "careless", fit)))
    assert kpbench.results()["status"].tolist() == ["failed"]


# --- base to novel, cost -----------------------------------------------------------------------------------------


@pytest.fixture
def later_base(four, home, adapter):
    """The four classes with fewer training videos of the first and the third: the base classes are jump and wave, numbers 1 and 3."""
    folder = home.parent / "later"
    shutil.copytree(four, folder)
    for name in ("clap", "run"):
        for video in sorted((folder / "train" / name).iterdir())[:2]:
            video.unlink()
    return folder


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("four"), ("clap", "jump", "run", "wave"))


def base_to_novel(videos, method, shots=1, **more):
    return spec_of(videos, method, protocol="base_to_novel", shots=shots, **more)


def test_base_and_novel_videos_are_told_apart_among_their_own_classes(home, adapter, later_base, monkeypatch):
    """The method answers by the name it is asked for, so that a column in the wrong place shows."""
    seen = []
    scale = {"clap": 1.0, "jump": 2.0, "run": 3.0, "wave": 4.0}

    def fit(config, adapter, train, val, classes, seed):
        seen.append((classes.names, sorted(train.labels.tolist()), sorted(val.labels.tolist())))
        return lambda features, classes: torch.tensor([[scale[c] for c in classes.names]]).expand(len(features), -1)

    scores = kpbench.run(base_to_novel(later_base, method_of(monkeypatch, "named", fit)))
    assert seen == [(("jump", "wave"), [0, 1], [0, 1])], "numbered over the base classes"
    assert scores["base_top1"] == scores["novel_top1"] == scores["harmonic_mean"] == 0.5
    run_id = kpbench.results()["run_id"].iloc[0]
    found = store.read_predictions(home, run_id)
    assert list(found.class_names) == ["clap", "jump", "run", "wave"]
    for label, part, row in zip(found.labels, found.parts, found.logits, strict=True):
        assert part == ("base" if label in (1, 3) else "novel")
        assert row.tolist() == ([-np.inf, 2, -np.inf, 4] if part == "base" else [1, -np.inf, 3, -np.inf])


def test_tuning_under_base_to_novel_sees_base_classes_alone(home, adapter, later_base, monkeypatch):
    asked = []

    def fit(config, adapter, train, val, classes, seed):
        def predict(features, classes):
            asked.append(classes.names)
            return torch.eye(len(classes))[torch.zeros(len(features), dtype=torch.long)]

        return predict

    trial = base_to_novel(later_base, method_of(monkeypatch, "first", fit), 2, evaluation="validation")
    assert kpbench.run(trial)["top1"] == 0.5  # two videos of each of two classes
    assert asked == [("jump", "wave")]
    run_id = planning.resolve(trial, home).run_id
    assert list(store.read_predictions(home, run_id).class_names) == ["jump", "wave"]


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


def test_base_to_novel_in_a_sweep_ends_in_its_own_table(home, adapter, four, command):
    words = ("run --where debug --sweep base_to_novel --dataset folder --backbones fake --shots 1 --seeds 1,2").split()
    code, out, err = command(*words, "--root", four)
    assert code == 0, err
    assert "a linear probe knows only its training classes" in out
    table = (home / "report" / f"base-to-novel-{four.name}.md").read_text()
    assert "CoOp" in table and "zero-shot, class names" in table and "n/a" in table and "Harmonic mean" in table
    code, out, err = command("rescore", "--dry-run")
    assert code == 0 and "numbers of 0 would be changed" in out


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


# --- not applicable ----------------------------------------------------------------------------------------------


def test_a_method_that_cannot_run_on_a_backbone_shows_n_a_and_why(home, videos, monkeypatch, sweep, command):
    plug_in_adapter(monkeypatch, FakeAdapter(capabilities=frozenset()))
    sweep(spec_of(videos), few_shot(videos, "coop", 1), few_shot(videos, "linear_probe"))
    code, out, err = command(*RUN_MINE, "--root", videos)
    assert code == 0, err
    assert "zero_shot needs text, which fake does not have" in out and "coop needs prompts, text" in out
    by_method = kpbench.results().drop_duplicates("run_id").set_index("method")["status"].to_dict()
    assert by_method == {"zero_shot": "n/a", "coop": "n/a", "linear_probe": "complete"}
    table = (home / "report" / f"backbones-{videos.name}.md").read_text()
    assert "n/a" in table and "which fake does not have" in table
    code, out, _ = command("status")
    assert code == 0


def test_a_method_that_learns_cannot_run_under_a_protocol_without_training(home, adapter, videos):
    with pytest.raises(
        NotApplicable, match="linear_probe learns from training videos, and the protocol zero_shot gives none"
    ):
        kpbench.run(spec_of(videos, "linear_probe"))
    assert kpbench.results()["status"].tolist() == ["n/a"]


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
