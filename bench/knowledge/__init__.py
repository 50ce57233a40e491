"""Banks of class descriptions: reviewed files, one a data set, whose digest is part of a run's identity."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.contracts import BenchError, digest
from bench.knowledge import controls
from bench.knowledge.bank import bank_names, load, used

__all__ = ["bank_names", "load", "statements", "statements_digest", "words"]


def statements(
    name: str, class_names: Sequence[str], control: str = "none", seed: int = 0
) -> tuple[tuple[str, ...], ...]:
    """The statements of each class that were let through, in the order of `class_names`.

    Args:
        control: what is done to them, see `controls`; what is drawn is drawn from `seed`.

    Raises:
        BenchError: a class without an accepted statement, or a control that cannot be had.
    """
    bank = load(name)
    rows = [used(bank.classes.get(c, ())) for c in class_names]
    for c, texts in zip(class_names, rows, strict=True):
        if not texts and bank.classes.get(c):
            raise BenchError(
                f"the knowledge bank {name} has {len(bank.classes[c])} statements for the class {c!r}, and none of them is accepted; "
                "python -m bench knowledge review looks at them, refine --accept-refined accepts what it keeps"
            )
        if not texts:
            raise BenchError(
                f"the knowledge bank {name} has no accepted statement for the class {c!r}; add one or choose another bank "
                f"(it has {', '.join(list(bank.classes)[:20])})"
            )
    return tuple(tuple(s.text for s in texts) for texts in controls.apply(rows, control, seed, class_names))


def words() -> tuple[str, ...]:
    """The distinct words of all banks that ship: class names and statements, whatever their status."""
    found = set()
    for name in bank_names():
        for c, rows in load(name).classes.items():
            found.update(re.findall(r"[^\W\d_]+", " ".join([c, *(s.text for s in rows)])))
    return tuple(sorted(found))


def statements_digest(texts: Sequence[Sequence[str]]) -> str:
    """What of a bank enters a run's identity: the sentences that the method is shown, class by class."""
    return digest([list(t) for t in texts])
