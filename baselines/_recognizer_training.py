"""A recogniser's training between checkpoints and log: in this process, or in several that train together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench import checkpoints, distributed, recognizers, stopping
from bench._processes import cores
from bench.compat import mmaction2
from bench.compat import mmaction2_data as data
from bench.compat import mmaction2_schedule as schedules
from bench.compat import mmaction2_training as runner
from bench.decoding import decode_workers
from bench.training import TrainingDiverged

if TYPE_CHECKING:
    from bench.checkpoints import StateFile
    from bench.training_log import Log

VALIDATING = 4  # processes that decode for training to one that decodes for validation
START, TRAINED = "start.pt", "trained.pt"  # the values before and after, on their way between processes


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained on, how, and where its state and log are kept; picklable. `batch_size` videos a step of each process."""

    plan: schedules.Schedule
    seed: int
    batch_size: int
    clips: data.Clips
    val_clips: data.Clips | None
    kept: StateFile | None
    log: Log


def train(training: Training, model: torch.nn.Module, device: torch.device, folder: Path) -> runner.Trained:
    """MMEngine's Runner on this process's share, in place. The first of several processes writes for all of them.

    Raises:
        TrainingDiverged: a loss that is not finite.
        Stopped: this process was asked to stop; its state is kept.
    """
    rank, world, kept = distributed.rank(), distributed.world(), training.kept
    workers = decode_workers(device.type, cores() // world)
    order = data.Order(len(training.clips), training.seed, rank, world)
    loader = data.loader(training.clips, order, training.batch_size, workers)
    val_loader = None
    if training.val_clips is not None:
        order = data.Order(len(training.val_clips), None, rank, world)
        # Idle most of the time, and each holds the libraries: a few.
        val_loader = data.loader(training.val_clips, order, training.batch_size, -(-workers // VALIDATING))

    def restore() -> Mapping[str, Any] | None:
        state = kept.read() if kept else None
        if state is None:
            return None
        own = state["processes"][rank]
        checkpoints.continue_drawing(own)
        return {**state, "model": {**state["model"], **own["buffers"]}}

    def after_step(state: Any, done: runner.Trained, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"the loss is {loss} in epoch {done.epoch + 1}; lower the learning rate "
                f"({training.plan.optimizer['optimizer']['lr']:.3g})"
            )
        due, stop = distributed.agreed(kept is not None and kept.is_due, stopping.requested() is not None)
        if kept and (due or stop):
            # Of several, each draws for itself, and has batch statistics of its own until the epoch ends.
            whole = state()
            buffers = {n: v.cpu() for n, v in model.named_buffers() if n in whole["model"]} if world > 1 else {}
            own = distributed.gathered({"random": checkpoints.random_states(), "buffers": buffers})
            if rank == 0:
                kept.write({**whole, "processes": own})
        if rank == 0:
            tell(training.log, done, (done.step / len(loader), done.total / done.num))
        if stop:
            raise stopping.Stopped(stopping.requested() or "the first process was asked to")

    done = runner.train(model, loader, val_loader, training.plan, training.seed, device, folder, restore, after_step)
    tell(training.log, done)
    return done


def tell(log: Log, done: runner.Trained, now: tuple[float, float] | None = None) -> None:
    """The log learns how far a training is, as `Log.tell`."""
    log.tell(done.losses, done.val_top1, done.best_epoch if done.best is not None else None, now)


def train_together(
    training: Training,
    model: torch.nn.Module,
    built: tuple[str, int, int | None],
    processes: int,
    device: torch.device,
    folder: Path,
) -> None:
    """As `train`, in so many processes of their own; the model has the values afterwards.

    Args:
        built: the model's config, classes and frames, by which each process builds its own.

    Raises:
        InfrastructureError: one of the processes died; it goes on from the state that is kept.
    """
    torch.save(model.state_dict(), folder / START)
    done = distributed.run(partial(_member, training, built, folder), processes, device.type)
    tell(training.log, done)
    model.load_state_dict(torch.load(folder / TRAINED, map_location="cpu", weights_only=True))


def _member(
    training: Training, built: tuple[str, int, int | None], folder: Path, device: torch.device
) -> runner.Trained:
    """The share of one process; what became of all."""
    config, num_classes, frames = built
    model = mmaction2.build(recognizers.path_of(config), num_classes, num_frames=frames)
    model.load_state_dict(torch.load(folder / START, map_location="cpu", weights_only=True))
    done = train(training, model, device, folder)
    if distributed.rank() == 0:
        torch.save({name: value.cpu() for name, value in model.state_dict().items()}, folder / TRAINED)
    return replace(done, best=None if done.best is None else {})  # the values lie in the file
