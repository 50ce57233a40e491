"""Statements from a language model in this process."""

import json

import pytest

from bench.contracts import BenchError


def raw(knowledge):
    return sorted((knowledge / "three" / "raw").glob("*.json"))


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    """A causal language model of random weights, with a tokenizer of a few words."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny-gpt"
    words = [
        "<unk>",
        "<eos>",
        *"The arm leg moves up down left right slowly and then a person stands jump sit".split(),
        ".",
    ]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="<eos>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(words), n_positions=512, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def answers(knowledge):
    return {p.name: json.loads(p.read_text()) for p in raw(knowledge)}


def test_a_local_model(gpt, collect, knowledge, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    drawn = ("--kinds", "motion", "--max-tokens", "20", "--temperature", "1.5", "--seed", "3", "--samples", "2")
    collect(*drawn, "--local", gpt)
    first = answers(knowledge)
    assert len(first) == 6 and all(a["model"] == "tiny-gpt" and a["answer"] for a in first.values())
    samples = {a["answer"] for a in first.values() if a["class"] == "WaveHands"}
    assert len(samples) == 2
    for path in raw(knowledge):
        path.unlink()
    collect(*drawn, "--local", gpt)
    assert {n: a["answer"] for n, a in answers(knowledge).items()} == {n: a["answer"] for n, a in first.items()}


def test_a_local_model_is_greedy_without_a_temperature(gpt, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    from bench.knowledge.sources.local import Local

    one, two = Local(str(gpt), max_tokens=8, seed=1), Local(str(gpt), max_tokens=8, seed=2)
    assert one.ask("The arm", 0, "") == two.ask("The arm", 3, "")
    assert one.ask("The arm", 0, "").finish == "length" and one.settings["weights"] == two.settings["weights"]
    with pytest.raises(BenchError, match="the class 'a'.*512"):
        Local(str(gpt), max_tokens=500).ask("The arm " * 10, 0, "the class 'a'")


def test_a_chat_template_is_used(gpt, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    import shutil

    from bench.knowledge.sources.local import Local

    shutil.copytree(gpt, tmp_path / "chat")
    path = tmp_path / "chat" / "tokenizer_config.json"
    template = "{% for m in messages %}left {{ m.content }} right{% endfor %}"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    chat, plain = Local(str(tmp_path / "chat"), max_tokens=8), Local(str(gpt), max_tokens=8)
    assert chat.ask("jump", 0, "").text == plain.ask("left jump right", 0, "").text != plain.ask("jump", 0, "").text


def test_a_chat_template_is_not_opened_twice(gpt, monkeypatch):
    """A tokenizer that puts its first token in front of every text does not do so in front of the template's."""
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    import tokenizers

    from bench.knowledge.sources.local import Local

    model, seen = Local(str(gpt), max_tokens=8), []
    first = tokenizers.processors.TemplateProcessing(single="<eos> $A", special_tokens=[("<eos>", 1)])
    model._tokenizer.backend_tokenizer.post_processor = first
    generate = model._model.generate
    monkeypatch.setattr(model._model, "generate", lambda **k: seen.append(k["input_ids"][0].tolist()) or generate(**k))
    model.ask("jump", 0, "")
    model._tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    model.ask("jump", 0, "")
    assert seen[0] == [1, *seen[1]] and len(seen[1]) == 1


def test_other_weights_are_another_model_and_greedy_draws_from_nothing(gpt, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    import shutil

    import safetensors.torch

    from bench.knowledge.sources.local import Local

    shutil.copytree(gpt, tmp_path / "tiny-gpt")
    weights = tmp_path / "tiny-gpt" / "model.safetensors"
    state = {name: value * 1.5 for name, value in safetensors.torch.load_file(weights).items()}
    safetensors.torch.save_file(state, weights, {"format": "pt"})
    one, two = Local(str(gpt)), Local(str(tmp_path / "tiny-gpt"))
    assert one.name == two.name and one.settings != two.settings
    one._model.generation_config.top_p = 0.5
    assert one._generation(8).top_p is None and not one._generation(8).do_sample


@pytest.mark.parametrize("fault", ["template", "weights"])
def test_a_local_model_that_fails_on_a_question_is_named(fault, gpt, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    from bench.knowledge.sources.local import Local

    model = Local(str(gpt), max_tokens=8, temperature=1.0)
    if fault == "template":
        model._tokenizer.chat_template = "{{ raise_exception('Conversation roles must alternate') }}"
    else:
        next(model._model.parameters()).data.fill_(float("nan"))
    with pytest.raises(BenchError, match="the class 'a'.*the model cannot answer"):
        model.ask("The arm", 0, "the class 'a'")


@pytest.mark.parametrize(
    "fault", ["no config", "no weights", "pickle", "code", "tokenizer code", "damaged", "lacking", "no tokenizer"]
)
def test_a_folder_that_is_no_model(fault, gpt, tmp_path, collect, monkeypatch):
    import shutil

    import safetensors.torch

    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    folder = tmp_path / "model"
    shutil.copytree(gpt, folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if fault == "no config":
        config.unlink()
    elif fault == "no weights":
        weights.unlink()
    elif fault == "pickle":
        weights.rename(folder / "pytorch_model.bin")
    elif fault == "code":
        config.write_text(
            json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}})
        )
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    elif fault == "tokenizer code":
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["evil.T", None]}}))
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    elif fault == "damaged":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif fault == "lacking":
        state = safetensors.torch.load_file(weights)
        del state["transformer.h.1.mlp.c_fc.weight"]
        safetensors.torch.save_file(state, weights, {"format": "pt"})
    else:
        (folder / "tokenizer.json").unlink()
    code, _, err = collect("--local", folder)
    assert code == 2 and f"--local {folder}" in err and not (tmp_path / "ran").exists()
    assert "no .safetensors file" in err or fault not in ("pickle", "no weights")
    assert "code of its own" in err or fault not in ("code", "tokenizer code")
