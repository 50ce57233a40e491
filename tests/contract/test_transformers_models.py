"""X-CLIP at real size with random weights, and the folders of CLIP, SigLIP and plain encoders: all equal to transformers' own forward."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from open_clip.tokenizer import SimpleTokenizer
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.v2 import functional as tvF
from transformers import AutoImageProcessor, CLIPConfig, SiglipConfig, XCLIPConfig, XCLIPModel
from transformers.initialization import no_init_weights

from adapters import _state, _transformers, _transformers_folder
from adapters._text import BytePairs
from adapters._tiny.tokenizer import MERGES
from adapters._xclip import XclipAdapter
from bench import checks, plugins
from bench.contracts import BenchError, Features, NotApplicable

XCLIPS = [
    name for name, card in plugins.find("adapters", "xclip-base-patch32").MODELS.items() if not isinstance(card, str)
]
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
# Of the published folders, written by transformers 4.22.
PREPROCESSING = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "VideoMAEFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "size": {"shortest_edge": 224},
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


def close(own, their):
    """1e-5 of the largest value, or of 1."""
    torch.testing.assert_close(own, their, atol=1e-5 * max(1.0, float(their.abs().max())), rtol=0)


def save(folder, model, preprocessing=PREPROCESSING, tokenizer=None):
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def videos(adapter, num):
    """What the adapter makes of different frames, `(N, T, 3, h, w)`."""
    count = adapter.facts.num_frames
    frames = np.random.default_rng(5).integers(0, 256, (num, count, 60, 80, 3), dtype=np.uint8)
    return torch.stack([adapter.transform(f) for f in frames])


# --- X-CLIP at real size --------------------------------------------------------------------------------------------


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


# --- X-CLIP's files -------------------------------------------------------------------------------------------------


@pytest.fixture
def xclip_home(tmp_path, monkeypatch):
    """A folder of xclip-base-patch32 in which the tower is narrow; -> the folder, the library's model."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    folder = tmp_path / "weights" / "xclip-base-patch32"
    model = small_xclip()
    save(folder, model)
    return folder, model


def small_xclip(frames=8, vocabulary=49408, size=224):
    torch.manual_seed(0)
    width = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    mit = {"mit_hidden_size": 32, "mit_intermediate_size": 64, "mit_num_attention_heads": 4}
    return XCLIPModel(
        XCLIPConfig(
            text_config={**width, "vocab_size": vocabulary},
            vision_config={**width, **mit, "image_size": size, "patch_size": 32, "num_frames": frames},
            projection_dim=32,
        )
    ).eval()


def load(name):
    return plugins.find("adapters", name).load(name, "cpu")


def test_an_older_file_with_positions_as_keys_is_read(xclip_home):
    folder, model = xclip_home
    positions = {f"{side}_model.embeddings.position_ids": torch.arange(77)[None] for side in ("text", "vision")}
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict() | positions, folder / "pytorch_model.bin")
    adapter = load("xclip-base-patch32")
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in adapter.module.state_dict().items())
    assert adapter.facts.weights_sha256 == _state.sha256(folder / "pytorch_model.bin")


def test_an_x_clip_for_another_number_of_frames_is_not_taken_for_it(xclip_home):
    folder, _ = xclip_home
    save(folder, small_xclip(frames=16))
    with pytest.raises(
        BenchError, match="config.json is of a xclip for 16 frames, but xclip-base-patch32 is an X-CLIP for 8"
    ):
        load("xclip-base-patch32")


def test_another_config_is_another_backbone(xclip_home):
    folder, _ = xclip_home
    before = load("xclip-base-patch32").facts.fingerprint
    said = json.loads((folder / "config.json").read_text())
    said["transformers_version"] = "4.22.0"
    (folder / "config.json").write_text(json.dumps(said))
    assert load("xclip-base-patch32").facts.fingerprint == before
    said["vision_config"]["mit_num_attention_heads"] = 8  # no weight tells
    (folder / "config.json").write_text(json.dumps(said))
    assert load("xclip-base-patch32").facts.fingerprint != before


