"""The parts of the knowledge-prompt method against their formulas, written out slowly."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fakes import FakeAdapter
from scipy.optimize import linprog

from baselines._knowledge import aggregation, continuous, initial, losses, numeric, pooling
from bench.contracts import BenchError, Features, NotApplicable

OWNER = torch.tensor([0, 0, 0, 1, 2, 2, 2, 3])  # classes of 3, 1, 3 and 1 statements
NUM_CLASSES = 4


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_class(how, query=None, num_frames=5):
    adapter, features, text = FakeAdapter(), Features(drawn(6, num_frames, 16)), drawn(8, 16, seed=1)
    found = aggregation.class_logits(how, adapter, features, text, OWNER, NUM_CLASSES, query)
    return adapter, features, text, found


# --- aggregation -------------------------------------------------------------------------------------------------


def test_logits_are_averaged_or_their_largest_is_taken():
    adapter, features, text, mean = by_class("logits")
    logits = adapter.similarity(features, text)
    for c in range(NUM_CLASSES):
        torch.testing.assert_close(mean[:, c], logits[:, c == OWNER].mean(1))
        assert torch.equal(by_class("max")[3][:, c], logits[:, c == OWNER].max(1).values)


def test_features_are_averaged_at_length_one_and_keep_their_mean_length():
    adapter, features, text, found = by_class("features")
    for c in range(NUM_CLASSES):
        own = text[c == OWNER]
        mean = (own / own.norm(dim=1, keepdim=True)).mean(0) * own.norm(dim=1).mean()
        torch.testing.assert_close(found[:, c], adapter.similarity(features, mean[None])[:, 0])
        torch.testing.assert_close(aggregation.mean_features(text, OWNER, NUM_CLASSES)[c], mean)


def test_attention_starts_as_the_mean_and_weighs_by_its_query():
    torch.testing.assert_close(by_class("attention", torch.zeros(16))[3], by_class("logits")[3])
    query = drawn(16, seed=2)
    adapter, features, text, found = by_class("attention", query)
    logits = adapter.similarity(features, text)
    for c in range(NUM_CLASSES):
        own = text[c == OWNER]
        weights = (own / own.norm(dim=1, keepdim=True) @ query).softmax(0)
        torch.testing.assert_close(found[:, c], logits[:, c == OWNER] @ weights)
    sharp = by_class("attention", 1e4 * query)[3]
    best = [
        max(torch.nonzero(c == OWNER).flatten().tolist(), key=lambda k: float(F.normalize(text[k], dim=0) @ query))
        for c in range(4)
    ]
    torch.testing.assert_close(sharp, logits[:, best])


def slow_plan(cost, epsilon, iterations=20_000):
    kernel = np.exp(-np.asarray(cost, dtype=np.float64) / epsilon)
    u, v = np.ones(len(kernel)), np.ones(kernel.shape[1])
    for _ in range(iterations):
        u = 1 / len(u) / (kernel @ v)
        v = 1 / len(v) / (kernel.T @ u)
    return u[:, None] * kernel * v


def test_plans_are_those_of_a_slow_sinkhorn():
    cost = 1 - torch.tanh(drawn(7, 6, 4))
    plans = aggregation.sinkhorn(cost)
    for plan, one in zip(plans, cost, strict=True):
        np.testing.assert_allclose(plan, slow_plan(one, 0.1), atol=2e-5)
    torch.testing.assert_close(plans.sum((1, 2)), torch.ones(7))
    torch.testing.assert_close(plans.sum(1), torch.full((7, 4), 0.25))
    torch.testing.assert_close(plans.sum(2), torch.full((7, 6), 1 / 6), atol=1e-4, rtol=1e-3)


def test_plans_of_little_entropy_cost_what_the_linear_programme_says():
    cost = 1 - torch.tanh(drawn(5, 4, seed=3))
    rows, columns = cost.shape
    constraints = np.zeros((rows + columns, rows * columns))
    for i in range(rows):
        constraints[i, i * columns : (i + 1) * columns] = 1
    for j in range(columns):
        constraints[rows + j, j::columns] = 1
    sums = [1 / rows] * rows + [1 / columns] * columns
    least = linprog(cost.flatten().numpy(), A_eq=constraints, b_eq=sums).fun
    sharp = float((aggregation.sinkhorn(cost[None], 0.01, 5000)[0] * cost).sum())
    usual = float((aggregation.sinkhorn(cost[None])[0] * cost).sum())
    assert least - 1e-4 < sharp < least + 0.005 < usual


def test_a_plan_does_not_depend_on_the_problems_beside_it():
    cost = torch.stack([1 - torch.tanh(drawn(6, 4)), torch.zeros(6, 4), 2 * drawn(6, 4, seed=5).sigmoid()])
    together = aggregation.sinkhorn(cost)
    assert all(torch.equal(aggregation.sinkhorn(one[None])[0], plan) for one, plan in zip(cost, together, strict=True))


def test_transport_weighs_the_logits_of_frames_with_the_plans():
    adapter, features, text, found = by_class("transport")
    mean = by_class("logits")[3]
    for n in range(6):
        for c in range(NUM_CLASSES):
            own = text[c == OWNER]
            logits = torch.stack(
                [adapter.similarity(Features(features.frames[n : n + 1, t : t + 1]), own)[0] for t in range(5)]
            )
            plan = torch.from_numpy(slow_plan(1 - logits / 20, 0.1)).float()
            expected = 0.5 * (plan * logits).sum() + 0.5 * mean[n, c]
            torch.testing.assert_close(found[n, c], expected, atol=1e-3, rtol=1e-4)


def test_no_gradient_goes_through_the_plan():
    adapter, features, text = FakeAdapter(), Features(drawn(3, 5, 16)), drawn(8, 16, seed=1).requires_grad_(True)
    aggregation.class_logits("transport", adapter, features, text, OWNER, NUM_CLASSES, None).sum().backward()
    fixed = text.detach().clone().requires_grad_(True)
    total = aggregation.class_logits("logits", adapter, features, fixed, OWNER, NUM_CLASSES, None).sum() / 2
    for c in range(NUM_CLASSES):
        logits = aggregation.frame_logits(adapter, features, fixed)[:, :, c == OWNER].transpose(1, 2)
        plan = aggregation.sinkhorn(1 - logits.detach() / 20)  # a number, not a function of the text
        total = total + (plan * logits).sum() / 2
    total.backward()
    torch.testing.assert_close(text.grad, fixed.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("how", ["logits", "features", "max", "attention", "transport"])
def test_the_order_of_the_statements_does_not_matter(how):
    adapter, features, text, query = FakeAdapter(), Features(drawn(6, 5, 16)), drawn(8, 16, seed=1), drawn(16, seed=2)
    order = torch.tensor([5, 0, 7, 3, 1, 4, 6, 2])
    one, other = (
        aggregation.class_logits(how, adapter, features, text[o], OWNER[o], NUM_CLASSES, query)
        for o in (torch.arange(8), order)
    )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_each_frame_takes_what_else_its_video_has():
    class Adding(FakeAdapter):
        def similarity(self, features, text):
            return features.extra["more"][:, None] + super().similarity(features, text)

    features, more = Features(drawn(3, 4, 16), {"more": torch.zeros(3)}), torch.tensor([0.0, 1.0, 2.0])
    text = drawn(8, 16, seed=1)
    plain, moved = (
        aggregation.transported(Adding(), Features(features.frames, {"more": m}), text, OWNER, NUM_CLASSES)
        for m in (torch.zeros(3), more)
    )
    torch.testing.assert_close(moved - plain, more[:, None].expand(3, 4), atol=1e-3, rtol=1e-3)


# --- frames ------------------------------------------------------------------------------------------------------


def test_pooling_starts_as_the_mean():
    features = Features(drawn(3, 5, 16), {"more": torch.ones(3)})
    for how in ("attention", "transformer"):
        module = pooling.pooling(how, features.frames, 2, torch.Generator().manual_seed(1))
        made = module(features)
        torch.testing.assert_close(made.pooled, features.pooled)
        assert torch.equal(made.extra["more"], torch.ones(3))
    assert pooling.pooling("mean", features.frames, 1, torch.Generator()) is None


def test_attention_over_frames_is_a_softmax_of_its_query():
    frames, module = drawn(3, 5, 16), pooling.AttentionPooling(16)
    module.query.data = 3 * drawn(16, seed=1)
    weights = torch.stack([(f / f.norm(dim=1, keepdim=True) @ module.query).softmax(0) for f in frames])
    expected = torch.stack([w @ f for w, f in zip(weights, frames, strict=True)])
    torch.testing.assert_close(module(Features(frames)).pooled, expected)


def test_the_transformer_sees_the_order_of_frames_and_takes_one_number_of_them():
    module = pooling.TransformerPooling(16, 5, 1, torch.Generator().manual_seed(1))
    module.leave.weight.data = drawn(16, 128, seed=2)
    frames = drawn(3, 5, 16)
    turned = module(Features(frames.flip(1))).pooled
    assert (turned - module(Features(frames)).pooled).abs().max() > 1e-3
    module.position.data.zero_()
    torch.testing.assert_close(
        module(Features(frames.flip(1))).pooled, module(Features(frames)).pooled, atol=1e-5, rtol=1e-4
    )
    with pytest.raises(BenchError, match="trained on 5 frames a video, not 4"):
        module(Features(frames[:, :4]))


# --- losses ------------------------------------------------------------------------------------------------------


def test_focal_ordinal_weights_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    labels = torch.tensor([0, 0])
    p = [math.exp(2) / (math.exp(2) + 2), 1 / (2 + math.exp(3))]
    expected = [0.25 * (1 - p[0]) ** 2, 0.2 * 2 / 2 + 0.25 * (1 - p[1]) ** 2]
    torch.testing.assert_close(losses.focal_ordinal_weights(logits, labels), torch.tensor(expected))


def test_the_focal_term_carries_a_gradient():
    labels, logits = torch.tensor([0, 2]), drawn(2, 3).requires_grad_(True)
    losses.focal_ordinal_weights(logits, labels).sum().backward()
    p = logits.detach().softmax(1)
    own = p.gather(1, labels[:, None])
    # d/dz of alpha (1 - p_y)^2 is -2 alpha (1 - p_y) p_y (onehot - p).
    expected = -2 * 0.25 * (1 - own) * own * (F.one_hot(labels, 3) - p)
    torch.testing.assert_close(logits.grad, expected)


def test_smoothing_and_balance_by_hand():
    logits, labels = drawn(5, 3), torch.tensor([0, 0, 0, 1, 1])
    target = torch.full((5, 3), 0.1 / 3)
    target[torch.arange(5), labels] += 0.9
    expected = -(target * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(losses.cross_entropy(logits, labels, 0.1), expected)
    weights = losses.balance(labels, 3)
    torch.testing.assert_close(weights, torch.tensor([5 / 6, 5 / 4, 0.0]))
    torch.testing.assert_close(weights[labels].mean(), torch.tensor(1.0))


def test_consistency_is_one_minus_the_cosine():
    text = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    frozen = torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 0.0]])
    assert float(losses.consistency(text, frozen)) == pytest.approx((0 + 2 + 1 - 0.5**0.5) / 3)


# --- numbers -----------------------------------------------------------------------------------------------------


def test_slerp_goes_along_the_arc():
    low, high = F.normalize(drawn(16), dim=0), F.normalize(drawn(16, seed=1), dim=0)
    share = torch.tensor([0.0, 0.25, 0.5, 1.0])
    points = numeric.slerp(low, high, share)
    angle = torch.acos(low @ high)
    torch.testing.assert_close(points[[0, 3]], torch.stack([low, high]))
    torch.testing.assert_close(points[2], F.normalize(low + high, dim=0))
    torch.testing.assert_close(points.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(torch.acos((points @ low).clamp(-1, 1))[1:], (share * angle)[1:], atol=1e-4, rtol=1e-4)


def test_numbers_are_normalised_and_what_is_missing_stays_missing():
    nan = math.nan
    found = numeric.normalised(torch.tensor([2.0, nan, 6.0, 3.0]))
    torch.testing.assert_close(found, torch.tensor([0.0, nan, 1.0, 0.25]), equal_nan=True)
    torch.testing.assert_close(numeric.normalised(torch.tensor([4.0, nan])), torch.tensor([0.5, nan]), equal_nan=True)
    assert numeric.normalised(torch.tensor([nan, nan])).isnan().all()
    found = numeric.normalised(torch.tensor([2.0, math.inf, 6.0, -math.inf]))
    torch.testing.assert_close(found, torch.tensor([0.0, nan, 1.0, nan]), equal_nan=True)


def test_a_video_s_numbers_become_the_mean_of_its_points():
    adapter, nan = FakeAdapter(), math.nan
    columns = {"speed_left_arm": torch.tensor([1.0, 3.0, nan, 2.0]), "cadence": torch.tensor([0.0, nan, nan, 4.0])}
    found, known = numeric.embeddings(adapter, {**columns, "frames_dropped": torch.zeros(4)}, ())
    texts = ["the left arm moves slowly", "the left arm moves fast", "few steps a minute", "many steps a minute"]
    ends = F.normalize(adapter.encode_text(texts), dim=-1)
    torch.testing.assert_close(found[0], (ends[0] + ends[2]) / 2)
    torch.testing.assert_close(found[1], ends[1])
    middle = numeric.slerp(ends[0], ends[1], torch.tensor([0.5]))[0]
    torch.testing.assert_close(found[3], (middle + ends[3]) / 2)
    assert known.tolist() == [True, True, False, True] and not found[2].any()


def test_numbers_far_from_zero_are_told_apart():
    far = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64) + 2.0**27
    found, _ = numeric.embeddings(FakeAdapter(), {"cadence": far}, ())
    near, _ = numeric.embeddings(FakeAdapter(), {"cadence": far - 2.0**27}, ())
    assert torch.equal(found, near) and not torch.equal(found[1], found[2])


def test_one_antonym_used_twice_says_nothing():
    columns = {"speed_head": torch.arange(4.0), "cadence": torch.tensor([3.0, 1.0, 4.0, 1.5])}
    released, _ = numeric.embeddings(FakeAdapter(), columns, (), one_antonym=True)
    mended, _ = numeric.embeddings(FakeAdapter(), columns, ())
    assert all(torch.equal(row, released[0]) for row in released)
    assert all(not torch.allclose(mended[a], mended[b], atol=1e-3) for a in range(4) for b in range(a))


def test_antonyms_that_are_given_replace_those_known():
    assert numeric.pairs(["speed_head", "age"], ["age: a young person | an old person"]) == {
        "age": ("a young person", "an old person")
    }
    for line, said in (("age young old", "is not written"), ("height: low | high", "no numeric column 'height'")):
        with pytest.raises(BenchError, match=said):
            numeric.pairs(["age"], [line])
    with pytest.raises(BenchError, match="the column 'age' has two pairs"):
        numeric.pairs(["age"], ["age: young | old", "age : small | tall"])
    for line, said in (("age: young | old | older", "is not written"), ("age: old | Old ", "'old' at both ends")):
        with pytest.raises(BenchError, match=said):
            numeric.pairs(["age"], [line])
    with pytest.raises(NotApplicable, match="columns are age"):
        numeric.pairs(["age"], [])


def test_memory_compares_in_its_small_space():
    memory = numeric.Memory(16, torch.Generator().manual_seed(1))
    text, numbers = drawn(3, 16), drawn(5, 16, seed=1)

    def through(side, x):
        first, _, last = side
        return torch.tanh(x @ first.weight.T + first.bias) @ last.weight.T + last.bias

    a, b = through(memory.numbers, numbers), through(memory.text, text)
    assert a.shape == (5, 64) and memory.text[0].out_features == 128
    expected = 100 * F.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(memory(text, numbers), expected, atol=1e-3, rtol=1e-4)


# --- beginnings --------------------------------------------------------------------------------------------------


def test_segment_means_of_a_text():
    adapter = FakeAdapter()
    words = ["one two three four", "one", "one two three four five six seven eight"]
    rows = {text: adapter.module.embedding[adapter.tokenize([text]).ids[0, : len(text.split())]] for text in words}
    found = initial.segment_means(adapter, words, 4)
    torch.testing.assert_close(found[0], rows[words[0]])
    torch.testing.assert_close(found[1], rows[words[1]].expand(4, -1))
    torch.testing.assert_close(found[2], rows[words[2]].reshape(4, 2, -1).mean(1))


def test_modules_are_drawn_from_the_generator_alone():
    before = torch.get_rng_state()
    one, same, other = (
        initial.drawn(lambda: torch.nn.TransformerEncoderLayer(8, 2), torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and (a.dim() == 1 or not torch.equal(a, c))
    assert torch.equal(one.norm1.weight, torch.ones(8)) and not one.linear1.bias.any()
    # A uniform draw of that many comes within a few percent of its bound, which is that of the inputs and not of the outputs.
    for weight, inputs in ((one.linear1.weight, 8), (one.linear2.weight, one.linear2.in_features)):
        assert 0.95 * inputs**-0.5 < weight.abs().max() <= inputs**-0.5


def test_a_dead_projector_has_no_gradient_and_a_mended_one_has():
    embedding, target = drawn(4, 16), drawn(4, 8, seed=1)
    for dead in (True, False):
        module = continuous.Projector(16, 8, torch.Generator().manual_seed(1), dead)
        assert not module(embedding).any() and (module.first.bias is None) == dead
        optimiser = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.2)
        for _ in range(5):
            optimiser.zero_grad()
            (module(embedding) - target).square().sum().backward()
            optimiser.step()
            assert not dead or all(not p.grad.any() and not p.any() for p in module.parameters())
        assert dead or all(p.grad.any() for p in module.parameters())
