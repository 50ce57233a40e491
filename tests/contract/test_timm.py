"""timm's image encoders: equal to the library, strict, never random by accident, and n/a where text is needed."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from fakes import write_classes
from PIL import Image
from safetensors.torch import save_file
from timm.models import PretrainedCfg

import bench as kpbench
from adapters import _fetch, _state, _timm, _weights
from bench import checks, plugins
from bench.contracts import BenchError, NotApplicable
from bench.plugins import ROOT

DINO = "vit_small_patch14_dinov2.lvd142m"
# What is in front of the classifier differs: a class token, a mean and a norm, a mean, a layer behind the mean, two classifiers.
KINDS = (
    "test_vit.r160_in1k",
    "test_convnext.r160_in1k",
    "test_resnet.r160_in1k",
    "mobilenetv3_small_050.lamb_in1k",
    "deit_tiny_distilled_patch16_224.fb_in1k",
)


def released(model, path, **more):
    """Random weights in a file, as timm would release them: with their classifier. The model that they came from."""
    torch.manual_seed(0)
    made = timm.create_model(model, pretrained=False, **more).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.clone().contiguous() for k, v in made.state_dict().items()}, path)
    return made


def load(name):
    return plugins.find("adapters", name).load(name, "cpu")


@pytest.fixture
def fetched(tmp_path):
    """A model's weights where `fetch` would put them."""
    return lambda model, **more: released(
        model, tmp_path / "bench_home" / "weights" / model / "model.safetensors", **more
    )


@pytest.mark.parametrize("model", KINDS)
def test_an_image_encoder_keeps_the_contract_and_equals_the_library(model, fetched):
    reference, adapter = fetched(model), load(f"timm:{model}")
    assert [(r.name, r.problem) for r in checks.check_adapter(adapter) if r.problem] == []
    video = torch.stack([adapter.transform(f[:2]) for f in checks.frames(2)])
    with torch.no_grad():
        maps = reference.forward_features(video.flatten(0, 1))
        theirs = reference.forward_head(maps, pre_logits=True).unflatten(0, (2, 2))
    torch.testing.assert_close(adapter.encode_video(video).frames, theirs, atol=1e-5, rtol=1e-5)
    assert adapter.facts.embed_dim == theirs.shape[-1]
    classifier = timm.get_pretrained_cfg(model).classifier
    names = (classifier,) if isinstance(classifier, str) else classifier
    own = {k: v.shape for k, v in adapter.module.state_dict().items()}
    assert own == {k: v.shape for k, v in reference.state_dict().items() if not k.startswith(tuple(names))}
    assert adapter.facts.num_parameters == sum(p.numel() for p in adapter.module.parameters())


