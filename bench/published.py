"""Numbers from papers and READMEs, each with its source: results/published/published_results.csv, read strictly. Torch-free.

They are facts that others reported; nothing here is measured, and none of it enters a test, an interval or a bold mark.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from bench.contracts import BenchError, digest
from bench.manifest import UNPRINTABLE
from bench.plugins import ROOT

FILE = ROOT / "results" / "published" / "published_results.csv"
# Of the sources' protocols those that one of ours is: no video of the data set is trained on, K of each class, all of the split.
PROTOCOLS = {
    "zero_shot_no_video_labels": "zero_shot",
    "zero_shot_no_video_training": "zero_shot",
    "few_shot_all_way": "few_shot",
    "fully_supervised": "cross_subject",
    "base_to_novel_K16": "base_to_novel",
}
OTHER_PROTOCOLS = (
    "zero_shot_from_K400",
    "zero_shot_from_UCF101",
    "zero_shot_LVLM",
    "ablation_zero_shot",
    "ablation_fully_supervised",
    "leave_one_subject_out_10fold",
    "patient_grouped_5fold",
    "image_protocol_base_to_novel_K16",
    "image_protocol_few_shot",
    "image_protocol_cross_dataset_from_ImageNet",
    "image_protocol_zero_shot",
)
METRICS = (
    *("top1", "top5", "avg(top1,top5)", "top1 (mm-Kinetics copy)", "accuracy", "mCA", "mAP", "base", "novel", "HM"),
    *("macro-F1", "weighted-F1", "precision", "recall"),
)
FRACTIONS = (
    "accuracy",
    "macro-F1",
    "weighted-F1",
    "precision",
    "recall",
)  # printed in [0, 1] by some; the others in percent
# What a split's words in a source mean; the few-shot lists of the field have one test side, that of split 1.
SPLITS = {
    "split1": {"1"},
    "split2": {"2"},
    "split3": {"3"},
    "mean of 3": {"1", "2", "3"},
    "mean of 3 (160 of 220 classes)": {"1", "2", "3"},
    "mean of 3 train samples; split-1 val": {"1"},
    "few-shot table (val split)": {"1"},
}
# Zero-shot on Kinetics-600 is on the 220 classes that Kinetics-400 lacks: three draws of 160 of them, each a label space of its own
# with all its test videos (Chen and Huang, "Elaborative Rehearsal for Zero-shot Action Recognition", ICCV 2021). No splits of videos.
DRAWN_CLASSES = {"kinetics600": "160 of 220 classes"}
# The sources' metrics that we measure, and what we call them.
MEASURED = {
    "top1": "top1",
    "top1 (mm-Kinetics copy)": "top1",
    "top5": "top5",
    "mCA": "mean_class_accuracy",
    "base": "base_top1",
    "novel": "novel_top1",
    "HM": "harmonic_mean",
}
_FROZEN = re.compile(r"\(frozen\b|^frozen clip$|^zero-shot\b|\(zero-shot\)$", re.IGNORECASE)
_SPLIT_OF_NAME = re.compile(r" (split\d)$")  # some sources write it behind the data set's name


@dataclass(frozen=True)
class Published:
    """One reported number, as its source prints it. "" is what the source does not tell.

    `value` in percent (accuracy, F1, precision and recall as printed, some in [0, 1]), `std` in the same unit or None; `shots` None
    where the protocol has none; `source` says where it stands, `reported_by` whose table that is.
    """

    method: str
    backbone: str
    pretraining: str
    trainable: str
    frames: str
    views: str
    protocol: str
    shots: int | None
    dataset: str
    split: str
    metric: str
    value: float
    std: float | None
    reported_by: str
    source: str
    note: str

    @property
    def name(self) -> str:
        """What `reproduce` calls it: "p-" and 8 hex characters over the whole row."""
        return "p-" + digest([str(getattr(self, f.name)) for f in fields(self)], 8)

    @property
    def is_frozen(self) -> bool:
        """Whether nothing was trained for it: it says so in its method's name, or in what was trained."""
        return self.trainable == "none" or bool(_FROZEN.search(self.method))

    @property
    def our_protocol(self) -> str | None:
        """Our protocol of the same rules; None where there is none. What is frozen is zero-shot in a table of what was trained, too."""
        if self.is_frozen and self.protocol.startswith("zero_shot_from"):
            return "zero_shot"
        return PROTOCOLS.get(self.protocol)

    @property
    def our_metric(self) -> str | None:
        """Our metric of the same rules; None where there is none."""
        return MEASURED.get(self.metric)

    @property
    def dataset_key(self) -> str:
        """The data set's name but for case, signs and a split that is written behind it."""
        return loose(_SPLIT_OF_NAME.sub("", self.dataset))

    @property
    def draws(self) -> set[str]:
        """Numbers of the draws of classes that the number is a mean over; none where it is on a data set's own classes."""
        drawn = self.dataset_key in DRAWN_CLASSES and self.protocol.startswith("zero_shot")
        return SPLITS.get(self._split, set()) if drawn else set()

    @property
    def our_splits(self) -> set[str] | None:
        """Names of the published splits that the number is a mean over; None where that is not told or is none of ours."""
        return None if self.draws else SPLITS.get(self._split)

    @property
    def over(self) -> str:
        """What the number is a mean over, in words; "" where that is not told."""
        if self.draws:
            which = f"mean of {len(self.draws)} draws" if len(self.draws) > 1 else f"draw {min(self.draws)}"
            return f"{which} of {DRAWN_CLASSES[self.dataset_key]}"
        return "mean of splits 1, 2, 3" if self._split == "mean of 3" else self._split

    @property
    def _split(self) -> str:
        told = _SPLIT_OF_NAME.search(self.dataset)
        return self.split or (told[1] if told else "")


