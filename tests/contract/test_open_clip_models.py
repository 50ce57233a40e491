"""Every named open_clip model: what its card says, and at its real size, with random weights, that it equals the library's own."""

import gc
import warnings

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from adapters import _open_clip_load
from adapters._cards import Card
from adapters._open_clip import Unfilled, build
from bench import plugins
from bench.contracts import PROMPTS, TEXT, BenchError, Tokens

FILES = ("clip", "siglip", "eva_clip")
CARDS = {
    name: card
    for stem in FILES
    for name, card in plugins._import("adapters", f"adapters.{stem}").MODELS.items()
    if isinstance(card, Card)
}
# One name of each architecture and activation; the rest differ by their weights and preprocessing alone.
SMALL = (
    "clip-vit-b-32",
    "clip-vit-b-16",
    "clip-vit-b-16-laion2b",
    "siglip-vit-b-16",
    "siglip2-vit-b-16",
    "eva02-clip-b-16",
)
LARGE = (
    "clip-vit-l-14",
    "clip-vit-l-14-laion2b",
    "clip-vit-l-14-336",
    "siglip-vit-l-16-256",
    "siglip2-vit-l-16-256",
    "siglip-so400m-14",
    "siglip-so400m-14-384",
    "siglip2-so400m-14",
    "siglip2-so400m-14-378",
    "eva02-clip-l-14",
    "eva02-clip-l-14-336",
    "eva01-clip-g-14",
)
TEXTS = [
    "a person waves with one hand",
    "Legs move: FAST, both_of them!",
    "",
    "word " * 200,
]
TOLERANCE = 1e-5  # float32, of the largest value: logits are a hundred times a cosine, features anything


def worst(own, theirs):
    """The largest difference, relative to the largest value."""
    assert own.shape == theirs.shape and own.dtype == theirs.dtype == torch.float32
    return float((own - theirs).abs().max() / theirs.abs().max())


def pictures(num):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (num, 120, 90, 3), dtype=np.uint8)


# --- cards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDS)
def test_the_card_says_what_the_architecture_is(name):
    card = CARDS[name]
    assert card.library == "open_clip" and open_clip.is_pretrained_cfg(card.architecture, card.tag)
    cfg, _ = _open_clip_load.model_config(card.architecture, card.tag)
    with torch.device("meta"):
        model = build(cfg)
    assert sum(p.numel() for p in model.parameters()) == card.num_parameters
    assert round(_open_clip_load.visual_operations(cfg).gflops, 2) == card.gflops
    assert _open_clip_load.text_rule(cfg) == card.text_rule
    assert card.architecture in str(card) and card.tag in str(card) and card.licence in str(card)


def test_flops_are_those_that_a_hand_counts():
    """ViT-B/32: 50 tokens of width 768 through 12 layers, a patch embedding and a projection; a multiply-add is two."""
    tokens, width, layers = 50, 768, 12
    layer = 2 * tokens * width * 12 * width + 4 * tokens * tokens * width
    hand = layers * layer + 2 * 49 * 3 * 32 * 32 * width + 2 * width * 512
    assert CARDS["clip-vit-b-32"].gflops == pytest.approx(hand / 1e9, abs=0.01)


def test_every_architecture_and_activation_is_tried_at_its_size():
    def kind(name):
        cfg, _ = _open_clip_load.model_config(CARDS[name].architecture, CARDS[name].tag)
        return CARDS[name].architecture, bool(cfg.get("quick_gelu"))

    assert {kind(name) for name in CARDS} == {kind(name) for name in (*SMALL, *LARGE)}


@pytest.mark.parametrize("name", CARDS)
def test_missing_weights_say_where_to_put_them(name):
    with pytest.raises(BenchError, match=rf"no weights of {name}.*weights/{name}.*fetch {name}"):
        plugins.find("adapters", name).load(name, "cpu")
    with pytest.raises(BenchError, match=rf"no weights of {name}"):
        plugins.find("adapters", name).at_hand(name)


# --- at real size -----------------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[*SMALL, *(pytest.param(name, marks=pytest.mark.full) for name in LARGE)],
)
def pair(request, tmp_path_factory):
    """An adapter loaded from its folder as a user's would be, and open_clip's own model and transform from the same file."""
    name = request.param
    card = CARDS[name]
    torch.manual_seed(0)
    home = tmp_path_factory.mktemp("home")
    file = home / "weights" / name / "open_clip_model.safetensors"
    file.parent.mkdir(parents=True)
    quick = bool(open_clip.get_pretrained_cfg(card.architecture, card.tag).get("quick_gelu"))
    _write_random(card.architecture, quick, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(home))
        adapter = plugins.find("adapters", name).load(name, "cpu")
        patch.setattr(open_clip.factory, "download_pretrained", lambda cfg, **_: str(file))
        with Unfilled(), warnings.catch_warnings():
            warnings.simplefilter("error")  # the library warns of an activation that is not the tag's
            theirs = open_clip.create_model_from_pretrained(card.architecture, card.tag, force_quick_gelu=quick)
    file.unlink()
    assert adapter.facts.weights_sha256 == adapter.facts.weights_sha256.lower() and adapter.facts.weights == card.tag
    yield name, adapter, theirs[0].eval(), theirs[1], versions(adapter)
    del adapter, theirs
    gc.collect()


