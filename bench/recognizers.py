"""The recognisers of MMAction2 by the names of their configs, which travel in its wheel with an index of what its READMEs print.

A view is one forward pass whose scores are averaged with those of others: a clip times a crop.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bench import plugins
from bench.clips import CROPS, Pipeline
from bench.compat import mmaction2
from bench.contracts import BenchError


@dataclass(frozen=True)
class Reported:
    """An accuracy in percent that MMAction2's README prints; `top5` is None where it prints none."""

    dataset: str
    top1: float
    top5: float | None


@dataclass(frozen=True)
class Checkpoint:
    """Weights of a config that the wheel's index lists: where they were published ("" where it does not say), what is reported of them."""

    address: str
    reported: tuple[Reported, ...]


@dataclass(frozen=True, kw_only=True)
class Recognizer:
    """What a config and the wheel's index say of a recogniser.

    `frames` a view, `interval` frames from one to the next in the video (None: spread over the whole of it), `clips` and `crops` of the
    test pipeline; all None where the config holds no test pipeline. `resolution` in pixels, `flow` where it looks at optical flow.
    `parameters` and `gflops` are those that the README prints, rounded by it, or None: 10^9 multiply-adds, half of what the project's
    tables count, of one view, but of TSN's 25 frames together.
    """

    name: str
    family: str
    num_classes: int | None
    frames: int | None
    interval: int | None
    clips: int | None
    crops: int | None
    resolution: int | None
    flow: bool
    parameters: int | None
    gflops: float | None
    reported: tuple[Reported, ...]

    @property
    def views(self) -> int | None:
        """Clips times crops: how many forward passes the README's accuracy averages over."""
        return None if self.clips is None or self.crops is None else self.clips * self.crops


def names() -> tuple[str, ...]:
    """All recogniser configs in the wheel. Raises BenchError where MMAction2 is not installed."""
    return tuple(_paths())


def path_of(name: str) -> Path:
    """A config's file. Raises BenchError on a name that the wheel does not hold, with the nearest ones."""
    if name not in _paths():
        raise plugins.unknown("recogniser of MMAction2", name, _paths(), "python -m bench list --kind recognizers")
    return _paths()[name]


def family(name: str) -> str:
    """The folder of the configs that a recogniser's is in, such as "tsm". Raises BenchError as `path_of`."""
    return path_of(name).relative_to(_folder()).parts[0]


@cache
def find(name: str) -> Recognizer:
    """What is known of a recogniser; its model is not built. Raises BenchError as `path_of`."""
    config = mmaction2.read_config(path_of(name))
    entries = _index().get(name, [])
    model = config["model"]
    return Recognizer(
        name=name,
        family=family(name),
        num_classes=(model.get("cls_head") or {}).get("num_classes"),
        flow="flow" in name.split("_")[-1].split("-"),
        parameters=_printed(entries, ("Parameters", "params"), "M", 1_000_000, int),
        gflops=_printed(entries, ("FLOPs",), "G", 1, float),
        reported=tuple(reported for entry in entries for reported in _accuracies(entry)),
        **views(config),
    )


def pipeline(name: str) -> Pipeline:
    """What a recogniser's test pipeline does to a video, for one view. Raises BenchError where the config has none that is known here."""
    config = mmaction2.read_config(path_of(name))
    steps = mmaction2.steps(config, "test")
    if not steps:
        raise BenchError(
            f"the config {name} has no test pipeline, so nobody says which frames it is shown; take another"
        )
    try:
        found = Pipeline.of(steps)
    except BenchError as error:
        raise BenchError(f"{name}: {error}") from error
    one = found.sampling.one
    if one.clip_len == 1 and _mixes_frames(config["model"]):
        # Its layers are made for as many frames as it was trained on; the test pipeline may show several times that.
        one = dataclasses.replace(one, num_clips=find(name).frames or one.num_clips)
    return dataclasses.replace(found, sampling=one)


def checkpoints(name: str) -> tuple[Checkpoint, ...]:
    """What the index lists for a config, in its order; nothing where it lists none. Weights that are named after another config are
    a mistake in it (TSN on Swin with 8 segments has the file of that with 3): where they are is not said then.
    """
    return tuple(Checkpoint(_weights(name, entry), tuple(_accuracies(entry))) for entry in _index().get(name, ()))


def _weights(name: str, entry: Mapping[str, Any]) -> str:
    address = str(entry.get("Weights") or "")
    file = address.rpartition("/")[2]
    others = (other for other in _paths() if other != name and file.startswith(f"{other}_"))
    return "" if not file.startswith(f"{name}_") and any(others) else address


