"""Supervised recognisers of MMAction2, fine-tuned whole by MMEngine's Runner: the config's own augmentation, schedule and optimiser."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines import _recognizer_training as _training
from baselines import _recognizers as shared
from bench import checkpoints, memory, training_log, videos
from bench.compat import mmaction2_data as data
from bench.compat import mmaction2_schedule as schedules
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
from bench.training import epochs_asked

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
    its test pipeline, or "one". `precision` of training: "bf16" and "fp16" by autocast. `processes` train together, one a GPU, each with
    `batch_size` videos a step and batch statistics of its own, as 8xb16 in a config's name means 8 of them.
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
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "frames", "resolution", "processes"):
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


def check(config: Config, adapter: RecognizerAdapter, class_names: Sequence[str]) -> None:
    """Raises BenchError where the recogniser's config has no schedule, or its learning rate is another optimizer's."""
    _schedule(config, adapter.recipe, 1)


def _schedule(config: Config, recipe: Mapping[str, Any], videos_a_step: int) -> schedules.Schedule:
    return schedules.schedule(
        recipe,
        config.epochs,
        videos_a_step,
        epochs_asked,
        config.optimizer,
        config.learning_rate,
        config.weight_decay,
        config.precision,
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
    device = next(adapter.module.parameters()).device
    if config.precision == "fp16" and device.type != "cuda":
        raise BenchError("precision is fp16, which trains on a GPU alone; take bf16 or float32 on the CPU")
    _check_processes(config.processes, device)
    with data.generators_kept(device):
        torch.manual_seed(seed)  # the values that are drawn
        model = adapter.recognizer(len(classes), config.frames)
        _train(config, adapter, model, len(classes), train, val, seed, device)
    steps = shared.test_steps(adapter.recipe, config.frames, config.resolution, config.views)
    return Recognizer(model, steps, classes.names, device)


def _train(
    config: Config,
    adapter: RecognizerAdapter,
    model: torch.nn.Module,
    num_classes: int,
    train: LabelledVideos,
    val: LabelledVideos | None,
    seed: int,
    device: torch.device,
) -> None:
    """Train in place. Raises BenchError where memory does not hold a step, or it cannot be shown what the config asks for."""
    recipe = adapter.recipe
    own = -(-len(train) // config.processes)
    batch_size = min(config.batch_size or int(recipe["train_dataloader"]["batch_size"]), own)
    plan = _schedule(config, recipe, batch_size * config.processes)
    steps = {stage: _steps(recipe, stage, config) for stage in ("train", "val")}
    # Several augmentations of a video a step, where the config was made for that (MViT).
    repeats = int(recipe["train_dataloader"]["dataset"].get("num_repeats", 1))
    training = _training.Training(
        plan=plan,
        seed=seed,
        batch_size=batch_size,
        clips=data.Clips(train.videos, train.labels.tolist(), steps["train"], seed, repeats),
        val_clips=None if val is None else data.Clips(val.videos, val.labels.tolist(), steps["val"], seed),
        kept=checkpoints.begin_file(list(model.parameters()), [dataclasses.asdict(plan), len(train)]),
        log=training_log.begin(plan.epochs_done),
    )
    try:
        if config.frames is not None or config.resolution is not None:
            for clips in filter(None, (training.clips, training.val_clips)):
                _check_fits(model, clips, device)
        with checkpoints.scratch() as folder:
            if config.processes == 1:
                _training.train(training, model, device, folder)
            else:
                built = (adapter.facts.architecture, num_classes, config.frames)
                _training.train_together(training, model, built, config.processes, device, folder)
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        raise BenchError(
            f"out of memory: a training step does not hold {batch_size} videos, and their batch statistics do not let it be done "
            f"in parts; lower batch_size (the learning rate goes with it), frames or resolution: {error}"
        ) from error
    memory.tell(batch_size)


def _check_fits(model: torch.nn.Module, clips: data.Clips, device: torch.device) -> None:
    """Show a recogniser the first video, which changes nothing. Raises BenchError where it cannot be shown such a one."""
    seen = "a video"
    try:
        (item, *_) = clips[0, 0]
        seen = f"views of {' x '.join(map(str, item['inputs'].shape))}"
        with torch.no_grad(), data.drawing(0):
            model.eval().to(device).test_step({"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]})  # type: ignore[operator]
    except Exception as error:
        if isinstance(error, BenchError | OSError) or memory.is_exhausted(error):
            raise
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BenchError(
            f"this recogniser cannot be shown {seen}, which is what frames and resolution make of its pipeline ({said[0]}); leave out the "
            "one that it was not made for, or take another recogniser"
        ) from error
    finally:
        model.train()


def _check_processes(num: int, device: torch.device) -> None:
    """Raises BenchError where there are fewer GPUs than processes."""
    there = torch.cuda.device_count() if device.type == "cuda" else num
    if there < num:
        raise BenchError(
            f"processes is {num}, one a GPU, and this worker has {there}: give it as many (on Slurm gpus = {num} under [runs] in the site "
            "file), or train in fewer processes, which is another setting"
        )


def _steps(recipe: Mapping[str, Any], stage: str, config: Config) -> list[Any]:
    return data.adapted(data.steps(recipe, stage), config.frames, shared.scale(recipe, config.resolution), videos.read)


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
        "{} processes": config.processes if config.processes > 1 else None,
        "trained in {}": config.precision if config.precision != "float32" else None,
    }
    words = [text.format(value) for text, value in told.items() if value is not None]
    return ", ".join(["trained recogniser", *words])


def columns(config: Config, adapter: RecognizerAdapter) -> dict[str, Any]:
    """What the tables say of what it is shown."""
    told = shared.columns(adapter, config.frames, config.resolution, config.views)
    with suppress(BenchError):  # a config without a train pipeline, which `fit` refuses
        told["train_resolution"] = config.resolution or data.training_size(adapter.recipe)
    return told
