"""MMAction2's recognisers as frozen backbones: equal to the library, strict, safe with files from outside, n/a where text is needed."""

import dataclasses

import pytest
import torch
from fakes import write_classes
from small_recognizers import SIDE, TSM, load

import bench as kpbench
from adapters import _mmaction2
from baselines import mmaction2_as_is
from bench import checks, clips, frames, places, planning
from bench.contracts import RECOGNIZER, BenchError, Classes, NotApplicable

pytestmark = [pytest.mark.mmaction2, pytest.mark.usefixtures("small_pictures")]

TSN = "tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb"
X3D = "x3d_s_13x6x1_facebook-kinetics400-rgb"
TRN = "trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb"


# --- what it computes ---------------------------------------------------------------------------------------------------


def last_layer(model):
    return model.cls_head.fc2 if hasattr(model.cls_head, "fc2") else model.cls_head.fc_cls


KINDS = {
    TSM: (8, "segments", True, 1280, 8),
    TSN: (25, "segments", False, 2048, 25),
    X3D: (13, "clip/6@30fps", True, 2048, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("config", KINDS)
def test_a_recogniser_keeps_the_contract_and_gives_what_its_classifier_is_given(config):
    num_frames, sampling, fixed, embed_dim, rows = KINDS[config]
    adapter = load(f"mmaction2:{config}")
    assert [(r.name, r.problem) for r in checks.check_adapter(adapter) if r.problem] == []
    facts = adapter.facts
    assert (facts.num_frames, facts.sampling, facts.fixed_num_frames, facts.embed_dim) == (
        num_frames,
        sampling,
        fixed,
        embed_dim,
    )
    assert facts.name == facts.architecture == config and facts.capabilities == {RECOGNIZER}
    assert facts.weights == "random weights" and "random weights" in facts.pretraining
    video = torch.randn(2, num_frames, 3, SIDE, SIDE)
    with torch.random.fork_rng():
        torch.manual_seed(_mmaction2.SEED)
        whole = adapter.recognizer().eval()
    with torch.no_grad():
        views = video if type(whole).__name__ == "Recognizer2D" else video.transpose(1, 2)[:, None]
        theirs, _ = whole.extract_feat(views, stage="head")
        features = adapter.encode_video(video)
        ours = last_layer(whole)(features.pooled)
    assert features.frames.shape == (2, rows, embed_dim)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert facts.num_parameters == sum(p.numel() for p in whole.parameters()) - sum(
        p.numel() for p in last_layer(whole).parameters()
    )


def test_relations_of_frames_are_part_of_the_classifier_and_not_of_the_features():
    adapter = load(f"mmaction2:{TRN}")
    assert adapter.facts.embed_dim == 2048 and adapter.facts.num_frames == 8
    video = torch.randn(1, 8, 3, SIDE, SIDE)
    features = adapter.encode_video(video).frames
    assert features.shape == (1, 8, 2048)
    assert torch.equal(features, adapter.encode_video(video).frames), "TRN's head draws frames at random"


def test_random_weights_are_the_same_each_time_and_leave_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = load(f"mmaction2:{TSM}").facts
    assert torch.equal(before, torch.get_rng_state())
    assert load(f"mmaction2:{TSM}").facts == first


def test_texts_do_not_apply():
    adapter = load(f"mmaction2:{TSM}")
    with pytest.raises(NotApplicable, match=f"{TSM} encodes videos only: it has no text side"):
        adapter.encode_text(["a"])


def test_what_a_run_depends_on_is_in_its_facts(monkeypatch):
    plain = load(f"mmaction2:{TSM}").facts
    monkeypatch.setattr(_mmaction2, "version_of", lambda package: "1.3.0")
    assert load(f"mmaction2:{TSM}").facts.fingerprint != plain.fingerprint
    monkeypatch.undo()
    monkeypatch.setattr(_mmaction2, "SEED", 1)
    assert load(f"mmaction2:{TSM}").facts.fingerprint != plain.fingerprint


def test_the_transforms_name_tells_everything_it_does():
    transform = load(f"mmaction2:{TSM}").transform
    for field, value in {"side": 9, "size": 9, "mean": (1.0,) * 3, "std": (1.0,) * 3}.items():
        assert dataclasses.replace(transform, **{field: value}).name != transform.name, field


@pytest.mark.slow
def test_a_linear_probe_reads_the_frames_that_the_recogniser_was_made_for(tmp_path):
    """From files to scores, through the ordinary feature store; what is stored is made of the clip's own frames."""
    videos = write_classes(tmp_path / "videos", ("run", "wave"), per_class=6, num_frames=40)
    name = f"mmaction2:{X3D}"
    spec = kpbench.RunSpec(
        dataset="folder", root=str(videos), backbone=name, method="linear_probe", protocol="few_shot", shots=2
    )
    scores = kpbench.run(spec)
    assert scores["top1"] >= 0.5
    home = places.bench_home()
    resolved = planning.resolve(spec, home)
    assert (resolved.num_frames, resolved.sampling) == (13, "clip/6@30fps")
    manifest, adapter = planning.load_manifest(home, resolved.manifest), planning.load_adapter(name)
    at = planning.views_of(resolved, home).test[:1]
    stored, _, _ = planning.feature_store(resolved, home).load(manifest, at)
    path = manifest.rows["path"].iloc[at[0]]
    count, fps = frames.examine(path)
    shown = frames.read_at(path, clips.indices("clip/6@30fps", count, 13, fps))
    torch.testing.assert_close(stored.frames, adapter.encode_video(adapter.transform(shown)[None]).frames)
    other = adapter.encode_video(adapter.transform(frames.read(path, 13))[None]).frames
    assert not torch.allclose(stored.frames, other), "frames spread over the whole video give other features"
    spread = dataclasses.replace(spec, frames=kpbench.FrameSpec(sampling="segment_centre"))
    assert planning.resolve(spread, home).run_id != resolved.run_id
    with pytest.raises(NotApplicable, match="needs text"):
        kpbench.run(
            dataclasses.replace(
                spec, method="zero_shot", protocol="zero_shot", shots=None, config={"text": "class_names"}
            )
        )


# --- copies to train ----------------------------------------------------------------------------------------------------


def test_copies_to_train_start_from_the_checkpoint_and_draw_another_head_anew(released):
    path, model = released
    adapter = load(f"mmaction2:{TSM}@{path}")
    assert adapter.recipe["model"]["backbone"]["type"] == "MobileNetV2TSM"
    before, own = model.state_dict(), adapter.recognizer()
    assert own.training and all(p.requires_grad for p in own.cls_head.parameters())
    assert all(torch.equal(value, before[key]) for key, value in own.state_dict().items())
    heads = []
    for seed, num_classes in ((1, 5), (2, 5), (3, 7)):
        torch.manual_seed(seed)
        other = adapter.recognizer(num_classes).state_dict()
        heads.append(other.pop("cls_head.fc_cls.weight"))
        assert other.pop("cls_head.fc_cls.bias").shape == (num_classes,)
        assert all(torch.equal(value, before[key]) for key, value in other.items())
    assert heads[0].shape == (5, 1280) and not torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[2], before["cls_head.fc_cls.weight"]), "as many classes are not the same classes"
    assert not any(p.requires_grad for p in adapter.module.parameters()), "the frozen one stays as it was"


def test_copies_without_a_checkpoint_are_drawn_from_the_global_generator():
    adapter = load(f"mmaction2:{TSM}")
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(next(adapter.recognizer(num_classes=3).parameters()))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_as_is_a_recogniser_that_nobody_trained_is_refused():
    config = mmaction2_as_is.Config(label_map="identity")
    with pytest.raises(BenchError, match=f"{TSM} has random weights, so its classes mean nothing; name its checkpoint"):
        mmaction2_as_is.fit(config, load(f"mmaction2:{TSM}"), None, None, Classes(("a", "b")), 1)
