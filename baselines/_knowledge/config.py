"""Every switch of the knowledge-prompt method, what its values are, and what a table calls them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bench.contracts import BenchError, NotApplicable
from bench.prompting import PLACES

CHOICES = {
    "context_place": PLACES,
    "context_init": ("random", "zeros", "phrase", "knowledge"),
    "aggregation": ("logits", "features", "max", "attention", "transport"),
    "temporal_pooling": ("mean", "attention", "transformer"),
    "as_released": (False, True, "continuous", "pooling", "antonym"),
}
WEIGHTS = ("cross_entropy_weight", "focal_ordinal_weight", "consistency_weight", "memory_weight")
# A field -> the switch without which it would do nothing, and where that has to stand.
OWNERS: dict[str, tuple[str, Any]] = {
    "phrase": ("context_init", "phrase"),
    "sentence_encoder": ("continuous", True),
    "transformer_layers": ("temporal_pooling", "transformer"),
    "antonyms": ("numeric", True),
    "memory_weight": ("numeric", True),
}
# What a changed field is called in a row's name; one that is not here is told by the table itself.
WORDS = {
    "class_specific_context": "class-specific",
    "context_place": "context {}",
    "context_init": "initialised from {}",
    "phrase": "the phrase '{}'",
    "aggregation": "{} of statements",
    "temporal_pooling": "{} over frames",
    "continuous": "continuous channel",
    "numeric": "numerical channel",
    "focal_ordinal_weight": "focal-ordinal {:g}",
    "cross_entropy_weight": "cross-entropy {:g}",
    "consistency_weight": "consistency {:g}",
    "memory_weight": "memory {:g}",
    "label_smoothing": "label smoothing {:g}",
    "class_balancing": "classes balanced",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """See docs/method.md for each switch: its values, formulas and sources. The defaults are the plain method.

    AdamW with weight decay .2 is GaVA-CLIP's. A step costs the text tower's pass over all statements, whatever the batch, so
    batches are large and steps few, in place of its 1e-4 over 2,000 steps of batch 4. The learning rate for that is the best of
    four (.002, .005, .01, .02) on the toy set's validation view, one seed, one backbone.
    """

    num_context_tokens: int = 8
    class_specific_context: bool = False
    context_place: str = "before"
    context_init: str = "random"
    phrase: str = "a video of a person"
    with_class_name: bool = True
    aggregation: str = "logits"
    temporal_pooling: str = "mean"
    transformer_layers: int = 1
    continuous: bool = False
    sentence_encoder: str = ""  # "" is the backbone's own text tower, otherwise FOLDER@DIGEST
    numeric: bool = False
    antonyms: tuple[str, ...] = ()  # "column: low text | high text"; () is what `numeric.known_pair` knows
    cross_entropy_weight: float = 1.0
    focal_ordinal_weight: float = 0.0
    consistency_weight: float = 0.0
    memory_weight: float = 0.1  # GaVA-CLIP's
    label_smoothing: float = 0.0
    class_balancing: bool = False
    as_released: bool | str = False  # the defects of the earlier code: all three, or one of them
    learning_rate: float = 0.01
    weight_decay: float = 0.2
    batch_size: int = 256
    epochs: int = 60

    def __post_init__(self) -> None:
        def wrong(text: str) -> BenchError:
            return BenchError(f"knowledge_prompt: {text}")

        if self.num_context_tokens < 1:
            raise wrong(f"num_context_tokens is {self.num_context_tokens}; without context there is nothing to learn")
        for name, valid in CHOICES.items():
            value = getattr(self, name)
            if not any(value is v if isinstance(v, bool) else value == v for v in valid):
                raise wrong(f"{name} is one of {', '.join(map(str, valid))}, not {value!r}")
        for name in WEIGHTS:
            if not 0 <= getattr(self, name) < math.inf:
                raise wrong(f"{name} is {getattr(self, name)}; a weight is 0 or more")
        if not self.cross_entropy_weight + self.focal_ordinal_weight:
            raise wrong(
                "cross_entropy_weight and focal_ordinal_weight are both 0; nothing would be learnt from the labels"
            )
        if not 0 <= self.label_smoothing < 1:
            raise wrong(f"label_smoothing is {self.label_smoothing}; it is at least 0 and less than 1")
        if self.transformer_layers not in (1, 2):
            raise wrong(f"transformer_layers is {self.transformer_layers}; it is 1 or 2")
        if self.numeric and not self.memory_weight:
            raise wrong("numeric does nothing with memory_weight 0: the memory loss is all there is of the channel")
        if not self.phrase.strip():
            raise wrong("the phrase is empty")
        if (self.aggregation, self.temporal_pooling) == ("transport", "attention"):
            raise wrong("transport weighs the frames itself; with it temporal_pooling is mean or transformer")

    def has_defect(self, name: str) -> bool:
        """Whether this defect of the released code is reproduced: "continuous", "pooling" or "antonym"."""
        return self.as_released is True or self.as_released == name


def refuse_idle(config: Config) -> None:
    """Raise BenchError where a setting was changed that does nothing as the others stand.

    Not in `Config` itself: tables make configs with one changed field to see what a row's name tells.
    """
    plain = Config()
    for name, (owner, needed) in OWNERS.items():
        if getattr(config, name) != getattr(plain, name) and getattr(config, owner) != needed:
            raise BenchError(
                f"knowledge_prompt: {name} does nothing unless {owner} is {needed}; leave it out or set that"
            )
    for defect, channel in (("continuous", "continuous"), ("antonym", "numeric")):
        if config.has_defect(defect) and not getattr(config, channel):
            raise BenchError(
                f"knowledge_prompt: as_released={config.as_released!r} has a defect of a part that is off; set {channel}=True"
            )
    if config.has_defect("pooling") and config.context_place != "before":
        raise BenchError(
            f"knowledge_prompt: as_released={config.as_released!r} pools early because the context stands before the text; "
            f"with context_place={config.context_place!r} there is no such code to reproduce"
        )


def refuse_one_frame(config: Config, num_frames: int) -> None:
    """Raise NotApplicable where what weighs the frames of a video against each other would have one."""
    if num_frames == 1:
        for name, idle in (("temporal_pooling", ("attention",)), ("aggregation", ("transport",))):
            if getattr(config, name) in idle:
                raise NotApplicable(
                    f"{name}={getattr(config, name)!r} weighs frames, and a video has one here: it would change nothing"
                )


def describe(config: Config) -> str:
    """The row's name in a table: the number of context tokens, and every part that is not the plain method's."""
    plain, told = Config(), [f"{config.num_context_tokens} tokens"]
    told += [
        words.format(getattr(config, name))
        for name, words in WORDS.items()
        if getattr(config, name) != getattr(plain, name)
    ]
    if config.sentence_encoder:
        folder, _, pinned = config.sentence_encoder.rpartition("@")
        told.append(f"sentences by {PurePath(folder).name}@{pinned}")
    if not config.with_class_name:
        told.append("no class name")
    if config.as_released:
        told.append("as released" if config.as_released is True else f"{config.as_released} as released")
    return f"knowledge prompt, {', '.join(told)}"


def suggest(trial: Any) -> dict[str, Any]:
    """What a study may choose."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "num_context_tokens": trial.suggest_categorical("num_context_tokens", [4, 8, 16]),
        "with_class_name": trial.suggest_categorical("with_class_name", [False, True]),
        "context_init": trial.suggest_categorical("context_init", ["random", "phrase", "knowledge"]),
        "aggregation": trial.suggest_categorical("aggregation", ["logits", "features", "max"]),
        "consistency_weight": trial.suggest_categorical("consistency_weight", [0.0, 1.0, 8.0]),
    }


def fields() -> tuple[str, ...]:
    """Every switch."""
    return tuple(f.name for f in dataclasses.fields(Config))