def trained_on(file: str) -> str | None:
    """What a checkpoint of this file name was trained on, such as "ImageNet, Kinetics-400"; None where the index does not list it.

    The last is the data set that the file is named after: of a third of them the index tells no training data, of five another's.
    """
    for entry in (entry for entries in _index().values() for entry in entries):
        if str(entry.get("Weights", "")).rpartition("/")[2] == file:
            first, data = (entry["Metadata"].get(name) for name in ("Pretrained", "Training Data"))
            printed = [result.get("Dataset") for result in entry.get("Results") or ()]
            name = re.sub(r"(-rgb|-flow)?_\d{8}-.*", "", file).replace("-", "")
            named = [data_set for written, data_set in _data_sets().items() if name.endswith(written)]
            told = [first, *(named or [data, *printed])]
            return ", ".join(dict.fromkeys(str(one) for one in told if one and one != "None"))
    return None


@cache
def _data_sets() -> Mapping[str, str]:
    """The data sets that the index prints accuracies on: as files are named after them, without hyphens -> as it writes them."""
    every = (result for entries in _index().values() for entry in entries for result in entry.get("Results") or ())
    names = {str(result["Dataset"]) for result in every}
    return {name.casefold().replace("-", ""): name for name in sorted(names)}


def num_parameters(name: str) -> int:
    """How many parameters a recogniser has, counted on a model without values. Raises BenchError where it cannot be built here."""
    return sum(p.numel() for p in mmaction2.build(path_of(name), values=False).parameters())


def _folder() -> Path:
    """The folder of MMAction2's wheel that holds the recognisers' configs and their index; nothing of it is imported."""
    spec = importlib.util.find_spec("mmaction")
    if spec is None or spec.origin is None:
        raise BenchError("MMAction2 is not installed; run make setup")
    return Path(spec.origin).parent / ".mim" / "configs" / "recognition"


@cache
def _paths() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(_folder().rglob("*.py"))}


@cache
def _index() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The index's entries by config; some configs have several.

    Entries go by their own name: where that is a config's, one beside it that says another is a mistake (MViT-S of SSv2 is said to be
    of Kinetics-400's). Only those under no config's name go by the config that they say.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for file in sorted(_folder().glob("*/metafile.yml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["Models"]:
            stem = re.sub(r"(\.py)+$", "", Path(entry["Config"]).name)
            name = stem if stem in _paths() and entry["Name"] not in _paths() else entry["Name"]
            found.setdefault(name, []).append(entry)
    return found


def _printed(
    entries: Sequence[Mapping[str, Any]], keys: Sequence[str], unit: str, scale: int, kind: type[Any]
) -> Any | None:
    """A number of the index such as 23.87M, in units of one; the first entry's that has it in the unit."""
    for entry in entries:
        for key in keys:
            number = re.fullmatch(rf"([\d.]+)\s*{unit}", str(entry["Metadata"].get(key, "")))
            if number:
                return kind(float(number[1]) * scale)
    return None


def _accuracies(entry: Mapping[str, Any]) -> Iterator[Reported]:
    for result in entry.get("Results") or ():
        top1, top5 = (result["Metrics"].get(f"Top {k} Accuracy") for k in (1, 5))
        if top1 is not None:
            yield Reported(str(result["Dataset"]), float(top1), None if top5 is None else float(top5))


def views(config: Mapping[str, Any], stage: str = "test", frames: int | None = None) -> dict[str, int | None]:
    """Frames, interval, clips, crops and resolution of the pipeline of a stage without augmentation: "test" or "val".

    Args:
        frames: which a view has in place of the config's own; where each frame is judged by itself (TSN), how many are.
    """
    steps = mmaction2.steps(config, stage)
    if not steps:
        return dict.fromkeys(("frames", "interval", "clips", "crops", "resolution"))
    sampling = dict(_sampling(steps))
    if frames is not None:
        sampling["num_clips" if sampling.get("clip_len", 1) == 1 else "clip_len"] = frames
    together = sampling.get("clip_len", 1)
    shown = together * sampling.get("num_clips", 1) * (2 if sampling.get("twice_sample") else 1)
    if sampling["type"] == "DenseSampleFrames":
        shown *= sampling.get("num_sample_positions", 10)
    if _mixes_frames(config["model"]):
        trained = _sampling(mmaction2.steps(config, "train"))
        together = frames or trained.get("clip_len", 1) * trained.get("num_clips", 1)
    crop = next((step for step in reversed(steps) if step["type"] in CROPS), None)
    return {
        "frames": together,
        "interval": sampling.get("frame_interval", 1)
        if sampling.get("clip_len", 1) > 1 and "Uniform" not in sampling["type"]
        else None,
        "clips": shown // together,
        "crops": CROPS[crop["type"]] if crop else 1,
        "resolution": crop["crop_size"] if crop else None,
    }


def _mixes_frames(model: Mapping[str, Any]) -> bool:
    """Whether a recogniser of single frames looks at several of them together (TSM, TIN, TRN, TANet), which TSN does not."""
    kind = model["backbone"]["type"]
    mixes = (
        any(word in kind for word in ("TSM", "TIN", "TANet")) or (model.get("cls_head") or {}).get("type") == "TRNHead"
    )
    return model["type"] == "Recognizer2D" and mixes


def _sampling(steps: Sequence[Any]) -> Any:
    return next(step for step in steps if "Sample" in step["type"])
