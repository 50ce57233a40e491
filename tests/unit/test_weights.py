"""Files of weights on this machine: which one is taken, that it stays the same, and what is never opened."""

import json
import os
import subprocess
import sys
import warnings

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from adapters import _open_clip_load, _state, _weights
from adapters._cards import Card
from adapters._open_clip import build
from bench import plugins
from bench.contracts import TEXT, BenchError

CARD = Card(
    architecture="ViT-B-32",
    tag="openai",
    pretraining="p",
    licence="l",
    num_parameters=1,
    gflops=1.0,
    text_rule="t",
)
SMALL = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
CUSTOM = {**SMALL, "custom_text": True, "init_logit_bias": -10.0}


def state_of(cfg):
    torch.manual_seed(0)
    return {k: v.clone().contiguous() for k, v in build(cfg).state_dict().items()}


def put(name, state, file="model.safetensors"):
    path = _weights.folder(name) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


# --- which file -------------------------------------------------------------------------------------------------


def test_the_one_file_of_weights_is_found_among_others():
    path = put("a", state_of(SMALL))
    for other in ("open_clip_config.json", "tokenizer.json", ".model.safetensors.0123.part", ".half.safetensors"):
        (path.parent / other).touch()
    assert _weights.locate("a", CARD) == path
    assert _weights.at_hand("a", CARD) == str(path) and "ships" in _weights.at_hand("tiny", "words")


def test_two_files_of_weights_are_one_too_many():
    put("a", state_of(SMALL), "open_clip_model.safetensors").with_name("old.pt").touch()
    with pytest.raises(BenchError, match=r"2 weight files \(old.pt, open_clip_model.safetensors\); leave one"):
        _weights.locate("a", CARD)


def test_what_is_missing_is_said_with_its_place():
    with pytest.raises(
        BenchError, match=r"no weights of a .*ViT-B-32 / openai.*\.safetensors.*weights/a.*bench fetch a"
    ):
        _weights.locate("a", CARD)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("clip-vit-b-32", "clip-vit-b-32"),
        ("open_clip:ViT-B-32/openai", "open_clip--ViT-B-32--openai"),
        ("x:../../etc", "x--..--..--etc"),
    ],
)
def test_a_folder_is_one_folder_below_weights(name, folder):
    where = _weights.folder(name)
    assert where.name == folder and where.parent.name == "weights"


# --- that it stays the same -------------------------------------------------------------------------------------


def lock():
    return json.loads(_weights.lock_file().read_text())


def test_the_first_hash_is_locked_and_another_content_refused():
    path = put("a", state_of(SMALL))
    first = _weights.verified("a", path)
    assert first == _state.sha256(path) == lock()["a"]["model.safetensors"]["sha256"] == _weights.locked("a")
    assert _weights.verified("a", path) == first
    put("a", {"other": torch.zeros(2)})
    with pytest.raises(BenchError, match=rf'has changed.*{first}.*remove the entry "a" from .*lock.json'):
        _weights.verified("a", path)
    _weights.lock_file().write_text(json.dumps({k: v for k, v in lock().items() if k != "a"}))
    assert _weights.verified("a", path) != first


def test_another_file_in_its_place_is_another_content():
    path = put("a", state_of(SMALL))
    first = _weights.verified("a", path)
    moved = path.rename(path.with_name("renamed.safetensors"))
    assert _weights.verified("a", moved) == first
    moved.unlink()
    with pytest.raises(BenchError, match=f"new.safetensors has changed.*{first} was loaded as a before"):
        _weights.verified("a", put("a", {"other": torch.zeros(2)}, "new.safetensors"))


def test_another_file_beside_the_locked_one_is_another_content_unless_it_is_a_part():
    first = put("a", state_of(SMALL))
    _weights.verified("a", first)
    beside = put("a", {"other": torch.zeros(2)}, "beside.safetensors")
    with pytest.raises(BenchError, match="beside.safetensors has changed"):
        _weights.verified("a", beside)
    parts = [first.name, beside.name]
    assert _weights.verified("a", beside, together=parts) != _weights.verified("a", first, together=parts)


def test_a_file_that_is_put_there_while_the_old_one_is_read_is_not_trusted(monkeypatch):
    path, real = put("a", state_of(SMALL)), _state.sha256
    first = real(path)

    def replaced_meanwhile(p):
        found = real(p)
        put("a", {"other": torch.zeros(2)})
        return found

    monkeypatch.setattr(_state, "sha256", replaced_meanwhile)
    assert _weights.verified("a", path) == first
    monkeypatch.setattr(_state, "sha256", real)
    with pytest.raises(BenchError, match="has changed"):
        _weights.verified("a", path)


def test_a_change_that_keeps_size_and_time_is_seen():
    path = put("a", state_of(SMALL))
    _weights.verified("a", path)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(BenchError, match="has changed"):
        _weights.verified("a", path)


def test_a_file_that_stays_is_not_read_again_and_one_that_moved_is(monkeypatch):
    path = put("a", state_of(SMALL))
    first, read = _weights.verified("a", path), []
    monkeypatch.setattr(_state, "sha256", lambda p: read.append(p) or first)
    assert _weights.verified("a", path) == first and not read
    os.utime(path)
    assert _weights.verified("a", path) == first and read == [path]
    assert _weights.verified("a", path) == first and read == [path]


