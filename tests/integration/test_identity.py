"""What is in a run's identity and what a plan is kept under: nothing that moves a number is left out, nothing else is in."""

import json

import pytest
import torch
from fakes import FakeAdapter, forget, plug_in, plug_in_adapter, write_classes, write_video

import bench as kpbench
from bench import extraction, planning, plans, plugins, protocols, records, reporting, runner, store
from bench.contracts import BenchError
from bench.specs import RunSpec
from bench.stored_results import Results
from results import _data, _switches

CLASSES = ("clap", "run", "wave")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture
def adapter(monkeypatch):
    return plug_in_adapter(monkeypatch)


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "bank.json"

    def write(text="goes"):
        rows = {
            c: [{"text": f"{c} {text} {n}", "kind": "motion", "origin": "me", "status": "accepted"} for n in "ab"]
            for c in CLASSES
        }
        path.write_text(
            json.dumps({"schema": 2, "dataset": "mine", "about": "", "origins": {"me": {"by": "me"}}, "classes": rows})
        )
        return str(path)

    return write


def spec(videos, method="zero_shot", **more):
    return RunSpec(dataset="folder", root=str(videos), backbone="fake", method=method, **more)


# --- the plan that is kept -----------------------------------------------------------------------------------------


@pytest.fixture
def planned(home, monkeypatch, videos):
    """Plans one spec as a new process would; says whether the kept plan was used."""
    monkeypatch.setattr(plugins, "outside", lambda kind: ())
    calls = []
    real = plans.resolve
    monkeypatch.setattr(plans, "resolve", lambda *a: calls.append(1) or real(*a))

    def plan(*specs):
        calls.clear()
        planning._built.clear()
        found = plans.plan(list(specs), home)
        return found, not calls

    return plan


def test_a_plan_is_kept_and_read_back_whole(planned, adapter, videos):
    first, kept = planned(spec(videos), spec(videos, "linear_probe", protocol="few_shot", shots=2))
    assert not kept
    assert planned(spec(videos), spec(videos, "linear_probe", protocol="few_shot", shots=2)) == (first, True)


@pytest.mark.parametrize(
    "changed", ["rows", "sources", "libraries", "weights", "linked weights", "bank", "order of roots"]
)
def test_a_plan_is_made_anew_when_anything_behind_it_changes(
    changed, planned, adapter, videos, bank, home, monkeypatch, tmp_path
):
    mine = write_classes(tmp_path / "mine", CLASSES, 6)
    specs = [spec(mine, config={"text": "descriptions"}, bank=bank())]
    if changed == "order of roots":
        specs = [spec(mine), spec(write_classes(tmp_path / "other", CLASSES, 7))]
    if changed == "linked weights":
        (tmp_path / "store").mkdir()
        (home / "weights").mkdir(parents=True)
        (home / "weights" / "fake").symlink_to(tmp_path / "store")
    planned(*specs)
    if changed == "linked weights":
        (tmp_path / "store" / "w.pt").touch()
    if changed == "rows":
        write_video(mine / "test" / "run" / "new.mp4", 4, first=9)
    if changed == "sources":
        monkeypatch.setattr(plans, "source_digest", lambda: "edited")
    if changed == "libraries":
        monkeypatch.setattr(plans, "versions", lambda: {"open_clip_torch": "99"})
    if changed == "weights":
        (home / "weights" / "fake").mkdir(parents=True)
        (home / "weights" / "fake" / "w.pt").touch()
    if changed == "bank":
        bank("went")
    if changed == "order of roots":
        mine.rename(tmp_path / "swap")
        (tmp_path / "other").rename(mine)
        (tmp_path / "swap").rename(tmp_path / "other")
    found, kept = planned(*specs)
    assert not kept
    assert [r.manifest for r in found] == [planning.build_manifest(s, home).digest for s in specs]


