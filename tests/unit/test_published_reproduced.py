"""`reproduce` of a published number: the spec that is its own, what is missing, the runs, and both numbers side by side."""

import re
from collections import Counter

import pandas as pd
import pytest
from fakes import write_video

from bench import counterparts, plugins, published, recognizers, reported
from bench.plugins import ROOT
from bench.stored_results import Results


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


def frozen_clip(dataset="UCF-101", frames="16"):
    rows = [r for r in published.load() if r.method == "CLIP (frozen zero-shot)" and r.backbone == "CLIP ViT-B/16"]
    return next(r for r in rows if (r.dataset, r.frames, r.our_protocol) == (dataset, frames, "zero_shot"))


def test_a_name_that_nobody_has_and_one_of_many_are_told(command):
    code, _, said = command("reproduce", "X-CLIPP")
    assert code == 2 and "no published number is called 'X-CLIPP'; did you mean X-CLIP" in said
    code, _, said = command("reproduce", "X-CLIP")
    assert code == 2 and "74 published numbers are of X-CLIP; give the name of one: p-" in said


def test_a_number_that_nothing_of_ours_is_of_says_why(command):
    row = next(r for r in published.load() if r.method == "ViFi-CLIP")
    code, _, said = command("reproduce", row.name)
    assert code == 2 and f"{row.name} cannot be measured here: no such method here" in said
    assert "the method ViFi-CLIP is none of ours" in said and "reproduce --list" in said


def test_all_that_is_missing_is_told_at_once_and_where_it_goes(command, home, monkeypatch, tmp_path):
    code, _, said = command("reproduce", frozen_clip().name)
    assert code == 2 and "zero_shot on clip-vit-b-16 (zero_shot, split 1, 2, 3, 16 frames); missing here:" in said
    assert "python -m bench fetch clip-vit-b-16" in said and str(home / "weights" / "clip-vit-b-16") in said
    assert "UCF-101 does not come with the project" in said and "--root FOLDER" in said
    assert not (home / "runs").exists() and not (home / "manifests").exists(), "before any work"
    code, _, said = command("reproduce", frozen_clip().name, "--root", tmp_path / "nowhere")
    assert code == 2 and "nowhere: there is no such file or folder the weights: " in said, "the videos first"
    monkeypatch.setattr(plugins.find("adapters", "clip-vit-b-16"), "at_hand", lambda name: "")
    code, _, said = command("reproduce", frozen_clip().name)
    assert "fetch" not in said and "--root FOLDER" in said
    code, _, said = command("reproduce", frozen_clip().name, "--root", tmp_path / "nowhere")
    assert code == 2 and "nowhere: there is no such file or folder" in said


def rows(**wanted):
    return [r for r in published.load() if all(getattr(r, name) == value for name, value in wanted.items())]


def test_weights_that_a_source_does_not_tell_apart_are_asked_for(command, tmp_path):
    row = rows(backbone="OpenCLIP ViT-g (LAION-2B)", dataset="UCF-101", metric="top1")[0]
    code, _, said = command("reproduce", row.name, "--root", tmp_path)
    assert code == 2 and (
        "which weights of OpenCLIP ViT-g (LAION-2B) are meant: --backbone open_clip:ViT-g-14/laion2b_s12b_b42k or "
        "open_clip:ViT-g-14/laion2b_s34b_b88k" in said
    )
    code, _, said = command(
        *("reproduce", row.name, "--root", tmp_path, "--backbone", "open_clip:ViT-g-14/laion2b_s12b_b42k")
    )
    assert code == 2 and "are meant" not in said and "fetch open_clip:ViT-g-14/laion2b_s12b_b42k" in said
    released = rows(method="X-CLIP", dataset="HMDB-51", shots=4, reported_by="X-CLIP")[0]
    code, _, said = command("reproduce", released.name, "--root", tmp_path)
    assert "no adapter has a name for microsoft/xclip-base-patch16-hmdb-4-shot" in said
    assert "--backbone transformers:FOLDER" in said


