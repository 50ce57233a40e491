"""A folder of transformers is the model that the library loads from it: texts, logits, pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from open_clip.tokenizer import SimpleTokenizer
from transformers import AutoImageProcessor, CLIPConfig
from transformers_folders import (
    clip_tokenizer,
    close,
    make,
    open_folder,
    videos,
)

from adapters._text import BytePairs
from bench import checks, plugins

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
