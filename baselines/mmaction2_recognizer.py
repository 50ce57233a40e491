"""Supervised recognisers of MMAction2, fine-tuned whole by MMEngine's Runner: the config's own augmentation, schedule and optimiser."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines import _recognizers as shared
from bench import checkpoints, memory, stopping, training_log, videos
from bench.compat import mmaction2_data as data
from bench.compat import mmaction2_training as runner
from bench.contracts import (
    FRAMES,
    RECOGNIZER,
    TRAIN,
    BenchError,
    Classes,
    LabelledVideos,
    NotApplicable,
    RecognizerAdapter,
    Videos,
)
from bench.training import TrainingDiverged, epochs_asked

NEEDS = frozenset({TRAIN, FRAMES, RECOGNIZER})
TRAINABLE = "all"
VERSION = 1
OPTIMIZERS = ("SGD", "AdamW")
PRECISIONS = ("float32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What differs from the recogniser's own config; None leaves what it says.

    `epochs` stretches its schedule. `batch_size` are videos a step, with which its learning rate goes unless one is given. `frames` a
    view; `resolution` in pixels of the pictures it is trained on, with which all its sizes go; `views` at test time: "test", those of
    its test pipeline, or "one". `precision` of training: "bf16" and "fp16" by autocast.
    """

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    frames: int | None = None
    resolution: int | None = None
    views: str = "test"
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "frames", "resolution"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise BenchError(f"mmaction2_recognizer: {name} is {value}; it is positive")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise BenchError(f"mmaction2_recognizer: weight_decay is {self.weight_decay}; it is 0 or more")
        for name, known in (
            ("optimizer", (None, *OPTIMIZERS)),
            ("views", shared.VIEWS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                raise BenchError(
                    f"mmaction2_recognizer: unknown {name} {getattr(self, name)!r}; it is one of {', '.join(map(str, known))}"
                )


@dataclass(frozen=True)
class Recognizer:
    """A fine-tuned recogniser, with the classes that it tells apart."""

    model: torch.nn.Module
    steps: list[Any]
    class_names: tuple[str, ...]
    device: torch.device

    @property
    def num_trainable(self) -> int:
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def __call__(self, found: Videos, classes: Classes) -> Tensor:
        place = {name: i for i, name in enumerate(self.class_names)}
        unseen = [name for name in classes.names if name not in place]
        if unseen:
            raise NotApplicable(f"a fine-tuned recogniser knows only its training classes, not {', '.join(unseen[:5])}")
        logits = shared.predict(self.model, found, self.steps, self.device)
        return logits[:, [place[name] for name in classes.names]]


def fit(
    config: Config,
    adapter: RecognizerAdapter,
    train: LabelledVideos,
    val: LabelledVideos | None,
    classes: Classes,
    seed: int,
) -> Recognizer:
    """Train from the backbone's weights; the epoch that is best on validation by top-1 is kept, the last where there is none."""
    torch.manual_seed(seed)  # the values that are drawn
    model = adapter.recognizer(len(classes), config.frames)
    recipe, device = adapter.recipe, next(adapter.module.parameters()).device
    batch_size = min(config.batch_size or int(recipe["train_dataloader"]["batch_size"]), len(train))
    plan = runner.schedule(
        recipe,
        config.epochs,
        batch_size,
        epochs_asked,
        config.optimizer,
        config.learning_rate,
        config.weight_decay,
        config.precision,
    )
    steps = {stage: _steps(recipe, stage, config) for stage in ("train", "val")}
    # Several augmentations of a video a step, where the config was made for that (MViT).
    repeats = int(recipe["train_dataloader"]["dataset"].get("num_repeats", 1))
    clips = data.Clips(train.videos, train.labels.tolist(), steps["train"], seed, repeats)
    loader = data.loader(clips, data.Order(len(train), seed), batch_size)
    val_loader = None
    if val is not None:
        val_clips = data.Clips(val.videos, val.labels.tolist(), steps["val"], seed)
        val_loader = data.loader(val_clips, data.Order(len(val), None), batch_size)
    _train(model, loader, val_loader, plan, seed, device, config)
    memory.tell(batch_size)
    return Recognizer(
        model, shared.test_steps(recipe, config.frames, config.resolution, config.views), classes.names, device
    )


def _steps(recipe: Mapping[str, Any], stage: str, config: Config) -> list[Any]:
    return data.adapted(data.steps(recipe, stage), config.frames, shared.scale(recipe, config.resolution), videos.read)


def _train(
    model: torch.nn.Module,
    loader: Any,
    val_loader: Any,
    plan: runner.Schedule,
    seed: int,
    device: torch.device,
    config: Config,
) -> None:
    """MMEngine's Runner between our checkpoints. Raises BenchError where memory does not hold a step."""
    kept = checkpoints.begin_file(list(model.parameters()), [dataclasses.asdict(plan), len(loader.dataset)])
    log = training_log.begin(plan.epochs_done)

    def restore() -> Mapping[str, Any] | None:
        state = kept.read() if kept else None
        if state is not None:
            checkpoints.continue_drawing(state)
        return state

    def after_step(state: Any, done: runner.Trained, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"the loss is {loss} in epoch {done.epoch + 1}; lower the learning rate ({plan.optimizer['optimizer']['lr']:.3g})"
            )
        if kept and (kept.is_due or stopping.requested()):
            kept.write(state())
        tell(done, (done.step / len(loader), done.total / done.num))
        stopping.check()

    def tell(done: runner.Trained, now: tuple[float, float] | None = None) -> None:
        log.tell(done.losses, done.val_top1, done.best_epoch if done.best is not None else None, now)

    try:
        with checkpoints.scratch() as folder:
            tell(runner.train(model, loader, val_loader, plan, seed, device, folder, restore, after_step))
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        raise BenchError(
            f"out of memory: a training step does not hold {loader.batch_size} videos, and their batch statistics do not let it be done "
            f"in parts; lower batch_size (the learning rate goes with it), frames or resolution: {error}"
        ) from error


def suggest(trial: Any) -> dict[str, Any]:
    """What a study may choose."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
        "optimizer": trial.suggest_categorical("optimizer", list(OPTIMIZERS)),
    }


def describe(config: Config) -> str:
    """The row's name in a table."""
    told = {
        "{} epochs": config.epochs,
        "batch {}": config.batch_size,
        "{}": config.optimizer,
        "lr {:g}": config.learning_rate,
        "decay {:g}": config.weight_decay,
        "{} frames": config.frames,
        "{} px": config.resolution,
        "validation views{}": "" if config.views == "one" else None,
        "trained in {}": config.precision if config.precision != "float32" else None,
    }
    words = [text.format(value) for text, value in told.items() if value is not None]
    return ", ".join(["trained recogniser", *words])


def columns(config: Config, adapter: RecognizerAdapter) -> dict[str, Any]:
    """What the tables say of what it is shown."""
    return shared.columns(adapter, config.frames, config.resolution, config.views)