@pytest.mark.parametrize("name", XCLIPS)
def test_missing_weights_say_what_to_get(name):
    with pytest.raises(BenchError, match=rf"no weights of {name}.*microsoft/{name}.*fetch {name}"):
        load(name)


def test_the_transform_equals_the_folders_own_preprocessing(xclip_home):
    folder, _ = xclip_home
    adapter = load("xclip-base-patch32")
    frames = np.random.default_rng(1).integers(0, 256, (3, 90, 160, 3), dtype=np.uint8)
    before = frames.copy()
    own = adapter.transform(frames)
    theirs = AutoImageProcessor.from_pretrained(folder)(list(frames), return_tensors="pt")["pixel_values"][0]
    assert torch.equal(own, theirs) and np.array_equal(frames, before)
    # Once more without the library's image processors: shortest edge to 224, centre, ImageNet's mean and deviation.
    resized = tvF.resize(torch.tensor(frames).permute(0, 3, 1, 2), [224, 398], antialias=True)
    cropped = tvF.center_crop(resized, [224, 224]).float() / 255
    close(own, tvF.normalize(cropped, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def test_the_transform_is_small_and_read_only_frames_are_fine(xclip_home):
    transform = load("xclip-base-patch32").transform
    frames = np.random.default_rng(1).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    frames.flags.writeable = False
    own = transform(frames)
    packed = pickle.dumps(transform)
    assert len(packed) < 2000 and torch.equal(pickle.loads(packed)(frames), own)


@pytest.mark.parametrize(
    "change",
    [
        {"image_mean": [0.5, 0.5, 0.5]},
        {"image_std": [0.5, 0.5, 0.5]},
        {"resample": 3},
        {"size": {"shortest_edge": 256}},
        {"do_center_crop": False},
        {"rescale_factor": 1.0},
        {"feature_extractor_type": "CLIPFeatureExtractor"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_transforms_name_tells_everything_it_does(tmp_path, change):
    def name(said):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
        return _transformers_folder.transform_of(tmp_path, transformers.Dinov2Config()).name

    assert name(PREPROCESSING) == name(dict(PREPROCESSING)) != name(PREPROCESSING | change)


def test_the_transforms_name_tells_what_it_computes_with(tmp_path):
    torchvision, pil = (
        _transformers.FrameTransform.of(c())
        for c in (transformers.CLIPImageProcessor, transformers.CLIPImageProcessorPil)
    )
    assert torchvision.name != pil.name and "torchvision" in torchvision.name
    with pytest.raises(BenchError, match="computes with torchvision here, not with pil"):
        dataclasses.replace(torchvision, backend="pil")(np.zeros((1, 8, 8, 3), np.uint8))


# --- folders --------------------------------------------------------------------------------------------------------

WIDTH = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}
WORDS = sorted({word for text in checks.TEXTS for word in text.split()})


def clip_tokenizer(inner):
    """transformers' own CLIP tokenizer with the vocabulary and merges of open_clip's."""
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    merges = sorted(inner.bpe_ranks, key=inner.bpe_ranks.get)
    return transformers.CLIPTokenizer(vocab={renamed.get(k, k): i for k, i in inner.encoder.items()}, merges=merges)


def word_tokenizer():
    """What SigLIP's does with a sentence, without its vocabulary: lower case, an end token behind, padded with end tokens."""
    words = ["</s>", "<unk>", *WORDS, *"hands clap twice hand elsewhere".split()]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(words))}, "<unk>")
    )
    inner.normalizer = tokenizers.normalizers.Lowercase()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=64
    )


TINY_BYTES = clip_tokenizer(SimpleTokenizer(bpe_path=str(MERGES)))
CLIP_PREPROCESSING = transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
SIGLIP_PREPROCESSING = transformers.SiglipImageProcessor(size={"height": 64, "width": 64})


