"""X-CLIP at its real sizes, with random weights, equals transformers."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import XCLIPConfig, XCLIPModel
from transformers.initialization import no_init_weights
from transformers_folders import (
    XCLIPS,
    close,
    save,
    videos,
)

from adapters._xclip import XclipAdapter
from bench import checks, plugins
from bench.contracts import BenchError, Features

# As transformers' conversion of the released files wrote them (models/x_clip/convert_x_clip_original_pytorch_to_hf.py, v4.22 to
# v4.46): what is not said here is XCLIPConfig's default, the heads of MIT and prompt generator of the large ones too.
LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}


LARGE_VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "mit_hidden_size": 768,
    "mit_intermediate_size": 3072,
}


def xclip_config(name):
    card = plugins.find("adapters", name).MODELS[name]
    vision = {"patch_size": int(name.split("patch")[1][:2]), "num_frames": card.num_frames}
    if name == "xclip-large-patch14-16-frames":
        vision["image_size"] = 336
    large = "large" in name
    return XCLIPConfig(
        text_config=LARGE_TEXT if large else {},
        vision_config={**(LARGE_VISION if large else {}), **vision},
        projection_dim=768 if large else 512,
    )


@pytest.mark.parametrize("name", XCLIPS)
def test_the_cards_numbers_are_the_architectures(name):
    card, config = plugins.find("adapters", name).MODELS[name], xclip_config(name)
    with torch.device("meta"), no_init_weights():
        model = XCLIPModel(config).eval()
        frames = torch.empty(card.num_frames, 3, config.vision_config.image_size, config.vision_config.image_size)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            seen = model.vision_model(pixel_values=frames)
            model.mit(model.visual_projection(seen.pooler_output)[None])
            model.prompts_visual_layernorm(seen.last_hidden_state[:, 1:]) @ model.prompts_visual_projection
    assert sum(p.numel() for p in model.parameters()) == card.num_parameters
    assert counter.get_total_flops() / card.num_frames / 1e9 == pytest.approx(card.gflops, abs=0.005)
    assert (card.library, card.architecture, card.tag) == ("transformers", "XCLIPModel", f"microsoft/{name}")
    assert card.fixed_num_frames and "contaminated for Kinetics" in card.pretraining


@dataclasses.dataclass
class Real:
    """An adapter as a user gets it, the library's own object with the same weights, and what that says of a few videos."""

    adapter: XclipAdapter
    reference: XCLIPModel
    video: torch.Tensor
    output: object
    features: Features


SIZES = [
    pytest.param("xclip-base-patch32", marks=pytest.mark.slow),
    pytest.param("xclip-base-patch16", marks=pytest.mark.slow),
    pytest.param("xclip-base-patch16-zero-shot", marks=pytest.mark.full),
    pytest.param("xclip-large-patch14", marks=pytest.mark.full),
]


@pytest.fixture(scope="module", params=SIZES)
def real(request, tmp_path_factory):
    name = request.param
    torch.manual_seed(0)
    reference = XCLIPModel(xclip_config(name)).eval()
    # From 0.1 upwards: with a small one a wrong patch map would hardly show.
    reference.prompts_generator.alpha.data = torch.linspace(0.5, 1.5, reference.projection_dim)
    home = tmp_path_factory.mktemp("home")
    folder = home / "weights" / name
    save(folder, reference)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(home))
        adapter = plugins.find("adapters", name).load(name, "cpu")
    (folder / "model.safetensors").unlink()  # hundreds of megabytes
    video = videos(adapter, 2 if adapter.facts.num_frames == 8 else 1)
    with torch.no_grad():
        output = reference(input_ids=adapter.tokenize(checks.TEXTS).ids, pixel_values=video)
    return Real(adapter, reference, video, output, adapter.encode_video(video))


def test_the_facts_are_the_cards(real):
    facts = real.adapter.facts
    card = plugins.find("adapters", facts.name).MODELS[facts.name]
    for field in ("num_parameters", "num_frames", "fixed_num_frames", "gflops", "precisions", "licence", "pretraining"):
        assert getattr(facts, field) == getattr(card, field)
    assert facts.padding == card.text_rule and facts.weights == card.tag


def test_text_halves_equal_the_library(real):
    tokens = real.adapter.tokenize(checks.TEXTS)
    with torch.no_grad():
        theirs = real.reference.get_text_features(tokens.ids).pooler_output
    close(real.adapter.encode_text(checks.TEXTS), theirs)
    cut = real.adapter.embed_tokens(tokens)[:, : int(tokens.pool.max()) + 1]
    close(real.adapter.encode_embedded(cut, tokens), theirs)


def test_video_embedding_and_logits_equal_the_library(real):
    features, output = real.features, real.output
    close(features.frames, output.mit_output.last_hidden_state)
    close(features.pooled, output.mit_output.pooler_output)
    text = real.adapter.encode_text(checks.TEXTS)
    logits = real.adapter.similarity(features, text)
    close(logits, output.logits_per_video)
    patches = features.extra["patches"]
    wrong = Features(features.frames, {"patches": patches.roll(1, 2)})  # the same numbers, at other places
    assert (real.adapter.similarity(wrong, text) - logits).abs().max() > 1e-3


def test_gradients_reach_the_embeddings_and_no_parameter(real):
    tokens = real.adapter.tokenize(checks.TEXTS, 2)
    embeddings = real.adapter.embed_tokens(tokens).requires_grad_(True)
    text = real.adapter.encode_embedded(embeddings, tokens)
    real.adapter.similarity(real.features, text).square().sum().backward()
    reached = embeddings.grad.abs().sum(-1)
    assert all(bool((reached[row, : int(end) + 1] > 0).all()) for row, end in enumerate(tokens.pool))
    assert all(p.grad is None and not p.requires_grad for p in real.adapter.module.parameters())


def test_no_parameter_has_changed(real):
    own, theirs = real.adapter.module.state_dict(), real.reference.state_dict()
    assert own.keys() == theirs.keys() and all(torch.equal(own[k], theirs[k]) for k in own)


def test_a_batch_of_one_equals_its_row(real):
    if len(real.video) == 1:
        real.video = torch.cat([real.video, real.video.flip(1)])
        real.features = real.adapter.encode_video(real.video)
    alone = real.adapter.encode_video(real.video[1:])
    close(alone.frames[0], real.features.frames[1])
    close(alone.extra["patches"][0], real.features.extra["patches"][1])


def test_a_wrong_number_of_frames_is_refused(real):
    wrong = real.adapter.facts.num_frames // 2
    with pytest.raises(BenchError, match=f"made for {2 * wrong} frames.*not {wrong}"):
        real.adapter.encode_video(real.video[:, :wrong])


@pytest.mark.full
@pytest.mark.parametrize("real", ["xclip-base-patch32"], indirect=True)
def test_a_real_size_keeps_the_contract(real):
    assert [(r.name, r.problem) for r in checks.check_adapter(real.adapter) if r.problem] == []