@pytest.mark.mmaction2
def test_a_checkpoint_of_mmaction2_is_looked_for_in_one_place_and_used_from_there(command, home, tmp_path):
    row = rows(method="mmaction2 c2d", frames="8x8x1", metric="top1", value=73.44)[0]
    code, _, said = command("reproduce", row.name, "--root", tmp_path)
    file = "c2d_r50-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb_20221027-e0227b22.pth"
    path = home / "weights" / "mmaction2" / file
    assert code == 2 and f"put {file} at {path} (MMAction2's index has it at " in said
    path.parent.mkdir(parents=True)
    path.touch()
    (spec,) = reported.specs(row, reported.Here(root=str(tmp_path)))
    assert spec.backbone == f"mmaction2:c2d_r50-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb@{path}"
    assert (spec.method, spec.protocol, dict(spec.config)) == (
        *("mmaction2_as_is", "zero_shot"),
        {"label_map": "identity"},
    )
    ucf = rows(method="mmaction2 c3d", metric="top1")[0]
    code, _, said = command("reproduce", ucf.name, "--root", tmp_path)
    assert "MMAction2's label_map of UCF-101, --config own_classes=FILE" in said
    unlisted = rows(backbone="MobileNetV2", metric="top1")[0]
    code, _, said = command("reproduce", unlisted.name, "--root", tmp_path)
    assert code == 2 and "the checkpoint: say where it lies with --backbone mmaction2:tsm_" in said, (
        "never random weights"
    )


def test_the_spec_is_the_numbers_own(monkeypatch, tmp_path):
    monkeypatch.setattr(plugins.find("adapters", "clip-vit-b-16"), "at_hand", lambda name: "")
    found = reported.specs(frozen_clip(), reported.Here(root=str(tmp_path)))
    assert {(spec.backbone, spec.method, spec.protocol, spec.frames.num_frames) for spec in found} == {
        ("clip-vit-b-16", "zero_shot", "zero_shot", 16)
    }
    assert [spec.split for spec in found] == ["1", "2", "3"]
    (row,) = rows(method="Frozen CLIP", dataset="HMDB-51", metric="HM")
    (spec,) = reported.specs(row, reported.Here(root=str(tmp_path)))
    assert (spec.protocol, spec.shots, spec.split, dict(spec.config)) == (
        *("base_to_novel", 16, "1"),
        {"text": "templates"},
    )
    said = reported.Here(root=str(tmp_path), config=(("text", "class_names"),), backbone="tiny-clip")
    (spec,) = reported.specs(row, said)
    assert dict(spec.config) == {"text": "class_names"} and spec.backbone == "tiny-clip"


@pytest.mark.parametrize(("off", "code", "words"), [(0.4, 0, "within the tolerance"), (-1.4, 1, "NOT within")])
def test_measured_is_held_against_reported_with_a_tolerance(command, monkeypatch, off, code, words):
    row = frozen_clip()

    def measure(row, home, here, progress):
        return reported.Comparison(row, row.value + off, ("a1b2c3d4e5f6",), {"frames": ("16", "8")})

    monkeypatch.setattr(reported, "measure", measure)
    found, said, _ = command("reproduce", row.name)
    assert found == code and words in said and f"apart by {off:+.2f} points" in said
    assert "frames: 16 -> 8" in said and f"reported {row.value:.2f}" in said
    assert command("reproduce", row.name, "--tolerance", "3")[0] == 0
    assert "0 to 100 points" in command("reproduce", row.name, "--tolerance", "-1")[2]


@pytest.fixture
def real(tmp_path):
    """Small videos of six classes with three splits."""
    rows = [
        (f"{c}{i}.mp4", f"class {c}", *(("train", "test")[(i + s) % 3 == 0] for s in range(3)))
        for c in range(6)
        for i in range(6)
    ]
    root = tmp_path / "videos"
    for number, (path, *_) in enumerate(rows):
        write_video(root / path, 6, first=number)
    pd.DataFrame(rows, columns=["path", "label", "s1", "s2", "s3"]).to_csv(root / "list.csv", index=False)
    return root


TINY = ("--backbone", "tiny-clip")  # it stands for the one of the published numbers


