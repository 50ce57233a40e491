"""SigLIP's tokenizer from files on this machine, beside open_clip's own object on the same files."""

import json
import re
import warnings

import pytest
import torch
from open_clip.tokenizer import HFTokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from adapters._sentence_pieces import SentencePieces
from adapters._text import tokenize
from bench import plugins
from bench.contracts import BackboneFacts, BenchError

SIGLIP = {
    "context_length": 64,
    "vocab_size": 32000,
    "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "no_causal_mask": True,
}
TEXTS = [
    "A person's hand, waving_twice!",
    "  Sit   DOWN &amp; stand up (slowly) ",
    "",
    "ﬁve ﬂat “quotes” — and a caf\u00c3\u00a9",
    "word " * 40,
]


def save(where, pad="<pad>", end="</s>", ids=None, start=None):
    """A small unigram tokenizer in sentence-piece's manner, saved as the transformers library does."""
    special = ["<pad>", "</s>", "<unk>", "<s>"] if ids is None else ids
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.Sequence([normalizers.NFKC()])
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    lines = [
        "a person waves with one hand twice",
        "sit down and stand up slowly",
        "five flat quotes and a café word",
    ] * 20
    inner.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>"))
    single = f"{start} $A {end}" if start else f"$A {end}"
    parts = [(t, inner.token_to_id(t)) for t in (start, end) if t]
    inner.post_processor = processors.TemplateProcessing(single=single, special_tokens=parts)
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=pad, eos_token=end, unk_token="<unk>")
    fast.save_pretrained(where)
    return where


def facts(length):
    return BackboneFacts(
        name="x", family="SigLIP", architecture="a", weights="w", weights_sha256="0", embed_dim=4, num_frames=8, transform="t",
        dtype="float32", pretraining="p", licence="l", version=1, num_parameters=1, context_length=length, causal_text=False,
    )  # fmt: skip


@pytest.mark.parametrize("clean", ["canonicalize", "lower", "whitespace"])
@pytest.mark.parametrize("pad", ["<pad>", "</s>"])  # SigLIP 2 pads with a token of its own, SigLIP with the end token
def test_ids_are_those_of_open_clips_own_tokenizer(tmp_path, clean, pad):
    where = save(tmp_path, pad)
    cfg = {**SIGLIP, "tokenizer_kwargs": {"clean": clean}}
    own = tokenize(SentencePieces("x", where, cfg), TEXTS, 0, facts(64), torch.device("cpu"))
    theirs = HFTokenizer(str(where), context_length=64, clean=clean, local_files_only=True)(TEXTS)
    assert torch.equal(own.ids, theirs)
    assert own.num_cut == 1 and own.pool.tolist() == [63] * len(TEXTS)
    assert len({tuple(row) for row in own.ids.tolist()}) == len(TEXTS)


def test_siglip_lower_cases_and_takes_the_punctuation_out(tmp_path):
    pieces = SentencePieces("x", save(tmp_path), SIGLIP)
    assert pieces.encode("Sit, DOWN_slowly!") == pieces.encode("sit down slowly") != pieces.encode("sit down")


@pytest.mark.parametrize("lacking", ["tokenizer.json", "tokenizer_config.json"])
def test_a_missing_tokenizer_says_where_to_put_it(tmp_path, lacking):
    (save(tmp_path) / lacking).unlink()
    said = rf"x has no tokenizer.*: {lacking} missing in {tmp_path}; put the files of .*timm/ViT-B-16-SigLIP there.*bench fetch x"
    with pytest.raises(BenchError, match=said):
        SentencePieces("x", tmp_path, SIGLIP)


def test_damaged_files_are_refused(tmp_path):
    path = save(tmp_path) / "tokenizer.json"
    path.write_text(path.read_text()[:-200])
    with pytest.raises(BenchError, match="cannot be read.*get its files again"):
        SentencePieces("x", tmp_path, SIGLIP)


def test_another_models_tokenizer_is_refused(tmp_path):
    with pytest.raises(BenchError, match=r"knows \d+ tokens, x was trained with 10: it belongs to another model"):
        SentencePieces("x", save(tmp_path), {**SIGLIP, "vocab_size": 10})
    with pytest.raises(BenchError, match="other special tokens around a text"):
        SentencePieces("x", save(tmp_path, start="<s>"), SIGLIP)


def test_nothing_of_a_folder_is_run(tmp_path):
    """A tokenizer_config.json may name code of its own; it must not be asked for, let alone run."""
    config = json.loads((save(tmp_path) / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": ["mine.Mine", "mine.Mine"]}
    config["tokenizer_class"] = "Mine"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            SentencePieces("x", tmp_path, SIGLIP)
        except BenchError as error:
            assert re.search("cannot be read", str(error))
    assert not (tmp_path / "ran").exists()


def test_the_adapter_looks_in_its_own_folder_and_only_for_texts(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from adapters import _open_clip_load, _weights
    from adapters._open_clip import build

    small = {
        "embed_dim": 8,
        "init_logit_bias": -10.0,
        "custom_text": True,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {
            **SIGLIP,
            "vocab_size": 200,
            "width": 8,
            "heads": 1,
            "layers": 1,
            "pool_type": "last",
            "proj_bias": True,
        },
    }
    monkeypatch.setattr(_open_clip_load.open_clip, "get_model_config", lambda name: json.loads(json.dumps(small)))
    where = _weights.folder("siglip-vit-b-16")
    where.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in build(small).state_dict().items()}, where / "open_clip_model.safetensors")
    adapter = plugins.find("adapters", "siglip-vit-b-16").load("siglip-vit-b-16", "cpu")
    assert adapter.encode_video(torch.zeros(1, 1, 3, 16, 16)).frames.shape == (1, 1, 8)
    with pytest.raises(
        BenchError, match="siglip-vit-b-16 has no tokenizer.*tokenizer.json and tokenizer_config.json missing"
    ):
        adapter.encode_text(["a"])
    save(where)
    ids = HFTokenizer(str(where), context_length=64, clean="canonicalize", local_files_only=True)(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(adapter.encode_text(TEXTS), adapter.module.encode_text(ids), atol=1e-5, rtol=1e-5)


def test_options_that_would_run_code_from_the_folder_are_refused(tmp_path):
    save(tmp_path)
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: ...\n")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}, "tokenizer_class": "Mine"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    asking = {**SIGLIP, "tokenizer_kwargs": {"clean": "canonicalize", "trust_remote_code": True}}
    with pytest.raises(
        BenchError, match="asks its tokenizer for trust_remote_code; only clean, language, strip_sep_token"
    ):
        SentencePieces("mine", tmp_path, asking)
    try:
        SentencePieces("mine", tmp_path, SIGLIP)
    except BenchError as error:
        assert "cannot be read" in str(error)
    assert not (tmp_path / "ran").exists()
