"""Settings, statements and backbones that do not go together, and what a row is called."""

import dataclasses

import pytest
from fakes import FakeAdapter, LayeredFake
from knowledge_prompts import CLASSES, fitted, view

from baselines import knowledge_prompt
from baselines._knowledge.config import OWNERS, WORDS, fields
from bench import contracts, plugins
from bench.contracts import BenchError, Features, NotApplicable
from bench.prompting import prepare


def test_attention_and_transport_over_one_frame_are_not_applicable():
    data = view()
    one = dataclasses.replace(data, features=Features(data.features.frames[:, :1]))
    for config in ({"temporal_pooling": "attention"}, {"aggregation": "transport"}):
        with pytest.raises(NotApplicable, match="a video has one here"):
            fitted(train=one, **config)
        fitted(**config)
    fitted(train=one, temporal_pooling="transformer")


def test_a_class_without_a_statement_is_named():
    bare = dataclasses.replace(CLASSES, statements=(CLASSES.statements[0], (), CLASSES.statements[2]))
    with pytest.raises(BenchError, match=f"the class {CLASSES.names[1]!r} came without a statement"):
        fitted(classes=bare)


def test_statements_that_lose_their_end_are_told(capsys):
    fitted()
    assert "lose their end" not in capsys.readouterr().err
    long = dataclasses.replace(CLASSES, statements=((" ".join(["word"] * 40),), *CLASSES.statements[1:]))
    fitted(classes=long)
    told = capsys.readouterr().err
    assert told.startswith("knowledge_prompt: 1 of 6 statements lose their end: with 4 context tokens ")
    assert told.count("\n") == 1  # once a fit, not once a step


def test_an_adapter_that_is_wrapped_keeps_the_fast_path():
    class Wrapped:
        def __init__(self, adapter):
            self._adapter = adapter

        def __getattr__(self, name):
            return getattr(self._adapter, name)

    texts = [text for of_class in CLASSES.statements for text in of_class]
    plain, wrapped = (prepare(a, texts, 2) for a in (LayeredFake(), Wrapped(LayeredFake())))
    assert plain.tokens_a_step == wrapped.tokens_a_step < prepare(FakeAdapter(), texts, 2).tokens_a_step


@pytest.mark.parametrize("name", ["Adapter", "PromptableText", "PromptableAdapter", "LayeredText"])
def test_no_protocol_of_adapters_can_be_asked_for_by_isinstance(name):
    # From Python 3.12 on that looks at members without asking `__getattr__`, and so misses what a wrapper passes on.
    with pytest.raises(TypeError, match="runtime_checkable"):
        isinstance(FakeAdapter(), getattr(contracts, name))


def test_a_tower_that_is_not_causal_has_no_end_of_text_to_miss():
    siglip = plugins.find("adapters", "tiny-siglip").load("tiny-siglip", "cpu")
    with pytest.raises(NotApplicable, match="no end-of-text to miss"):
        fitted(siglip, as_released="pooling")


# --- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_context_tokens": 0}, "nothing to learn"),
        ({"aggregation": "sum"}, "aggregation is one of logits, features, max, attention, transport, not 'sum'"),
        ({"as_released": 1}, "as_released is one of False, True"),
        ({"memory_weight": -1.0}, "memory_weight is -1.0"),
        ({"cross_entropy_weight": 0.0}, "nothing would be learnt"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"temporal_pooling": "transformer", "transformer_layers": 3}, "it is 1 or 2"),
        ({"aggregation": "transport", "temporal_pooling": "attention"}, "transport weighs the frames itself"),
        ({"phrase": "someone"}, "phrase does nothing unless context_init is phrase"),
        ({"antonyms": ("a: b | c",)}, "antonyms does nothing unless numeric is True"),
        ({"numeric": True, "memory_weight": 0.0}, "numeric does nothing with memory_weight 0"),
        (
            {"as_released": True, "continuous": True},
            "as_released=True has a defect of a part that is off; set numeric=True",
        ),
        ({"as_released": True, "numeric": True}, "set continuous=True"),
        ({"as_released": "pooling", "context_place": "after"}, "with context_place='after' there is no such code"),
        ({"as_released": "continuous"}, "set continuous=True"),
        ({"as_released": "antonym"}, "set numeric=True"),
    ],
)
def test_settings_that_cannot_be_are_refused(config, said):
    with pytest.raises(BenchError, match=said):
        fitted(**config)


def test_a_row_s_name_tells_what_differs():
    plain = knowledge_prompt.Config()
    assert knowledge_prompt.describe(plain) == "knowledge prompt, 8 tokens"
    changed = {"aggregation": "max", "context_place": "middle", "numeric": True, "as_released": "pooling"}
    expected = "knowledge prompt, 8 tokens, context middle, max of statements, numerical channel, pooling as released"
    assert knowledge_prompt.describe(knowledge_prompt.Config(**changed)) == expected
    assert set(WORDS) | set(OWNERS) <= set(fields())