def test_a_published_mean_over_three_splits_is_measured_from_end_to_end(real, home, command):
    row = frozen_clip()
    words = ("reproduce", row.name, "--root", real, "--option", "csv=list.csv", "--option", "split=s1,s2,s3", *TINY)
    code, said, error = command(*words)
    assert code == 1, error
    runs = Results(home).runs
    assert (
        sorted(runs["split"]) == ["1", "2", "3"] and set(runs["num_frames"]) == {16} and set(runs["num_test"]) == {12}
    )
    measured = 100 * runs["top1"].mean()
    assert f"reported 69.90, measured {measured:.2f} ({', '.join(runs.sort_values('split')['run_id'])})" in said
    assert f"apart by {measured - 69.9:+.2f} points: NOT within the tolerance of 1 points" in said
    told = said.split("why they may differ")[1]
    for text in (
        "views: not told -> 1x1",
        "template: not told -> mean over {}",
        "precision: not told -> float32",
        "tiny-clip",
    ):
        assert text in told, text
    assert "split:" not in told and "frames:" not in told, "these are the number's own"
    assert command(*words, "--tolerance", "100")[0] == 0 and len(Results(home).runs) == 3, "the same runs again"


def test_a_number_on_published_splits_is_not_measured_on_folds_of_our_own(real, home, command):
    words = ("reproduce", frozen_clip().name, "--root", real, "--option", "csv=list.csv", *TINY)
    for more, lacking in (((), "1, 2, 3"), (("--option", "split=s1"), "2, 3")):
        code, _, error = command(*words, *more)
        assert code == 2 and f"is over mean of splits 1, 2, 3, and under {real} there is no published split" in error
        assert f"called {lacking};" in error
        assert "--option split=COLUMN,COLUMN,COLUMN" in error and not (home / "runs").exists()


def test_a_number_whose_source_tells_no_split_says_where_it_was_measured(real, home, command):
    row = frozen_clip("Kinetics-400", "8")
    assert row.split == ""
    words = ("reproduce", row.name, "--root", real, "--option", "csv=list.csv", *TINY)
    assert "split: not told -> fold 1 of 5: no split lies under the root" in command(*words)[1]
    assert "split: not told -> 1 " in command(*words, "--option", "split=s1")[1]


def test_a_mean_of_two_metrics_is_measured_as_one(real, home, command):
    (row,) = rows(backbone="EVA-CLIP-L Merged-2B", dataset="Kinetics-400")
    assert row.metric == "avg(top1,top5)"
    words = ("--root", real, "--option", "csv=list.csv", "--option", "split=s1", *TINY)
    code, said, error = command("reproduce", row.name, *words)
    assert code == 1, error
    (run,) = Results(home).runs.to_dict("records")
    assert run["top5"] > run["top1"] and f"measured {50 * (run['top1'] + run['top5']):.2f}" in said


def test_draws_of_classes_are_data_sets_of_their_own(real, home, command):
    row = frozen_clip("Kinetics-600")
    assert row.draws == {"1", "2", "3"}
    table = pd.read_csv(real / "list.csv").assign(side="test")
    for draw in range(3):
        chosen = [f"class {c}" for c in range(6) if c % 3 != draw]
        table[table["label"].isin(chosen)].to_csv(real / f"draw{draw + 1}.csv", index=False)
    words = ("reproduce", row.name, "--root", real, *TINY)
    code, _, said = command(*words, "--option", "csv=list.csv")
    assert code == 2 and "the draws of classes: 3 lists of videos" in said
    assert "--option csv=DRAW1,DRAW2,DRAW3 --option split=COLUMN" in said
    lists = ("--option", "csv=draw1.csv,draw2.csv,draw3.csv", "--option", "split=side")
    code, said, error = command(*words, *lists)
    assert code == 1, error
    runs = Results(home).runs
    assert sorted(runs["dataset"]) == ["videos-draw1", "videos-draw2", "videos-draw3"]
    assert set(runs["num_classes"]) == {4} and set(runs["num_test"]) == {24} and set(runs["split"]) == {"1"}
    assert f"measured {100 * runs['top1'].mean():.2f}" in said and "over mean of 3 draws of 160 of 220 classes" in said


