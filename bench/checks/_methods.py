"""The checks of a method on an adapter."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import safetensors
import torch

from bench import frames
from bench.checks._adapters import is_frozen
from bench.checks._probes import NAMES, TEXTS, Result, close, require, result, videos
from bench.checks._probes import frames as pictures
from bench.contracts import (
    FRAMES,
    KNOWLEDGE,
    TRAIN,
    Adapter,
    Classes,
    Features,
    LabelledFeatures,
    LabelledVideos,
    Video,
    Videos,
)
from bench.datasets._rendered import write_mp4
from bench.features import FeatureStore
from bench.frozen import parameter_hash


def check_method(method: ModuleType, adapter: Adapter, config: Any = None) -> list[Result]:
    """Every check of a method on an adapter, with its default config unless one is given."""
    with tempfile.TemporaryDirectory() as folder:
        probe = _Probe(method, adapter, method.Config() if config is None else config, Path(folder))
        return [result(f.__name__, functools.partial(f, probe)) for f in _METHOD_CHECKS]


@dataclasses.dataclass(frozen=True)
class _Probe:
    """What is checked, and a folder for the videos that methods read that read frames."""

    method: ModuleType
    adapter: Adapter
    config: Any
    folder: Path

    def fitted(self) -> tuple[Any, Features | Videos, Classes]:
        """A predictor fitted on 3 classes x 3 synthetic videos, 12 test videos, the classes."""
        reads = FRAMES in self.method.NEEDS
        statements = tuple((f"{t}", f"{t} again and again") for t in TEXTS[:3])
        classes = Classes(NAMES, ("{}", "a video of {}."), statements if KNOWLEDGE in self.method.NEEDS else ())
        train, val, test = _written(self.folder) if reads else _drawn(self.adapter)
        nothing = TRAIN not in self.method.NEEDS
        views = (None, None) if nothing else (train, val)
        predictor = self.method.fit(self.config, self.adapter, *views, classes, 5)
        return predictor, test.videos if isinstance(test, LabelledVideos) else test.features, classes


def config_is_frozen(probe: _Probe) -> None:
    """A frozen dataclass whose defaults make a config and whose fields go through JSON into the run id."""
    method, config = probe.method, probe.config
    require(dataclasses.is_dataclass(config), "Config is no dataclass")
    require(bool(method.Config.__dataclass_params__.frozen), "Config is not frozen")
    json.dumps(dataclasses.asdict(config))
    require(isinstance(method.describe(config), str), "describe(config) is no text")
    taken = list(inspect.signature(method.fit).parameters)
    require(taken == ["config", "adapter", "train", "val", "classes", "seed"], f"fit takes {', '.join(taken)}")


def logits_are_whole(probe: _Probe) -> None:
    """`(N, C)` float32, finite, the same for the same seed."""
    predictor, test, classes = probe.fitted()
    logits = predictor(test, classes)
    require(
        tuple(logits.shape) == (len(test), len(classes)),
        f"logits are {tuple(logits.shape)}, not ({len(test)}, {len(classes)})",
    )
    require(logits.dtype == torch.float32, f"logits are {logits.dtype}, not float32")
    require(bool(torch.isfinite(logits).all()), "logits are not finite")
    again, _, _ = probe.fitted()
    close(again(test, classes), logits, "two fits with one seed")


def learnt_numbers_are_counted(probe: _Probe) -> None:
    """A predictor that learnt something tells how many numbers: `num_trainable`, above 0."""
    predictor, _, _ = probe.fitted()
    count = getattr(predictor, "num_trainable", None)
    kind = probe.method.TRAINABLE
    if kind != "none":
        require(isinstance(count, int) and count > 0, f"TRAINABLE is {kind!r}, num_trainable is {count!r}")


def classes_permute(probe: _Probe) -> None:
    """Classes in another order give the same columns in that order."""
    predictor, test, classes = probe.fitted()
    logits = predictor(test, classes)
    order = [2, 0, 1]
    close(predictor(test, classes.select(order)), logits[:, order], "classes in another order")


def videos_are_judged_alone(probe: _Probe) -> None:
    """A test video's logits do not depend on the other test videos: no peeking at the test set as a whole."""
    predictor, test, classes = probe.fitted()
    logits = predictor(test, classes)
    close(predictor(test.select([4]), classes)[0], logits[4], "a test video alone and among the others")
    order = torch.arange(len(test)).flip(0)
    close(predictor(test.select(order), classes).flip(0), logits, "test videos in another order")


