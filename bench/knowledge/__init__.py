"""Banks of class descriptions: reviewed files, one a data set, whose digest is part of a run's identity."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import BenchError, digest
from bench.plugins import unknown

BANKS = Path(__file__).resolve().parent / "banks"
SCHEMA = 1
KINDS = ("appearance", "motion", "body part", "object", "keyword")
STATUSES = ("proposed", "accepted", "edited", "rejected")
USED = ("accepted", "edited")  # what a person or the refinement let through
MAX_CHARACTERS = 500  # far over any text tower; longer ones are pasted by mistake


@dataclass(frozen=True)
class Statement:
    """One sentence about a class: its kind (KINDS), who wrote it (origin), and whether it was let through (STATUSES)."""

    text: str
    kind: str
    origin: str
    status: str


@dataclass(frozen=True)
class Bank:
    """All statements of a data set's classes, in the file's order."""

    name: str
    about: str
    classes: dict[str, tuple[Statement, ...]]


def bank_names() -> tuple[str, ...]:
    """The banks that ship with the project."""
    return tuple(sorted(f.stem for f in BANKS.glob("*.json")))


def load(name: str) -> Bank:
    """Read a bank by its name, or by the path of a .json file.

    Raises:
        BenchError: no such bank, or a fault in it, with file, class and statement.
    """
    path = Path(name) if name.endswith(".json") else BANKS / f"{name}.json"
    if not name.endswith(".json") and name not in bank_names():
        raise unknown("knowledge bank", name, bank_names())
    if not path.is_file():
        raise BenchError(f"there is no knowledge bank {path}")
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@cache
def _read(path: Path, modified_ns: int, size: int) -> Bank:
    """Kept in this process until the file changes."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_duplicates)
    except ValueError as error:
        raise BenchError(f"{path} is no readable knowledge bank: {error}") from error
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or not isinstance(raw.get("classes"), dict):
        raise BenchError(f"{path} is no knowledge bank of schema {SCHEMA}: it needs schema, dataset, about and classes")
    for c, rows in raw["classes"].items():
        if not isinstance(rows, list):
            raise BenchError(f"{path}, class {c!r}: a class holds a list of statements")
    classes = {c: tuple(_statement(path, c, i, s) for i, s in enumerate(rows)) for c, rows in raw["classes"].items()}
    return Bank(path.stem, str(raw.get("about", "")), classes)


def statements(
    name: str, class_names: Sequence[str], control: str = "none", seed: int = 0
) -> tuple[tuple[str, ...], ...]:
    """The accepted statements of each class, in the order of `class_names`.

    Args:
        control: "shuffled" deals whole classes' statements to classes by a random permutation drawn from `seed`: the same
            sentences, the wrong owners.

    Raises:
        BenchError: a class without an accepted statement.
    """
    bank = load(name)
    out = []
    for c in class_names:
        texts = tuple(s.text for s in bank.classes.get(c, ()) if s.status in USED)
        if not texts:
            raise BenchError(
                f"the knowledge bank {name} has no accepted statement for the class {c!r}; add one or choose another bank "
                f"(it has {', '.join(list(bank.classes)[:20])})"
            )
        out.append(texts)
    if control == "shuffled":
        order = np.random.default_rng([seed, 0xBA2C]).permutation(len(out))
        out = [out[i] for i in order]
    elif control != "none":
        raise BenchError(f"unknown bank control {control!r}")
    return tuple(out)


def statements_digest(texts: Sequence[Sequence[str]]) -> str:
    """What of a bank enters a run's identity: the sentences that the method is shown, class by class."""
    return digest([list(t) for t in texts])


def _statement(path: Path, class_name: str, number: int, raw: Any) -> Statement:
    where = f"{path}, class {class_name!r}, statement {number + 1}"
    if not isinstance(raw, dict) or not isinstance(raw.get("text"), str):
        raise BenchError(f"{where}: a statement is an object with text, kind, origin and status")
    text = raw["text"].strip()
    if not text or len(text) > MAX_CHARACTERS:
        raise BenchError(f"{where}: the text has {len(text)} characters; it needs 1 to {MAX_CHARACTERS}")
    if any(unicodedata.category(ch) in ("Cc", "Cs") for ch in text):
        raise BenchError(f"{where}: the text holds a control character")
    if raw.get("kind") not in KINDS:
        raise BenchError(f"{where}: the kind {raw.get('kind')!r} is none of {', '.join(KINDS)}")
    if raw.get("status") not in STATUSES:
        raise BenchError(f"{where}: the status {raw.get('status')!r} is none of {', '.join(STATUSES)}")
    if not raw.get("origin"):
        raise BenchError(f"{where}: the origin is missing; say who or which model wrote it")
    return Statement(text, raw["kind"], str(raw["origin"]), raw["status"])


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [k for k, _ in pairs]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(repr, twice))} is there twice")
    return dict(pairs)
