"""What memory does not hold is done in halves, to the same result."""

import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench import memory, stopping
from bench.checkpoints import keeping
from bench.contracts import BenchError
from bench.training import TrainConfig, TrainingDiverged, train

CONFIG = TrainConfig(learning_rate=0.05, batch_size=8, epochs=4)
NUM = 21  # batches of 8, 8 and 5
X = torch.randn(NUM, 6, generator=torch.Generator().manual_seed(3))
Y = torch.randn(NUM, generator=torch.Generator().manual_seed(4))


def too_much():
    """What torch itself raises on this CPU."""
    torch.empty(10**15)


ERRORS = {
    "GPU": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "driver": lambda: RuntimeError("CUDA error: out of memory"),
    "cuBLAS": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "Python": MemoryError,
}


@pytest.fixture(autouse=True)
def nobody_stops():
    stopping.forget()
    yield
    stopping.forget()


class Fit:
    """Weighted regression where memory holds `room` videos; what is too much is refused before or after the gradient was taken."""

    def __init__(self, room=NUM, config=CONFIG, mean=True, refuse=too_much, late=False, constant=1.0, stop=False):
        self.room, self.refuse, self.late, self.constant, self.sizes = room, refuse, late, constant, []
        self.stop = stop
        self.weight = nn.Parameter(torch.zeros(6))
        self.history = train([self.weight], self.loss, NUM, config, torch.Generator().manual_seed(1), mean)

    def loss(self, rows):
        if self.stop:
            stopping.request("test")
        self.sizes.append(len(rows))
        weight = self.weight.clone()
        if len(rows) > self.room:
            if not self.late:
                self.refuse()
            weight.register_hook(lambda gradient: self.refuse())
        each = (X[rows] @ weight - Y[rows]).square() * (1 + rows / NUM)
        return each.mean() + self.constant * self.weight.square().sum()


def near(found, wanted):
    torch.testing.assert_close(found.weight, wanted.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.tensor(found.history), torch.tensor(wanted.history), rtol=1e-5, atol=0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("room", [1, 2, 3, 4, 7])
def test_a_step_in_parts_comes_to_the_same(room, late, optimizer):
    config = replace(CONFIG, optimizer=optimizer)
    whole = Fit(config=config)
    assert whole.sizes == [8, 8, 5] * 4
    near(Fit(room, config, late=late), whole)


def test_the_size_is_halved_once_and_stays():
    with memory.watching() as told:
        assert Fit(3).sizes == [8, 4, *([2] * 4), *([2] * 4), 2, 2, 1, *([*([2] * 8), 2, 2, 1] * 3)]
    assert told.micro_batch == 2


def test_a_short_batch_is_halved_from_its_own_size():
    with memory.watching() as told:
        sizes = Fit(4, replace(CONFIG, batch_size=100)).sizes
    assert sizes[:5] == [21, 10, 5, 2, 2] and told.micro_batch == 2


def test_what_was_taken_at_once_is_told():
    with memory.watching() as outer:
        with memory.watching() as told:
            assert told.micro_batch is None
            Fit(5)
            Fit()
        assert told.micro_batch == 4
        Fit()
    assert outer.micro_batch == 8, "what happened in a block of its own is told there"
    with memory.watching() as told:
        Fit(config=replace(CONFIG, batch_size=100))
    assert told.micro_batch == NUM


@pytest.mark.parametrize("words", ERRORS)
def test_each_way_of_being_out_of_memory(words):
    def refuse():
        raise ERRORS[words]()

    near(Fit(3, refuse=refuse), Fit())


@pytest.mark.parametrize("late", [False, True])
def test_any_other_error_is_raised_as_it_is(late):
    def refuse():
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="^shapes do not fit$"):
        Fit(3, refuse=refuse, late=late)


def test_not_even_one_video():
    with pytest.raises(BenchError, match=r"does not hold 1 video \(lower the method's batch_size.*allocate"):
        Fit(0)


def test_a_loss_that_is_no_mean_is_never_taken_in_parts():
    assert Fit(8, mean=False).sizes == [8, 8, 5] * 4
    with pytest.raises(BenchError, match=r"does not hold 8 videos \(their loss is no mean over videos"):
        Fit(7, mean=False)


def test_a_part_that_is_no_number_stops_before_anything_moves():
    def loss(rows):
        if len(rows) > 4:
            too_much()
        return weight.sum() * (torch.nan if 0 in rows else 1.0)

    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(TrainingDiverged, match="the loss is nan in epoch 1"):
        train([weight], loss, 8, CONFIG, torch.Generator(), mean_over_rows=True)
    assert torch.equal(weight, torch.ones(2))


def test_it_goes_on_with_the_size_that_it_had(tmp_path):
    whole = Fit(3)
    with keeping(tmp_path, "run"), pytest.raises(stopping.Stopped):
        Fit(3, stop=True)
    stopping.forget()
    with keeping(tmp_path, "run"), memory.watching() as told:
        again = Fit(3)
    assert max(again.sizes) == 2 and told.micro_batch == 2
    assert torch.equal(again.weight, whole.weight) and again.history == whole.history


def test_what_the_failed_try_made_is_let_go_before_the_next():
    class Made:
        pass

    made, alive = [], []

    def work(size):
        alive.append([ref() is not None for ref in made])
        mine = Made()
        made.append(weakref.ref(mine))
        if size > 1:
            raise MemoryError
        return mine

    assert memory.halving(work, 4)[1] == 1
    assert alive == [[], [False], [False, False]]


@pytest.mark.parametrize(
    ("size", "least", "tried"), [(8, 1, [8, 4, 2, 1]), (8, 3, [8, 4, 3]), (3, 3, [3]), (7, 2, [7, 3, 2])]
)
def test_down_to_the_least_and_no_further(size, least, tried):
    seen = []

    def work(size):
        seen.append(size)
        raise MemoryError("none")

    with pytest.raises(MemoryError, match="none"):
        memory.halving(work, size, least)
    assert seen == tried


@pytest.mark.gpu
@pytest.mark.parametrize("late", [False, True])
def test_a_gpu_that_is_really_full(late):
    """No error is made up here: eight videos take 8 GiB, forward or with their gradient, of a GPU that is let have five."""

    def fit(num_gib):
        weight = nn.Parameter(torch.linspace(-1, 1, 4, device="cuda"))
        videos = torch.linspace(-2, 2, 8 * 4, device="cuda").unflatten(0, (8, 4))

        def loss(rows):
            each = (videos[rows.to("cuda")] @ weight).tanh()
            if late:
                wide = (
                    each[:, None].expand(-1, 2**28 // 2).exp()
                )  # kept for the gradient, as large again on the way back
                each = each + 0 * wide.mean(1)
            else:
                each = each + torch.zeros(len(rows), 2**28, device="cuda").mean(1)
            return each.mean()

        torch.cuda.set_per_process_memory_fraction(num_gib * 2**30 / torch.cuda.get_device_properties(0).total_memory)
        try:
            with memory.watching() as told:
                train([weight], loss, 8, CONFIG, torch.Generator().manual_seed(0), mean_over_rows=True)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
        return weight.detach().cpu(), told.micro_batch

    (whole, all_at_once), (parts, fewer) = fit(40), fit(5)
    assert all_at_once == 8 and fewer < 8
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
