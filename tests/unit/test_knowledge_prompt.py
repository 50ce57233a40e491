"""The knowledge-prompt method as a whole: each switch does what it says, what is learnt is reached."""

import dataclasses

import pytest
import torch
from fakes import FakeAdapter, LayeredFake
from knowledge_prompts import CLASSES, NOVEL, PARTS, START, STATEMENTS, fitted, numbers, view

from baselines import knowledge_prompt
from baselines._knowledge import initial
from baselines._knowledge.config import CHOICES
from bench import plugins
from bench.contracts import NotApplicable
from bench.frozen import parameter_hash
from bench.prompting import encode, flatten, prepare

# --- what is learnt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_gradient_reaches_everything_that_is_learnt_and_nothing_else(part):
    adapter = LayeredFake()
    before = parameter_hash(adapter.module)
    start, end = numbers(fitted(adapter, **PARTS[part], **START)), numbers(fitted(adapter, **PARTS[part]))
    assert [name for name, value in end.items() if torch.equal(value, start[name])] == []
    assert parameter_hash(adapter.module) == before
    predictor = fitted(adapter, **PARTS[part])
    assert predictor.num_trainable == sum(value.numel() for value in end.values())
    assert all(not p.requires_grad for p in predictor.learnt.parameters())


def test_the_plain_method_learns_its_context_alone():
    assert list(numbers(fitted())) == ["context"] and fitted().num_trainable == 4 * 16


@pytest.mark.parametrize("part", PARTS)
def test_seeds_decide_everything(part):
    before = torch.get_rng_state()
    one = fitted(**PARTS[part])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    same, other = fitted(**PARTS[part]), fitted(seed=2, **PARTS[part])
    data = view()
    assert torch.equal(one(data.features, CLASSES), same(data.features, CLASSES))
    assert not torch.allclose(one(data.features, CLASSES), other(data.features, CLASSES), atol=1e-3)


def test_parts_leave_the_context_s_draw_and_the_batches_as_they_are(monkeypatch):
    contexts = [numbers(fitted(**parts, **START))["context"] for parts in ({}, *list(PARTS.values())[:6])]
    assert all(torch.equal(context, contexts[0]) for context in contexts)
    seen = []
    train = knowledge_prompt.run_training

    def watched(parameters, loss, *others):
        return train(parameters, lambda rows: seen[-1].append(rows.tolist()) or loss(rows), *others)

    monkeypatch.setattr(knowledge_prompt, "run_training", watched)
    for config in ({}, {"context_init": "knowledge"}, {"context_init": "zeros", "temporal_pooling": "transformer"}):
        seen.append([])
        fitted(batch_size=2, **config)
    assert seen[0] == seen[1] == seen[2] and len(seen[0]) == 18


@pytest.mark.parametrize("part", PARTS)
def test_it_learns(part):
    data, config = view(), {**PARTS[part], "epochs": 30}
    losses = [
        torch.nn.functional.cross_entropy(fitted(**{**config, **moved})(data.features, CLASSES), data.labels)
        for moved in ({}, {"learning_rate": 1e-12})
    ]
    assert losses[0] < 0.8 * losses[1]


# --- the context -----------------------------------------------------------------------------------------------------


def test_where_the_context_starts():
    adapter = LayeredFake()
    embed = initial.segment_means
    own = [embed(adapter, texts, 4).mean(0) for texts in STATEMENTS]
    every = embed(adapter, [s for texts in STATEMENTS for s in texts], 4).mean(0)
    phrase = embed(adapter, ["a video of someone"], 4)[0]
    for config, expected in (
        ({"context_init": "zeros"}, torch.zeros(4, 16)),
        ({"context_init": "phrase", "phrase": "a video of someone"}, phrase),
        ({"context_init": "knowledge"}, every),
        ({"context_init": "knowledge", "class_specific_context": True}, torch.stack(own)),
        (
            {"context_init": "phrase", "phrase": "a video of someone", "class_specific_context": True},
            phrase.expand(3, 4, 16),
        ),
    ):
        torch.testing.assert_close(numbers(fitted(adapter, **config, **START))["context"], expected)
    drawn = numbers(fitted(adapter, class_specific_context=True, **START))["context"]
    assert 0.01 < drawn.std() < 0.03 and not torch.allclose(drawn[0], drawn[1], atol=0.01)