@pytest.mark.parametrize(
    ("model", "num_frames", "side", "gflops"),
    [(DINO, 2, 518, 93.4), ("vit_small_patch16_dinov3.lvd1689m", 8, 256, 12.5)],
)
def test_dino_at_real_size_equals_the_library(model, num_frames, side, gflops, fetched):
    reference, adapter = fetched(model), load(f"timm:{model}")
    facts = adapter.facts
    assert (facts.name, facts.embed_dim, facts.num_frames, facts.capabilities) == (model, 384, 8, frozenset())
    assert facts.gflops == pytest.approx(gflops, rel=0.01) and facts.num_parameters == pytest.approx(22e6, rel=0.03)
    video = adapter.transform(np.concatenate(checks.frames(2))[:num_frames])[None]
    assert video.shape == (1, num_frames, 3, side, side)
    features = adapter.encode_video(video).frames
    with torch.no_grad():
        theirs = reference.forward_head(reference.forward_features(video[0]), pre_logits=True)
    torch.testing.assert_close(features[0], theirs, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(features[0, 0], features[0, 1])


@pytest.mark.parametrize("model", [DINO, "resnet18.a1_in1k", "test_vit.r160_in1k"])
def test_the_transform_is_the_librarys_own_of_these_weights(model):
    transform = _timm.FrameTransform.of(timm.get_pretrained_cfg(model))
    config = timm.data.resolve_data_config(model=timm.create_model(model, pretrained=False))
    theirs = timm.data.create_transform(**config, is_training=False)
    frames = checks.frames(1)[0]
    own = pickle.loads(pickle.dumps(transform))(frames)
    assert torch.equal(own, torch.stack([theirs(Image.fromarray(f)) for f in frames]))


def test_the_transforms_name_tells_everything_it_does():
    transform = _timm.FrameTransform.of(PretrainedCfg())
    other = {
        "size": (32, 32),
        "interpolation": "bilinear",
        "mean": (0.9,) * 3,
        "std": (0.9,) * 3,
        "crop_pct": 0.5,
        "crop_mode": "squash",
    }
    assert set(other) == {f.name for f in dataclasses.fields(transform)}
    for field, value in other.items():
        assert dataclasses.replace(transform, **{field: value}).name != transform.name, field


def test_a_model_without_a_tag_is_the_one_with_timms_own(fetched):
    fetched("test_vit.r160_in1k")
    assert load("timm:test_vit").facts == load("timm:test_vit.r160_in1k").facts


def test_a_file_of_ones_own_is_taken_with_the_preprocessing_of_the_tag(tmp_path):
    file = tmp_path / "my weights: 2.safetensors"
    reference = released("test_vit", file, num_classes=7)
    adapter = load(f"timm:test_vit.r160_in1k@{file}")
    facts = adapter.facts
    assert facts.name == "test_vit.r160_in1k--my--weights--2" and facts.weights == file.name
    assert not set("/: ") & set(facts.name) and str(tmp_path) not in repr(facts)
    assert "own weights" in facts.pretraining and "own weights" in facts.licence
    video = adapter.transform(checks.frames(1)[0])[None]
    with torch.no_grad():
        theirs = reference.forward_head(reference.forward_features(video[0]), pre_logits=True)
    torch.testing.assert_close(adapter.encode_video(video).frames[0], theirs, atol=1e-5, rtol=1e-5)
    released("test_vit", file, num_classes=0)
    with pytest.raises(BenchError, match="has changed"):
        load(f"timm:test_vit.r160_in1k@{file}")
    other = load(f"timm:test_vit.r160_in1k@{file.rename(tmp_path / 'other.safetensors')}").facts
    assert other.fingerprint != facts.fingerprint and other.num_parameters == facts.num_parameters


def test_a_state_dict_of_torch_is_taken_too(tmp_path):
    reference = timm.create_model("test_resnet", pretrained=False)
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    assert load(f"timm:test_resnet@{tmp_path / 'w.pth'}").facts.embed_dim == reference.num_features


SPOILT = {
    "a key is missing": (lambda s: s.pop("norm.weight"), "1 keys missing"),
    "a key is too many": (lambda s: s.update({"more": torch.zeros(1)}), r"1 unexpected \(more\)"),
    "a classifier of another name": (lambda s: s.update({"fc.weight": torch.zeros(1)}), r"1 unexpected \(fc.weight\)"),
    "another shape": (lambda s: s.update({"norm.weight": torch.zeros(3)}), r"norm.weight is \(3,\)"),
    "another model": (lambda s: (s.clear(), s.update({"a": torch.zeros(1)})), "keys missing"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_weights_that_do_not_fit_are_refused(fault, tmp_path):
    spoil, words = SPOILT[fault]
    state = timm.create_model("test_vit", pretrained=False).state_dict()
    spoil(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(BenchError, match=words):
        load(f"timm:test_vit@{tmp_path / 'w.safetensors'}")


def test_a_broken_file_is_refused(tmp_path):
    for name in ("w.safetensors", "w.pth"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(BenchError, match=f"{name}: not readable as weights"):
            load(f"timm:test_vit@{tmp_path / name}")


def test_weights_that_changed_since_they_were_first_loaded_are_refused_unopened(fetched, monkeypatch):
    fetched("test_vit.r160_in1k")
    load("timm:test_vit")
    fetched("test_vit.r160_in1k", num_classes=3)
    monkeypatch.setattr(_state, "_opened", lambda *given: pytest.fail("it was opened"))
    with pytest.raises(BenchError, match="has changed"):
        load("timm:test_vit")


NAMES = {
    "timm:vit_smal_patch14_dinov2": "has no model 'vit_smal_patch14_dinov2'; did you mean .*vit_small_patch14_dinov2",
    "timm:zzzz": "has no model 'zzzz'; known: .*list_models",
    "timm:resnet18.a1_in2k": "has no weights 'a1_in2k' of resnet18; did you mean .*a1_in1k.*list_pretrained",
    "timm:resnet18.a1_in1k@nowhere.pth": "there is no file nowhere.pth",
    "timm:resnet18@": "there is no file after the @",
    "timm:": "names no model; write .*timm:MODEL.TAG",
    "timm:resnet18": "no weights of resnet18.a1_in1k on this machine.*weights/resnet18.a1_in1k.*fetch timm:resnet18.a1_in1k",
    "timm:coatnet_0_224": "timm has no weights of coatnet_0_224; name a file of your own: timm:coatnet_0_224@FILE",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_means_nothing_here_is_answered_with_what_to_do(name):
    with pytest.raises(BenchError, match=NAMES[name]):
        load(name)


def test_where_weights_lie_is_said_without_loading_them(fetched, tmp_path):
    module = plugins.find("adapters", "timm:test_vit")
    with pytest.raises(BenchError, match="no weights of test_vit.r160_in1k"):
        module.at_hand("timm:test_vit")
    fetched("test_vit.r160_in1k")
    assert module.at_hand("timm:test_vit").endswith("weights/test_vit.r160_in1k/model.safetensors")


def test_fetching_puts_the_file_of_timms_repository_where_loading_looks(monkeypatch, tmp_path):
    asked = []

    def get(name, files):
        asked.append((name, files))
        released("test_vit", _weights.folder(name) / "model.safetensors")
        return _weights.folder(name) / "model.safetensors"

    monkeypatch.setattr(_fetch, "get", get)
    where = plugins.find("adapters", "timm:test_vit").fetch("timm:test_vit")
    wanted = _fetch.Wanted("timm/test_vit.r160_in1k", ("model.safetensors", "pytorch_model.bin"))
    assert asked == [("test_vit.r160_in1k", [wanted])]
    assert load("timm:test_vit").facts.name == "test_vit.r160_in1k" and where.endswith("model.safetensors")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:test_vit", "test_vit.r160_in1k could not be fetched: HF_HUB_OFFLINE is set"),
        (
            "timm:legacy_seresnet18",
            "no file of legacy_seresnet18.in1k in its own layout .*legacy_seresnet18@FILE|@FILE",
        ),
        (f"timm:test_vit@{__file__}", "is a file of yours; there is nothing to fetch"),
    ],
)
def test_what_cannot_be_fetched_says_why(name, words):
    with pytest.raises(BenchError, match=words):
        plugins.find("adapters", name).fetch(name)


def test_texts_do_not_apply(fetched):
    fetched("test_vit.r160_in1k")
    adapter = load("timm:test_vit")
    with pytest.raises(NotApplicable, match="test_vit.r160_in1k encodes pictures only: it has no text side"):
        adapter.encode_text(["a"])
    with pytest.raises(NotApplicable, match="test_vit.r160_in1k encodes pictures only: it has no text side"):
        adapter.similarity(adapter.encode_video(torch.zeros(1, 1, 3, 160, 160)), torch.zeros(1, 64))


BANK = {"schema": 2, "dataset": "mine", "about": "for a test", "origins": {"test": {"by": "hand"}}, "classes": {
    name: [{"text": f"a body that goes {name}", "kind": "motion", "origin": "test", "status": "accepted"}] for name in ("run", "wave")
}}  # fmt: skip


@pytest.mark.slow
def test_a_sweep_gives_numbers_where_no_text_is_needed_and_n_a_with_the_reason_elsewhere(fetched, tmp_path):
    fetched("test_vit.r160_in1k")
    videos = write_classes(tmp_path / "videos", BANK["classes"], per_class=6, num_frames=3)
    (tmp_path / "bank.json").write_text(json.dumps(BANK))
    words = "run --where debug --dataset folder --backbones timm:test_vit --seeds 1 --shots 2 --limit 5".split()
    methods = "majority,linear_probe,zero_shot,coop,knowledge_prompt"
    env = {**os.environ, "BENCH_HOME": str(tmp_path / "bench_home")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            *words,
            "--root",
            videos,
            "--bank",
            tmp_path / "bank.json",
            "--methods",
            methods,
        ],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = kpbench.results().drop_duplicates("run_id")
    assert set(runs["backbone"]) == {"test_vit.r160_in1k"}
    assert {m: set(s) for m, s in runs.groupby("method")["status"]} == {
        "majority": {"complete"},
        "linear_probe": {"complete"},
        "zero_shot": {"n/a"},
        "coop": {"n/a"},
        "knowledge_prompt": {"n/a"},
    }
    for row in runs[runs["status"] == "n/a"].itertuples():
        needed = "text" if row.method == "zero_shot" else "prompts, text"
        reason = f"{row.method} needs {needed}, which timm:test_vit does not have"
        assert row.reason == f"NotApplicable: {reason}" and reason in done.stdout
