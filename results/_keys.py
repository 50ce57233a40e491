"""What makes two runs part of one number: the key of a cell, the order of rows and columns, and what they are called."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bench.contracts import shown_name
from bench.published import trained_on
from bench.specs import FIXED_CONTROLS, list_name, split_control

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

SOURCES = ("", "class_names", "templates", "descriptions")
PROTOCOLS = ("zero_shot", "few_shot", "cross_subject", "base_to_novel")
SUPERVISED = "cross_subject"  # ours of all training videos
ASKED = "asked_protocol"  # column of the protocol that a run was asked for
_TEXTS = (
    "reason",
    "dataset",
    "backbone",
    "protocol",
    "method",
    "label",
    "split",
    "text_source",
    "bank",
    "selection",
    "study",
)


class Key(NamedTuple):
    """What the runs of one cell share; `shots` 0 means that the protocol knows none."""

    dataset: str
    protocol: str
    shots: int
    needs_train: bool
    method: str
    label: str
    bank: str
    bank_control: str
    backbone: str
    num_frames: int
    num_views: int
    precision: str

    @property
    def setting(self) -> tuple[str, int]:
        """Protocol and shots: within one, on one data set, rows can be compared."""
        return self.protocol, self.shots

    @property
    def is_control(self) -> bool:
        """Whether it learns nothing from statements that were drawn: its runs are draws, and their seeds no one else's."""
        return self.draws_statements and not self.needs_train

    @property
    def draws_statements(self) -> bool:
        """Whether each run's seed decides which statements it is shown."""
        return split_control(self.bank_control)[0] not in FIXED_CONTROLS

    @property
    def column(self) -> tuple[str, int, int, str]:
        """Numbers of other frames, views or number formats are never put into one column."""
        return self.backbone, self.num_frames, self.num_views, self.precision


def protocol_name(protocol: str, shots: int) -> str:
    """A protocol in words: "few-shot, K = 4"; K only where the protocol has shots."""
    return protocol.replace("_", "-") + (f", K = {shots}" if shots else "")


def column_name(column: Sequence[object]) -> str:
    """A column's head: "clip-tiny (8 × 1)" for backbone (frames × views), and the number format where it is not float32.

    A number of frames or views that an imported run does not tell is "?".
    """
    backbone, frames, views, precision = column
    return f"{backbone} ({frames or '?'} × {views or '?'}{'' if precision == 'float32' else f', {precision}'})"


def normal(source: pd.DataFrame) -> pd.DataFrame:
    """The runs with every column that the tables rely on, and no missing value in those that make a key."""
    if source.empty:
        return pd.DataFrame(columns=["run_id", "status", "top1"])
    runs = source.reset_index(drop=True)
    texts = {name: runs[name].astype(object).fillna("") if name in runs else "" for name in _TEXTS}
    runs = runs.assign(**texts)
    for name, usual in (("bank_control", "none"), ("precision", "float32")):  # of runs before they were told
        runs[name] = runs[name].astype(object).fillna(usual) if name in runs else usual
    runs["shots"] = pd.to_numeric(runs["shots"]).astype("Int64").fillna(0).astype(int)
    for name in ("needs_train", "toy_scale"):
        runs[name] = runs[name].astype(bool)
    if "pretraining" in runs:
        called = list(map(shown_name, runs["backbone"], runs["pretraining"]))
        runs["backbone"] = pd.Series(called, index=runs.index, dtype=object)
        runs[ASKED], runs["protocol"] = runs["protocol"], _protocols(runs)
    runs["top1"] = pd.to_numeric(runs["top1"]) if "top1" in runs else math.nan
    return runs


def _protocols(runs: pd.DataFrame) -> pd.Series:
    """The protocol under which each run can be compared: what was trained on the data set's own training videos by others, and is only
    tested here, is fully supervised, although the run itself is zero-shot.
    """
    told = set(zip(runs["pretraining"], runs["dataset"], strict=True))
    supervised = {(data, name) for data, name in told if trained_on(str(data), list_name(str(name)))}
    known = [pair in supervised for pair in zip(runs["pretraining"], runs["dataset"], strict=True)]
    return runs["protocol"].mask((runs["protocol"] == "zero_shot") & np.array(known, dtype=bool), SUPERVISED)


def key_of(values: Iterable[Any]) -> Key:
    """A key of plain Python values: it is hashed, compared and printed."""
    return Key(*(value.item() if isinstance(value, np.generic) else value for value in values))


def row_order(key: Key, source: str, control: str) -> tuple[Hashable, ...]:
    """Data set, protocol, shots, untrained before trained, by text source, shuffled before true, name, column."""
    return (
        key.dataset,
        PROTOCOLS.index(key.protocol) if key.protocol in PROTOCOLS else len(PROTOCOLS),
        key.protocol,
        key.shots,
        key.needs_train,
        SOURCES.index(source) if source in SOURCES else len(SOURCES),
        control == "none",
        key.label,
        key.bank,
        key.column,
        key,
    )


def bank_names(banks: Iterable[str]) -> dict[str, str]:
    """What each bank is called: its name, or of a path the file's name, with as many of its folders as tell it from the others."""
    parts = {bank: PurePath(bank).parts or ("",) for bank in banks}

    def tail(bank: str, num: int) -> str:
        return "/".join(parts[bank][-num:])

    names = {}
    for bank, own in parts.items():
        others = [other for other in parts if other != bank]
        enough = (n for n in range(1, len(own)) if all(tail(other, n) != tail(bank, n) for other in others))
        names[bank] = tail(bank, next(enough, 0)) if len(own) > 1 else bank
    return names


def row_names(keys: Mapping[Key, object]) -> dict[Key, str]:
    """What each row is called: its label, with bank or method where a label stands for several of them on a data set."""
    rows = {key: (key.dataset, key.method, key.label, key.bank, key.bank_control) for key in keys}
    several = Counter((dataset, label) for dataset, _, label, _, _ in set(rows.values()))
    methods: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        methods.setdefault((key.dataset, key.label), set()).add(key.method)
    names: dict[Key, str] = {}
    banks = bank_names({key.bank for key in keys})
    for key in keys:
        told = [banks[key.bank], "" if key.bank_control == "none" else key.bank_control]
        told += [key.method] if len(methods[key.dataset, key.label]) > 1 else []
        clash = several[key.dataset, key.label] > 1
        extra = ", ".join(part for part in told if part) or key.method
        names[key] = f"{key.label} ({extra})" if clash else key.label
    return names