@pytest.mark.parametrize("place", CHOICES["context_place"])
def test_the_context_stands_where_it_is_put(place):
    predictor, adapter = fitted(LayeredFake(), context_place=place), FakeAdapter()
    texts, _ = flatten(knowledge_prompt._texts(CLASSES, with_class_name=True))
    expected = encode(adapter, prepare(adapter, texts, 4, place=place), predictor.learnt.context)
    torch.testing.assert_close(predictor.text_features(predictor.statements(CLASSES)), expected, atol=1e-4, rtol=1e-4)


def test_class_specific_contexts_and_the_continuous_channel_add_up():
    adapter, config = FakeAdapter(), {"class_specific_context": True, "continuous": True}
    predictor = fitted(LayeredFake(), **config)
    learnt, order = predictor.learnt, CLASSES.select([2, 0])
    texts, owner = flatten(knowledge_prompt._texts(order, with_class_name=True))
    found = predictor.text_features(predictor.statements(order))
    for text, statement, c, row in zip(
        texts, [s for of in order.statements for s in of], owner.tolist(), found, strict=True
    ):
        embedding = adapter.encode_text([statement])
        context = learnt.context[[2, 0][c]] + learnt.projector(embedding / embedding.norm())
        torch.testing.assert_close(row, encode(adapter, prepare(adapter, [text], 4), context)[0], atol=1e-4, rtol=1e-4)


def test_class_names_go_behind_the_statements_unless_they_are_left_out():
    assert knowledge_prompt._texts(CLASSES, True)[1][0] == "swing the hand. wave"
    renamed = dataclasses.replace(CLASSES, names=("a", "b", "c"))
    for with_name in (True, False):
        predictor, data = fitted(with_class_name=with_name), view()
        same = torch.allclose(predictor(data.features, CLASSES), predictor(data.features, renamed), atol=1e-3)
        assert same != with_name


# --- classes and videos ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_classes_may_be_new_where_nothing_belongs_to_a_class(part):
    predictor, data = fitted(**PARTS[part]), view()
    if not predictor.config.class_specific_context:
        assert predictor(data.features, NOVEL).shape == (6, 2)
        return
    with pytest.raises(NotApplicable, match="only training classes have a context, not jump, clap"):
        predictor(data.features, NOVEL)


