"""The defects of the released code: present with the switch, absent without."""

import dataclasses

import pytest
import torch
from fakes import FakeAdapter, LayeredFake
from knowledge_prompts import CLASSES, fitted, numbers, view

from baselines import knowledge_prompt


@pytest.mark.parametrize("released", [True, "continuous"])
def test_the_released_continuous_channel_never_lives(released):
    both = {"numeric": True, "memory_weight": 1e-6}
    dead, alive = (fitted(continuous=True, as_released=which, **both) for which in (released, False))
    assert all(not value.any() for name, value in numbers(dead).items() if "projector" in name)
    assert all(value.any() for name, value in numbers(alive).items() if "projector" in name)
    data, none = view(), {} if released is not True else {"as_released": "pooling"}
    without = fitted(**none, **both)
    torch.testing.assert_close(dead(data.features, CLASSES), without(data.features, CLASSES), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("released", [True, "pooling"])
@pytest.mark.parametrize("adapter", [FakeAdapter(), LayeredFake()], ids=["plain", "layered"])
def test_the_released_pooling_never_sees_the_class_name(released, adapter):
    renamed = dataclasses.replace(CLASSES, names=("a b", "c", "d"))  # as many tokens, so that nothing else moves
    for which in (released, False):
        predictor = fitted(adapter, as_released=which, continuous=released is True, numeric=released is True)
        one, other = (predictor.text_features(predictor.statements(c)) for c in (CLASSES, renamed))
        assert torch.allclose(one, other, atol=1e-5) == (which is not False)
    tokens = adapter.tokenize(["one two three four five six"], 4)
    early = knowledge_prompt.early_pooled(adapter).tokenize(["one two three four five six"], 4)
    assert early.pool.tolist() == [tokens.pool.item() - 4] and torch.equal(early.ids, tokens.ids)


def test_the_released_antonyms_leave_nothing_of_the_numbers():
    data, config = view(), {"numeric": True, "memory_weight": 5.0, "continuous": True}
    turned = dataclasses.replace(data, numeric={"speed_head": data.numeric["speed_head"].flip(0)})
    for which in (True, "antonym", False):
        one, other = (fitted(train=t, as_released=which, **config)(data.features, CLASSES) for t in (data, turned))
        assert torch.allclose(one, other, atol=1e-6) == (which is not False)
