"""A knowledge bank as a file: for each class of a data set its statements, each with kind, origin, status and scores."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench._files import write_atomic
from bench.contracts import BenchError, digest
from bench.plugins import unknown

BANKS = Path(__file__).resolve().parent / "banks"
SCHEMA = 2
KINDS = ("appearance", "motion", "body part", "object", "keyword")
STATUSES = ("proposed", "accepted", "edited", "rejected")
USED = ("accepted", "edited")  # what a person or the refinement let through
MAX_CHARACTERS = 500  # far over any text tower; longer ones are pasted by mistake
DIGEST_CHARS = 16
_HEAD = ("schema", "dataset", "about", "origins", "classes")
_TURNS = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # turn the direction of what is shown after them
_FIELDS = ("text", "kind", "origin", "status", "scores", "nearest", "reason", "was")


@dataclass(frozen=True)
class Origin:
    """Who or which model wrote statements, and what it was asked; "" where nobody asked."""

    by: str
    prompt: str = ""


@dataclass(frozen=True)
class Statement:
    """One sentence about a class: its kind (KINDS), a key of the bank's origins, and whether it was let through (STATUSES).

    `scores` are what refinement measured, by name, and `nearest` is the other class that it found it closest to; `reason` says why it
    was rejected or let through, `was` the text before an edit.
    """

    text: str
    kind: str
    origin: str
    status: str
    scores: Mapping[str, float] = field(default_factory=dict)
    nearest: str = ""
    reason: str = ""
    was: str = ""


@dataclass(frozen=True)
class Bank:
    """All statements of a data set's classes, in the file's order."""

    dataset: str
    about: str
    origins: Mapping[str, Origin]
    classes: Mapping[str, tuple[Statement, ...]]

    @property
    def digest(self) -> str:
        """16 hex characters over what methods are shown of it: the texts let through, class by class, with their kinds."""
        return digest([[c, [[s.text, s.kind] for s in used(rows)]] for c, rows in self.classes.items()], DIGEST_CHARS)


def used(rows: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements that were let through."""
    return tuple(s for s in rows if s.status in USED)


def bank_names() -> tuple[str, ...]:
    """The banks that ship with the project."""
    return tuple(sorted(f.stem for f in BANKS.glob("*.json")))


def bank_path(name: str) -> Path:
    """The file of a bank by its name, or by the path of a .json file; it need not exist. Raises BenchError on an unknown name."""
    if name.endswith(".json"):
        return Path(name)
    if name not in bank_names():
        raise unknown("knowledge bank", name, bank_names())
    return BANKS / f"{name}.json"


def load(name: str) -> Bank:
    """Read a bank by its name or path; `name@digest` insists on what it held when the digest was taken.

    Raises:
        BenchError: no such bank, a fault in it, with file, class and statement, or another digest.
    """
    name, pinned = split_pin(name)
    path = bank_path(name)
    try:
        state = path.stat()
        bank = _read(path, state.st_mtime_ns, state.st_size)
    except FileNotFoundError:
        raise BenchError(f"there is no knowledge bank {path}") from None
    except OSError as error:
        raise BenchError(f"{path} is no readable knowledge bank: {error.strerror}") from error
    if pinned and bank.digest != pinned:
        raise BenchError(
            f"{path} has the digest {bank.digest}, not {pinned}: its statements changed; go back to the file that has that "
            f"digest, or ask for {name}@{bank.digest}"
        )
    return bank


def split_pin(name: str) -> tuple[str, str]:
    """`name@digest` -> name, digest; "" where there is none. Raises BenchError on an empty digest or one of another length."""
    if name.endswith("@"):
        raise BenchError(f"the bank {name} ends with an empty digest; write {name[:-1]} or {name}DIGEST")
    found = re.fullmatch(r"(.+)@([0-9a-f]+)", name)
    if found and len(found[2]) != DIGEST_CHARS:
        raise BenchError(
            f"the bank {name}: a digest is {DIGEST_CHARS} hexadecimal characters, {found[2]!r} has {len(found[2])}"
        )
    return (found[1], found[2]) if found else (name, "")


