"""Answers of another system to logits, and a report of what is wrong with them.

Shape legend: N test videos, C classes.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.answers import Answer, Name, listed, shown
from bench.contracts import BenchError

VERSION = 2  # of the way from a file to logits; part of an imported run's id
KINDS = ("ranking", "logits", "probabilities")  # what the scores of a file are
TOP = 5
SUM_TOLERANCE = 1e-3  # of probabilities, which are often written with three or four digits
LEAST = 1e-30  # a probability of 0 as float32 can take the logarithm of


@dataclass(frozen=True)
class Judged:
    """Logits float32 `(N, C)` of the test videos; `answered` bool `(N,)`; metric -> why it cannot be given; the report, JSON-able."""

    logits: np.ndarray
    answered: np.ndarray
    not_scored: Mapping[str, str]
    report: Mapping[str, Any]


class Matcher:
    """From what a system calls a class to its number: the name, the number itself, or the name but for case, spaces and signs."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.names = tuple(class_names)
        self._known: dict[Name, int] = {i: i for i in range(len(self.names))}
        loose = Counter(map(_loose, self.names))
        self._known |= {str(i): i for i in range(len(self.names))}
        self._known |= {name: i for i, name in enumerate(self.names)}
        self._by_loose = {_loose(name): i for i, name in enumerate(self.names) if loose[_loose(name)] == 1}
        self.unknown: Counter[str] = Counter()
        self.by_number: set[int] = set()  # classes that were called by their number

    def __call__(self, name: Name) -> int | None:
        """The number of the class; None, and it is counted among the unknown ones, where there is none."""
        found = self._known.get(name)
        if found is not None and name != self.names[found]:
            self.by_number.add(found)
        if found is None and isinstance(name, str):
            found = self._by_loose.get(_loose(name) or "\0")
        if found is None:
            self.unknown[str(name)] += 1
        return found

    def nearest(self, name: str) -> str:
        """The class name most like it, or else the longest that stands in it as words; "" where there is neither."""
        by_loose = {_loose(known): known for known in self.names}
        near = difflib.get_close_matches(_loose(name), by_loose, n=1, cutoff=0.5)
        words = f" {' '.join(_words(name))} "
        within = [known for known in self.names if f" {' '.join(_words(known))} " in words]
        return by_loose[near[0]] if near else max(within, key=len, default="")


def _loose(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.casefold())


def judge(
    answers: Sequence[Answer],
    video_ids: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    kind: str,
    base: Sequence[int] = (),
) -> Judged:
    """Answers as logits of the test videos `video_ids`, int64 `labels` `(N,)`.

    A class at place r of a list (the best is 0) has the logit -r, classes of one score share a place, and those not listed lie
    below all that are, the video's own lowest. A name that is no class keeps its place: a class that is not the video's own and
    not listed stands in for it, so that it is wrong. A video without an answer is answered by such a name alone.
    Of `kind` "logits" the scores are taken as they are, of "probabilities" their natural logarithm.

    With the numbers of `base` classes a video is told apart among the classes of its own part alone, base or novel: answers of the
    other part are left out, and the logits of those classes are -inf.

    Raises:
        BenchError: two answers on one video that differ, a class twice in one answer, scores that are not of the `kind`, or no
            answer on any test video.
    """
    if kind not in KINDS:
        raise BenchError(f"unknown kind of scores {kind!r}; it is one of {', '.join(KINDS)}")
    if kind != "ranking" and answers[0].scores is None:
        raise BenchError(f"ranked lists are no {kind}; leave --scores out")
    test = set(video_ids)
    by_id: dict[str, Answer] = {}
    twice, foreign = [], []
    for answer in answers:
        first = by_id.setdefault(answer.video_id, answer)
        if (first.ranked, first.scores) != (answer.ranked, answer.scores):
            raise BenchError(
                f"{answer.where}: another answer on {shown(answer.video_id)} than {first.where}; leave one of them out"
            )
        if first is not answer:
            twice.append(answer.video_id)
        elif answer.video_id not in test:
            foreign.append(answer.video_id)
    if len(foreign) == len(by_id):
        raise BenchError(
            f"none of its {len(by_id)} videos is a test video here; its ids are such as {listed(foreign[:2])}, "
            f"those of the test videos such as {listed(list(video_ids[:2]))}"
        )
    match = Matcher(class_names)
    num = len(class_names)
    is_base = np.isin(np.arange(num), base) if base else np.ones(num, dtype=bool)
    parts = {part: np.flatnonzero(is_base == part) for part in (True, False)}
    among = {part: {c: i for i, c in enumerate(classes.tolist())} for part, classes in parts.items()}
    logits = np.full((len(video_ids), num), -np.inf, dtype=np.float32)
    stand_ins = short = 0
    for row, (video_id, label) in enumerate(zip(video_ids, labels.tolist(), strict=True)):
        given, part = by_id.get(video_id), bool(is_base[label])
        own, number = parts[part], among[part]
        places = [] if given is None else _places(given, match)
        if kind != "ranking":
            logits[row, own] = _taken(given, places, num, own, kind)
        if base:
            places = _within(places, number)
        if not places:  # no answer, or one that names nothing
            places = [(0, None)]
        short += given is not None and len(places) < min(TOP, len(own))
        if kind == "ranking":
            stand_ins += any(c is None for _, c in places)
            logits[row, own] = _by_places(places, number[label], len(own))
    answered = np.array([video_id in by_id for video_id in video_ids])
    missing = [video_id for video_id in video_ids if video_id not in by_id]
    if kind != "ranking" and missing:
        raise BenchError(
            f"{len(missing)} test videos have no {kind}, such as {listed(missing[:2])}; leave --scores out"
        )
    report = {
        "num_videos": len(video_ids),
        "num_answered": int(answered.sum()),
        "missing": missing,
        "twice": sorted(set(twice)),
        "unknown_videos": foreign,
        "unknown_classes": {n: {"times": k, "nearest": match.nearest(n)} for n, k in match.unknown.most_common()},
        "by_number": {str(number): class_names[number] for number in sorted(match.by_number)},
        "short_lists": short,
    }
    return Judged(logits, answered, _not_scored(kind, answers[0].scores is not None, short, stand_ins), report)