@pytest.fixture
def open_name(monkeypatch):
    """Names `mine:FOLDER`: the fake, called as the folder is."""
    plug_in(
        monkeypatch,
        "adapters",
        "mine",
        MODELS={},
        OPEN="mine:FOLDER",
        VERSION=1,
        load=lambda name, device: FakeAdapter(name=name.rpartition("/")[2]),
    )


def test_a_plan_is_made_anew_when_the_folder_of_an_open_name_changes(planned, open_name, videos, tmp_path):
    folder = tmp_path / "my-clip"
    folder.mkdir()
    (folder / "model.safetensors").write_text("a")
    of_folder = RunSpec(dataset="folder", root=str(videos), backbone=f"mine:{folder}", method="zero_shot")
    first, _ = planned(of_folder)
    assert planned(of_folder) == (first, True)
    (folder / "model.safetensors").write_text("another")
    assert not planned(of_folder)[1]


def test_where_the_folder_of_an_open_name_lies_is_not_in_the_id(open_name, videos, home, tmp_path):
    ids = {
        planning.resolve(
            RunSpec(dataset="folder", root=str(videos), backbone=f"mine:{place}/my-clip", method="zero_shot"), home
        ).run_id
        for place in ("/data", "/scratch")
    }
    assert len(ids) == 1


# --- the id -----------------------------------------------------------------------------------------------------------


def test_every_setting_of_a_method_is_in_the_id_not_only_the_changed_ones(adapter, videos, home):
    resolved = planning.resolve(spec(videos, "linear_probe", protocol="few_shot", shots=2), home)
    assert dict(resolved.config) == {"c": 0.316, "max_iterations": 1000}


def test_the_shuffled_bank_shows_the_same_statements_to_other_classes(adapter, videos, home, bank):
    more = {"config": {"text": "descriptions"}, "bank": bank()}
    plain = planning.resolve(spec(videos, **more), home)
    dealt = [planning.resolve(spec(videos, **more, bank_control="shuffled", seed=s), home) for s in range(1, 7)]
    manifest = planning.load_manifest(home, plain.manifest)
    own = planning.classes(plain, manifest).statements
    others = [planning.classes(r, manifest).statements for r in dealt]
    assert all(sorted(o) == sorted(own) for o in others)
    assert sum(o != own for o in others) >= 4
    scores = {kpbench.run(r.spec)["nll"] for r in dealt}
    assert len(scores) > 1


def test_deals_of_two_banks_are_never_one_number(adapter, videos, home, bank):
    from results import _data

    more = {"config": {"text": "descriptions"}, "bank_control": "shuffled"}
    for seed in (1, 2):
        kpbench.run(spec(videos, **more, bank=bank(), seed=seed))
    (cell,) = _data.board(Results(home)).cells
    assert cell.status == "complete" and len(cell.done) == 2
    kpbench.run(spec(videos, **more, bank=bank("went"), seed=3))
    (cell,) = _data.board(Results(home)).cells
    assert cell.status == "mixed" and " against " in cell.problems[0] and "delete the folders" in cell.problems[0]


def test_a_backbone_that_changed_since_the_plan_is_refused(adapter, videos, home, monkeypatch):
    resolved = planning.resolve(spec(videos), home)
    extraction.extract([resolved], home)
    forget(planning)
    monkeypatch.setattr(planning, "load_adapter", lambda name: FakeAdapter(seed=5))
    monkeypatch.setattr(runner, "load_adapter", lambda name: FakeAdapter(seed=5))
    with pytest.raises(BenchError, match="not what it was when this run was planned"):
        runner.execute(resolved, home)


