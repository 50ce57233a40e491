"""MMEngine's Runner on a recogniser and two loaders, without what it writes, says and looks up beside training."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from bench.compat.mmaction2 import import_mmaction
from bench.compat.mmaction2_schedule import BF16, Schedule

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

_names = itertools.count()


@dataclass
class Trained:
    """Where a training is: epochs and steps done, the loss of each epoch, and on validation the top-1 after each, the best and its values.

    `total` is the sum of the losses of the `num` steps of the epoch under way. `val_top1` is None after an epoch without validation.
    `best` is the state dict of the epoch with the highest top-1, the first of equals; None before the first validation.
    """

    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    total: float = 0.0
    num: int = 0
    val_top1: list[float | None] = field(default_factory=list)
    best_top1: float = -1.0
    best_epoch: int = 0
    best: dict[str, Tensor] | None = None


def train(
    model: nn.Module,
    loader: DataLoader[Any],
    val_loader: DataLoader[Any] | None,
    plan: Schedule,
    seed: int,
    device: torch.device,
    folder: Path,
    restore: Callable[[], Mapping[str, Any] | None] = lambda: None,
    after_step: Callable[[Callable[[], dict[str, Any]], Trained, float], None] = lambda state, done, loss: None,
) -> Trained:
    """Train a recogniser by MMEngine's Runner, in place; afterwards it has the values of the best epoch on validation, or the last.

    Args:
        model: where several processes train together through torch.distributed, the same in each; the values are in the first one's then.
        loader: of the process's own share.
        folder: one that the Runner may write to; what it leaves there is of no use to anybody.
        restore: what an earlier process's `after_step` kept, to go on from there; None is from the beginning.
        after_step: called after each step with a function that gives the state there is to keep, tensors and plain values, with what
            is done, and with the step's loss, the mean over processes.
    """
    import_mmaction()
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    _register_bf16(device)
    done = Trained()
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    is_first = world == 1 or distributed.get_rank() == 0

    class Quiet(Runner):
        def _log_env(self, env_cfg: dict[str, Any]) -> None:
            """Seconds of asking compilers for their versions."""

        def dump_config(self) -> None:
            """The run's record tells it."""

        def build_visualizer(self, visualizer: Any = None) -> Any:
            """It would load matplotlib, a second or two a process, for a figure that nobody draws on."""
            return SimpleNamespace(add_config=lambda config: None)

        def _init_model_weights(self) -> None:
            """They are what they are meant to be."""

        def wrap_model(self, wrapper: Any, model: nn.Module) -> nn.Module:
            model = model.to(device)  # MMEngine takes a GPU wherever there is one
            if world == 1:
                return model
            from mmengine.model import MMDistributedDataParallel

            ids = [device.index] if device.type == "cuda" else None
            # Batch statistics are each process's own within an epoch, as MMAction2's are.
            wrapped: nn.Module = MMDistributedDataParallel(
                model, device_ids=ids, broadcast_buffers=False, find_unused_parameters=plan.find_unused_parameters
            )
            return wrapped

        def load_or_resume(self) -> None:
            found = restore()
            if found is not None:
                _put(self, model, done, found)

    class Watch(Hook):
        priority = "LOWEST"  # after the schedulers

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            done.step = runner.iter + 1
            mean = outputs["loss"].detach().clone()
            if world > 1:
                distributed.all_reduce(mean)
            loss = float(mean) / world
            done.total += loss
            done.num += 1
            after_step(lambda: _state(runner, model, done), done, loss)

        def after_train_epoch(self, runner: Any) -> None:
            done.losses.append(done.total / max(1, done.num))
            done.val_top1.append(None)
            done.epoch, done.total, done.num = runner.epoch + 1, 0.0, 0

        def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
            done.val_top1[-1] = top1 = float(metrics["acc/top1"])
            if top1 > done.best_top1:
                done.best_top1, done.best_epoch = top1, done.epoch
                done.best = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()} if is_first else {}

    validation: dict[str, Any] = {}
    if val_loader is not None:
        # "gpu" is by torch.distributed, on the CPU as well; "cpu" leaves files in the working directory.
        metric = {"type": "AccMetric", "collect_device": "gpu"}
        validation = {"val_dataloader": val_loader, "val_cfg": {}, "val_evaluator": metric}
    name = f"kpbench-{next(_names)}"  # MMEngine keeps loggers and the like by name, for the life of the process
    with _process_as_it_was(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"mm(engine|action|cv)\b")  # what newer libraries say to old code
        warnings.filterwarnings(
            "ignore", "Grad strides do not match bucket view strides"
        )  # of convolutions by channels
        runner = Quiet(
            model=model,
            work_dir=str(folder),
            train_dataloader=loader,
            train_cfg={"by_epoch": True, "max_epochs": plan.epochs_done, "val_interval": plan.val_interval},
            optim_wrapper=dict(plan.optimizer),
            param_scheduler=[dict(s) for s in plan.scheduler] or None,
            default_hooks={"logger": None, "checkpoint": None, "timer": None},
            custom_hooks=[Watch(), *([{"type": "SyncBuffersHook"}] if world > 1 else [])],
            launcher="pytorch" if world > 1 else "none",
            log_level="ERROR",
            default_scope="mmaction",
            randomness={"seed": seed, "diff_rank_seed": True},  # or all processes would leave out the same units
            experiment_name=name,
            **validation,
        )
        try:
            runner.train()
        finally:
            for handler in [*runner.logger.handlers]:  # its file is as short-lived as the folder
                runner.logger.removeHandler(handler)  # MMEngine goes on writing to the last logger there was
                handler.close()
    if done.best:
        model.load_state_dict(done.best)
    return done


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Undoes what the Runner changes of the whole process: how others are started, OpenCV's threads, the limit of open files."""
    import cv2

    with ExitStack() as after:
        after.callback(multiprocessing.set_start_method, multiprocessing.get_start_method(allow_none=True), force=True)
        after.callback(cv2.setNumThreads, cv2.getNumThreads())
        if sys.platform != "win32":
            import resource

            files = resource.RLIMIT_NOFILE
            after.callback(resource.setrlimit, files, resource.getrlimit(files))
        yield


