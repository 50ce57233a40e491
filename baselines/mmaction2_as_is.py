"""Supervised recognisers of MMAction2 as they are: their own classes, mapped to the data set's; nothing is trained."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import _recognizers as shared
from bench.contracts import (
    FRAMES,
    RECOGNIZER,
    UNTRAINED,
    BenchError,
    Classes,
    LabelledVideos,
    NotApplicable,
    RecognizerAdapter,
    Videos,
)
from bench.judging import LEAST, Matcher

NEEDS = frozenset({FRAMES, RECOGNIZER})
TRAINABLE = "none"
VERSION = 1
IDENTITY = "identity"
MERGES = ("mean", "max")
HOW = (
    "give own_classes (a .txt with the names of the recogniser's classes, one a line in its order), label_map (a .json object or a .csv "
    f"with the columns source and class, from its classes to the data set's), or label_map={IDENTITY} where both have the same classes in "
    "alphabetical order"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the recogniser's classes become the data set's.

    `own_classes` is a .txt file with the names of its classes, one a line in its order, as MMAction2's label maps are. `label_map` is a
    .json object or a .csv with the columns `source` and `class`: from a class of its own, a number from 0 or with `own_classes` a name, to
    one of the data set; "" goes by name, "identity" by number in alphabetical order. A class of the data set that several are mapped
    to gets the `merge` of their probabilities: "mean" or "max". `views` a video: "test", those of its test pipeline, or "one".
    Files are kept as PATH@DIGEST of their content.
    """

    own_classes: str = ""
    label_map: str = ""
    merge: str = "mean"
    views: str = "test"

    def __post_init__(self) -> None:
        for name, known in (("merge", MERGES), ("views", shared.VIEWS)):
            if getattr(self, name) not in known:
                raise BenchError(
                    f"mmaction2_as_is: unknown {name} {getattr(self, name)!r}; it is one of {', '.join(known)}"
                )
        for name in ("own_classes", "label_map"):
            if getattr(self, name) not in ("", IDENTITY):
                object.__setattr__(self, name, _pinned(name, getattr(self, name)))


def _pinned(name: str, given: str) -> str:
    """PATH or PATH@DIGEST as the latter. Raises BenchError where there is no such file, or its content is another by now."""
    found = re.fullmatch(r"(.+)@([0-9a-f]{16})", given, re.DOTALL)
    path = Path(found[1] if found else given).expanduser().absolute()
    if not path.is_file():
        raise BenchError(f"mmaction2_as_is: {name} is {given}, and there is no such file")
    now = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if found and found[2] != now:
        raise BenchError(f"{path} is not what it was when this run was planned; start the command again")
    return f"{path}@{now}"


@dataclass(frozen=True)
class AsIs:
    """A recogniser, and which of its classes stand for which name."""

    model: torch.nn.Module
    steps: list[Any]
    sources: Mapping[str, Sequence[int]]
    merge: str
    device: torch.device

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def __call__(self, found: Videos, classes: Classes) -> Tensor:
        unseen = [name for name in classes.names if name not in self.sources]
        if unseen:
            raise NotApplicable(
                f"a recogniser as it is knows the classes that it was mapped to, not {', '.join(unseen[:5])}"
            )
        own = shared.predict(self.model, found, self.steps, self.device).softmax(dim=1)
        columns = [own[:, list(self.sources[name])] for name in classes.names]
        merged = [c.mean(dim=1) if self.merge == "mean" else c.amax(dim=1) for c in columns]
        return torch.stack(merged, dim=1).clamp_min(LEAST).log()


def check(config: Config, adapter: RecognizerAdapter, class_names: Sequence[str]) -> None:
    """Raises BenchError as `fit`, before anything is computed."""
    if adapter.facts.pretraining == UNTRAINED:
        raise BenchError(
            f"mmaction2_as_is: {adapter.facts.name} has random weights, so its classes mean nothing; name its checkpoint, "
            f"mmaction2:{adapter.facts.architecture}@FILE, or train it (mmaction2_recognizer)"
        )
    mapping(config, int(adapter.recipe["model"]["cls_head"]["num_classes"]), class_names)


def fit(
    config: Config,
    adapter: RecognizerAdapter,
    train: LabelledVideos | None,
    val: LabelledVideos | None,
    classes: Classes,
    seed: int,
) -> AsIs:
    """Nothing is learnt; the map is read.

    Raises:
        BenchError: a recogniser with random weights, no map, one that cannot be read, or a class of the data set that nothing is mapped to.
    """
    check(config, adapter, classes.names)
    model: Any = adapter.recognizer()
    sources = mapping(config, int(model.cls_head.num_classes), classes.names)
    steps = shared.test_steps(adapter.recipe, None, None, config.views)
    return AsIs(model, steps, sources, config.merge, next(adapter.module.parameters()).device)