@functools.cache
def load(path: Path = FILE) -> tuple[Published, ...]:
    """All rows in their order.

    Raises:
        BenchError: a row that does not parse, lacks a source, has a number out of range or is there twice, with its line.
    """
    text = path.read_text(encoding="utf-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = [f.name for f in fields(Published)]
    try:
        if next(reader, []) != names:
            raise BenchError(f"{path}, line 1: its columns are not {', '.join(names)}")
        seen: dict[Published, int] = {}
        for cells in reader:
            row = _row(f"{path}, line {reader.line_num}", names, cells)
            if row in seen:
                raise BenchError(f"{path}, line {reader.line_num}: the same row as line {seen[row]}")
            seen[row] = reader.line_num
    except csv.Error as error:
        raise BenchError(f"{path}, line {reader.line_num}: it is no csv ({error})") from error
    return tuple(seen)


def _row(where: str, names: Sequence[str], cells: Sequence[str]) -> Published:
    if len(cells) != len(names):
        raise BenchError(f"{where}: it has {len(cells)} fields, not {len(names)}")
    if odd := [cell for cell in cells if UNPRINTABLE.search(cell) or cell != cell.strip()]:
        raise BenchError(f"{where}: {ascii(odd[0])} holds a control character, or blanks around it")
    told = dict(zip(names, cells, strict=True))
    if lacking := [n for n in ("method", "protocol", "dataset", "metric", "reported_by", "source") if not told[n]]:
        raise BenchError(f"{where}: it has no {', '.join(lacking)}")
    for name, known in (("protocol", (*PROTOCOLS, *OTHER_PROTOCOLS)), ("metric", METRICS)):
        if told[name] not in known:
            raise BenchError(f"{where}: unknown {name} {told[name]!r}; it is one of {', '.join(known)}")
    value, std = _number(where, told["value"]), _number(where, told["std"]) if told["std"] else None
    if not 0 < value <= 100 or (value < 1 and told["metric"] not in FRACTIONS):
        raise BenchError(f"{where}: the value {told['value']} is not in percent, above 1 and up to 100")
    if std is not None and not 0 <= std < 50:
        raise BenchError(f"{where}: the std {told['std']} is no standard deviation of percents")
    if told["shots"] and not re.fullmatch(r"[1-9]\d*", told["shots"]):
        raise BenchError(f"{where}: shots is {told['shots']!r}; it is a whole number or empty")
    rest = {name: told[name] for name in names if name not in ("value", "std", "shots")}
    return Published(**rest, value=value, std=std, shots=int(told["shots"]) if told["shots"] else None)


def _number(where: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BenchError(f"{where}: {text!r} is no number")
    return number


def loose(name: str) -> str:
    """A data set's name but for case and signs: UCF-101 is ucf101."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


# What MMAction2's index calls otherwise than papers and this project do, and what was put together from the training videos of others.
_ALSO = {
    "sthv1": ("ssv1",),
    "sthv2": ("ssv2",),
    "kinetics710": ("kinetics400", "kinetics600", "kinetics700"),
    "momentsintimev1": ("mit", "mitv1", "momentsintime"),
}


def trained_on(pretraining: str, dataset: str) -> bool:
    """Whether the data set is one of those that a backbone was trained on, as its facts tell them ("ImageNet, Kinetics-400").

    "WIT-400M (CLIP), then Kinetics-400 fully supervised: contaminated for ..." is of WIT-400M and Kinetics-400, "Kinetics-710" of the
    three that it was put together from, too.
    """
    told = re.split(r"[,;+()]|\bthen\b|\bfully\b|\bfor\b", pretraining.partition(":")[0])
    named = {loose(part) for part in told} - {""}
    return loose(dataset) in named.union(*(_ALSO.get(name, ()) for name in named))


def beside(dataset: str, protocol: str, shots: int | None, splits: set[str], metric: str) -> list[Published]:
    """Rows of the same data set, protocol, shots and metric (ours); of the same splits, or of splits that the source does not tell."""
    return [
        row
        for row in load()
        if row.dataset_key == loose(dataset)
        and (row.our_protocol, row.our_metric) == (protocol, metric)
        and (row.shots or 0) == (shots or 0)
        and (row.over == "" or row.our_splits == splits)
    ]


def find(name: str) -> Published:
    """The row of this name, or the only one of this method.

    Raises:
        BenchError: none (with the nearest methods), or several (they are listed).
    """
    rows = [row for row in load() if name in (row.name, row.method)]
    if len(rows) == 1:
        return rows[0]
    if not rows:
        near = difflib.get_close_matches(name, {row.method for row in load()}, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "python -m bench published lists them"
        raise BenchError(f"no published number is called {name!r}; {hint}")
    shown = "\n".join(f"  {line(row)}" for row in rows[:20])
    more = f"\n  and {len(rows) - 20} more (python -m bench published)" if len(rows) > 20 else ""
    raise BenchError(f"{len(rows)} published numbers are of {name}; give the name of one:\n{shown}{more}")


def line(row: Published) -> str:
    """A row in one line."""
    told = {"frames": row.frames, "views": row.views, "over": row.over, "shots": row.shots}
    how = ", ".join(f"{name} {value}" for name, value in told.items() if value)
    value = f"{row.value:g}" + (f" ± {row.std:g}" if row.std is not None else "")
    where = f"{row.method} on {row.backbone or 'backbone not told'}, {row.dataset}, {row.protocol}"
    return f"{row.name}  {where}{', ' + how if how else ''}: {row.metric} {value} ({row.source})"


def matching(words: str) -> Iterator[Published]:
    """Rows in which each of the words stands somewhere."""
    wanted = words.casefold().split()
    for row in load():
        text = line(row).casefold()
        if all(word in text for word in wanted):
            yield row
