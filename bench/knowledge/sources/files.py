"""The files of the field: OST, CuPL and Menon & Vondrick json, EZ-CLIP and motion-description csv, one line a class.

The layout is told from the content:
- json: {class: [texts]} or {class: text}; OST's classes are numbers, for which `labels` names the classes in its order;
- csv with a header of three columns, number, class, text (EZ-CLIP): the text is a paragraph, cut into sentences;
- csv without a header: class, text (motion descriptions); or a single column "class: text";
- txt: "class: text" a line.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.contracts import BenchError
from bench.knowledge.answers import split_sentences
from bench.knowledge.bank import Origin
from bench.knowledge.gathering import Gathered
from bench.knowledge.prompts import words

LARGEST = 64_000_000  # bytes
Row = tuple[str, object, str]  # a class as the file calls it, one text, and why it is of no use ("" if it is)
Rows = Iterator[Row]


def gather(
    classes: Sequence[str],
    files: Sequence[str],
    date: str,
    kind: str | None = None,
    by: str = "",
    labels: str | None = None,
) -> Gathered:
    """The statements of these files for the classes; names match whatever their case, spaces, underscores and CamelCase.

    Args:
        kind: of the statements; told from the file's name unless given, where texts of one or two words are keywords.
        by: who wrote them, for the bank.
        labels: a file that names, in their order, the classes of files whose classes are numbers.

    Raises:
        BenchError: a file that cannot be read or has no layout of these, or numbers for classes and no labels, or another number of them.
    """
    gathered, numbered = Gathered(), _labels(labels) if labels else ()
    find = _finder(classes)
    for given in files:
        path = Path(given).expanduser()
        text, stamp = _read(path)
        chosen = kind or _kind(path)
        if not kind:
            gathered.notes.append(f"{path.name}: taken for statements of the kind {chosen}; --kinds says otherwise")
        origin = Origin(f"{by or 'the file'} {path.name}, sha256 {stamp}, read on {date}".strip())
        unmatched: dict[str, None] = {}
        rows = _rows(path, text)
        if numbered:
            _as_many({name for name, *_ in rows}, numbered, path)
        for name, one, useless in rows:
            if numbered:
                name = _numbered(name, numbered, path)
            elif name.isdigit():
                raise BenchError(
                    f"{path}: its classes are numbers; name them with --labels FILE, a class a line in the order of these numbers"
                )
            found = find(name)
            if found is None:
                unmatched[name] = None
                continue
            if useless:
                gathered.refused[useless] += 1
                continue
            short = not kind and isinstance(one, str) and len(one.split()) <= 2
            gathered.take(found, "keyword" if short else chosen, one, f"{path.stem} {chosen}", origin)
        gathered.unmatched += [f"{path.name}: {_near(name, classes)}" for name in unmatched]
    return gathered


def _read(path: Path) -> tuple[str, str]:
    """A file's text and 16 hex characters of its sha256."""
    try:
        if path.stat().st_size > LARGEST:
            raise BenchError(f"{path} has more than {LARGEST / 1e6:g} MB; it is no file of descriptions")
        content = path.read_bytes()
        return content.decode("utf-8-sig"), hashlib.sha256(content).hexdigest()[:16]
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it first") from error
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror})") from error


def _rows(path: Path, text: str) -> list[Row]:
    layouts = {".json": _json, ".csv": _csv, ".txt": _lines}
    layout = layouts.get(path.suffix.lower())
    if layout is None:
        raise BenchError(f"{path}: the files that are read end in {', '.join(layouts)}")
    rows = list(layout(path, text))
    if not rows:
        raise BenchError(f"{path} holds no statement")
    return rows


def _json(path: Path, text: str) -> Rows:
    try:
        said = json.loads(text, object_pairs_hook=tuple)  # pairs: a class that is there twice loses nothing
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path} is no readable json: {error}") from error
    if not isinstance(said, tuple) or not all(isinstance(v, list | str) for _, v in said):
        raise BenchError(
            f"{path}: the json that is read is {{class: [texts]}}, one object with a list of texts a class"
        )
    for name, texts in said:
        yield from ((name, one, "") for one in ([texts] if isinstance(texts, str) else texts))