def make(kind, folder, **text):
    """A small model of a kind saved into a folder as the library does; -> the library's own object."""
    torch.manual_seed(0)
    vision = {**WIDTH, "image_size": 64, "patch_size": 16}
    if kind == "siglip":
        config = SiglipConfig(
            text_config={**WIDTH, "vocab_size": 40, "projection_size": 32, **text}, vision_config=vision
        )
        model, tokenizer, processor = transformers.SiglipModel(config), word_tokenizer(), SIGLIP_PREPROCESSING
        model.logit_scale.data, model.logit_bias.data = torch.tensor([2.3]), torch.tensor([-3.0])
    else:
        ids = {"vocab_size": 1514, "max_position_embeddings": 48, "eos_token_id": 1513}
        config = CLIPConfig(text_config={**WIDTH, **ids, **text}, vision_config=vision, projection_dim=24)
        model, tokenizer, processor = transformers.CLIPModel(config), TINY_BYTES, CLIP_PREPROCESSING
    if kind == "xclip":
        model = small_xclip(vocabulary=1514, size=64)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def open_folder(folder):
    return load(f"transformers:{folder}")


KINDS = {"clip": {}, "clip-legacy": {"eos_token_id": 2}, "siglip": {}, "xclip": {}}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    where = tmp_path_factory.mktemp("folders") / f"my-{request.param}"
    return where, make(request.param.split("-")[0], where, **KINDS[request.param])