def test_each_number_format_has_its_own_run_store_record_and_column(adapter, videos, home, monkeypatch):
    import dataclasses

    fake = planning.load_adapter("fake")
    fake.facts = dataclasses.replace(fake.facts, precisions=("float32", "bf16"))
    monkeypatch.setattr(torch, "compile", lambda function: function)
    hows = [{}, {"precision": "bf16"}, {"compile": True}]
    resolved = [planning.resolve(spec(videos, **how), home) for how in hows]
    extraction.extract(resolved, home)
    for r in resolved:
        runner.execute(r, home)
    assert len({r.run_id for r in resolved}) == len({planning.feature_store(r, home).folder for r in resolved}) == 3
    records = [store.read_record(home, r.run_id) for r in resolved]
    assert [r["columns"]["precision"] for r in records] == ["float32", "bf16", "float32+compile"]
    said = [(one["precision"], one["compile"], one["device"], one["batch"]) for r in records for one in r["forward"]]
    assert said == [("float32", False, "cpu", 16), ("bf16", False, "cpu", 16), ("float32", True, "cpu", 16)]


def test_what_two_specs_need_of_one_store_is_needed_once(adapter, videos, home):
    from bench.specs import FrameSpec

    own = planning.resolve(spec(videos), home)
    named = planning.resolve(spec(videos, frames=FrameSpec(num_frames=own.num_frames), seed=2), home)
    assert len(planning.needs([own, named], home)) == 1


def test_a_tokenizer_that_is_missing_is_found_out_before_videos_are_encoded(adapter, videos, home, monkeypatch):
    def missing(texts):
        raise BenchError("no tokenizer here")

    monkeypatch.setattr(planning.load_adapter("fake"), "encode_text", missing)
    planning._speak.cache_clear()
    with pytest.raises(BenchError, match="no tokenizer here"):
        planning.resolve(spec(videos), home)
    planning.resolve(spec(videos, "linear_probe", protocol="few_shot", shots=2), home)  # which reads no text


# --- what a fit and the predictions are given ---------------------------------------------------------------------------


def test_frames_of_the_spec_reach_the_features(adapter, videos, home):
    from bench.specs import FrameSpec

    resolved = planning.resolve(spec(videos, frames=FrameSpec(num_frames=2)), home)
    extraction.extract([resolved], home)
    manifest = planning.load_manifest(home, resolved.manifest)
    found, _, _ = planning.feature_store(resolved, home).load(
        manifest, protocols.views(manifest, "zero_shot", "1", 1).test
    )
    assert found.frames.shape[1] == 2


def test_numeric_columns_and_groups_stay_with_their_videos(adapter, videos, home, monkeypatch):
    rows = "path,label,who,side\n" + "".join(
        f"{p.relative_to(videos)},{p.parent.name},{p.stem.split('_')[0]}-{p.stem[-1]},{p.relative_to(videos).parts[0]}\n"
        for p in sorted(videos.rglob("*.mp4"))
    )
    (videos / "rows.csv").write_text(rows)
    options = {"csv": "rows.csv", "group": "who", "split": "side"}
    seen = {}

    probe = plugins.find("methods", "linear_probe")

    def fit(config, adapter, train, val, classes, seed):
        seen.update(threads=torch.get_num_threads(), labels=train.labels.tolist())
        return probe.fit(config, adapter, train, val, classes, seed)

    same = {name: getattr(probe, name) for name in ("Config", "NEEDS", "TRAINABLE", "VERSION", "suggest")}
    plug_in(monkeypatch, "methods", "watched", **same, fit=fit, describe=lambda config: "watched")
    torch.set_num_threads(2)
    asked = spec(videos, "watched", protocol="few_shot", shots=2, dataset_options=options)
    kpbench.run(asked)
    assert seen["threads"] == 1 and torch.get_num_threads() == 2
    assert sorted(seen["labels"]) == [0, 0, 1, 1, 2, 2]
    resolved = planning.resolve(asked, home)
    stored = store.read_predictions(home, resolved.run_id)
    assert stored.class_names == list(CLASSES)
    manifest = planning.load_manifest(home, resolved.manifest).rows.set_index("video_id")
    assert stored.groups == manifest.loc[stored.video_ids, "group"].tolist()
    row = Results(home).scores.iloc[0]
    assert row["selection"] == "validation on other groups" and row["num_leaked"] == 0