def mapping(config: Config, num_own: int, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Each of the data set's classes -> the numbers of the recogniser's that stand for it. Raises BenchError as `fit`."""
    own = _own_classes(config.own_classes, num_own)
    if config.label_map == IDENTITY:
        if own or len(names) != num_own:
            raise BenchError(
                f"label_map={IDENTITY} is for the same classes in alphabetical order, without own_classes, and the recogniser has "
                f"{num_own}, the data set {len(names)}; {HOW}"
            )
        return {name: (number,) for number, name in enumerate(sorted(names))}
    if not own and not config.label_map:
        raise BenchError(
            f"nobody says which of the recogniser's {num_own} classes mean which of the data set's {len(names)}; {HOW}"
        )
    asked = _read(config.label_map) if config.label_map else [(name, name) for name in own]
    source, target = Matcher(own or [str(i) for i in range(num_own)]), Matcher(names)
    found: dict[str, list[int]] = {name: [] for name in names}
    for their, ours in asked:
        number, place = source(their), target(ours)
        if number is None:
            near = source.nearest(their)
            hint = f"; did you mean {near!r}?" if near and own else f", which are 0 to {num_own - 1}" if not own else ""
            raise BenchError(f"{_file(config.label_map)}: the recogniser has no class {their!r}{hint}")
        if place is not None:
            found[names[place]].append(number)
        elif config.label_map:  # of a list of own classes, those that go nowhere are left out
            near = target.nearest(ours)
            hint = f"; did you mean {near!r}?" if near else "; leave it out where it is meant to go nowhere"
            raise BenchError(
                f"{_file(config.label_map)}: {their!r} goes to {ours!r}, which is no class of the data set{hint}"
            )
    if lacking := [name for name in names if not found[name]]:
        nearest = [n for n in (Matcher(own).nearest(lacking[0]) if own else "", _nearest(lacking[0], asked)) if n]
        raise BenchError(
            f"no class of the recogniser is mapped to {', '.join(map(repr, lacking[:5]))}"
            + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
            + (f"; nearest to {lacking[0]!r}: {', '.join(map(repr, dict.fromkeys(nearest)))}" if nearest else "")
            + "; add it to label_map"
        )
    return {name: tuple(dict.fromkeys(numbers)) for name, numbers in found.items()}


def _nearest(name: str, asked: Sequence[tuple[str, str]]) -> str:
    """The class that a map speaks of and that is most like a name that it lacks."""
    return Matcher(list(dict.fromkeys(ours for _, ours in asked))).nearest(name)


def _file(pinned: str) -> Path:
    return Path(pinned.rpartition("@")[0])


def _own_classes(pinned: str, num_own: int) -> list[str]:
    if not pinned:
        return []
    path = _file(pinned)
    names = [line.strip() for line in _text(path).splitlines() if line.strip()]
    if len(names) != num_own or len(set(names)) != len(names):
        raise BenchError(
            f"{path} lists {len(set(names))} classes, and the recogniser has {num_own}; give its own label map"
        )
    return names


def _read(pinned: str) -> list[tuple[str, str]]:
    """(class of the recogniser, class of the data set) of a map, in its order."""
    path = _file(pinned)
    text = _text(path)
    if path.suffix == ".json":
        try:
            told = json.loads(text, object_pairs_hook=lambda pairs: _each_once(path, pairs))
        except ValueError as error:
            raise BenchError(f"{path} is no JSON: {error}") from error
        if not isinstance(told, dict) or not all(isinstance(v, str) for v in told.values()):
            raise BenchError(f'{path} is no object such as {{"12": "class", "13": "class"}}')
        return list(told.items())
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(text))
        if set(rows.fieldnames or ()) != {"source", "class"}:
            raise BenchError(f"{path} has the columns {', '.join(rows.fieldnames or ())}; they are source and class")
        pairs = []
        for row in rows:
            if None in row or not (row["source"] and row["class"]):
                what = "it has more than two fields" if None in row else "a field is empty"
                raise BenchError(f"{path}, line {rows.line_num}: {what}")
            pairs.append((row["source"], row["class"]))
        _each_once(path, pairs)
        return pairs
    raise BenchError(f"{path}: a label map is a .json or a .csv file")


def _each_once(path: Path, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict. Raises BenchError where one class of the recogniser goes to two."""
    told = dict(pairs)
    if len(told) < len(pairs):
        sources = [source for source, _ in pairs]
        raise BenchError(f"{path} has {next(s for s in sources if sources.count(s) > 1)!r} twice")
    return told


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is not UTF-8") from error


def suggest(trial: Any) -> dict[str, Any]:
    """Nothing to choose."""
    return {}


def describe(config: Config) -> str:
    """The row's name in a table."""
    return "recogniser as is" + (", validation views" if config.views == "one" else "")


def columns(config: Config, adapter: RecognizerAdapter) -> dict[str, Any]:
    """What the tables say of what it is shown."""
    return shared.columns(adapter, None, None, config.views)
