"""Every backbone that is at hand keeps the contract, and equals the library that it wraps."""

import dataclasses

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from adapters import _weights
from adapters._cards import Card
from adapters._open_clip import build
from bench import checks, plugins
from bench.contracts import BenchError

TINY = [name for name in plugins.names("adapters") if name.startswith("tiny-")]
REAL = [name for name in plugins.names("adapters") if isinstance(plugins.find("adapters", name).MODELS[name], Card)]
AT_HAND = [name for name in plugins.names("adapters") if name not in REAL]  # anyone's models that need no download


@pytest.mark.parametrize("name", AT_HAND)
def test_models_at_hand_keep_the_contract(name):
    results = checks.check_adapter(plugins.find("adapters", name).load(name, "cpu"))
    assert [(r.name, r.problem) for r in results if r.problem] == []


@pytest.fixture(scope="module", params=TINY)
def tiny(request):
    return plugins.find("adapters", request.param).load(request.param, "cpu")


def test_tiny_models_say_that_they_are_toys(tiny):
    assert tiny.facts.toy_scale and "toy scale" in tiny.facts.pretraining


def test_context_stands_between_the_start_and_the_text(tiny):
    plain, tokens = tiny.tokenize(["lift the arm"]), tiny.tokenize(["lift the arm"], 3)
    head = 1 if tiny.facts.causal_text else 0
    assert tokens.context.tolist() == [[head, head + 1, head + 2]]
    body = plain.ids[0, head : head + 4].tolist()
    assert tokens.ids[0, head + 3 : head + 7].tolist() == body
    if tiny.facts.causal_text:
        assert tokens.ids[0, 0] == plain.ids[0, 0]
        assert int(tokens.pool[0]) == int(plain.pool[0]) + 3