def test_numeric_columns_follow_the_rows(home, adapter, toy_workspace):
    manifest_spec = RunSpec(dataset="toy", backbone="fake", method="zero_shot", limit=6)
    home = toy_workspace.parent
    resolved = planning.resolve(manifest_spec, home)
    manifest = planning.load_manifest(home, resolved.manifest)
    rows = [7, 3, 11]
    planning.feature_store(resolved, home).fill(manifest, rows, adapter, 2)
    store_of_two = planning.feature_store(resolved, home)
    got, _ = runner._view(store_of_two, manifest, rows, manifest.class_names)
    name = manifest.numeric[0]
    assert got.numeric[name].tolist() == manifest.rows[f"num:{name}"].iloc[rows].tolist()


def test_the_same_video_on_both_sides_is_counted_and_told(adapter, tmp_path, home):
    import shutil

    root = write_classes(tmp_path / "v", CLASSES, 12)
    for c in CLASSES:
        for n in range(12):
            shutil.copy(root / "train" / c / f"train_{c}_{n}.mp4", root / "test" / c / f"again_{n}.mp4")
    kpbench.run(spec(root, "linear_probe", protocol="few_shot", shots=4))
    results = Results(home)
    assert results.scores["num_leaked"].max() == 3 * (4 + 4)
    assert "Leak: up to 24 test videos" in reporting.text(home, "backbones", results.scores["manifest"].iloc[0])


def test_a_trial_looks_at_training_and_validation_videos_only(adapter, videos, home):
    trial = spec(videos, "linear_probe", protocol="few_shot", shots=4, evaluation="validation")
    resolved = planning.resolve(trial, home)
    manifest = planning.load_manifest(home, resolved.manifest)
    views = protocols.views(manifest, "few_shot", "1", 1, 4)
    extraction.extract([resolved], home)  # reading a test row, which is in no store, would be an error
    assert adapter.num_encoded == len(views.train) + len(views.val) == 24
    runner.execute(resolved, home)
    found = store.read_predictions(home, resolved.run_id)
    assert sorted(found.video_ids) == sorted(manifest.rows["video_id"].iloc[list(views.val)])
    assert records.scores(home, resolved.run_id)["top1"] == 1.0
    told = store.read_record(home, resolved.run_id)["columns"]
    assert (told["evaluation"], told["num_test"], told["num_train"], told["num_leaked"]) == ("validation", 12, 12, 0)


def test_no_trial_is_among_the_results(adapter, videos, home):
    few = {"protocol": "few_shot", "shots": 4}
    kpbench.run(spec(videos, "linear_probe", **few))
    before = Results(home)
    scores = reporting.text(home, "backbones", before.runs["manifest"].iloc[0])
    kpbench.run(spec(videos, "linear_probe", **few, evaluation="validation"))
    kpbench.run(spec(videos, "linear_probe", **few, evaluation="validation", config={"c": 3.0}))
    after = Results(home)
    assert len(list(store.run_ids(home))) == 3
    assert after.runs["run_id"].tolist() == before.runs["run_id"].tolist()
    assert len(after.scores) == len(before.scores)
    assert reporting.text(home, "backbones", after.runs["manifest"].iloc[0]) == scores


def test_a_protocol_without_validation_videos_has_no_trials(adapter, videos, home):
    with pytest.raises(BenchError, match="zero_shot has no validation videos"):
        planning.resolve(spec(videos, evaluation="validation"), home)


def test_what_was_tuned_has_one_name_whatever_was_chosen_and_is_no_ablation(adapter, videos, home):
    few = {"protocol": "few_shot", "shots": 4}
    kpbench.run(spec(videos, "coop", **few, config={"epochs": 1}))
    kpbench.run(spec(videos, "coop", **few, config={"epochs": 2}, study="0123456789ab", study_trials=8))
    runs = Results(home).runs.set_index("study")
    assert runs["label"].to_dict() == {"": "CoOp, 16 tokens [epochs=1]", "0123456789ab": "CoOp, tuned in 8 trials"}
    assert runs["tuning_trials"].to_dict() == {"": 0, "0123456789ab": 8}
    manifest = runs["manifest"].iloc[0]
    assert "tuning trials: 8" in reporting.text(home, "backbones", manifest)
    board = _data.board(Results(home))
    assert len(board.cells) == 2 and _switches.ablations(board, board.cells) == []


