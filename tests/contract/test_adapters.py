"""Every backbone that is at hand keeps the contract."""

import dataclasses

import pytest
import torch

from adapters._cards import Card
from bench import checks, plugins

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
    if tiny.facts.fixed_num_frames:  # its frames see each other: tests/unit/test_xclip.py
        assert tiny.facts.family == "X-CLIP"
        return
    video = torch.stack([tiny.transform(f) for f in checks.frames(1)])
    forward, backward = tiny.encode_video(video).frames, tiny.encode_video(video.flip(1)).frames
    torch.testing.assert_close(backward, forward.flip(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tiny.encode_video(video[:, :1]).frames[:, 0], forward[:, 0], atol=1e-5, rtol=1e-5)


def test_tiny_weights_fit_into_the_repository():
    sizes = {p.name: p.stat().st_size for p in (plugins.ROOT / "adapters" / "_tiny").glob("*.safetensors")}
    assert sizes and all(size < 2_000_000 for size in sizes.values()), sizes


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
    assert (cut.tokens_a_step < cut.tokens_whole) == tiny.facts.causal_text == (not cut.why_whole)
