"""The reasons for which a statement falls, in their order, and the judge that asks them of a bank's statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from bench.contracts import PROMPTS, Adapter, BenchError, PromptableText
from bench.knowledge._measures import Measures, Space, measure
from bench.knowledge.bank import USED, Statement
from bench.knowledge.leaks import leak, words

ACCEPTED = "accepted by refinement, without a person"
DUPLICATE, LEAK, LONG, CONFUSED, WORSE = RULES = (
    "near-duplicate",
    "name leak",
    "too long",
    "confusable",
    "surplus",
)
_QUOTED = 80  # characters of another statement in a reason


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Thresholds, and what refinement may do.

    `near_duplicate`: cosine above which two statements of a class are the same. `min_margin`: by how much a statement must be closer
    to its class's other statements than to any other class's. `num_context_tokens` stand in front of a statement, and with
    `with_class_name` the class's name behind it, as `knowledge_prompt` writes it. `min_statements`: fewer left in a class is too few.
    `keep`: so many of each kind stay in a class, the best ones; None: all. `recheck`: what a person let through may fall as well.
    `accept`: what stays is let through, without a person.

    Raises:
        BenchError: a value out of its range.
    """

    near_duplicate: float = 0.97
    min_margin: float = 0.0
    num_context_tokens: int = 16
    with_class_name: bool = True
    min_statements: int = 3
    keep: int | None = None
    recheck: bool = False
    accept: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (
            ("near_duplicate", 0, 1),
            ("min_margin", -2, 2),
            ("num_context_tokens", 0, 10_000),
            ("min_statements", 1, 10_000),
            ("keep", 1, 10_000),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise BenchError(f"{name} is {value}; it is from {least} to {most}")


def by_person(s: Statement) -> bool:
    """Whether a person let it through; what refinement let through says so in its reason."""
    return s.status in USED and not s.reason.startswith(ACCEPTED)


Found = dict[int, tuple[str, str, dict[str, float]]]  # row -> rule, reason, and the scores that it had then


@dataclass
class Judge:
    """The statements of the classes that compete, as rows; `there` loses those that fall."""

    adapter: Adapter
    settings: Settings
    names: Sequence[str]
    rows: Sequence[tuple[str, int, Statement]]
    space: Space
    there: Tensor

    def __post_init__(self) -> None:
        self.num_before = torch.bincount(self.space.owner[self.there], minlength=len(self.names))

    def kept(self, row: int) -> bool:
        """A person let it through, and nobody asked to check that again."""
        return by_person(self.rows[row][2]) and not self.settings.recheck

    def of_class(self, c: int) -> list[int]:
        """The rows of a class that are there."""
        return [int(row) for row in torch.nonzero(self.there & (self.space.owner == c)).flatten()]

    def judged(self) -> tuple[Found, Measures]:
        """What falls or has a fault, and the measures of what is left."""
        first = measure(self.space, self.there)
        found: Found = {}
        for c in range(len(self.names)):
            self._by_itself(c, first, found)
        while True:
            last = measure(self.space, self.there)
            fallen = [fault for c in range(len(self.names)) if (fault := self._worst(c, last))]
            if not fallen:
                break
            for row, rule, reason in fallen:
                self.there[row] = False
                found[row] = rule, reason, last.scores(row)
        for row in torch.nonzero(self.there).flatten().tolist():
            if self.kept(row) and row not in found and last.margin[row] < self.settings.min_margin:
                found[row] = CONFUSED, self._confused(row, last), last.scores(row)
        return found, last

    def _by_itself(self, c: int, at: Measures, found: Found) -> None:
        """The reasons that do not depend on the other classes' statements: repeated, named, too long."""
        alone = {row: self._named(row) or self._long(row) for row in self.of_class(c)}
        # The better-ranked of two stays; one that falls anyhow takes nobody with it.
        best = sorted(alone, key=lambda row: (not self.kept(row), alone[row] is not None, -float(at.tpp[row]), row))
        stay: list[int] = []
        for row in best:
            fault = self._repeats(row, stay, at) or alone[row]
            if fault:
                found[row] = *fault, at.scores(row)
            if fault and not self.kept(row):
                self.there[row] = False
            else:
                stay.append(row)

    def _repeats(self, row: int, stay: Sequence[int], at: Measures) -> tuple[str, str] | None:
        text, unit = self.rows[row][2].text, self.space.statements
        for other in stay:
            theirs = self.rows[other][2].text
            cosine = min(1.0, float(unit[row] @ unit[other]))
            if words(text) == words(theirs):
                how = "has the same words as"
            elif cosine > self.settings.near_duplicate:
                how = f"nearly repeats, with a cosine of {cosine:.3f} (over {self.settings.near_duplicate:g}),"
            else:
                continue
            quoted = theirs if len(theirs) <= _QUOTED else f"{theirs[: _QUOTED - 1].rstrip()}…"
            return DUPLICATE, f'{how} "{quoted}" (TPP {at.tpp[row]:.3f} beside {at.tpp[other]:.3f})'
        return None

    def _named(self, row: int) -> tuple[str, str] | None:
        own, _, s = self.rows[row]
        if said := leak(s.text, own, self.names):
            whose = "its own class" if said[0] == own else f"the class {said[0]!r}"
            return LEAK, f'says the name of {whose}: "{said[1]}"'
        return None

    def _long(self, row: int) -> tuple[str, str] | None:
        if PROMPTS not in self.adapter.facts.capabilities:
            return None
        own, _, s = self.rows[row]
        behind = f" {own.replace('_', ' ')}" if self.settings.with_class_name else ""
        tokens = cast("PromptableText", self.adapter).tokenize(
            [f"{s.text.rstrip('.')}.{behind}"], self.settings.num_context_tokens
        )
        if not tokens.num_cut:
            return None
        name = " and the class's name" if behind else ""
        return LONG, (
            f"with {self.settings.num_context_tokens} context tokens{name} it does not fit the {self.adapter.facts.context_length} "
            f"tokens of {self.adapter.facts.name}, and its tail would be cut"
        )

    def _worst(self, c: int, at: Measures) -> tuple[int, str, str] | None:
        """One statement of a class that falls in this round."""
        mine = self.of_class(c)
        free = [row for row in mine if not self.kept(row)]
        if confused := [row for row in free if at.margin[row] < self.settings.min_margin]:
            row = min(confused, key=lambda row: float(at.margin[row]))
            return row, CONFUSED, self._confused(row, at)
        if self.settings.keep is None:
            return None
        for kind in dict.fromkeys(self.rows[row][2].kind for row in free):
            among = [row for row in mine if self.rows[row][2].kind == kind]
            if len(among) > self.settings.keep:
                row = min((r for r in free if r in among), key=lambda row: (float(at.tpp[row]), -row))
                keep = f"the best {self.settings.keep} {kind} statement{'s' * (self.settings.keep > 1)}"
                return row, WORSE, f"not among {keep} of its class: TPP {at.tpp[row]:.3f}, last of {len(among)}"
        return None

    def _confused(self, row: int, at: Measures) -> str:
        return (
            f"closer to the class {self.names[int(at.nearest[row])]!r} than to its own: cosine {at.other[row]:.3f} with that class's mean, "
            f"{at.own[row]:.3f} with the mean of its own class's other statements (margin {at.margin[row]:+.3f}, at least "
            f"{self.settings.min_margin:+.3f} is asked for)"
        )