@pytest.mark.parametrize("field", ["size", "mean", "std", "interpolation", "resize_mode"])
def test_the_transforms_name_tells_everything_it_does(tiny, field):
    other = {
        "size": (32, 32),
        "mean": (0.9,) * 3,
        "std": (0.9,) * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    assert dataclasses.replace(tiny.transform, **{field: other[field]}).name != tiny.transform.name


def test_frames_stay_in_their_order(tiny):
    video = torch.stack([tiny.transform(f) for f in checks._frames(1)])
    forward, backward = tiny.encode_video(video).frames, tiny.encode_video(video.flip(1)).frames
    torch.testing.assert_close(backward, forward.flip(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tiny.encode_video(video[:, :1]).frames[:, 0], forward[:, 0], atol=1e-5, rtol=1e-5)


def test_tiny_weights_fit_into_the_repository():
    sizes = {p.name: p.stat().st_size for p in (plugins.ROOT / "adapters" / "_tiny").glob("*.safetensors")}
    assert sizes and all(size < 2_000_000 for size in sizes.values()), sizes


@pytest.mark.parametrize("name", REAL)
def test_named_models_are_known_to_open_clip(name):
    card = plugins.find("adapters", name).MODELS[name]
    assert card.tag in open_clip.list_pretrained_tags_by_model(card.architecture)
    assert open_clip.get_model_config(card.architecture) is not None


@pytest.mark.parametrize("name", REAL)
def test_missing_weights_say_where_to_put_them(name):
    with pytest.raises(BenchError, match=rf"no weights of {name}.*weights/{name}.*fetch {name}"):
        plugins.find("adapters", name).load(name, "cpu")


@pytest.fixture(scope="module", params=["clip-vit-b-32", "siglip-vit-b-16"])
def at_real_size(request, tmp_path_factory):
    """A real architecture with random weights, loaded from its folder as a user's would be, beside open_clip's own object."""
    name = request.param
    card = plugins.find("adapters", name).MODELS[name]
    cfg = open_clip.get_pretrained_cfg(card.architecture, card.tag)
    torch.manual_seed(0)
    model_cfg = dict(open_clip.get_model_config(card.architecture))
    if cfg.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    reference = build(model_cfg).eval()
    home = tmp_path_factory.mktemp("home")
    (home / "weights" / name).mkdir(parents=True)
    state = {k: v.clone().contiguous() for k, v in reference.state_dict().items()}
    save_file(state, home / "weights" / name / "model.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(home))
        adapter = plugins.find("adapters", name).load(name, "cpu")
    return adapter, reference, cfg


class WordPieces:
    """Ids without a vocabulary file: SigLIP's tokenizer needs the network."""

    start, end, pad = None, 1, 1

    def encode(self, text):
        return [10 + sum(map(ord, word)) % 30000 for word in text.split()]


def test_text_equals_the_library(at_real_size):
    adapter, reference, _ = at_real_size
    if not adapter.facts.causal_text:
        adapter._tokenizer = WordPieces()
    tokens = adapter.tokenize(checks.TEXTS)
    own = adapter.encode_embedded(adapter.embed_tokens(tokens), tokens)
    with torch.no_grad():
        theirs = reference.encode_text(tokens.ids)
    torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)


def test_video_and_logits_equal_the_library(at_real_size):
    adapter, reference, _ = at_real_size
    if not adapter.facts.causal_text:
        adapter._tokenizer = WordPieces()
    video = torch.stack([adapter.transform(f[:1]) for f in checks._frames(2)])
    tokens = adapter.tokenize(checks.TEXTS)
    with torch.no_grad():
        image = reference.encode_image(video[:, 0])
        theirs = reference.get_logits(video[:, 0], tokens.ids)[0]
    features = adapter.encode_video(video)
    torch.testing.assert_close(features.frames[:, 0], image, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        adapter.similarity(features, adapter.encode_text(checks.TEXTS)), theirs, atol=1e-4, rtol=1e-4
    )


def test_transform_equals_the_library(at_real_size):
    adapter, reference, cfg = at_real_size
    own = {k: cfg.get(k) for k in ("mean", "std", "interpolation", "resize_mode")}
    preprocess = open_clip.transform.PreprocessCfg(
        size=reference.visual.image_size, **{k: v for k, v in own.items() if v}
    )
    theirs = open_clip.transform.image_transform_v2(preprocess, is_train=False)
    frames = checks._frames(1)[0]
    torch.testing.assert_close(adapter.transform(frames), torch.stack([theirs(Image.fromarray(f)) for f in frames]))


def test_cutting_a_causal_text_at_its_end_changes_nothing(tiny):
    from bench.prompting import encode, prepare

    context = 0.1 * torch.randn(4, tiny.embed_tokens(tiny.tokenize(["a"])).shape[-1])
    cut = prepare(tiny, checks.TEXTS, 4)
    tokens = tiny.tokenize(checks.TEXTS, 4)
    embeddings = tiny.embed_tokens(tokens)
    embeddings[torch.arange(len(checks.TEXTS))[:, None], tokens.context] = context
    torch.testing.assert_close(
        encode(tiny, cut, context), tiny.encode_embedded(embeddings, tokens), atol=1e-5, rtol=1e-5
    )
    assert (cut.embeddings.shape[1] < tiny.facts.context_length) == tiny.facts.causal_text


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape", "truncated", "pickle"])
def test_weights_that_do_not_fit_are_refused(damage, tmp_path, monkeypatch):
    from adapters._open_clip import load_strict

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = {k: v.clone() + 1 for k, v in model.state_dict().items()}
    path = tmp_path / "w.safetensors"
    if damage == "missing":
        del state["1.bias"]
    if damage == "unexpected":
        state["2.bias"] = torch.zeros(1)
    if damage == "shape":
        state["1.bias"] = torch.zeros(7)
    save_file(state, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    if damage == "pickle":
        path = tmp_path / "w.pt"
        torch.save(_Runs(tmp_path / "ran"), path)
    with pytest.raises(BenchError, match=str(path)):
        load_strict(model, path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not (tmp_path / "ran").exists()


class _Runs:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_two_weight_files_are_one_too_many(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    folder = _weights.folder("clip-vit-b-32")
    folder.mkdir(parents=True)
    (folder / "a.pt").touch()
    (folder / "b.safetensors").touch()
    with pytest.raises(BenchError, match="2 weight files"):
        _weights.locate("clip-vit-b-32", plugins.find("adapters", "clip-vit-b-32").MODELS["clip-vit-b-32"])