def _write_random(architecture, quick, file):
    """Random weights of an architecture: matrices from one block over and over, since drawing a billion numbers takes a minute."""
    with Unfilled():
        model = open_clip.create_model(architecture, force_quick_gelu=quick)
    block = 0.02 * torch.randn(1_000_003)
    with torch.no_grad():
        for p in model.parameters():
            noise = (
                block[: p.numel()]
                if p.numel() <= len(block)
                else block.repeat(-(-p.numel() // len(block)))[: p.numel()]
            )
            if p.dim() <= 1:
                p.add_(noise.view(p.shape))  # beside the library's 0 and 1 for biases and scales
            else:
                p.copy_(noise.view(p.shape))
        model.logit_scale.fill_(np.log(100))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, file)


def versions(adapter):
    """Which tensors are the parameters, and how often each was written to: no change of theirs passes unseen."""
    return [(id(t), t._version) for t in (*adapter.module.parameters(), *adapter.module.buffers())]


def tokens_of(adapter):
    """Token ids: CLIP's tokenizer comes with the library; for SigLIP's, whose files do not, any ids of its vocabulary."""
    if adapter.facts.causal_text:
        return adapter.tokenize(TEXTS)
    length = adapter.facts.context_length
    ids = torch.randint(2, adapter._text.vocab_size, (3, length), generator=torch.Generator().manual_seed(1))
    ids[0, 5:], ids[1, -1] = 1, 1
    return Tokens(ids, torch.full((3,), length - 1), torch.empty(3, 0, dtype=torch.long))


@torch.no_grad()
def test_text_equals_the_library(pair):
    name, adapter, model, _, _ = pair
    tokens = tokens_of(adapter)
    if adapter.facts.causal_text:
        assert torch.equal(tokens.ids, open_clip.get_tokenizer(CARDS[name].architecture)(TEXTS))
    own, theirs = adapter.encode_embedded(adapter.embed_tokens(tokens), tokens), model.encode_text(tokens.ids)
    print(f"{name} text {worst(own, theirs):.1e}")
    assert worst(own, theirs) <= TOLERANCE
    assert own.shape == (len(tokens.ids), adapter.facts.embed_dim) and float(own.std()) > 0


@torch.no_grad()
def test_video_and_logits_equal_the_library(pair):
    name, adapter, model, preprocess, _ = pair
    videos = torch.stack([adapter.transform(picture[None]) for picture in pictures(2)])
    images = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures(2)])
    assert torch.equal(videos[:, 0], images)
    tokens, seen = tokens_of(adapter), []
    hook = model.visual.register_forward_hook(lambda module, given, result: seen.append(result))
    logits = model.get_logits(images, tokens.ids)[0]
    hook.remove()
    features = adapter.encode_video(videos)
    print(f"{name} video {worst(features.frames[:, 0], seen[0]):.1e}")
    assert worst(features.frames[:, 0], seen[0]) <= TOLERANCE
    own = adapter.similarity(features, adapter.encode_embedded(adapter.embed_tokens(tokens), tokens))
    print(f"{name} logits {worst(own, logits):.1e} of {float(logits.abs().max()):.1f}")
    assert worst(own, logits) <= TOLERANCE
    one = adapter.encode_video(videos[1:])
    print(f"{name} video alone {worst(one.frames[0], features.frames[1]):.1e}")
    assert worst(one.frames[0], features.frames[1]) <= TOLERANCE


def test_a_text_alone_equals_its_row_and_gradients_reach_the_embeddings(pair):
    name, adapter, _, _, before = pair
    tokens = tokens_of(adapter)
    embeddings = adapter.embed_tokens(tokens).requires_grad_()
    rows = adapter.encode_embedded(embeddings, tokens)
    rows.square().sum().backward()
    assert embeddings.grad.isfinite().all() and bool((embeddings.grad.abs().amax(dim=(1, 2)) > 0).all())
    alone = Tokens(tokens.ids[1:2], tokens.pool[1:2], tokens.context[1:2])
    with torch.no_grad():
        one = adapter.encode_embedded(adapter.embed_tokens(alone), alone)
    print(f"{name} text alone {worst(one[0], rows[1].detach()):.1e}")
    assert worst(one[0], rows[1].detach()) <= TOLERANCE
    assert versions(adapter) == before
    assert not any(p.requires_grad or p.grad is not None for p in adapter.module.parameters())


def test_facts_are_the_cards_and_the_models(pair):
    name, adapter, model, _, _ = pair
    facts, card = adapter.facts, CARDS[name]
    assert (facts.name, facts.family) == (name, plugins.find("adapters", name).FAMILY)
    assert (facts.num_parameters, facts.gflops) == (card.num_parameters, card.gflops)
    assert (facts.padding, facts.precisions, facts.licence) == (card.text_rule, card.precisions, card.licence)
    assert facts.logit_scale == pytest.approx(100, rel=1e-5)
    assert facts.logit_bias == (0.0 if model.logit_bias is None else float(model.logit_bias.detach()))
    assert facts.capabilities == {TEXT, PROMPTS}


@pytest.mark.parametrize("name", CARDS)
def test_every_names_transform_is_that_of_its_tag(name, monkeypatch, tmp_path):
    """The real pictures of a tag need no weights: the library's transform for it, and ours."""
    card = CARDS[name]
    cfg, preprocess = _open_clip_load.model_config(card.architecture, card.tag)
    with torch.device("meta"):
        model = build(cfg)
    own = _open_clip_load.transform_of(model, preprocess)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda cfg, **_: str(tmp_path / "none"))
    monkeypatch.setattr(open_clip.factory, "load_checkpoint", lambda *_, **__: None)
    with torch.device("meta"):
        _, theirs = open_clip.create_model_from_pretrained(
            card.architecture, card.tag, device="meta", force_quick_gelu=bool(cfg.get("quick_gelu"))
        )
    frame = pictures(1)
    assert torch.equal(own(frame)[0], theirs(Image.fromarray(frame[0])))
