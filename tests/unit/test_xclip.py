"""X-CLIP at toy size: every promise that does not need a real architecture."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from transformers import XCLIPConfig, XCLIPModel

from adapters import _xclip
from adapters._open_clip import FrameTransform
from adapters._text import BytePairs
from adapters._tiny.tokenizer import MERGES
from adapters._xclip import XclipAdapter
from bench import checks
from bench.contracts import BenchError, Features
from bench.forward import Encoder

FACTS = {
    "name": "toy",
    "family": "X-CLIP",
    "architecture": "X-CLIP, toy scale",
    "weights": "random",
    "weights_sha256": "f" * 64,
    "pretraining": "none",
    "licence": "MIT",
    "version": 1,
}
FRAMES = 8


def model(attention="sdpa"):
    torch.manual_seed(0)
    width = {"hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 3}
    mit = {"mit_hidden_size": 80, "mit_intermediate_size": 320, "mit_num_attention_heads": 4}
    config = XCLIPConfig(
        text_config={
            **width,
            "num_hidden_layers": 3,
            "vocab_size": 1514,
            "max_position_embeddings": 48,
            "pad_token_id": 0,
        },
        vision_config={
            **width,
            **mit,
            "num_hidden_layers": 3,
            "image_size": 64,
            "patch_size": 16,
            "num_frames": FRAMES,
        },
        projection_dim=80,  # not the towers' width, so that nothing fits by accident
        prompt_num_attention_heads=4,
        attn_implementation=attention,
    )
    made = XCLIPModel(config)
    # From 0.1 upwards: with a small one a wrong patch map would hardly show.
    made.prompts_generator.alpha.data = torch.linspace(0.5, 1.5, 80)
    return made


def adapter_of(made):
    transform = FrameTransform((64, 64), (0.03,) * 3, (0.13,) * 3)
    return XclipAdapter(made, transform, BytePairs(SimpleTokenizer(bpe_path=str(MERGES))), FACTS, "cpu")


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def adapter(request):
    return adapter_of(model(request.param))


@pytest.fixture(scope="module")
def video():
    return torch.randn(3, FRAMES, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def theirs(adapter, video):
    with torch.no_grad():
        return adapter.module(input_ids=adapter.tokenize(checks.TEXTS).ids, pixel_values=video)


def close(own, their):
    """1e-5 of the largest value, or of 1."""
    torch.testing.assert_close(own, their, atol=1e-5 * max(1.0, float(their.abs().max())), rtol=0)


def test_it_keeps_the_contract():
    assert [(r.name, r.problem) for r in checks.check_adapter(adapter_of(model())) if r.problem] == []


def test_the_facts_come_from_the_model(adapter):
    facts = adapter.facts
    assert (facts.num_frames, facts.fixed_num_frames, facts.embed_dim, facts.context_length) == (FRAMES, True, 80, 48)
    assert facts.causal_text and facts.logit_bias == 0.0
    assert facts.logit_scale == pytest.approx(float(adapter.module.logit_scale.exp()))
    assert facts.num_parameters == sum(p.numel() for p in adapter.module.parameters())


def test_the_mean_over_frames_is_the_librarys_video_embedding(adapter, video, theirs):
    features = adapter.encode_video(video)
    close(features.pooled, theirs.mit_output.pooler_output)
    close(features.frames, theirs.mit_output.last_hidden_state)
    assert features.extra["patches"].shape == (3, 16, 80)


def test_text_equals_the_librarys(adapter):
    tokens = adapter.tokenize(checks.TEXTS)
    with torch.no_grad():
        their = adapter.module.get_text_features(tokens.ids).pooler_output
    close(adapter.encode_text(checks.TEXTS), their)
    length = int(tokens.pool.max()) + 1
    cut = adapter.encode_embedded(adapter.embed_tokens(tokens)[:, :length], tokens)
    assert length < 48
    close(cut, their)


def test_logits_equal_the_librarys(adapter, video, theirs):
    close(adapter.similarity(adapter.encode_video(video), adapter.encode_text(checks.TEXTS)), theirs.logits_per_video)


def test_pooling_follows_the_tokens_and_not_the_highest_id(adapter):
    tokens = adapter.tokenize(checks.TEXTS, 3)
    embeddings = adapter.embed_tokens(tokens)
    other = dataclasses.replace(tokens, ids=torch.zeros_like(tokens.ids))
    assert torch.equal(adapter.encode_embedded(embeddings, other), adapter.encode_embedded(embeddings, tokens))
    moved = dataclasses.replace(tokens, pool=tokens.pool - 1)
    assert not torch.allclose(adapter.encode_embedded(embeddings, moved), adapter.encode_embedded(embeddings, tokens))


def test_every_video_conditions_its_own_texts(adapter, video):
    features, text = adapter.encode_video(video), adapter.encode_text(checks.TEXTS)
    logits = adapter.similarity(features, text)
    others = Features(features.frames, {"patches": features.extra["patches"].roll(1, 0)})
    assert (adapter.similarity(others, text) - logits).abs().max() > 1e-3
    plain = adapter.facts.logit_scale * F.normalize(features.pooled, dim=-1) @ F.normalize(text, dim=-1).T
    assert (plain - logits).abs().max() > 1e-2


def test_chunks_give_what_the_whole_gives(adapter, video, monkeypatch):
    features, text = adapter.encode_video(video), adapter.encode_text(checks.TEXTS)
    whole = adapter.similarity(features, text)
    sizes = []
    inner = adapter._logits
    monkeypatch.setattr(adapter, "_logits", lambda p, k, t: sizes.append(len(p)) or inner(p, k, t), raising=True)
    monkeypatch.setattr(_xclip, "CONDITIONED", 2 * len(text))
    close(adapter.similarity(features, text), whole)
    assert sizes == [2, 1]
    monkeypatch.setattr(_xclip, "CONDITIONED", 1)
    close(adapter.similarity(features, text), whole)
    assert sizes[2:] == [1, 1, 1]


def test_gradients_reach_the_texts_and_nothing_else(adapter, video):
    features = adapter.encode_video(video)
    text = adapter.encode_text(checks.TEXTS).requires_grad_(True)
    assert not features.frames.requires_grad and not features.extra["patches"].requires_grad
    adapter.similarity(features, text).square().sum().backward()
    assert bool((text.grad.abs().sum(1) > 0).all())
    assert all(p.grad is None for p in adapter.module.parameters())


def test_half_precision_gives_float32_features_nearby(adapter, video):
    exact, half = (Encoder(adapter, precision).forward(video) for precision in ("float32", "bf16"))
    for own, other in ((half.frames, exact.frames), (half.extra["patches"], exact.extra["patches"])):
        assert own.dtype == torch.float32
        assert 0 < float((own - other).norm() / other.norm()) < 0.05


@pytest.mark.parametrize("count", [1, 4, 16])
def test_another_number_of_frames_is_refused(adapter, count):
    with pytest.raises(BenchError, match=f"toy was made for 8 frames.*not {count}"):
        adapter.encode_video(torch.zeros(1, count, 3, 64, 64))


def test_features_of_another_adapter_are_refused(adapter, video):
    bare = Features(adapter.encode_video(video).frames)
    with pytest.raises(BenchError, match="patch map"):
        adapter.similarity(bare, adapter.encode_text(checks.TEXTS))


def test_the_order_of_frames_is_seen(adapter, video):
    forward, backward = adapter.encode_video(video).pooled, adapter.encode_video(video.flip(1)).pooled
    assert (forward - backward).abs().max() > 1e-3


def test_gradients_of_the_prompts_equal_finite_differences():
    """In double precision and with a small step: prompts are of length .02 a number, so the tower bends within a step of .001."""
    adapter = adapter_of(model("eager"))
    adapter.module.double()
    made = torch.randn(1, adapter.facts.num_frames, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    seen = adapter.encode_video(made)
    features = Features(seen.frames.double(), {"patches": seen.extra["patches"].double()})
    tokens = adapter.tokenize(checks.TEXTS[:2], 2)
    embeddings = adapter.embed_tokens(tokens).double().requires_grad_(True)
    adapter.similarity(features, adapter.encode_embedded(embeddings, tokens)).sum().backward()
    way = torch.zeros_like(embeddings)
    noise = torch.randn(2, 2, embeddings.shape[-1], generator=torch.Generator().manual_seed(2))
    way[torch.arange(2)[:, None], tokens.context] = noise.double()
    with torch.no_grad():
        up, down = (
            float(adapter.similarity(features, adapter.encode_embedded(embeddings + step * way, tokens)).sum())
            for step in (1e-4, -1e-4)
        )
    assert float((embeddings.grad * way).sum()) == pytest.approx((up - down) / 2e-4, rel=1e-2)
