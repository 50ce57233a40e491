"""What another system answered, from its file: csv, jsonl or json to answers, each checked by itself."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bench.contracts import BenchError
from bench.manifest import UNPRINTABLE

MUST = "a file has the column video_id and either rank_1, rank_2, ... or a column of scores a class"
WORDS = "; columns of class names are called rank_1, rank_2, ..."
Name = str | int


@dataclass(frozen=True)
class Answer:
    """What was said of one video. `where` is its place in the file; `ranked` best first, or else `scores`, one of the two."""

    where: str
    video_id: str
    ranked: tuple[Name, ...] | None = None
    scores: tuple[tuple[Name, float], ...] | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        return self.ranked if self.ranked is not None else tuple(name for name, _ in self.scores or ())


def read(path: Path) -> bytes:
    """A file's content. Raises BenchError where there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror})") from error


def parse(content: bytes, suffix: str) -> list[Answer]:
    """The answers of a .csv, .jsonl or .json in their order, each checked by itself.

    Raises:
        BenchError: another suffix, or something in it that is no answer, with its line (of a .json its entry).
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".json": _json}
    if suffix not in readers:
        raise BenchError(f"the file's name ends in {suffix or 'nothing'}; it is one of {', '.join(readers)}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BenchError(f"line {line}: it is not UTF-8, so this is no {suffix} file") from error
    if "\0" in text:
        raise BenchError(f"line {text[: text.index(chr(0))].count(chr(10)) + 1}: it holds a NUL character")
    answers = list(readers[suffix](text))
    if not answers:
        raise BenchError(f"there are no answers in it; {MUST}")
    if len({answer.ranked is None for answer in answers}) > 1:
        raise BenchError("some answers are ranked lists and some are scores; give one of them for all")
    return answers


def _csv(text: str) -> Iterator[Answer]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        ranks = [name for name in header if re.fullmatch(r"rank_\d+", name)]
        if header.count("video_id") != 1 or len(header) < 2:
            parted = next((sign for sign in (";", "\t") if len(header) == 1 and sign in header[0]), "")
            commas = f"; fields are parted by commas, not by {shown(parted)}" if parted else ""
            raise BenchError(f"line 1: its columns are {listed(header)}; {MUST}{commas}")
        if twice := [name for name, num in Counter(header).items() if num > 1]:
            raise BenchError(f"line 1: the column {shown(twice[0])} is there twice")
        if "" in header:
            raise BenchError("line 1: a column has no name")
        if ranks and sorted(ranks) != sorted(f"rank_{i + 1}" for i in range(len(header) - 1)):
            raise BenchError(f"line 1: its columns are {listed(header)}; beside video_id they are rank_1, rank_2, ...")
        ranks.sort(key=lambda name: int(name.removeprefix("rank_")))
        for row in reader:
            if not row:
                continue
            where = f"line {reader.line_num}"
            if len(row) != len(header):
                raise BenchError(f"{where}: it has {len(row)} fields, the header has {len(header)}")
            yield _row(where, dict(zip(header, map(str.strip, row), strict=True)), ranks)
    except csv.Error as error:
        raise BenchError(f"line {reader.line_num}: it is no csv ({error})") from error


def _row(where: str, row: dict[str, str], ranks: Sequence[str]) -> Answer:
    video_id = row.pop("video_id")
    if not ranks:
        given: dict[Name, float] = {name: _score(where, name, value, WORDS) for name, value in row.items() if value}
        return _answer(where, video_id, None, given)
    ranked = [row[name] for name in ranks]
    while ranked and not ranked[-1]:
        ranked.pop()
    return _answer(where, video_id, ranked, None)


def _jsonl(text: str) -> Iterator[Answer]:
    for num, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _object(f"line {num}", _loads(line, num - 1))


def _json(text: str) -> Iterator[Answer]:
    found = _loads(text, 0)
    if isinstance(found, dict):
        for num, (video_id, given) in enumerate(found.items(), start=1):
            ranked = isinstance(given, list) and not all(isinstance(v, float) for v in given)
            yield _object(f"entry {num}", {"video_id": video_id, "ranked" if ranked else "scores": given})
        return
    if not isinstance(found, list):
        raise BenchError("it is neither a list of answers nor an object of them by video id")
    for num, entry in enumerate(found, start=1):
        yield _object(f"entry {num}", entry)


def _loads(text: str, lines_before: int) -> Any:
    def constant(word: str) -> NoReturn:
        raise BenchError(f"line {lines_before + 1}: {word} is no score" if lines_before else f"{word} is no score")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) < len(found):
            twice = next(k for k, num in Counter(key for key, _ in found).items() if num > 1)
            raise BenchError(f"line {lines_before + 1}: the key {shown(twice)} is there twice in one object")
        return dict(found)

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise BenchError(f"line {lines_before + error.lineno}: it is no JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, BenchError):
            raise
        raise BenchError(f"line {lines_before + 1}: it is no JSON that can be read ({error})") from error


def _object(where: str, entry: Any) -> Answer:
    keys = set(entry) if isinstance(entry, dict) else set()
    if keys not in ({"video_id", "ranked"}, {"video_id", "scores"}):
        raise BenchError(f"{where}: an answer is an object with video_id and either ranked or scores, and nothing else")
    if "ranked" in keys:
        if not isinstance(entry["ranked"], list):
            raise BenchError(f"{where}: ranked is a list of class names or numbers, best first")
        return _answer(where, entry["video_id"], entry["ranked"], None)
    scores = entry["scores"]
    if isinstance(scores, list):
        scores = dict(enumerate(scores))
    if not isinstance(scores, dict):
        raise BenchError(f"{where}: scores is an object of class and number, or a list of a number a class")
    return _answer(where, entry["video_id"], None, {k: _score(where, k, v) for k, v in scores.items()})


def _answer(where: str, video_id: Any, ranked: Sequence[Any] | None, scores: Mapping[Name, float] | None) -> Answer:
    if isinstance(video_id, bool) or not isinstance(video_id, str | int) or video_id == "":
        raise BenchError(f"{where}: its video_id is {shown(video_id)}; it is a text, and not empty")
    names = list(ranked if ranked is not None else scores or ())
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
            raise BenchError(f"{where}: {shown(name)} is no class name or number")
    for text in (video_id, *names):
        if isinstance(text, str) and UNPRINTABLE.search(text):
            raise BenchError(f"{where}: {shown(text)} holds a control character")
    if scores is not None:
        return Answer(where, str(video_id), scores=tuple(scores.items()))
    return Answer(where, str(video_id), ranked=tuple(names))


def _score(where: str, name: Name, value: Any, words: str = "") -> float:
    """A score as a finite number; `words` say what to do where it is a text."""
    hint = ""
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number, hint = math.nan, words
    if not math.isfinite(number):
        raise BenchError(f"{where}: the score of {shown(name)} is {shown(value)}, which is no finite number{hint}")
    return number


def shown(value: Any) -> str:
    """A value for a message, at most 80 characters of ASCII."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def listed(names: Sequence[str]) -> str:
    """The first eight of them for a message, and how many more there are."""
    return ", ".join(map(shown, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
