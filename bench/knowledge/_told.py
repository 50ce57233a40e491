"""What a refinement did, as tables of texts: for a terminal, and whole in Markdown."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING

from bench._markdown import escape_markdown, pipe_table
from bench.knowledge._rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.knowledge.refine import Fault, Refined

Rows = list[tuple[str, ...]]
CLASSES = ("class", "statements", "left", *RULES, "told only")
NEAREST = ("class", "nearest class", "cosine", "lowest margin", "mean TPP")
FAULTS = ("class", "statement", "text", "why")


def classes(refined: Refined) -> Rows:
    """A row a class, in the bank's order: how many statements it had and has, and how many fell for which reason."""
    fell = Counter((f.class_name, f.rule) for f in refined.faults if f.fell)
    told = Counter(f.class_name for f in refined.faults if not f.fell)
    return [
        (
            c.name,
            str(c.before),
            f"{c.left} (too few)" if c in refined.short else str(c.left),
            *(_count(fell[c.name, rule]) for rule in RULES),
            _count(told[c.name]),
        )
        for c in refined.classes
    ]


def nearest(refined: Refined) -> Rows:
    """The nearest class of each class, the most confusable pair first."""
    order = sorted(refined.classes, key=lambda c: -c.cosine if c.nearest else math.inf)
    return [(c.name, c.nearest, *map(_number, (c.cosine, c.lowest_margin, c.tpp))) for c in order]


def faults(refined: Refined, fell: bool) -> Rows:
    """A row a statement that fell, or that a person let through in spite of its fault."""
    return [(f.class_name, str(f.number), f.text, _why(f)) for f in refined.faults if f.fell is fell]


def short(refined: Refined) -> list[str]:
    """A sentence a class with too few statements."""
    least = refined.settings.min_statements
    return [
        f"the class {c.name!r} has {c.left} of {c.before} statements left; it needs at least {least}"
        for c in refined.short
    ]


def markdown(refined: Refined, name: str) -> str:
    """The whole report; what comes from the bank is shown as it is written there."""
    values = {k: v for k, v in dataclasses.asdict(refined.settings).items() if v is not None}
    fell, told = faults(refined, fell=True), faults(refined, fell=False)
    intro = f"Backbone {refined.backbone}; {', '.join(f'{k} {v}' for k, v in values.items())}."
    lines = [*refined.notes, *short(refined)]
    if refined.accepted:
        lines.append(f"{refined.accepted} statements were accepted by refinement, without a person")
    parts = [
        f"# Refinement of {escape_markdown(name)}\n",
        escape_markdown(intro) + "\n",
        "".join(f"- {escape_markdown(line)}\n" for line in lines),
        _part("What is left of each class", CLASSES, classes(refined)),
        _part("Why each statement fell", FAULTS, fell) if fell else "## No statement fell\n",
        _part("Faults of statements that a person let through: told only", FAULTS, told) if told else "",
        _part("Which classes are easily confused", NEAREST, nearest(refined)),
    ]
    return "\n".join(part for part in parts if part)


def _part(title: str, header: Sequence[str], rows: Rows) -> str:
    return f"## {title}\n\n{pipe_table(header, rows)}"


def _why(fault: Fault) -> str:
    return f"{fault.rule}: {fault.reason}"


def _count(number: int) -> str:
    return str(number or "")


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
