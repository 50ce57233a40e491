import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.training import TrainConfig, TrainingDiverged, share, train

TARGET = torch.tensor([1.0, -2.0, 0.5])
CONFIG = TrainConfig(learning_rate=0.1, weight_decay=0.0, batch_size=4, epochs=30)


def fit(config=CONFIG, num=10, seed=0, loss=None):
    """Fit three numbers to TARGET; returns them, the history, and the rows of every step."""
    parameter, seen = nn.Parameter(torch.zeros(3)), []

    def squared(rows):
        seen.append(rows.tolist())
        return (parameter - TARGET).square().mean()

    history = train([parameter], loss or squared, num, config, torch.Generator().manual_seed(seed))
    return parameter.detach(), history, seen


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_minimises(optimizer):
    found, history, _ = fit(replace(CONFIG, optimizer=optimizer, epochs=60))
    torch.testing.assert_close(found, TARGET, atol=0.02, rtol=0)
    assert len(history) == 60 and history[0] > 1 > 0.01 > history[-1]


PLAIN = """
import sys, torch
from torch import nn
sys.path.insert(0, ROOT)
from bench.training import TrainConfig, train
target = torch.tensor([1.0, -2.0, 0.5])
generator, parameter = torch.Generator().manual_seed(0), nn.Parameter(torch.zeros(3))
loss = lambda rows: (parameter - target).square().mean() * len(rows)
config = TrainConfig(optimizer=OPTIMIZER, learning_rate=0.1, weight_decay=0.01, batch_size=4, epochs=5, warmup_epochs=0)
train([parameter], loss, 10, config, generator)
assert "torch._dynamo" not in sys.modules, "seconds of work in every process that trains"
plain = nn.Parameter(torch.zeros(3))
make = {"sgd": lambda p: torch.optim.SGD(p, momentum=0.9, weight_decay=0.01), "adamw": lambda p: torch.optim.AdamW(p, weight_decay=0.01)}
optimizer = make[OPTIMIZER]([plain])
for epoch in range(5):
    optimizer.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * epoch / 5, dtype=torch.float64)).item())
    for num in (4, 4, 2):
        optimizer.zero_grad()
        ((plain - target).square().mean() * num).backward()
        optimizer.step()
torch.testing.assert_close(parameter, plain, rtol=1e-6, atol=1e-7)
"""


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_is_the_optimizer_s_own_without_loading_a_compiler(optimizer):
    code = PLAIN.replace("ROOT", repr(str(ROOT))).replace("OPTIMIZER", repr(optimizer))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("num", "size", "sizes"), [(10, 4, [4, 4, 2]), (3, 32, [3]), (4, 4, [4]), (1, 1, [1])])
def test_an_epoch_shows_each_video_once(num, size, sizes):
    _, history, seen = fit(replace(CONFIG, batch_size=size, epochs=3), num)
    steps = len(sizes)
    assert len(seen) == 3 * steps and len(history) == 3
    for epoch in range(3):
        of_epoch = seen[epoch * steps : (epoch + 1) * steps]
        assert [len(rows) for rows in of_epoch] == sizes
        assert sorted(sum(of_epoch, [])) == list(range(num))


def test_the_generator_alone_draws_the_order():
    torch.manual_seed(1)
    a = fit()
    torch.manual_seed(2)
    b, c = fit(), fit(seed=1)
    assert a[1] == b[1] and a[2] == b[2] and torch.equal(a[0], b[0])
    assert a[2] != c[2] and a[2][:3] != a[2][3:6], "another order each epoch"


@pytest.mark.parametrize(("divisor", "epochs"), [(1, 30), (3, 10), (4, 8), (9, 4), (100, 1)])
def test_a_shorter_training_is_the_beginning_of_the_whole_one(divisor, epochs):
    whole = fit()
    with share(divisor):
        short = fit()
    assert len(short[1]) == epochs and short[1] == whole[1][:epochs] and short[2] == whole[2][: 3 * epochs]
    assert len(fit()[1]) == 30, "it ends with its block"


def test_what_does_not_train_here_cannot_be_cut_short():
    with share(1):
        pass
    with pytest.raises(BenchError, match="without pruning"), share(3):
        pass


def rates(config, monkeypatch):
    """The learning rate of each epoch, as the optimiser saw it."""
    seen, step = [], torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda self, *a: (seen.append(self.param_groups[0]["lr"]), step(self, *a))[1]
    )
    fit(config, num=config.batch_size)
    return seen


def test_the_rate_falls_as_half_a_cosine_after_a_warm_up(monkeypatch):
    config = replace(CONFIG, epochs=5, learning_rate=0.2)
    expected = [1e-5, *(0.1 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(1, 5))]
    assert rates(config, monkeypatch) == pytest.approx(expected)


def test_a_single_epoch_is_not_spent_on_the_warm_up(monkeypatch):
    assert rates(replace(CONFIG, epochs=1, learning_rate=0.2), monkeypatch) == pytest.approx([0.2])


def test_the_mean_loss_of_an_epoch_counts_videos_not_batches():
    def loss(rows):
        return weight.sum() * 0 + float(len(rows))

    weight = nn.Parameter(torch.zeros(1))
    history = train([weight], loss, 5, replace(CONFIG, epochs=1), torch.Generator())
    assert history == [pytest.approx((4 * 4 + 1 * 1) / 5)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_and_says_when(value):
    parameter, calls = nn.Parameter(torch.zeros(3)), []

    def loss(rows):
        calls.append(rows)
        return parameter.sum() + (value if len(calls) == 5 else 0.0)

    with pytest.raises(TrainingDiverged, match=r"in epoch 2; lower the learning rate \(0.1\)"):
        train([parameter], loss, 10, CONFIG, torch.Generator())
    assert torch.isfinite(parameter).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("optimizer", "adam"), ("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("learning_rate", math.nan)],
        *[("weight_decay", v) for v in (-0.1, math.nan, math.inf)],
    ],
)
def test_a_config_that_cannot_train_is_an_error_that_names_it(field, value):
    with pytest.raises(BenchError, match=f"{field}.*{value}"):
        replace(CONFIG, **{field: value})