def backbone_stays(probe: _Probe) -> None:
    """Fitting and predicting leave every parameter, the mode, and the gradients of the backbone as they were."""
    adapter = probe.adapter
    before = parameter_hash(adapter.module)
    predictor, test, classes = probe.fitted()
    predictor(test, classes)
    require(parameter_hash(adapter.module) == before, "a parameter of the frozen backbone changed")
    is_frozen(adapter)
    left = [n for n, p in adapter.module.named_parameters() if p.grad is not None]
    require(not left, f"gradients were left on frozen parameters ({left[0]} ...)" if left else "")


def files_stay_closed(probe: _Probe) -> None:
    """`fit` opens no data file: what it may see comes as arguments, and the test view is not among them.

    A method that reads frames opens the videos of its views, and no others. Python's own `open` is seen wherever it is called;
    libraries that open files in C or Rust are seen by their usual doors.
    """
    with _watched() as opened:
        probe.fitted()
    views = tuple(str(probe.folder / part) for part in ("train", "val"))
    others = [door for door in opened if not any(view in door for view in views)]
    require(not others, f"fit opened {others[0]}" if others else "")


_METHOD_CHECKS = (
    config_is_frozen,
    logits_are_whole,
    learnt_numbers_are_counted,
    classes_permute,
    videos_are_judged_alone,
    backbone_stays,
    files_stay_closed,
)

_DATA_SUFFIXES = (".safetensors", ".npz", ".npy", ".csv", ".mp4", ".avi", ".pt")
_opened: list[str] | None = None


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and str(args[0]).endswith(_DATA_SUFFIXES):
        _opened.append(str(args[0]))


@contextmanager
def _watched() -> Iterator[list[str]]:
    """The data files that are opened meanwhile. A hook cannot be taken off again, so it is put on once and switched."""
    global _opened
    _add_hook()
    _opened = []
    doors: list[tuple[Any, str]] = [
        (av, "open"),
        (safetensors, "safe_open"),
        (FeatureStore, "load"),
        (frames, "read"),
        (frames, "read_at"),
        (frames, "examine"),
        (torch, "load"),
    ]
    before = [getattr(owner, name) for owner, name in doors]
    for (owner, name), door in zip(doors, before, strict=True):
        setattr(owner, name, _watching(f"{owner.__name__}.{name}", door))
    try:
        yield _opened
    finally:
        _opened = None
        for (owner, name), door in zip(doors, before, strict=True):
            setattr(owner, name, door)


def _watching(name: str, door: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        if _opened is not None:
            _opened.append(f"{name}({', '.join(map(str, args))})")
        return door(*args, **kwargs)

    return watched


@functools.cache
def _add_hook() -> None:
    sys.addaudithook(_on_event)


def _drawn(adapter: Adapter) -> tuple[LabelledFeatures, LabelledFeatures, LabelledFeatures]:
    """Views of features that scatter about one of each class."""
    generator = torch.Generator().manual_seed(3)
    probe = adapter.encode_video(videos(adapter, 3))

    def draw(per_class: int) -> LabelledFeatures:
        labels = torch.arange(3).repeat(per_class)
        base = probe.select(labels)
        noise = 0.05 * base.frames.std() * torch.randn(base.frames.shape, generator=generator)
        return LabelledFeatures(Features(base.frames + noise.to(base.frames.device), base.extra), labels)

    return draw(3), draw(1), draw(4)


def _written(folder: Path) -> tuple[LabelledVideos, LabelledVideos, LabelledVideos]:
    """Views of videos in files, of one moving square a class under noise."""
    given, rng = pictures(3), np.random.default_rng(3)

    def write(part: str, per_class: int) -> LabelledVideos:
        rows, labels = [], torch.arange(3).repeat(per_class)
        (folder / part).mkdir(exist_ok=True)
        for number, label in enumerate(labels.tolist()):
            path, frames = folder / part / f"{number}.mp4", given[label].repeat(3, axis=0)
            if not path.exists():
                write_mp4(path, np.clip(frames + rng.integers(-9, 9, frames.shape), 0, 255).astype(np.uint8), 12)
            rows.append(Video(path, len(frames), 12.0))
        return LabelledVideos(Videos(tuple(rows)), labels)

    return write("train", 3), write("val", 1), write("test", 4)