# --- which can be measured -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "method", "backbones", "frames"),
    [
        ({"backbone": "OpenAI CLIP ViT-L"}, "zero_shot", ("clip-vit-l-14",), 1),
        ({"backbone": "EVA-CLIP-g (EVA01, LAION-400M)"}, "zero_shot", ("eva01-clip-g-14",), 1),
        ({"backbone": "EVA-CLIP-L Merged-2B"}, "zero_shot", ("eva02-clip-l-14",), None),
        ({"backbone": "EVA-CLIP-E LAION-2B"}, "zero_shot", ("open_clip:EVA02-E-14/laion2b_s4b_b115k",), None),
        ({"backbone": "OpenCLIP ViT-H (LAION-2B)"}, "zero_shot", ("open_clip:ViT-H-14/laion2b_s32b_b79k",), 1),
        ({"backbone": "PE-Core B/16-224"}, "zero_shot", ("open_clip:PE-Core-B-16/meta",), None),
        ({"backbone": "PE-Core G/14-448"}, "zero_shot", ("open_clip:PE-Core-bigG-14-448/meta",), None),
        ({"method": "zero-shot CLIP", "backbone": "CLIP RN50"}, "zero_shot", ("open_clip:RN50/openai",), 1),
        ({"method": "X-CLIP", "backbone": "CLIP ViT-L/14@336"}, "zero_shot", ("xclip-large-patch14-16-frames",), None),
        (
            {"method": "X-CLIP", "frames": "16", "dataset": "Kinetics-400", "backbone": "CLIP ViT-B/32"},
            *("zero_shot", ("xclip-base-patch32-16-frames",), None),
        ),
        (
            {"method": "X-CLIP", "protocol": "zero_shot_from_K400"},
            *("zero_shot", ("xclip-base-patch16-zero-shot",), None),
        ),
    ],
)
def test_the_backbone_follows_from_how_the_source_writes_it(wanted, method, backbones, frames):
    found = {(c.method, c.backbones, c.frames) for c in map(counterparts.of, rows(**wanted))}
    assert found == {(method, backbones, frames)}


@pytest.mark.mmaction2
@pytest.mark.parametrize(
    ("wanted", "config", "weights"),
    [
        (
            {"backbone": "MViTv2-S", "value": 80.6},
            *("mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb", "16x4x1-200e_kinetics400-rgb_20230201-23284ff3"),
        ),
        (
            {"backbone": "MViTv2-S", "value": 81.1},
            *("mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb", "small-p244_16x4x1_kinetics400-rgb_20221021-9"),
        ),
        ({"backbone": "MViTv2-B", "value": 82.6}, "mvit-base-p244_32x3x1_kinetics400-rgb", "mvit-base-p244"),
        (
            {"method": "mmaction2 slowonly", "value": 76.65},
            "slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-8x8x1-steplr-150e_kinetics400-rgb",
            "slowonly_r50-in1k-pre-nl",
        ),
        (
            {"method": "mmaction2 uniformerv2", "metric": "top1 (mm-Kinetics copy)", "value": 87.5},
            *("uniformerv2-large-p14-res224_clip-kinetics710-pre_u8_kinetics600-rgb", "uniformerv2-large-p14-res224"),
        ),
        ({"method": "mmaction2 tsn", "value": 35.51}, "tsn_imagenet-pretrained-r50_8xb32-1x1x8-50e_sthv2-rgb", "tsn_"),
        # Two trainings of one config; the index says that the second is of another one.
        (
            {"backbone": "MViTv2-S", "value": 68.1},
            *("mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb", "mvit-small-p244_u16_sthv2-rgb_20221021-65ecae7d"),
        ),
        (
            {"backbone": "MViTv2-S", "value": 68.2},
            *("mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb", "u16-100e_sthv2-rgb_20230201-4065c1b9.pth"),
        ),
    ],
)
def test_the_config_of_mmaction2_follows_from_what_its_index_prints_and_from_its_name(wanted, config, weights):
    (row,) = rows(**wanted)
    found = counterparts.of(row)
    assert found.backbones == (f"mmaction2:{config}",) and weights in found.weights


