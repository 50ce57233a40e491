"""Published numbers of what may be the same thing that differ from source to source. They are shown beside each other, never averaged.

Names are compared in one form, for each source has its own: "4x3" is "4 clips x 3 crop", "Kinetics400" is "K400". What only one of two
sources tells of a setting makes no difference between them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from bench.published import Published, loose

# Who did it again, or that nothing was trained, is not what was done; every other word in brackets is.
_ASIDE = re.compile(r"\((?:[\w-]+ re-impl\.|re-evaluated by [\w-]+|ju et al\.|frozen(?: zero-shot)?|zero-shot)\)")
_NAMES = {"a5vpt": "a5", "frozenclip": "clip", "zeroshotclip": "clip", "mit": "momentsintime", "mitv1": "momentsintime"}
_NOT_TOLD = re.compile(r"as printed|not printed|see repo configs|see config|not stated|^$", re.IGNORECASE)
_DATA = {
    "clipwit400m": "clip",
    "wit400m": "clip",
    "kinetics400": "k400",
    "kinetics710": "k710",
    "imagenet1k": "imagenet",
}


def conflicts(row: Published, rows: Sequence[Published]) -> list[Published]:
    """Those of the rows in which another source tells another value of what may be the same thing as this row.

    The same are the method (whoever ran it), the backbone, the data set, the protocol, the shots and the metric, and as far as both tell
    it the split, the pre-training, the frames and the views; a backbone that is not told is nobody's. Values that differ by the rounding
    of the coarser one are no others, and rows of one source are of variants that its columns do not tell.
    """
    return [
        other
        for other in rows
        if other.source != row.source
        and _what(other) == _what(row)
        and _what(row)[1]
        and all(a == b or not (a and b) for a, b in zip(_told(row), _told(other), strict=True))
        and not _rounds(row.value, other.value)
    ]


def told(row: Published, other: Published) -> str:
    """Another number for what a row is of, with who reports it and its name where that is another: "83.7 (MAXI)"."""
    named = "" if other.method == row.method else f"{other.method}, "
    return f"{other.value:g} ({named}{other.reported_by})"


def groups(rows: Sequence[Published]) -> list[list[Published]]:
    """The rows that contradict others, each with those in the rows' order; a group that is part of another is left out."""
    same: dict[tuple[object, ...], list[Published]] = {}
    for row in rows:
        same.setdefault(_what(row), []).append(row)
    found: dict[frozenset[Published], list[Published]] = {}
    for part in same.values():
        for row in part:
            if others := conflicts(row, part):
                group = [r for r in part if r is row or r in others]
                found.setdefault(frozenset(group), group)
    return [group for key, group in found.items() if not any(key < other for other in found)]


@functools.cache
def _what(row: Published) -> tuple[object, ...]:
    """What must be the same, in one form."""
    method = loose(_ASIDE.sub("", row.method.casefold()))
    backbone = "" if _NOT_TOLD.search(row.backbone) else loose(re.sub(r"frozen|openai", "", row.backbone.casefold()))
    dataset = row.dataset_key
    return (
        _NAMES.get(method, method),
        backbone,
        _NAMES.get(dataset, dataset),
        row.our_protocol or row.protocol,
        row.shots or 0,
        row.metric,
    )


@functools.cache
def _told(row: Published) -> tuple[object, ...]:
    """What must be the same where both tell it, in one form; "" or () where it is not told."""
    return row.over, _pretraining(row.pretraining), _frames(row.frames), _views(row.views)


def _pretraining(text: str) -> tuple[str, ...]:
    """The data that it saw, in no order: "CLIP + K710" and "clip-kinetics710" are the same."""
    if _NOT_TOLD.search(text):
        return ()
    parts = re.split(r"\s*\+\s*|-(?=kinetics)", text.casefold())
    return tuple(sorted({_DATA.get(loose(part), loose(part)) for part in parts}))


def _frames(text: str) -> tuple[str, ...]:
    """How many frames a view, and what else is told of them: "16x4x1" is 16 frames (every fourth), "1x1x8" is 8, "uniform 16" is 16."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if not numbers or "/" in text:
        return ()  # of training and test, or nothing
    dense = ("dense",) if "dense" in text else ()
    return (str(numbers[0] * numbers[2] if len(numbers) == 3 else numbers[0]), *dense)


def _views(text: str) -> tuple[str, ...]:
    """Clips and crops, or all views where only they are told, and what stands behind them."""
    numbers = re.findall(r"\d+", text)
    if len(numbers) == 2:
        return (*numbers, *re.findall(r"\((\w+)\)", text))
    return (text,) if text else ()


def _rounds(a: float, b: float) -> bool:
    """Whether two values are one, as the one with fewer decimals (at least one) prints it."""
    decimals = min(max(1, len(f"{value:.10g}".partition(".")[2])) for value in (a, b))
    return abs(a - b) <= 0.5 * float(f"1e-{decimals}") + 1e-9
