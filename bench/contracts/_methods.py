"""What a file in `baselines/` defines: a config, how it is fitted, and what predicts then.

Shape legend: N videos, C classes.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bench.contracts._basics import BenchError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.contracts._backbones import Adapter
    from bench.contracts._views import Classes, Features, LabelledFeatures, Videos


KNOWLEDGE = "knowledge"  # in NEEDS: the method may read the statements, so the bank is part of the run id
TRAIN = "train"  # in NEEDS: the method learns from the training view
FRAMES = "frames"  # in NEEDS: the method reads frames instead of features, for it trains or runs the visual side itself


class Predictor(Protocol):
    """A fitted method. Each video is judged by itself; the classes may be ones that `fit` never saw (or NotApplicable).

    That of a method that reads frames takes Videos where others take Features, and has `num_parameters`, those of what it runs.

    Where TRAINABLE is not "none" it also has `num_trainable`: how many numbers were learnt, for the table of costs. It may have
    `interpret(features, classes)`, which gives a `bench.interpretation.Interpretation` of some videos; that is kept beside the run.
    """

    def __call__(self, features: Features | Videos, classes: Classes) -> Tensor:
        """Logits float32 `(N, C)`, columns in the order of `classes`."""
        ...


class Method(Protocol):
    """The names that a file in `baselines/` defines. A method never receives the test view.

    With FRAMES in NEEDS its views are LabelledVideos and no features are computed for it. It may define `columns(config, adapter)`:
    what of `num_frames`, `num_views` and the other facts of a run's row is not the backbone's own. It may define
    `check(config, adapter, class_names)`, which raises BenchError where its config does not fit: that is asked before any work.
    """

    Config: type  # a frozen dataclass; every field reaches the run id
    NEEDS: frozenset[str]  # capabilities of the adapter, and KNOWLEDGE, TRAIN, FRAMES
    TRAINABLE: str  # what is learnt, for the tables: "none", "prompt", "head", "all"
    VERSION: int

    def fit(
        self,
        config: Any,
        adapter: Adapter,
        train: LabelledFeatures | None,
        val: LabelledFeatures | None,
        classes: Classes,
        seed: int,
    ) -> Predictor:
        """Learn from the training view; choose, if at all, on the validation view. A view that the protocol does not give is None."""
        ...

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Config fields drawn from an Optuna trial; {} where there is nothing to tune."""
        ...

    def describe(self, config: Any) -> str:
        """The row's name in a table."""
        ...


def config_fields(config_type: type) -> tuple[str, ...]:
    """The field names of a frozen config dataclass."""
    return tuple(f.name for f in dataclasses.fields(config_type))


def make_config(config_type: type, values: Mapping[str, Any], where: str) -> Any:
    """Build a config, with ONE error that lists every unknown field and the valid ones, or the first value of another type."""
    valid = config_fields(config_type)
    unknown = sorted(set(values) - set(valid))
    if unknown:
        raise BenchError(f"{where}: unknown config {', '.join(unknown)}; it takes {', '.join(valid) or 'nothing'}")
    hints = typing.get_type_hints(config_type)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise BenchError(f"{where}: {name} is {value!r}; it is {_type_name(hints[name])}")
    return config_type(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type, of those that a config is written in; others are left to the config itself."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, (tuple, list))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (bool, str, type(None)) else True


def _type_name(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        str: "text",
        type(None): "None",
        tuple: "a list",
    }
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(names.get(typing.get_origin(part) or part, str(part)) for part in parts)
