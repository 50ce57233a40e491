"""A sentence encoder from a folder: whole, pinned, read as it says, and without running anything of its own."""

import dataclasses
import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from fakes import FakeAdapter
from safetensors import safe_open
from safetensors.torch import save_file

from baselines import knowledge_prompt
from baselines._knowledge import continuous
from bench.contracts import BenchError
from bench.specs import ResolvedRun, RunSpec, as_pairs


@pytest.fixture
def encoder(tmp_path):
    """A folder as Sentence Transformers writes it, around a BERT of a few thousand numbers."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path / "encoder"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "arms", "legs", "move", "fast"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=16, **small)).save_pretrained(folder)
    return folder


def test_a_sentence_encoder_s_embedding_is_its_mean_state(encoder):
    from transformers import AutoModel, AutoTokenizer

    digest = continuous.encoder_digest(encoder)
    embed = continuous.embedder(FakeAdapter(), f"{encoder}@{digest}")
    texts = ["arms move", "legs move fast fast fast"]
    found = embed(texts)
    model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    for text, row in zip(texts, found, strict=True):
        states = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(row, F.normalize(states.mean(0), dim=0), atol=1e-5, rtol=1e-4)
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_cls_token": True, "word_embedding_dimension": 16})
    )
    first = continuous.embedder(FakeAdapter(), f"{encoder}@{continuous.encoder_digest(encoder)}")(texts[:1])[0]
    states = model(**tokenizer(texts[:1], return_tensors="pt")).last_hidden_state[0]
    torch.testing.assert_close(first, F.normalize(states[0], dim=0), atol=1e-5, rtol=1e-4)


def test_an_encoder_is_pinned_and_runs_no_code(encoder):
    adapter, digest = FakeAdapter(), continuous.encoder_digest(encoder)
    for name in (str(encoder), f"{encoder}@0123456789abcdef"):
        with pytest.raises(BenchError, match=f"has the digest {digest}; write {encoder}@{digest}"):
            continuous.embedder(adapter, name)
    with pytest.raises(BenchError, match=f"has the digest {digest}; write"):
        continuous.embedder(adapter, f"{encoder}@")
    with pytest.raises(BenchError, match="there is no folder"):
        continuous.embedder(adapter, f"{encoder}-not-there@{digest}")
    config = json.loads((encoder / "config.json").read_text())
    ran = encoder.parent / "ran"
    (encoder / "own.py").write_text(f"open({str(ran)!r}, 'w')")
    own = {**config, "model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (encoder / "config.json").write_text(json.dumps(own))
    assert continuous.encoder_digest(encoder) != digest
    with pytest.raises(BenchError, match="cannot load"):
        continuous.embedder(adapter, f"{encoder}@{continuous.encoder_digest(encoder)}")
    assert not ran.exists()
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(BenchError, match="holds no .safetensors"):
        continuous.encoder_digest(encoder)


def pinned(folder):
    return continuous.embedder(FakeAdapter(), f"{folder}@{continuous.encoder_digest(folder)}")


def test_a_text_longer_than_the_encoder_takes_is_cut(encoder):
    short, long = pinned(encoder)(["arms move " * 6, "arms move " * 40])
    torch.testing.assert_close(short, long, msg="both are cut to the 14 tokens that 16 positions are sure to hold")


def test_layers_of_an_encoder_that_would_not_be_read_are_an_error(encoder):
    kinds = ["Transformer", "Pooling", "Dense"]
    (encoder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{k}"} for k in kinds]))
    with pytest.raises(BenchError, match=r"modules\.json has Dense; only Transformer, Pooling, Normalize can be had"):
        pinned(encoder)
    modules = [{"type": f"sentence_transformers.models.{k}"} for k in ("Transformer", "Normalize")]
    (encoder / "modules.json").write_text(json.dumps(modules))
    assert pinned(encoder)(["arms"]).shape == (1, 16)


def test_a_pooling_that_is_named_must_be_there_to_read(encoder):
    (encoder / "modules.json").write_text(json.dumps([{"type": "a.Transformer"}, {"type": "a.Pooling"}]))
    with pytest.raises(BenchError, match=r"has a Pooling, but .*1_Pooling/config\.json is not there"):
        pinned(encoder)
    config = encoder / "1_Pooling" / "config.json"
    config.parent.mkdir()
    for text, said in (
        (
            '{"pooling_mode_max_tokens": true}',
            "pools by pooling_mode_max_tokens; the mean or the first token can be had",
        ),
        ('{"pooling_mode_max_tokens": ', "is not readable as JSON"),
        ("[]", "is not written as Sentence Transformers writes it"),
    ):
        config.write_text(text)
        with pytest.raises(BenchError, match=said):
            pinned(encoder)
    config.write_text('{"pooling_mode_mean_tokens": true}')
    assert pinned(encoder)(["arms"]).shape == (1, 16)
    (encoder / "modules.json").write_text('["Transformer"]')
    with pytest.raises(BenchError, match=r"modules\.json is not written as"):
        pinned(encoder)


def test_weights_that_are_not_there_are_not_drawn(encoder):
    path = encoder / "model.safetensors"
    with safe_open(path, "pt") as file:
        whole = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    texts, before = ["arms move"], pinned(encoder)(["arms move"])
    save_file({k: v for k, v in whole.items() if not k.startswith("pooler.")}, path, {"format": "pt"})
    assert torch.equal(pinned(encoder)(texts), before), "no state comes from the pooler"
    save_file({k: v for k, v in whole.items() if "query" not in k}, path, {"format": "pt"})
    with pytest.raises(
        BenchError, match=r"lack 2 weights of its bert: encoder\.layer\.0\.attention\.self\.query\.bias, "
    ):
        pinned(encoder)


def test_an_encoder_is_its_digest_wherever_it_lies(encoder):
    def planned(folder):
        config = {"continuous": True, "sentence_encoder": f"{folder}@{continuous.encoder_digest(folder)}"}
        whole = knowledge_prompt.Config(**config)
        spec = RunSpec(dataset="toy", backbone="b", method="knowledge_prompt", config=config)
        return ResolvedRun(
            spec=spec,
            manifest="m",
            backbone="b",
            adapter="a",
            num_frames=8,
            bank="k",
            config=as_pairs(dataclasses.asdict(whole)),
            versions=(),
        ), knowledge_prompt.describe(whole)

    moved = encoder.parent / "elsewhere" / "encoder"
    shutil.copytree(encoder, moved)
    (one, words), (other, same) = planned(encoder), planned(moved)
    assert one.run_id == other.run_id and one.config != other.config
    assert words == same and words.endswith(f"sentences by encoder@{continuous.encoder_digest(encoder)}")
    (moved / "vocab.txt").write_text("other")
    assert planned(moved)[0].run_id != one.run_id


def test_a_model_that_also_writes_is_no_sentence_encoder(encoder):
    from transformers import T5Config, T5Model

    T5Model(T5Config(vocab_size=9, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(encoder)
    with pytest.raises(BenchError, match="a t5 with a decoder or without a padding token; take an encoder"):
        pinned(encoder)


def test_a_damaged_encoder_is_said(encoder):
    path = encoder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BenchError, match=f"transformers cannot load {encoder}") as raised:
        pinned(encoder)
    assert "\n" not in str(raised.value)