def library_ids(folder, texts, length):
    inner = transformers.AutoTokenizer.from_pretrained(folder)
    return inner(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids


def test_a_folder_keeps_the_contract(folder):
    adapter = open_folder(folder[0])
    assert [(r.name, r.problem) for r in checks.check_adapter(adapter) if r.problem] == []
    assert adapter.facts.name == folder[0].name and str(folder[0].parent) not in str(adapter.facts)


def test_a_folders_texts_equal_the_library_from_the_words_on(folder):
    where, model = folder
    adapter = open_folder(where)
    ids = library_ids(where, checks.TEXTS, adapter.facts.context_length)
    tokens = adapter.tokenize(checks.TEXTS)
    for row, end in enumerate(tokens.pool):
        upto = int(end) + 1 if adapter.facts.causal_text else ids.shape[1]  # what stands behind the end is never seen
        assert tokens.ids[row, :upto].tolist() == ids[row, :upto].tolist()
    with torch.no_grad():
        close(adapter.encode_text(checks.TEXTS), model.get_text_features(ids).pooler_output)


def test_a_folders_long_text_is_cut_as_the_library_cuts_it(folder):
    where, _ = folder
    adapter = open_folder(where)
    long = " ".join(["legs move fast"] * 40)
    tokens = adapter.tokenize([long])
    assert tokens.num_cut == 1
    assert tokens.ids.tolist() == library_ids(where, [long], adapter.facts.context_length).tolist()


def test_a_folders_logits_equal_the_library(folder):
    where, model = folder
    adapter = open_folder(where)
    video = videos(adapter, 2)
    ids = library_ids(where, checks.TEXTS, adapter.facts.context_length)
    features, text = adapter.encode_video(video), adapter.encode_text(checks.TEXTS)
    with torch.no_grad():
        if adapter.facts.family == "X-CLIP":
            close(adapter.similarity(features, text), model(input_ids=ids, pixel_values=video).logits_per_video)
            return
        close(features.frames[1], model.get_image_features(pixel_values=video[1]).pooler_output)
        one_frame = adapter.encode_video(video[:, :1])
        close(adapter.similarity(one_frame, text), model(input_ids=ids, pixel_values=video[:, 0]).logits_per_image)


def test_a_folders_transform_equals_the_library(folder):
    where, _ = folder
    frames = np.random.default_rng(1).integers(0, 256, (3, 90, 160, 3), dtype=np.uint8)
    theirs = AutoImageProcessor.from_pretrained(where)(list(frames), return_tensors="pt")["pixel_values"]
    assert torch.equal(open_folder(where).transform(frames), theirs)


@pytest.mark.slow
def test_clip_at_real_size_equals_the_library(tmp_path):
    torch.manual_seed(0)
    config = CLIPConfig(vision_config={"patch_size": 16}, text_config={})
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    clip_tokenizer(SimpleTokenizer()).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor().save_pretrained(tmp_path)
    adapter = open_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # hundreds of megabytes
    video = videos(adapter, 1)[:, :2]
    ids = library_ids(tmp_path, checks.TEXTS, 77)
    with torch.no_grad():
        close(adapter.encode_text(checks.TEXTS), model.get_text_features(ids).pooler_output)
        close(adapter.encode_video(video).frames[0], model.get_image_features(pixel_values=video[0]).pooler_output)


def test_the_librarys_clip_tokenizer_and_open_clips_give_the_same_ids():
    own, theirs = BytePairs(SimpleTokenizer()), clip_tokenizer(SimpleTokenizer())
    names = [
        word
        for bank in sorted((plugins.ROOT / "bench" / "knowledge" / "banks").glob("*.json"))
        for word in strings(bank)
    ]
    assert len(names) > 300
    texts = [*names, "A Person's hand -- 3 times, don't!", "  two   spaces\tand\na line ", "naïve café 100%"]
    for text in texts:
        assert theirs(text).input_ids == [own.start, *own.encode(text), own.end], text


def strings(bank: Path):
    """Every text in a json file."""
    todo = [json.loads(bank.read_text())]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | dict):
            todo.extend(value.values() if isinstance(value, dict) else value)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_missing_file_is_named(kind, name, tmp_path):
    make(kind, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BenchError, match=f"(?s){tmp_path}.*{name}|{name}.*{tmp_path}"):
        open_folder(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape", "truncated", "not finite"])
def test_weights_that_do_not_fit_are_refused(damage, tmp_path):
    from safetensors.torch import load_file, save_file

    make("clip", tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    key = "text_projection.weight"
    if damage == "missing":
        del state[key]
    if damage == "unexpected":
        state["visual.extra.weight"] = torch.zeros(1)
    if damage == "shape":
        state[key] = torch.zeros(3, 3)
    if damage == "not finite":
        state[key][0, 0] = float("nan")
    save_file(state, path, metadata={"format": "pt"})
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(BenchError, match=str(path)):
        open_folder(tmp_path)


def test_shards_and_pickles_are_read_like_one_file(tmp_path):
    model = make("clip", tmp_path / "one")
    make("clip", tmp_path / "shards")
    (tmp_path / "shards" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    make("clip", tmp_path / "pickle")
    (tmp_path / "pickle" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    adapters = {name: open_folder(tmp_path / name) for name in ("one", "shards", "pickle")}
    for adapter in adapters.values():
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in adapter.module.state_dict().items())
    assert len({a.facts.weights_sha256 for a in adapters.values()}) == 3
    shard = sorted((tmp_path / "shards").glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(BenchError, match=f"index.json names {shard.name}"):
        open_folder(tmp_path / "shards")


def test_an_index_that_names_a_file_outside_its_folder_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.safetensors").touch()
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BenchError, match="index.json names ../secret.safetensors"):
        _transformers_folder.weights_of(folder)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    make("clip", tmp_path, eos_token_id=7)
    with pytest.raises(BenchError, match="ends texts with id 1513, but its model pools at id 7"):
        open_folder(tmp_path)


def test_a_tokenizer_that_ends_no_text_is_refused(tmp_path):
    make("siglip", tmp_path)
    inner = word_tokenizer()
    inner.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="$A", special_tokens=[])
    inner.save_pretrained(tmp_path)
    with pytest.raises(BenchError, match="no end-of-text token"):
        open_folder(tmp_path)


def test_preprocessing_that_leaves_the_mean_open_is_refused(tmp_path):
    make("clip", tmp_path)
    said = {k: v for k, v in PREPROCESSING.items() if k != "image_mean"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    with pytest.raises(BenchError, match="preprocessor_config.json does not say image_mean"):
        open_folder(tmp_path)


@pytest.mark.parametrize("kind", ["clip", "siglip", "xclip"])
def test_preprocessing_to_another_size_is_refused(kind, tmp_path):
    make(kind, tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    with pytest.raises(BenchError, match="makes frames of 224x224, but .* takes 64x64"):
        open_folder(tmp_path)


def test_a_shortened_padded_text_is_refused(tmp_path):
    make("siglip", tmp_path)
    adapter = open_folder(tmp_path)
    tokens = adapter.tokenize(checks.TEXTS)
    with pytest.raises(BenchError, match="takes 64 tokens, not 20"):
        adapter.encode_embedded(adapter.embed_tokens(tokens)[:, :20], tokens)


def test_a_part_of_a_model_and_an_unknown_kind_are_refused(tmp_path):
    model = make("clip", tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(said | {"architectures": ["CLIPVisionModelWithProjection"]}))
    with pytest.raises(BenchError, match="part of a CLIPModel"):
        open_folder(tmp_path)
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(BenchError, match="type 'bert'; known here: clip, siglip, xclip"):
        open_folder(tmp_path)
    del model


@pytest.mark.parametrize("name", ["transformers:/no/such/folder", "transformers:"])
def test_a_folder_that_is_not_there_is_refused(name):
    with pytest.raises(BenchError, match="transformers:FOLDER"):
        load(name)


# --- encoders without text ------------------------------------------------------------------------------------------

IMAGE = {**WIDTH, "image_size": 64, "patch_size": 16}
ENCODERS = {
    "vit": ("ViTForImageClassification", {**IMAGE, "num_labels": 5}),
    "vit-pooler": ("ViTModel", IMAGE),
    "dinov2": ("Dinov2Model", {**IMAGE, "mlp_ratio": 2}),
    "videomae": ("VideoMAEForVideoClassification", {**IMAGE, "num_frames": 4, "num_labels": 5}),
    "timesformer": ("TimesformerForVideoClassification", {**IMAGE, "num_frames": 4, "num_labels": 5}),
}


@pytest.fixture(params=ENCODERS)
def encoder(request, tmp_path):
    torch.manual_seed(0)
    name, values = ENCODERS[request.param]
    model_class = getattr(transformers, name)
    model = model_class(model_class.config_class(**values)).eval()
    for parameter in model.parameters():  # some start with zeros, which would hide what is not loaded
        parameter.data += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
    ).save_pretrained(tmp_path)
    return open_folder(tmp_path), model, request.param


def test_an_encoder_keeps_the_contract_and_has_no_text(encoder):
    adapter, _, _ = encoder
    assert [(r.name, r.problem) for r in checks.check_adapter(adapter) if r.problem] == []
    assert adapter.facts.capabilities == frozenset()
    features = adapter.encode_video(videos(adapter, 1))
    for call in (lambda: adapter.encode_text(["a"]), lambda: adapter.similarity(features, torch.zeros(1, 32))):
        with pytest.raises(NotApplicable, match="no text side"):
            call()


def test_an_encoder_equals_the_library(encoder):
    adapter, whole, kind = encoder
    model = whole.base_model
    video = videos(adapter, 2)
    features = adapter.encode_video(video)
    frames = features.frames
    with torch.no_grad():
        if adapter.facts.fixed_num_frames:
            hidden = model(pixel_values=video).last_hidden_state
            if kind == "timesformer":
                close(frames.mean(1), hidden[:, 0])
            close(whole.classifier(features.pooled), whole(pixel_values=video).logits)
            with pytest.raises(BenchError, match="made for 4 frames"):
                adapter.encode_video(video[:, :2])
        else:
            close(frames[1], model(pixel_values=video[1]).last_hidden_state[:, 0])
