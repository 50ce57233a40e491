"""What a source gave: statements a class, who wrote them, what was refused and why, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.knowledge.answers import fault
from bench.knowledge.bank import Bank, Origin, Statement, clean


@dataclass(frozen=True)
class Failure:
    """A question that brought nothing: of which class and kind, why, and the file that keeps the answer."""

    class_name: str
    kind: str
    reason: str
    where: str


@dataclass
class Gathered:
    """Filled by a source, statement by statement. `unmatched` are names in its files that no class has; `notes` are for the user."""

    origins: dict[str, Origin] = field(default_factory=dict)
    statements: dict[str, list[Statement]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, class_name: str, kind: str, text: object, name: str, origin: Origin, model: bool = False) -> str:
        """Keep a statement, or count why not. Returns that reason, "" where it is kept."""
        reason = fault(text, kind, model)
        if not reason:
            kept = clean(text, class_name)
            rows = self.statements.setdefault(class_name, [])
            if any(s.text.casefold() == kept.casefold() for s in rows):
                reason = "said before"
            else:
                rows.append(Statement(kept, kind, _named(self.origins, name, origin), "proposed"))
        if reason:
            self.refused[reason] += 1
        return reason

    def nothing(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes that it has no statement for."""
        return tuple(c for c in classes if not self.statements.get(c))


def _named(origins: dict[str, Origin], name: str, origin: Origin) -> str:
    """The key of an origin, put in where it is new: the name, or the name with a number where that is another's."""
    number = 1
    while origins.setdefault(key := name if number == 1 else f"{name} {number}", origin) != origin:
        number += 1
    return key


def merged(bank: Bank, classes: Sequence[str], gathered: Gathered) -> tuple[Bank, int]:
    """The bank with what was gathered behind what it holds, and how many statements are new. What it holds is never changed."""
    origins, rows = dict(bank.origins), {c: list(bank.classes.get(c, ())) for c in (*bank.classes, *classes)}
    added = 0
    for c, statements in gathered.statements.items():
        there = {s.text.casefold() for s in rows[c]} | {s.was.casefold() for s in rows[c]}
        for s in statements:
            if s.text.casefold() not in there:
                rows[c].append(replace(s, origin=_named(origins, s.origin, gathered.origins[s.origin])))
                added += 1
    held: Mapping[str, tuple[Statement, ...]] = {c: tuple(r) for c, r in rows.items()}
    return replace(bank, origins=origins, classes=held), added