# --- what the tables tell apart -----------------------------------------------------------------------------------------


def test_changed_settings_are_told_in_the_label(adapter, videos, home):
    kpbench.run(spec(videos, "linear_probe", protocol="few_shot", shots=2, config={"c": 5.0}))
    kpbench.run(spec(videos, "linear_probe", protocol="few_shot", shots=2))
    assert set(Results(home).scores["label"]) == {"linear probe", "linear probe [c=5.0]"}


def test_lists_of_other_videos_never_share_a_table(adapter, tmp_path, home):
    root = write_classes(tmp_path / "v", CLASSES, 6)
    kpbench.run(spec(root))
    write_video(root / "test" / "run" / "new.mp4", 4, first=9)
    planning._built.clear()
    kpbench.run(spec(root))
    scores = Results(home).scores
    assert scores["dataset"].nunique() == scores["manifest"].nunique() == 2
    assert all(name.startswith("v [rows ") for name in scores["dataset"])


def test_the_report_follows_the_runs(adapter, videos, home):
    kpbench.run(spec(videos))
    page = reporting.refresh(home).page
    before = page.read_text()
    assert reporting.refresh(home).page.read_text() == before
    kpbench.run(spec(videos, "linear_probe", protocol="few_shot", shots=2))
    assert "linear probe" in reporting.refresh(home).page.read_text()


def test_a_method_that_spoils_the_backbone_and_dies_spoils_no_later_run(home, videos, monkeypatch):
    from bench.plugins import find

    name = "spoilt"
    plug_in(monkeypatch, "adapters", name, MODELS={name: "a fake"}, VERSION=1, load=lambda n, device: FakeAdapter(n))
    clean = RunSpec(dataset="folder", root=str(videos), backbone=name, method="zero_shot")
    wanted = kpbench.run(clean)
    majority = find("methods", "majority")

    def fit(config, adapter, train, val, classes, seed):
        adapter.module.embedding.add_(1.0)
        raise RuntimeError("died half way")

    same = {key: getattr(majority, key) for key in ("Config", "NEEDS", "TRAINABLE", "VERSION", "suggest")}
    plug_in(monkeypatch, "methods", "spoils", **same, fit=fit, describe=lambda config: "spoils")
    with pytest.raises(RuntimeError, match="died half way"):
        kpbench.run(
            RunSpec(dataset="folder", root=str(videos), backbone=name, method="spoils", protocol="cross_subject")
        )
    store.remove(home, planning.resolve(clean, home).run_id)
    assert kpbench.run(clean) == wanted


def test_files_that_are_not_there_share_no_feature(tmp_path, adapter):
    from bench.features import FeatureStore
    from bench.manifest import build

    write_video(tmp_path / "a.mp4", 4)
    rows = [{"video_id": v, "path": f"{v}.mp4", "label": label} for v, label in (("a", "x"), ("b", "y"), ("c", "x"))]
    manifest = build("mine", rows, ("x", "y"), tmp_path)
    write_video(tmp_path / "b.mp4", 4, first=5)  # it comes after the list was made
    of_a_new_list = build("mine", rows, ("x", "y"), tmp_path)
    features = FeatureStore(tmp_path / "store")
    features.fill(manifest, [0, 1, 2], adapter, 2)
    assert sorted(features.load(manifest, [0, 1, 2])[2]) == [1, 2]
    features.fill(of_a_new_list, [0, 1, 2], adapter, 2)
    assert sorted(features.load(of_a_new_list, [0, 1, 2])[2]) == [2]