def _csv(path: Path, text: str) -> Rows:
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise BenchError(f"{path} is no readable csv: {error}") from error
    widths = {len(row) for row in rows}
    if widths == {1}:
        yield from _lines(path, "\n".join(row[0].replace("\n", " ") for row in rows))
    elif widths == {2}:
        yield from ((name.strip(), one, "") for name, one in rows)
    elif widths == {3} and not rows[0][0].strip().isdigit():
        for _, name, paragraph in rows[1:]:
            for one in split_sentences(re.sub(r"\s+", " ", paragraph)):
                yield name.strip(), one, "" if one.endswith((".", "!", "?")) else "unfinished sentence"
    else:
        raise BenchError(
            f"{path}: a csv has the columns class and text without a header, or number, class and text with one; its rows have "
            f"{', '.join(map(str, sorted(widths)))} columns"
        )


def _lines(path: Path, text: str) -> Rows:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, one = line.partition(":")
        if not colon:
            raise BenchError(f"{path}, line {number}: it has no colon; a line is `class: text`")
        yield name.strip(), one, ""


def _kind(path: Path) -> str:
    """By its name; else by its folder's, but that motiondescriptions also holds files of descriptions of whole actions."""
    here, around = path.name.lower(), path.resolve().parent.name.lower()
    moves = "motion|tempor"
    if re.search(moves, here) or (re.search(moves, around) and not re.search("descri?ptions", here)):
        return "motion"
    return "appearance"


def _labels(given: str) -> tuple[str, ...]:
    """Class names in order: a name a line, `number name` a line, or a csv with the columns id and name."""
    path = Path(given).expanduser()
    lines = [line.strip() for line in _read(path)[0].splitlines() if line.strip()]
    if lines and re.fullmatch(r"\w*id,\w*name", lines[0], re.IGNORECASE):
        lines = lines[1:]
    rows = [re.fullmatch(r"(?:(\d+)[,\s]\s*)?(.+)", line) for line in lines]
    numbers = [int(row[1]) for row in rows if row and row[1]]
    if (
        not rows
        or numbers
        and (len(numbers) != len(rows) or numbers != list(range(numbers[0], numbers[0] + len(rows))))
    ):
        raise BenchError(f"--labels {path}: give a class a line, all with their numbers in order or all without")
    return tuple(row[2].strip('"') for row in rows if row)


def _as_many(found: set[str], labels: Sequence[str], path: Path) -> None:
    """Numbers mean nothing under the labels of another list, which would give every class another one's statements."""
    if len(found) < len(labels):
        raise BenchError(
            f"{path}: it has {len(found)} classes, and --labels names {len(labels)}; give the labels of the very list that its "
            "numbers count"
        )


def _numbered(name: str, labels: Sequence[str], path: Path) -> str:
    if not name.isdigit():
        raise BenchError(f"{path}: {name!r} is no number; --labels is for files whose classes are numbers from 0 on")
    if int(name) >= len(labels):
        raise BenchError(
            f"{path}: it has a class {name}, and --labels names {len(labels)} classes, 0 to {len(labels) - 1}"
        )
    return labels[int(name)]


def plain(name: str) -> str:
    """A class name without case, spaces, underscores and other marks."""
    return "".join(words(name))


def _finder(classes: Sequence[str]) -> Callable[[str], str | None]:
    """A class by the name that a file has for it: as it is, else by its letters; None where these are no class's or two classes'."""
    by_letters: dict[str, list[str]] = {}
    for c in classes:
        by_letters.setdefault(plain(c), []).append(c)

    def find(name: str) -> str | None:
        found = [name] if name in by_letters.get(plain(name), ()) else by_letters.get(plain(name), [])
        return found[0] if len(found) == 1 else None

    return find


def _near(name: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), {c.lower(): c for c in classes}, n=1, cutoff=0.8)
    return f"{name} (near: {near[0]})" if near else name