@pytest.mark.mmaction2
def test_weights_that_the_index_names_after_another_config_are_not_taken():
    (row,) = rows(backbone="ViT-S", value=83.6)
    found = counterparts.of(row)
    assert found.backbones == ("mmaction2:vit-small-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400",)
    assert found.checkpoint == "" and found.weights.startswith("a checkpoint of vit-small-p16_videomaev2")
    swin = recognizers.checkpoints("tsn_imagenet-pretrained-swin-transformer_32xb8-1x1x8-50e_kinetics400-rgb")
    assert [(c.address, c.reported[0].top1) for c in swin] == [("", 79.22)], (
        "its number, the file of the one with 3 segments"
    )


@pytest.mark.mmaction2
def test_a_config_that_today_s_timm_does_not_fit_is_not_offered():
    eight, three = (counterparts.of(rows(backbone="Swin Transformer", value=value)[0]) for value in (79.22, 77.03))
    assert eight.kind == "a recogniser that cannot be built here" and "an older timm" in eight.why
    assert three.method == "mmaction2_as_is"


@pytest.mark.mmaction2
def test_the_list_counts_every_number_once_and_says_why_the_others_cannot(monkeypatch):
    few = [r for r in published.load() if r.reported_by in ("X-CLIP", "EVA-01", "Video-STAR", "brainwalk-urap")]
    few += (
        rows(method="FROSTER")
        + rows(method="mmaction2 c3d")
        + rows(method="mmaction2 2s-agcn joint")
        + rows(method="CoOp")
    )
    few += rows(metric="mAP") + rows(protocol="zero_shot_LVLM") + rows(method="mmaction2 tin")
    few = list(dict.fromkeys(few))
    monkeypatch.setattr(reported, "load", lambda: few)
    lines = list(reported.listed())
    can, of_all = (int(number) for number in re.findall(r"\d+", lines[0])[:2])
    assert of_all == len(few)
    cannot = int(lines[can + 1].split()[0])
    counted = {line.split(None, 1)[1].partition(", such as ")[0]: int(line.split()[0]) for line in lines[can + 2 :]}
    assert can + cannot == len(few) and sum(counted.values()) == cannot
    for kind in (
        "no such method here",
        "it looks at skeletons",
        "trained on videos of another data set first",
        "a protocol that is none of ours",
        "a metric that is not measured here",
        "a chat model, which gives answers and no features",
        "no adapter for the backbone",
        "a recogniser that cannot be built here",
    ):
        assert counted[kind] > 0, kind
    named = [line.split()[0] for line in lines[1 : can + 1]]
    assert len(set(named)) == can > 0 and not set(re.findall("p-[0-9a-f]{8}", " ".join(lines))) - {r.name for r in few}
    assert all(isinstance(counterparts.of(published.find(name)), counterparts.Counterpart) for name in named)


def test_reproduce_without_a_name_lists(command, monkeypatch):
    monkeypatch.setattr(reported, "load", lambda: [frozen_clip()])
    for words in (("reproduce",), ("reproduce", "--list")):
        code, said, _ = command(*words)
        assert code == 0 and said.startswith("1 of 1 published numbers can be measured here")
        assert "zero_shot on clip-vit-b-16 (zero_shot, split 1, 2, 3, 16 frames)" in said


@pytest.mark.mmaction2
@pytest.mark.full
def test_the_page_tells_how_many_there_are_of_each():
    page = (ROOT / "docs" / "published.md").read_text()
    found = [counterparts.of(row) for row in published.load()]
    can = [c for c in found if isinstance(c, counterparts.Counterpart)]
    kinds = Counter(c.kind for c in found if isinstance(c, counterparts.Nothing))
    assert f"Of the 1,518, {len(can)} can be" in page
    per_method = Counter("X-CLIP" if dict(c.config) == {"text": "class_names"} else c.method for c in can)
    told = dict(re.findall(r"`(zero_shot` with templates|zero_shot` with class|mmaction2_as_is).* (\d+) \|", page))
    assert [int(number) for number in told.values()] == [
        per_method["zero_shot"],
        per_method["X-CLIP"],
        per_method["mmaction2_as_is"],
    ]
    no_method = sum(number for kind, number in kinds.items() if kind.startswith("no such method here"))
    skeletons, no_adapter = kinds["it looks at skeletons"], kinds["no adapter for the backbone"]
    assert f"{no_method} have no method here, {no_adapter} no adapter for the backbone, {skeletons} look" in page
