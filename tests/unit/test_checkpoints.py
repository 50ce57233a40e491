"""Stopped and started again at every epoch, a training ends with the bytes of one that was left alone."""

import os
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench import checkpoints, stopping
from bench.checkpoints import keeping
from bench.training import TrainConfig, train

CONFIG = TrainConfig(learning_rate=0.1, batch_size=4, epochs=6)
NUM = 10


@pytest.fixture(autouse=True)
def nobody_stops():
    stopping.forget()
    yield
    stopping.forget()


class Fit:
    """A training whose loss also draws from every generator that a method may use; `stop_in` names the epoch that it is stopped in."""

    def __init__(self, config=CONFIG, stop_in=None, seed=1):
        self.steps, self.stop_in = 0, stop_in
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global one, as a method may
        random.seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.parameters = [nn.Parameter(torch.randn(3, generator=generator)), nn.Parameter(torch.zeros(2, 2))]
        self.history = train(self.parameters, self.loss, NUM, config, generator)

    def loss(self, rows):
        self.steps += 1
        if self.stop_in is not None and self.steps > self.stop_in * 3:
            stopping.request("test")
        noise = torch.rand(3) + np.random.rand() + random.random()  # noqa: NPY002
        a, b = self.parameters
        return (a * noise + rows.float().mean()).square().mean() + (b - 1).square().sum()

    @property
    def state(self):
        return [*(p.detach().numpy().tobytes() for p in self.parameters), self.history]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("epoch", range(CONFIG.epochs))
def test_it_goes_on_to_the_same_bytes(optimizer, epoch, tmp_path):
    config = replace(CONFIG, optimizer=optimizer)
    alone = Fit(config)
    with keeping(tmp_path, "run"), pytest.raises(stopping.Stopped):
        Fit(config, stop_in=epoch)
    stopping.forget()
    with keeping(tmp_path, "run"):
        again = Fit(config)
    assert again.state == alone.state
    assert again.steps == alone.steps - 3 * (epoch + 1), "no epoch is done twice"


def test_stopped_again_and_again(tmp_path):
    alone, starts = Fit(), 0
    while True:
        starts += 1
        try:
            with keeping(tmp_path, "run"):
                again = Fit(stop_in=0)
            break
        except stopping.Stopped:
            stopping.forget()
            if starts == CONFIG.epochs:
                with keeping(tmp_path, "run"):
                    again = Fit()
                break
    assert again.state == alone.state and starts == CONFIG.epochs


def test_it_is_kept_when_it_is_due_and_not_before(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    saved = []
    save = checkpoints.Checkpoint.save
    monkeypatch.setattr(checkpoints.Checkpoint, "save", lambda self, h, m: (saved.append(len(h)), save(self, h, m)))
    loss = Fit.loss

    def slow(self, rows):
        clock[0] += 10.0  # 30 an epoch
        return loss(self, rows)

    monkeypatch.setattr(Fit, "loss", slow)
    with keeping(tmp_path, "run", every_s=60):
        Fit()
    assert saved == [2, 4, 6]
    assert [p.name for p in tmp_path.iterdir()] == ["training-1.pt"]


def test_nobody_keeps_nothing(tmp_path):
    with pytest.raises(stopping.Stopped):
        Fit(stop_in=0)
    assert not list(tmp_path.iterdir())


def stopped(folder, key="run", config=CONFIG):
    with keeping(folder, key), pytest.raises(stopping.Stopped):
        Fit(config, stop_in=2)
    stopping.forget()


@pytest.mark.parametrize(
    ("key", "config"),
    [("another run", CONFIG), ("run", replace(CONFIG, learning_rate=0.2)), ("run", replace(CONFIG, optimizer="adamw"))],
)
def test_one_of_another_setting_is_none(tmp_path, capsys, key, config):
    stopped(tmp_path)
    with keeping(tmp_path, key):
        assert Fit(config).state == Fit(config).state
    alone = Fit(config)
    stopped(tmp_path)
    with keeping(tmp_path, key):
        found = Fit(config)
    assert found.state == alone.state and found.steps == alone.steps
    assert (
        "training-1.pt: ValueError: it is of another setting; training starts from its beginning"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_one_is_none(tmp_path, capsys, damage):
    stopped(tmp_path)
    path = tmp_path / "training-1.pt"
    path.write_bytes({"cut": path.read_bytes()[:200], "empty": b"", "text": b"hello"}[damage])
    with keeping(tmp_path, "run"):
        found = Fit()
    assert found.state == Fit().state and "training starts from its beginning" in capsys.readouterr().err


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_no_code_in_it_runs(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "training-1.pt").write_bytes(pickle.dumps(Evil(str(ran))))
    torch.save({"key": Evil(str(ran))}, tmp_path / "training-2.pt")
    with keeping(tmp_path, "run"):
        first, second = Fit(), Fit()
    assert first.state == second.state == Fit().state and not ran.exists()


def test_each_training_of_a_run_has_its_own(tmp_path):
    alone = [Fit().state, Fit(seed=2).state]
    with keeping(tmp_path, "run"), pytest.raises(stopping.Stopped):
        Fit()
        Fit(seed=2, stop_in=3)
    stopping.forget()
    with keeping(tmp_path, "run"):
        first, second = Fit(), Fit(seed=2)
    assert [first.state, second.state] == alone and second.steps < first.steps
    checkpoints.forget(tmp_path)
    assert not tmp_path.exists()


def test_parameters_of_another_shape_or_type_are_another_training(tmp_path):
    keys = set()
    for parameter in (torch.zeros(3), torch.zeros(4), torch.zeros(3, 1), torch.zeros(3, dtype=torch.float64)):
        parameters = [nn.Parameter(parameter)]
        with keeping(tmp_path, "run"):
            found = checkpoints.begin(parameters, torch.optim.SGD(parameters), torch.Generator(), "told")
        keys.add(found.key)
    assert len(keys) == 4


def test_two_that_are_at_one_run_have_a_scratch_of_their_own(tmp_path):
    """A lease may be lost while its holder works on: neither may take the other's files away."""
    dead = checkpoints.temporary_beside(tmp_path / "scratch", "part")
    dead = dead.with_name(dead.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-7"))
    dead.mkdir()
    with checkpoints.keeping(tmp_path, "key"), checkpoints.scratch() as first:
        (first / "log").touch()
        with checkpoints.scratch() as second:
            (second / "log").touch()
        assert (first / "log").exists() and not second.exists() and not dead.exists()
    assert not list(tmp_path.iterdir())