@cache
def _read(path: Path, modified_ns: int, size: int) -> Bank:
    """Kept in this process until the file changes."""
    try:
        return parsed(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is no readable knowledge bank: {error}") from error


def parsed(text: str, where: str) -> Bank:
    """A bank from the text of its file; `where` is what errors call it.

    Raises:
        BenchError: a fault, with class and statement.
    """
    try:
        raw = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{where} is no readable knowledge bank: {error}") from error
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or not isinstance(raw.get("classes"), dict):
        raise BenchError(
            f"{where} is no knowledge bank of schema {SCHEMA}: it needs schema, dataset, about, origins and classes"
        )
    if odd := set(raw) - set(_HEAD):  # saving would lose it
        raise BenchError(f"{where}: unknown {', '.join(sorted(odd))}; a bank has {', '.join(_HEAD)}")
    for name in ("dataset", "about"):
        if not isinstance(raw.get(name, ""), str):
            raise BenchError(f"{where}: {name} is no text")
    origins = _origins(raw.get("origins"), where)
    for c, rows in raw["classes"].items():
        clean(c, f"{where}, class {c!r}, its name")
        if not isinstance(rows, list):
            raise BenchError(f"{where}, class {c!r}: a class holds a list of statements")
    classes = {
        c: tuple(_statement(f"{where}, class {c!r}, statement {i + 1}", s, origins) for i, s in enumerate(rows))
        for c, rows in raw["classes"].items()
    }
    return Bank(raw.get("dataset", ""), raw.get("about", ""), origins, classes)


def clean(text: object, where: str, most: int = MAX_CHARACTERS) -> str:
    """A text without blanks around it. Raises BenchError where it is empty, too long, or holds what no sentence holds."""
    if not isinstance(text, str):
        raise BenchError(f"{where}: the text is a {type(text).__name__}, not a string")
    text = text.strip()
    if not text or len(text) > most:
        raise BenchError(f"{where}: the text has {len(text)} characters; it needs 1 to {most}")
    if any(unicodedata.category(ch) in ("Cc", "Cs", "Zl", "Zp") or ch in _TURNS for ch in text):
        raise BenchError(f"{where}: the text holds a control character")
    if markup := re.search(r"<[a-zA-Z/!][^>]*>", text):
        raise BenchError(f"{where}: the text holds HTML ({markup[0][:40]}); write the sentence alone")
    return text


def _origins(raw: Any, where: str) -> dict[str, Origin]:
    if not isinstance(raw, dict):
        raise BenchError(f"{where}: origins says who wrote what: a name for each writer, with by and prompt")
    for name, one in raw.items():
        if not isinstance(one, dict) or not isinstance(one.get("by"), str) or not one["by"].strip():
            raise BenchError(f"{where}, origin {name!r}: by is missing; say who or which model wrote it")
        if odd := set(one) - {"by", "prompt"}:
            raise BenchError(f"{where}, origin {name!r}: unknown {', '.join(sorted(odd))}; an origin has by and prompt")
        if not isinstance(one.get("prompt", ""), str):
            raise BenchError(f"{where}, origin {name!r}: the prompt is no text")
    return {name: Origin(one["by"], one.get("prompt", "")) for name, one in raw.items()}


def _statement(where: str, raw: Any, origins: Mapping[str, Origin]) -> Statement:
    if not isinstance(raw, dict) or not isinstance(raw.get("text"), str):
        raise BenchError(f"{where}: a statement is an object with text, kind, origin and status")
    if odd := set(raw) - set(_FIELDS):
        raise BenchError(f"{where}: unknown {', '.join(sorted(odd))}; a statement has {', '.join(_FIELDS)}")
    text = clean(raw["text"], where)
    if raw.get("kind") not in KINDS:
        raise BenchError(f"{where}: the kind {raw.get('kind')!r} is none of {', '.join(KINDS)}")
    if raw.get("status") not in STATUSES:
        raise BenchError(f"{where}: the status {raw.get('status')!r} is none of {', '.join(STATUSES)}")
    if raw.get("origin") not in origins:
        raise BenchError(
            f"{where}: the origin {raw.get('origin')!r} is none of the bank's origins: {', '.join(origins) or 'none'}"
        )
    scores = raw.get("scores", {})
    numbers = isinstance(scores, dict) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in scores.values()
    )
    if not numbers:
        raise BenchError(f"{where}: scores are finite numbers by name")
    told = {name: raw.get(name, "") for name in ("nearest", "reason", "was")}
    for name, value in told.items():
        if not isinstance(value, str):
            raise BenchError(f"{where}: {name} is no text")
    return Statement(text, raw["kind"], raw["origin"], raw["status"], dict(scores), **told)


def written(bank: Bank) -> str:
    """The text of a bank's file: one statement a line, so that a change is one line of a diff. `parsed` reads it again."""
    origins = [f"  {_json(name)}: {_json({'by': o.by, 'prompt': o.prompt})}" for name, o in bank.origins.items()]
    classes = []
    for c, rows in bank.classes.items():
        lines = ",\n".join(f"   {_json(_told(s))}" for s in rows)
        classes.append(f"  {_json(c)}: [\n{lines}\n  ]" if rows else f"  {_json(c)}: []")
    head = [f' "schema": {SCHEMA}', f' "dataset": {_json(bank.dataset)}', f' "about": {_json(bank.about)}']
    body = [_block("origins", origins), _block("classes", classes)]
    return "{\n" + ",\n".join([*head, *body]) + "\n}\n"


def save(bank: Bank, path: Path) -> None:
    """Write a bank's file, whole or not at all.

    Raises:
        BenchError: the bank has a fault that `load` would refuse, or the file cannot be written.
    """
    text = written(bank)
    parsed(text, str(path))
    try:
        write_atomic(path, text)
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror})") from error


def _told(s: Statement) -> dict[str, Any]:
    told: dict[str, Any] = {"text": s.text, "kind": s.kind, "origin": s.origin, "status": s.status}
    if s.scores:
        told["scores"] = {name: round(value, 4) for name, value in s.scores.items()}
    return told | {name: getattr(s, name) for name in ("nearest", "reason", "was") if getattr(s, name)}


def _block(name: str, lines: Sequence[str]) -> str:
    return f' "{name}": {{\n' + ",\n".join(lines) + "\n }" if lines else f' "{name}": {{}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [k for k, _ in pairs]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(repr, twice))} is there twice")
    return dict(pairs)
