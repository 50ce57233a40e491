"""The one training loop that every method with gradients shares: same schedule, same seeds, same rule of selection."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench import checkpoints, memory, stopping, training_log
from bench.contracts import BenchError

OPTIMIZERS = ("sgd", "adamw")


@dataclass
class Share:
    """How much of a training is done: 1/`divisor` of its epochs, rounded up; `used` says whether a training was asked."""

    divisor: int = 1
    used: bool = False


_share: ContextVar[Share | None] = ContextVar("_share", default=None)


@contextmanager
def share(divisor: int) -> Iterator[None]:
    """Within it, `train` ends after 1/divisor of its epochs, rounded up; the schedule stays that of all of them.

    Raises:
        BenchError: divisor is more than 1 and nothing was trained by `train`, so that nothing was shorter.
    """
    asked = Share(divisor)
    token = _share.set(asked)
    try:
        yield
    finally:
        _share.reset(token)
    if divisor > 1 and not asked.used:
        raise BenchError(
            "the method does not train by bench.training.train, so it cannot be cut short; tune it without pruning"
        )


class TrainingDiverged(BenchError):
    """The loss is no longer a number: a failure of the method's configuration, recorded and not retried."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Optimiser and schedule. `epochs` counts passes over the training view; the last step is what is kept."""

    optimizer: str = "sgd"
    learning_rate: float = 0.002
    weight_decay: float = 5e-4
    batch_size: int = 32
    epochs: int = 50
    warmup_epochs: int = 1
    warmup_learning_rate: float = 1e-5

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise BenchError(f"unknown optimizer {self.optimizer!r}; it is one of {', '.join(OPTIMIZERS)}")
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise BenchError(
                f"epochs {self.epochs}, batch_size {self.batch_size}, learning_rate {self.learning_rate} must be positive"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise BenchError(f"weight_decay is {self.weight_decay}; it is 0 or more")


def _leave_dynamo_out() -> None:
    """Let optimizers work without torch._dynamo: they hide from torch.compile, and to do so load it first, five seconds of work.

    What `torch._compile._disable_dynamo` makes of a method keeps what it calls in `__dynamo_disable`; no training step is compiled here.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if plain is not None:
            vars(plain).setdefault("__dynamo_disable", plain)


_leave_dynamo_out()


def _step(optimizer: torch.optim.Optimizer) -> None:
    """What `optimizer.step()` does, but for its hooks and the loading of torch._dynamo."""
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer)


def train(
    parameters: Sequence[nn.Parameter],
    loss: Callable[[Tensor], Tensor],
    num_videos: int,
    config: TrainConfig,
    generator: torch.Generator,
    mean_over_rows: bool = False,
) -> list[float]:
    """Minimise `loss(rows)`, rows int64 `(B,)` of the training view, over `parameters`.

    Cosine decay by epoch after a constant warm-up, as CoOp trains (Zhou et al., 2022, configs of its repository).

    Where checkpoints are kept it goes on from the last one, and leaves one where it is asked to stop.

    Args:
        mean_over_rows: whether the loss of some rows is the mean of the losses of each (what depends on no row may be added). A step
            that memory does not hold is then done in halves, and so on, to the same result but for rounding.

    Returns:
        the mean loss of each epoch.

    Raises:
        BenchError: memory does not hold a step.
        TrainingDiverged: a loss that is not finite.
        Stopped: this process was asked to stop.
    """
    if config.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            parameters, lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    saved = checkpoints.begin(parameters, optimizer, generator, [dataclasses.asdict(config), num_videos])
    done = saved.restore() if saved else None
    history = list(done.history) if done else []
    micro_batch = done.micro_batch if done else min(config.batch_size, num_videos)
    epochs = epochs_asked(config.epochs)
    log = training_log.begin(epochs)
    log.tell(history)
    for epoch in range(len(history), epochs):
        rate = _rate(epoch, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for rows in _batches(num_videos, config.batch_size, generator):
            most = min(micro_batch, len(rows))
            work = partial(_gradients, optimizer, loss, rows)
            value, size = _fitting(work, most, 1 if mean_over_rows else most)
            if size < most:
                micro_batch = size
                print(f"out of memory: {size} videos at once from here on", file=sys.stderr)
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"the loss is {value} in epoch {epoch + 1}; lower the learning rate ({config.learning_rate})"
                )
            _step(optimizer)
            total += value * len(rows)
        history.append(total / num_videos)
        log.tell(history)
        if saved and (saved.is_due or stopping.requested()):
            saved.save(history, micro_batch)
        stopping.check()
    memory.tell(micro_batch)
    return history


def _gradients(optimizer: torch.optim.Optimizer, loss: Callable[[Tensor], Tensor], rows: Tensor, size: int) -> float:
    """The mean loss over rows, and its gradients, from `size` of them at a time; no gradients where it is not finite."""
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in rows.split(size):
        value, weight = loss(part), len(part) / len(rows)
        total += value.item() * weight
        if not math.isfinite(total):
            break
        (value * weight).backward()
    return total


def _fitting(work: Callable[[int], float], most: int, least: int) -> tuple[float, int]:
    """What the work comes to with as many of `most` videos as memory holds, and how many. Raises BenchError under `least`."""
    try:
        return memory.halving(work, most, least)
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        why = "their loss is no mean over videos, so they cannot be taken in parts; " if least > 1 else ""
        raise BenchError(
            f"out of memory: a training step does not hold {least} video{'s' * (least > 1)} ({why}"
            f"lower the method's batch_size, or use a machine with more memory): {error}"
        ) from error


def epochs_asked(epochs: int) -> int:
    """How many of the epochs are trained, by the `share` around; a training loop that asks need not be told."""
    asked = _share.get() or Share()
    asked.used = True
    return -(-epochs // asked.divisor)


def _rate(epoch: int, config: TrainConfig) -> float:
    if epoch < config.warmup_epochs < config.epochs:
        return config.warmup_learning_rate
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))


def _batches(num: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(num, generator=generator)
    yield from order.split(size)
