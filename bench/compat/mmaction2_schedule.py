"""How a recogniser is trained: what its config says of epochs, optimiser and learning rate, stretched to our data."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts import BenchError

BF16 = "KpbenchBf16OptimWrapper"  # registered by who trains


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is trained how long: `epochs` of the schedule, of which `epochs_done` are trained; a validation every `val_interval`.

    `optimizer` are the fields of MMEngine's OptimWrapper, `scheduler` its parameter schedulers. `find_unused_parameters` is for several
    processes, where a step leaves some of the recogniser out.
    """

    epochs: int
    epochs_done: int
    val_interval: int
    optimizer: Mapping[str, Any]
    scheduler: Sequence[Mapping[str, Any]]
    find_unused_parameters: bool = False


def schedule(
    recipe: Mapping[str, Any],
    epochs: int | None,
    videos_a_step: int,
    asked: Callable[[int], int] = lambda epochs: epochs,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    precision: str = "float32",
) -> Schedule:
    """A config's schedule, stretched to another number of epochs, its learning rate to another number of videos a step.

    Args:
        epochs: in place of the config's own; milestones, warm-up and everything else that is counted in epochs goes with it.
        videos_a_step: over all processes. The config's learning rate is meant for those in its name (8xb16 is 128), and is scaled
            linearly (Goyal et al., 2017); one that is given is taken as it is.
        asked: how many of the epochs are trained.
        optimizer: "SGD" or "AdamW" in place of the config's own, whose settings are then left out but for the weight decay; it needs a
            learning rate.
        precision: "float32", "bf16", or "fp16" by MMEngine's AmpOptimWrapper, on a GPU alone.

    Raises:
        BenchError: the config has no schedule, or the learning rate is another optimizer's.
    """
    loop = recipe.get("train_cfg") or {}
    wrapper = copy.deepcopy(_plain(recipe.get("optim_wrapper") or {}))
    if "optimizer" not in wrapper or not loop.get("max_epochs"):
        raise BenchError("this recogniser's config does not say how it is trained; take one that does")
    whole = epochs or int(loop["max_epochs"])
    stretch = whole / int(loop["max_epochs"])
    if optimizer is not None and optimizer != (own := wrapper["optimizer"]["type"]):
        if learning_rate is None:
            raise BenchError(
                f"optimizer is {optimizer}, and the config's learning rate of {wrapper['optimizer']['lr']:g} is meant for {own}; give "
                f"a learning_rate for {optimizer}"
            )
        kept = {k: v for k, v in wrapper["optimizer"].items() if k in ("lr", "weight_decay")}
        wrapper["optimizer"] = {"type": optimizer, **kept} | ({"momentum": 0.9} if optimizer == "SGD" else {})
    chosen, config_rate = wrapper["optimizer"], float(wrapper["optimizer"]["lr"])
    chosen["lr"] = learning_rate if learning_rate is not None else chosen["lr"] * videos_a_step / _base_batch(recipe)
    if weight_decay is not None:
        chosen["weight_decay"] = weight_decay
    wrapper["type"] = BF16 if precision == "bf16" else "OptimWrapper"
    if precision == "fp16":  # whose small gradients need the loss to be scaled
        wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16"}
    return Schedule(
        epochs=whole,
        epochs_done=asked(whole),
        val_interval=max(1, round(int(loop.get("val_interval", 1)) * stretch)),
        optimizer=wrapper,
        scheduler=_stretched(recipe.get("param_scheduler") or (), stretch, chosen["lr"] / config_rate),
        find_unused_parameters=bool(recipe.get("find_unused_parameters", False)),
    )


def _base_batch(recipe: Mapping[str, Any]) -> int:
    """How many videos a step the config's learning rate is meant for."""
    told = (recipe.get("auto_scale_lr") or {}).get("base_batch_size")
    if told:
        return int(told)
    named = re.search(r"(\d+)xb(\d+)", Path(str(getattr(recipe, "filename", ""))).stem)
    return int(named[1]) * int(named[2]) if named else int(recipe["train_dataloader"]["batch_size"])


def _stretched(schedulers: Any, stretch: float, rate: float) -> list[dict[str, Any]]:
    """Schedulers that do in other epochs, at `rate` times the config's learning rate, what they did in the config's.

    Those that have no epoch left are left out.
    """
    out = []
    for told in _plain(list(schedulers)):
        scaled = dict(told)
        for name in ("begin", "end", "T_max"):
            if name in scaled:
                value = scaled[name] * stretch
                # Only what is converted to steps may begin or end within an epoch.
                scaled[name] = value if scaled.get("convert_to_iter_based") else round(value)
        if "eta_min" in scaled:  # where the rate ends
            scaled["eta_min"] *= rate
        if "milestones" in scaled:
            scaled["milestones"] = [m * stretch for m in scaled["milestones"]]
            if not scaled.get("convert_to_iter_based"):
                scaled["milestones"] = sorted({max(1, round(m)) for m in scaled["milestones"]})
        if scaled.get("T_max", 1) > 0 and scaled.get("end", math.inf) > scaled.get("begin", 0):
            out.append(scaled)
    return out


def _plain(value: Any) -> Any:
    """A config's nodes as plain dicts and lists."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