BACKBONES = [lambda: LayeredFake(), lambda: plugins.find("adapters", "tiny-xclip").load("tiny-xclip", "cpu")]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("backbone", BACKBONES, ids=["fake", "tiny-xclip"])
def test_videos_are_judged_alone_and_classes_permute(backbone, part):
    adapter = backbone()
    data = view() if isinstance(adapter, FakeAdapter) else of_xclip(adapter)
    predictor = fitted(adapter, data, **{**PARTS[part], "epochs": 2})
    logits, order = predictor(data.features, CLASSES), [2, 0, 1]
    assert logits.isfinite().all() and logits.dtype == torch.float32
    torch.testing.assert_close(predictor(data.features, CLASSES.select(order)), logits[:, order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(predictor(data.features.select([4]), CLASSES)[0], logits[4], atol=1e-4, rtol=1e-4)


def of_xclip(adapter):
    videos = torch.randn(6, adapter.facts.num_frames, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    size = adapter.transform(torch.zeros(1, 40, 40, 3, dtype=torch.uint8).numpy()).shape[-2:]
    features = adapter.encode_video(
        torch.nn.functional.interpolate(videos.flatten(0, 1), size).unflatten(0, videos.shape[:2])
    )
    return dataclasses.replace(view(), features=features)


def test_numbers_are_for_training_only():
    data = view()
    predictor, plain = fitted(numeric=True), fitted()
    logits = predictor(data.features, CLASSES)
    for parameter in predictor.learnt.memory.parameters():
        parameter.data.fill_(7.0)
    assert torch.equal(predictor(data.features, CLASSES), logits)
    assert not torch.allclose(logits, plain(data.features, CLASSES), atol=1e-3)
    without = dataclasses.replace(data, numeric={"frames_dropped": torch.zeros(6)})
    with pytest.raises(NotApplicable, match="columns are frames_dropped"):
        fitted(train=without, numeric=True)
    missing = dataclasses.replace(data, numeric={"speed_head": torch.full((6,), torch.nan)})
    with pytest.raises(NotApplicable, match="no training video has a number in speed_head"):
        fitted(train=missing, numeric=True)


# --- the loss ----------------------------------------------------------------------------------------------------------


def first_loss(**config):
    """Of all rows, before anything moved."""
    predictor = fitted(**{**START, **config})
    return float(knowledge_prompt._loss(predictor, view(), CLASSES)[0](torch.arange(6))), predictor


def test_the_loss_is_the_weighted_sum_of_its_terms():
    data = view()
    cross, predictor = first_loss()
    logits = predictor(data.features, CLASSES)
    each = torch.nn.functional.cross_entropy(logits, data.labels, reduction="none")
    p = logits.softmax(1)[torch.arange(6), data.labels]
    focal = 0.2 * (data.labels - logits.argmax(1)).abs() / 2 + 0.25 * (1 - p) ** 2
    assert cross == pytest.approx(float(each.mean()), rel=1e-5)
    found, _ = first_loss(cross_entropy_weight=0.5, focal_ordinal_weight=3.0)
    assert found == pytest.approx(float((0.5 * each + 3 * focal * each).mean()), rel=1e-5)
    statements = predictor.statements(CLASSES)
    text, frozen = predictor.text_features(statements), LayeredFake().encode_text(statements.texts)
    apart = 1 - torch.nn.functional.cosine_similarity(text, frozen).mean()
    assert first_loss(consistency_weight=2.0)[0] == pytest.approx(cross + 2 * float(apart), rel=1e-5)
    target = torch.full((6, 3), 0.1).scatter(1, data.labels[:, None], 0.8)
    smooth = -(target * logits.log_softmax(1)).sum(1).mean()
    assert first_loss(label_smoothing=0.3)[0] == pytest.approx(float(smooth), rel=1e-5)
    one, ten = (first_loss(numeric=True, memory_weight=weight)[0] for weight in (1.0, 10.0))
    assert ten - cross == pytest.approx(10 * (one - cross), rel=1e-3) and one > cross


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "config",
    [{}, {"class_balancing": True}, {"focal_ordinal_weight": 3.0, "consistency_weight": 2.0}, {"numeric": True}],
)
def test_it_says_whether_the_loss_is_a_mean_over_videos(config, missing):
    data = view([0, 0, 0, 0, 1, 2])
    if missing:
        data = dataclasses.replace(
            data, numeric={n: v.clone().index_fill(0, torch.tensor([1]), torch.nan) for n, v in data.numeric.items()}
        )
    loss, is_mean = knowledge_prompt._loss(fitted(train=data, **{**START, **config}), data, CLASSES)
    parts = [torch.tensor([0, 1, 2, 5]), torch.tensor([3, 4])]
    apart = sum(len(rows) / 6 * float(loss(rows)) for rows in parts)
    assert (
        is_mean
        == (apart == pytest.approx(float(loss(torch.arange(6))), rel=1e-5))
        == (not ("numeric" in config and missing))
    )


def test_balanced_classes_count_alike():
    data = view([0, 0, 0, 0, 1, 2])
    config = {**START, "class_balancing": True}
    predictor = fitted(train=data, **config)
    each = torch.nn.functional.cross_entropy(predictor(data.features, CLASSES), data.labels, reduction="none")
    expected = sum(float(each[data.labels == c].mean()) for c in range(3)) / 3
    assert float(knowledge_prompt._loss(predictor, data, CLASSES)[0](torch.arange(6))) == pytest.approx(
        expected, rel=1e-5
    )
