"""The rules of replaying on any machine, with a stand-in for the graph; that it gives the same on a GPU, where there is one."""

import pytest
import torch
from fakes import LayeredFake

from bench import replay
from bench.prompting import encode, prepare
from bench.replay import Replayed

TEXTS = ["a person waves", "a person waves with one hand", "jump"]


def doubled(x):
    return 2 * x


class Static(torch.autograd.Function):
    """As a CUDA graph does it: one memory for all results, and for what the backward pass reads."""

    out = torch.zeros(3)
    kept = torch.zeros(3)

    @staticmethod
    def forward(ctx, x):
        Static.kept.copy_(x.detach())
        Static.out.copy_(x.detach().square())
        return Static.out.detach()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2 * Static.kept


@pytest.fixture
def recorded(monkeypatch):
    """Shapes that were recorded; the CPU passes for a GPU."""
    found = []

    def record(call, x):
        found.append(tuple(x.shape))
        return Static.apply

    monkeypatch.setattr(replay, "_recorded", record)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True))
    return found


def leaf(*values):
    return torch.tensor(values).requires_grad_()


def test_it_is_recorded_once_and_replayed(recorded):
    step = Replayed(lambda x: x.square())
    for values in ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)):
        x = leaf(*values)
        found = step(x)
        found.sum().backward()
        assert torch.equal(found.detach(), x.detach().square()) and torch.equal(x.grad, 2 * x.detach())
    assert recorded == [(3,)]


def test_a_second_look_before_the_gradient_of_the_first_does_not_spoil_it(recorded):
    step, a, b = Replayed(lambda x: x.square()), leaf(1.0, 2.0, 3.0), leaf(4.0, 5.0, 6.0)
    first, second = step(a), step(b)
    (first.sum() + second.sum()).backward()
    assert torch.equal(a.grad, 2 * a.detach()) and torch.equal(b.grad, 2 * b.detach())
    assert torch.equal(first.detach(), a.detach().square())


def test_a_result_that_is_kept_does_not_change_with_the_next(recorded):
    step, a = Replayed(lambda x: x.square()), leaf(1.0, 2.0, 3.0)
    first = step(a)
    first.sum().backward()
    step(leaf(4.0, 5.0, 6.0))
    assert first.tolist() == [1.0, 4.0, 9.0]


def test_without_gradients_or_in_another_shape_it_is_the_plain_call(recorded):
    step = Replayed(doubled)
    assert step(torch.ones(3)).tolist() == [2.0] * 3 and not recorded
    with torch.no_grad():
        assert step(leaf(1.0, 1.0, 1.0)).tolist() == [2.0] * 3 and not recorded
    step(leaf(1.0, 2.0, 3.0)).sum().backward()
    assert step(leaf(1.0, 2.0)).tolist() == [2.0, 4.0] and recorded == [(3,)]


def test_on_the_cpu_nothing_is_recorded():
    step, x = Replayed(doubled), leaf(1.0, 2.0)
    step(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and step._graph is None


def test_prompts_of_one_small_tree_are_replayed_and_others_not(monkeypatch):
    adapter = LayeredFake()
    assert prepare(adapter, TEXTS, 4).step is not None
    monkeypatch.setattr("bench.prompting.MOST_TOKENS", 3)
    assert prepare(adapter, TEXTS, 4).step is None


@pytest.mark.gpu
def test_on_a_gpu_replayed_steps_give_the_features_and_gradients_of_plain_ones():
    from perf.test_ratios import vit_b_16
    from perf.test_text import plain_step, sentences

    adapter, texts = vit_b_16("cuda"), sentences(20, 1)
    prompts = prepare(adapter, texts, 8)
    assert prompts.step is not None
    for seed in range(3):
        torch.manual_seed(seed)
        context = (0.02 * torch.randn(8, 512, device="cuda")).requires_grad_()
        encode(adapter, prompts, context).sum().backward()
        found, context.grad = context.grad, None
        plain_step(adapter, texts, context, None)
        assert float((found - context.grad).abs().max()) <= 1e-4 * float(context.grad.abs().max())
    assert prompts.step._graph is not None