def test_the_pin_outranks_the_lock():
    path = put("a", state_of(SMALL))
    found = _state.sha256(path)
    assert _weights.verified("a", path, found) == found
    with pytest.raises(BenchError, match=f"{found}, but the published weights of a have {'0' * 64}"):
        _weights.verified("a", path, "0" * 64)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": {"f": {}}}'])
def test_a_damaged_lock_is_refused(content):
    path = put("a", state_of(SMALL))
    _weights.lock_file().write_text(content)
    with pytest.raises(BenchError, match="cannot be read as the lock"):
        _weights.verified("a", path)


def test_names_locked_at_the_same_time_are_all_kept():
    """Four processes, twenty names each; what one writes, another must not wipe out."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom adapters import _weights\n"
        "for n in range(20): _weights.write_lock(f'{sys.argv[2]}-{n}', Path(sys.argv[1], 'pyproject.toml'), '0' * 64)"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(plugins.ROOT), str(i)]) for i in range(4)]
    assert [p.wait(120) for p in running] == [0] * 4
    assert set(lock()) == {f"{i}-{n}" for i in range(4) for n in range(20)}


# --- what is opened ---------------------------------------------------------------------------------------------


def refused(path, said, cfg=SMALL):
    model = build(cfg)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(BenchError, match=said) as caught:
        _state.load_strict(model, path, lambda state: _open_clip_load.converted(model, state))
    assert str(path) in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("cut", [1, 1000, 0.5])
def test_a_truncated_file_is_refused(cut):
    path = put("a", state_of(SMALL))
    whole = path.read_bytes()
    path.write_bytes(whole[: -cut if cut >= 1 else int(len(whole) * cut)])
    refused(path, "not readable as weights.*get the file again")


def test_weights_of_another_architecture_are_refused():
    wider = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "width": 32}}
    refused(put("a", state_of(wider)), r"visual.*, this architecture has \(")
    deeper = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "layers": 2}}
    refused(put("a", state_of(deeper)), r"0 keys missing.*12 unexpected \(visual.transformer.resblocks.1")


def test_a_grid_of_another_size_is_not_resized_in_silence():
    larger = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "image_size": 32}}
    refused(put("a", state_of(larger)), r"visual.positional_embedding is \(17, 16\), this architecture has \(5, 16\)")


def test_a_missing_bias_is_not_made_up():
    state = state_of(CUSTOM)
    del state["logit_bias"]
    refused(put("a", state), r"1 keys missing \(logit_bias\)", CUSTOM)


def test_numbers_that_are_none_are_refused():
    state = state_of(SMALL)
    state["visual.proj"][0, 0] = float("nan")
    refused(put("a", state), "visual.proj holds numbers that are not finite")


class Runs:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": {"w": x}}])
def test_a_pickle_with_code_is_refused_and_nothing_of_it_runs(tmp_path, wrap):
    path = tmp_path / "w.pt"
    torch.save(wrap(Runs(tmp_path / "ran")), path)
    refused(path, "asks for io.open when it is opened, .* nothing of it was run")
    assert not (tmp_path / "ran").exists()
    opened = torch.load(path, weights_only=False)
    (opened if wrap(1) == 1 else opened["state_dict"]["w"]).close()
    assert (tmp_path / "ran").exists()  # it would have


def test_a_torchscript_archive_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    module = torch.nn.Linear(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against making such files today
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 2)), path)
    refused(path, "TorchScript archive.*safetensors.*Hugging Face repository.*bench fetch")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x80\x02}q\x00."])
def test_what_are_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "w.bin"
    path.write_bytes(content)
    refused(path, "not readable as weights|does not fit")


# --- the library's own conversions ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "state_dict", "module", "half", "old keys", "scalars", "position_ids"])
def test_released_forms_of_a_file_are_understood_as_the_library_does(tmp_path, form):
    state = state_of(CUSTOM)
    given: object = dict(state)
    if form == "state_dict":
        given = {"epoch": 3, "state_dict": state}
    if form == "module":
        given = {f"module.{k}": v for k, v in state.items()}
    if form == "half":
        given = {k: v.half() for k, v in state.items()}
    if form == "old keys":
        given = {k.removeprefix("text."): v for k, v in state.items()}
    if form == "scalars":
        given = {**state, "logit_scale": state["logit_scale"].reshape(1), "logit_bias": state["logit_bias"].reshape(1)}
    if form == "position_ids":
        given = {**state, "text.transformer.embeddings.position_ids": torch.arange(3)}
    path = tmp_path / "w.pt"
    torch.save(given, path)
    own, theirs = _open_clip_load.filled(CUSTOM, path), build(CUSTOM)
    open_clip.load_checkpoint(theirs, str(path))
    for key, value in theirs.state_dict().items():
        assert torch.equal(own.state_dict()[key], value), key


def test_a_model_that_is_filled_is_filled_everywhere(tmp_path):
    """Nothing of the memory that was never written may be left: twice the same file, twice the same model, buffers too."""
    save_file(state_of(CUSTOM), tmp_path / "w.safetensors")
    one, two, theirs = (*(_open_clip_load.filled(CUSTOM, tmp_path / "w.safetensors") for _ in range(2)), build(CUSTOM))
    buffers = dict(theirs.named_buffers())
    for (key, a), (_, b) in zip(one.named_buffers(), two.named_buffers(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, buffers[key]), key
    assert set(dict(one.named_buffers())) == set(buffers)


# --- open names -------------------------------------------------------------------------------------------------


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
