"""Refine a bank: which statements fall, and why; how good the others are; whether a class has enough left.

A statement falls for the first of these reasons: it repeats another one of its class, it says a class's name, it does not fit the text
tower once the prompt is in, it is closer to another class than to its own, it is not among the best. What a person let through never
falls unless `recheck` says so; its faults are told. Formulas and thresholds: docs/knowledge-refine.md.

The last two reasons depend on what else is there. So they are asked again, the worst statement of each class first, until nobody
falls any more: refining a refined bank changes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from bench.contracts import PROMPTS, TEXT, Adapter, BenchError
from bench.knowledge._measures import SCORES, Measures, class_cosines, measure, space
from bench.knowledge._rules import ACCEPTED, CONFUSED, Found, Judge, Settings, by_person
from bench.knowledge.bank import USED, Bank, Statement

__all__ = ["ClassState", "Fault", "Refined", "Settings", "refine"]

TEMPLATES = ("a video of {}.",)
_SAID = re.compile(r" ?\[refine: [^\]]*\]")


@dataclass(frozen=True)
class Fault:
    """Why a statement falls, or would: one of RULES, and a sentence with the numbers; `number` is its place in its class, from 1.

    `fell` is False where a person had let it through, and the fault is only told.
    """

    class_name: str
    number: int
    text: str
    rule: str
    reason: str
    fell: bool


@dataclass(frozen=True)
class ClassState:
    """What is left of a class, and where it stands: its nearest class and the cosine of their means; the lowest margin, and the
    mean TPP, of its statements. NaN and "" where there is nothing to compare.
    """

    name: str
    before: int
    left: int
    nearest: str
    cosine: float
    lowest_margin: float
    tpp: float


@dataclass(frozen=True)
class Refined:
    """The bank after refinement, and what there is to tell; `accepted` counts what this refinement let through."""

    bank: Bank
    backbone: str
    settings: Settings
    faults: tuple[Fault, ...]
    classes: tuple[ClassState, ...]
    notes: tuple[str, ...]
    accepted: int

    @property
    def short(self) -> tuple[ClassState, ...]:
        """The classes with fewer statements than there must be."""
        return tuple(c for c in self.classes if c.left < self.settings.min_statements)


def refine(
    bank: Bank,
    adapter: Adapter,
    settings: Settings | None = None,
    class_names: Sequence[str] | None = None,
    templates: Sequence[str] = TEMPLATES,
) -> Refined:
    """Judge every statement that is not rejected.

    Args:
        class_names: the classes that compete, of a data set; others are left as they are. None: all of the bank.
        templates: sentences with {} for a class's name; their mean is what TPP calls the global text.

    Raises:
        BenchError: no class to judge, a backbone without a text side, or no room for text behind the context.
    """
    settings, facts = settings or Settings(), adapter.facts
    names = list(bank.classes) if class_names is None else list(class_names)
    if TEXT not in facts.capabilities:
        raise BenchError(
            f"{facts.name} has no text side, so it has no text space to refine in; name another --backbone"
        )
    if not names:
        raise BenchError("the bank has no classes")
    notes = []
    if absent := [c for c in bank.classes if c not in names]:
        notes.append(f"{len(absent)} of the bank's classes are none of the data set's and stay as they are")
    if PROMPTS not in facts.capabilities:
        notes.append(f"{facts.name} lets no prompt in front of a text: whether statements are too long was not checked")
    # Rejected ones are embedded too: so a second refinement has the same batches, and the same numbers to the last bit.
    rows = [(c, i, s) for c in names for i, s in enumerate(bank.classes.get(c, ()))]
    place = {name: i for i, name in enumerate(names)}
    there = torch.tensor([s.status != "rejected" for _, _, s in rows], dtype=torch.bool)
    at = space(adapter, [s.text for _, _, s in rows], [place[c] for c, _, _ in rows], names, templates)
    judge = Judge(adapter, settings, names, rows, at, there)
    found, last = judge.judged()
    faults = tuple(
        Fault(c, i + 1, s.text, *found[row][:2], fell=not judge.kept(row))
        for row, (c, i, s) in enumerate(rows)
        if row in found
    )
    states = _states(judge, last)
    confused = sum(rule == CONFUSED for rule, _, _ in found.values())
    if 2 * confused > len(rows):
        notes.append(
            f"{confused} of {len(rows)} statements are closer to another class: where most are, question the backbone or the threshold "
            f"({settings.min_margin:g}) before the statements; a lower one: --min-margin -0.1"
        )
    made, accepted = _made(bank, judge, found, facts.name)
    return Refined(made, facts.name, settings, faults, states, tuple(notes), accepted)


def _states(judge: Judge, at: Measures) -> tuple[ClassState, ...]:
    cosines = class_cosines(judge.space, judge.there)
    made = []
    for c, name in enumerate(judge.names):
        rows = judge.of_class(c)
        best = int(cosines[c].argmax())
        near = math.isfinite(cosines[c, best])
        margins = [float(at.margin[row]) for row in rows if not at.margin[row].isnan()]
        made.append(
            ClassState(
                name,
                int(judge.num_before[c]),
                len(rows),
                judge.names[best] if near else "",
                float(cosines[c, best]) if near else math.nan,
                min(margins, default=math.nan),
                float(at.tpp[rows].mean()) if rows else math.nan,
            )
        )
    return tuple(made)


def _made(bank: Bank, judge: Judge, found: Found, backbone: str) -> tuple[Bank, int]:
    """The bank with scores, statuses and reasons, and how many statements are newly let through."""
    settings, accepted = judge.settings, 0
    classes = {c: list(rows) for c, rows in bank.classes.items()}
    last = measure(judge.space, judge.there)
    for row, (c, i, s) in enumerate(judge.rows):
        if s.status == "rejected":
            continue
        rest: Mapping[str, float] = {name: value for name, value in s.scores.items() if name not in SCORES}
        near = judge.names[int(last.nearest[row])] if math.isfinite(last.other[row]) else ""
        made = replace(s, scores={**rest, **(last.scores(row) if judge.there[row] else found[row][2])}, nearest=near)
        if not judge.there[row]:
            rule, reason, _ = found[row]
            before = f"; before: {s.status}{f', {s.reason}' if s.reason else ''}" if by_person(s) else ""
            made = replace(made, status="rejected", reason=f"{rule}: {reason}{before}")
        elif settings.accept and s.status == "proposed":
            accepted += 1
            made = replace(made, status="accepted", reason=f"{ACCEPTED} ({backbone})")
        classes[c][i] = made
    whole = {c: tuple(rows) for c, rows in classes.items()}
    return replace(bank, classes=whole, about=_about(bank.about, whole, settings, backbone)), accepted


def _about(about: str, classes: Mapping[str, Sequence[Statement]], settings: Settings, backbone: str) -> str:
    """What the bank says of itself, with one note on its last refinement."""
    told = f"scores by {backbone.replace(']', ')')}"
    if num := sum(s.status in USED and s.reason.startswith(ACCEPTED) for rows in classes.values() for s in rows):
        told += f"; {num} statement{'s' * (num > 1)} {ACCEPTED}"
    return f"{_SAID.sub('', about)} [refine: {told}]".strip()
