"""A folder of transformers that lacks something or does not fit is refused by name."""

import json

import pytest
import tokenizers
import torch
import transformers
from transformers_folders import PREPROCESSING, load, make, open_folder, word_tokenizer

from adapters import _transformers_folder
from bench import checks
from bench.contracts import BenchError


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
