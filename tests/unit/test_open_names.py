"""Open names: a folder, a tag or a file of one's own is loaded as open_clip loads it."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from small_weights import CUSTOM, SMALL, put, state_of

from adapters import _state, _weights
from bench import plugins
from bench.contracts import TEXT, BenchError


def folder_of(tmp_path, cfg, preprocess=None, name="my model"):
    where = tmp_path / name
    where.mkdir()
    (where / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": preprocess or {}}))
    save_file(state_of(cfg), where / "open_clip_model.safetensors")
    return where


def load(name):
    return plugins.find("adapters", name).load(plugins.absolute(name), "cpu")


@torch.no_grad()
def test_a_folder_is_loaded_as_the_library_loads_it(tmp_path):
    where = folder_of(tmp_path, CUSTOM, {"mean": [0.5, 0.4, 0.3], "std": [0.2] * 3, "interpolation": "bilinear"})
    adapter = load(f"open_clip:{where}")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{where}")
    frame = torch.randint(0, 256, (40, 50, 3), dtype=torch.uint8).numpy()
    from PIL import Image

    image = preprocess(Image.fromarray(frame))
    assert torch.equal(adapter.transform(frame[None])[0], image)
    features = adapter.encode_video(image[None, None])
    ids = open_clip.get_tokenizer(f"local-dir:{where}")(["a person waves", "sit"])
    logits = model.eval().get_logits(image[None], ids)[0]
    torch.testing.assert_close(adapter.similarity(features, adapter.encode_text(["a person waves", "sit"])), logits)
    facts = adapter.facts
    assert (facts.name, facts.weights, facts.context_length) == ("my--model", "open_clip_model.safetensors", 12)
    assert facts.gflops > 0 and facts.family == "CLIP"


def test_a_file_of_ones_own_gets_the_tags_activation_and_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: json.loads(json.dumps(SMALL)))
    save_file(state_of(SMALL), tmp_path / "best.safetensors")
    adapter = load(f"open_clip:ViT-L-14/laion2b_s32b_b82k@{tmp_path}/best.safetensors")
    assert adapter.facts.name == "ViT-L-14--best" and "laion2b" in adapter.facts.pretraining
    assert adapter.transform.mean == open_clip.constants.INCEPTION_MEAN
    quick = load(f"open_clip:ViT-B-16/metaclip_400m@{tmp_path}/best.safetensors")
    assert type(quick.module.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert type(adapter.module.visual.transformer.resblocks[0].mlp.gelu).__name__ == "GELU"


def test_a_tag_is_looked_for_in_its_folder(monkeypatch):
    name = "open_clip:ViT-H-14/laion2b_s32b_b79k"
    with pytest.raises(
        BenchError, match=r"no weights of .*weights/open_clip--ViT-H-14--laion2b.*bench fetch open_clip:"
    ):
        load(name)
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: json.loads(json.dumps(SMALL)))
    put(name, state_of(SMALL))
    facts = load(name).facts
    assert (facts.name, facts.weights) == ("ViT-H-14--laion2b_s32b_b79k", "laion2b_s32b_b79k")
    assert _weights.locked(name) == facts.weights_sha256
    put(name, {"other": torch.zeros(2)})
    monkeypatch.setattr(_state, "_opened", lambda *given: pytest.fail("it was opened"))
    with pytest.raises(BenchError, match="has changed"):
        load(name)


COCA = {
    **SMALL,
    "text_cfg": {**SMALL["text_cfg"], "embed_cls": True, "output_tokens": True},
    "vision_cfg": {**SMALL["vision_cfg"], "output_tokens": True, "attentional_pool": True, "attn_pooler_heads": 1},
    "multimodal_cfg": {"context_length": 12, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    "custom_text": True,
}


WHOLE = {
    "CoCa": COCA,
    "causal, pooled last": {**CUSTOM, "text_cfg": {**SMALL["text_cfg"], "pool_type": "last"}},
    "not causal, pooled at end-of-text": {**CUSTOM, "text_cfg": {**SMALL["text_cfg"], "no_causal_mask": True}},
}


@torch.no_grad()
@pytest.mark.parametrize("kind", WHOLE)
def test_a_text_tower_that_cannot_be_halved_runs_as_a_whole(kind, tmp_path):
    where = folder_of(tmp_path, WHOLE[kind])
    adapter = load(f"open_clip:{where}")
    assert adapter.facts.capabilities == {TEXT} and not hasattr(adapter, "encode_embedded")
    model = open_clip.create_model(f"local-dir:{where}").eval()
    texts = ["a person waves", "sit down"]
    theirs = model.encode_text(open_clip.get_tokenizer(f"local-dir:{where}")(texts), normalize=False)
    torch.testing.assert_close(adapter.encode_text(texts), theirs, atol=1e-5, rtol=1e-5)
    image = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(
        adapter.encode_video(image[None]).frames[0], model.encode_image(image, normalize=False), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:ViT-B-61/openai", "no architecture 'ViT-B-61'; did you mean .*ViT-B-16"),
        ("open_clip:ViT-B-16/opnai", "no pretrained tag of ViT-B-16 'opnai'; did you mean openai"),
        ("open_clip:ViT-B-16", "names no pretrained tag.*openai, laion400m_e31"),
        (
            "open_clip:ViT-B-16@w.pt",
            "a file of weights does not say how pictures are prepared.*ViT-B-16/TAG@w.pt.*openai",
        ),
        ("open_clip:ViT-B-16/openai@nowhere.pt", "there is no file nowhere.pt"),
        ("open_clip:./nowhere", "there is no folder nowhere"),
        ("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k@{file}", "text tower is transformers' roberta-base"),
    ],
)
def test_a_name_that_means_nothing_says_what_would(name, said, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file(state_of(SMALL), file)
    with pytest.raises(BenchError, match=said):
        load(name.format(file=file))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "has no open_clip_config.json"),
        ("{", "is no config of open_clip"),
        ("{}", "is no config of open_clip .KeyError"),
        ({"model_cfg": {**SMALL, "colour": 1}}, "cannot build a model of this config.*colour"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"fill_color": 9}}, "asks for {'fill_color': 9}"),
    ],
)
def test_a_folder_that_is_none_says_why(config, said, tmp_path):
    where = folder_of(tmp_path, SMALL)
    path = where / "open_clip_config.json"
    if config is None:
        path.unlink()
    else:
        path.write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(BenchError, match=said):
        load(f"open_clip:{where}")


def test_the_list_says_how_an_open_name_is_written():
    how = plugins.open_adapters()["open_clip"]
    assert all(part in how for part in ("ARCH/TAG", "@FILE", "FOLDER", "open_clip:ViT-H-14/laion2b_s32b_b79k"))


def test_a_file_that_is_not_what_its_published_name_says_is_refused(tmp_path):
    from adapters._open_clip_load import check_published

    name = "vit_b_32-quickgelu-laion400m_e32-46683a32.pt"  # of open_clip's own table
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(BenchError, match="its publisher says that it begins with 46683a32; get it again"):
        check_published(tmp_path / name, "ViT-B-32", "laion400m_e32")
    (tmp_path / "mine.pt").write_bytes(b"something else")
    check_published(tmp_path / "mine.pt", "ViT-B-32", "laion400m_e32")
