"""What the methods learn, on the fake backbone: that they train, on the right labels, from the seed, with the text they say."""

import dataclasses

import pytest
import torch
from fakes import FakeAdapter

from baselines import coop, knowledge_prompt, linear_probe
from bench.contracts import Classes, Features, LabelledFeatures

NAMES = ("sit down", "wave", "walk")
STATEMENTS = tuple((f"{word} the body", f"{word} both arms again") for word in ("lower", "swing", "move"))
CLASSES = Classes(NAMES, statements=STATEMENTS)
LEARNT = {
    "coop": (coop, {"num_context_tokens": 4, "epochs": 30, "learning_rate": 0.05}),
    "knowledge_prompt": (knowledge_prompt, {"num_context_tokens": 4, "epochs": 30, "learning_rate": 0.05}),
}


def view(labels, seed=0, spread=0.1):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 16, generator=torch.Generator().manual_seed(9))
    labels = torch.as_tensor(labels)
    noise = spread * torch.randn(len(labels), 4, 16, generator=generator)
    return LabelledFeatures(Features(centres[labels][:, None] + noise), labels)


def fitted(method, config, train, seed=1):
    return method.fit(method.Config(**config), FakeAdapter(), train, None, CLASSES, seed)


def loss(predictor, data):
    logits = predictor(data.features, CLASSES)
    return float(torch.nn.functional.cross_entropy(logits, data.labels))


@pytest.mark.parametrize("name", LEARNT)
def test_training_lowers_the_loss_on_the_labels_that_were_given(name):
    method, config = LEARNT[name]
    train = view([0, 1, 2] * 4)
    untrained = fitted(method, {**config, "learning_rate": 1e-12}, train)
    predictor = fitted(method, config, train)
    assert loss(predictor, train) < 0.8 * loss(untrained, train)
    turned = dataclasses.replace(train, labels=train.labels.roll(1))
    assert loss(predictor, train) < loss(fitted(method, config, turned), train)


@pytest.mark.parametrize("name", LEARNT)
def test_the_seed_draws_the_context(name):
    method, config = LEARNT[name]
    train = view([0, 1, 2] * 2)
    a, b, c = (fitted(method, {**config, "epochs": 2}, train, seed)(train.features, CLASSES) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.allclose(a, c, atol=1e-3)


def test_class_specific_contexts_belong_to_their_classes():
    train = view([0, 1, 2] * 4)
    config = {"num_context_tokens": 4, "epochs": 30, "learning_rate": 0.05, "class_specific_context": True}
    predictor = fitted(coop, config, train)
    logits = predictor(train.features, CLASSES)
    assert (logits.argmax(1) == train.labels).float().mean() == 1.0
    order = [2, 0, 1]
    torch.testing.assert_close(predictor(train.features, CLASSES.select(order)), logits[:, order])


@pytest.mark.parametrize(("shots", "epochs"), [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200)])
def test_coop_trains_as_long_as_was_published(shots, epochs):
    assert coop.published_epochs(view([0, 1, 2] * shots), 3) == epochs


def test_the_class_name_stands_behind_each_statement_where_asked_for():
    with_name = knowledge_prompt._texts(CLASSES, with_class_name=True)
    without = knowledge_prompt._texts(CLASSES, with_class_name=False)
    assert with_name[1] == ["swing the body. wave", "swing both arms again. wave"]
    assert without[1] == ["swing the body.", "swing both arms again."]
    train = view([0, 1, 2])
    config = {"num_context_tokens": 4, "epochs": 1}
    a, b = (
        fitted(knowledge_prompt, {**config, "with_class_name": w}, train)(train.features, CLASSES)
        for w in (True, False)
    )
    assert not torch.allclose(a, b, atol=1e-3)


def test_a_probe_of_two_classes_has_the_right_sign():
    train = view([0, 1] * 5)
    classes = Classes(NAMES[:2])
    predictor = linear_probe.fit(linear_probe.Config(), FakeAdapter(), train, None, classes, 1)
    assert torch.equal(predictor(train.features, classes).argmax(1), train.labels)
    turned = predictor(train.features, classes.select([1, 0])).argmax(1)
    assert torch.equal(turned, 1 - train.labels)


def test_a_probe_is_scikit_learns_own():
    from sklearn.linear_model import LogisticRegression

    train, test = view([0, 1, 2] * 5), view([0, 1, 2] * 3, seed=4, spread=1.5)
    predictor = linear_probe.fit(linear_probe.Config(c=2.0), FakeAdapter(), train, None, CLASSES, 1)
    inputs = [10 * torch.nn.functional.normalize(v.features.pooled, dim=-1).numpy() for v in (train, test)]
    reference = LogisticRegression(C=2.0, max_iter=1000).fit(inputs[0], train.labels.numpy())
    own = predictor(test.features, CLASSES).softmax(1).numpy()
    assert abs(own - reference.predict_proba(inputs[1])).max() < 1e-3


@pytest.mark.parametrize("method", [coop, knowledge_prompt, linear_probe])
def test_defaults_are_frozen_configs(method):
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.Config().learning_rate = 1