def _register_bf16(device: torch.device) -> None:
    """MMEngine's mixed precision needs a GPU and scales the loss; bf16 needs neither."""
    from mmengine.optim import OptimWrapper
    from mmengine.registry import OPTIM_WRAPPERS

    class Bf16(OptimWrapper):
        @contextmanager
        def optim_context(self, model: nn.Module) -> Iterator[None]:
            with super().optim_context(model), torch.autocast(device.type, torch.bfloat16):
                yield

    OPTIM_WRAPPERS.register_module(name=BF16, module=Bf16, force=True)


def _state(runner: Any, model: nn.Module, done: Trained) -> dict[str, Any]:
    schedulers = [{k: v for k, v in s.state_dict().items() if _keepable(v)} for s in runner.param_schedulers or []]
    return {
        "model": model.state_dict(),
        "optimizer": runner.optim_wrapper.state_dict(),
        "schedulers": schedulers,
        "done": vars(done),
    }


def _keepable(value: Any) -> bool:
    # A Counter of milestones is none of those that torch loads; the scheduler has it from its config.
    return type(value) in (bool, int, float, str, list, tuple, type(None))


def _put(runner: Any, model: nn.Module, done: Trained, found: Mapping[str, Any]) -> None:
    """Everything to where it was: the Runner's own way of resuming, but within an epoch."""
    for name, value in found["done"].items():
        setattr(done, name, value)
    model.load_state_dict(found["model"])
    runner.optim_wrapper.load_state_dict(found["optimizer"])
    for scheduler, told in zip(runner.param_schedulers or [], found["schedulers"], strict=True):
        scheduler.load_state_dict(told)
        scheduler.optimizer._global_step = done.step  # or it warns of a schedule that is ahead of its optimizer
    loop = runner.train_loop
    loop._epoch, loop._iter = done.epoch, done.step
    loop.dataloader.sampler.start = (done.step - done.epoch * len(loop.dataloader)) * loop.dataloader.batch_size