def _places(answer: Answer, match: Matcher) -> list[tuple[int, int | None]]:
    """(place from 0, class or None) of what was named, best first; classes of one score share a place."""
    if answer.ranked is not None:
        found = [(place, match(name)) for place, name in enumerate(answer.ranked)]
    else:
        values = dict(answer.scores or ())
        place_of = {score: place for place, score in enumerate(sorted(set(values.values()), reverse=True))}
        found = [(place_of[score], match(name)) for name, score in values.items()]
    if twice := [c for c, n in Counter(c for _, c in found if c is not None).items() if n > 1]:
        raise BenchError(f"{answer.where}: the class {shown(match.names[twice[0]])} is named twice")
    return found


def _within(places: Sequence[tuple[int, int | None]], number: Mapping[int, int]) -> list[tuple[int, int | None]]:
    """What was named of the classes in `number`, as their numbers there, and what is no class; the places follow each other again."""
    kept = [(place, c) for place, c in places if c is None or c in number]
    again = {place: i for i, place in enumerate(sorted({place for place, _ in kept}))}
    return [(again[place], None if c is None else number[c]) for place, c in kept]


def _by_places(places: Sequence[tuple[int, int | None]], own: int, num: int) -> np.ndarray:
    # Below every place that was named, however many of them are no class.
    low = -float(max(num, 1 + max((place for place, _ in places), default=0)))
    row = np.full(num, low - 1, dtype=np.float32)
    row[own] = low - 2
    named = {c for _, c in places if c is not None}
    free = (c for c in range(num) if c != own and c not in named)
    wrong_first = False
    for place, c in places:
        if c is not None:
            row[c] = -place
        elif (other := next(free, None)) is not None:
            row[other] = -place
        else:
            wrong_first |= place == 0
    best = {place for place, c in places if c is None and place == 0}
    if best and (wrong_first or row.argmax() == own):  # whatever else was said, the best answer was no class
        row[own] = low - 2
    return row


def _taken(
    answer: Answer | None, places: Sequence[tuple[int, int | None]], num: int, own: np.ndarray, kind: str
) -> np.ndarray:
    """The scores themselves of the classes `own`, in their order; of all `num` classes or of those alone they are given."""
    if answer is None:
        return np.zeros(len(own), dtype=np.float32)  # refused by the caller, with all others
    scores = [score for _, score in answer.scores or ()]
    classes = [c for _, c in places]
    if None in classes or (len(scores) != num and set(classes) != set(own.tolist())):
        part = f", or of the {len(own)} of its part" if len(own) < num else ""
        raise BenchError(
            f"{answer.where}: {kind} are a number for each of the {num} classes{part}, and no other; leave --scores out"
        )
    row = np.array(scores)
    if kind == "logits":
        if np.abs(row).max() > np.finfo(np.float32).max:
            raise BenchError(f"{answer.where}: a score is too large for float32")
        return _ordered(row, classes, own).astype(np.float32)
    if row.min() < 0 or abs(row.sum() - 1) > SUM_TOLERANCE:
        raise BenchError(
            f"{answer.where}: its scores are no probabilities: the least is {row.min():g}, their sum {row.sum():g}"
        )
    logarithms: np.ndarray = np.log(np.maximum(_ordered(row, classes, own), LEAST))
    return logarithms.astype(np.float32)


def _ordered(scores: np.ndarray, classes: Sequence[int | None], own: np.ndarray) -> np.ndarray:
    place = {c: i for i, c in enumerate(classes)}
    found: np.ndarray = scores[[place[c] for c in own.tolist()]]
    return found


def _not_scored(kind: str, has_scores: bool, short: int, stand_ins: int) -> dict[str, str]:
    found: dict[str, str] = {}
    if kind == "ranking":
        why = "an order of classes tells no probabilities"
        why += "; where the scores are logits or probabilities, say so with --scores" if has_scores else ""
        found |= {"nll": why, "ece": why}
    if short:
        found["top5"] = f"{short} answers name fewer than five classes"
    if stand_ins:
        found["macro_f1"] = (
            f"{stand_ins} videos have no answer, or one that is no class: they are false of no class in particular"
        )
    return found
