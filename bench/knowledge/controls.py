"""What is put in the place of a bank's knowledge to see what it is worth: the same sentences with the wrong owners, words without
sense, some statements wrong, fewer statements, or one kind of them.

Each control is a function of the classes' statements; a new one is a function here and a name in `bench.specs.BANK_CONTROLS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.contracts import BenchError
from bench.knowledge.bank import KINDS, Statement
from bench.specs import split_control

Rows = list[tuple[Statement, ...]]  # the statements of each class


def apply(rows: Rows, control: str, seed: int, class_names: Sequence[str]) -> Rows:
    """The statements after a control such as "none", "shuffled" or "wrong:4"; what is drawn is drawn from `seed`.

    Raises:
        BenchError: a control or value that does not exist, or one that leaves a class without a statement.
    """
    name, value = split_control(control)
    if name == "none":
        return rows
    made = CONTROLS[name](rows, value, seed)
    for c, texts in zip(class_names, made, strict=True):
        if not texts:
            raise BenchError(f"the control {control} leaves the class {c!r} without a statement; add one to the bank")
    return made


def _draw(seed: int, what: int) -> np.random.Generator:
    return np.random.default_rng([seed, what])


def shuffled(rows: Rows, value: str, seed: int) -> Rows:
    """Whole classes' statements dealt to other classes, by a permutation in which no class keeps its own; all such are as likely."""
    if len(rows) < 2:
        raise BenchError("statements cannot be shuffled between fewer than two classes")
    rng = _draw(seed, 0xBA2C)
    # About one permutation in e has no fixed point; taking the first that has none keeps them equally likely.
    order = rng.permutation(len(rows))
    while (order == np.arange(len(rows))).any():
        order = rng.permutation(len(rows))
    return [rows[i] for i in order]


def other_class(rows: Rows, value: str, seed: int) -> Rows:
    """Every class has the statements of another one: a random round in which none keeps its own."""
    if len(rows) < 2:
        raise BenchError("another class's statements need two classes")
    order = _draw(seed, 0x07E2).permutation(len(rows))
    giver = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    return [rows[giver[i]] for i in range(len(rows))]


def random_words(rows: Rows, value: str, seed: int) -> Rows:
    """Every statement keeps its number of words, which are drawn from all words of the bank."""
    words = sorted({word.strip(".,;:").lower() for texts in rows for s in texts for word in s.text.split()} - {""})
    rng = _draw(seed, 0x3A4D)

    def drawn(s: Statement) -> Statement:
        return replace(s, text=" ".join(rng.choice(words, len(s.text.split()))) + ".")

    return [tuple(drawn(s) for s in texts) for texts in rows]


def wrong(rows: Rows, value: str, seed: int) -> Rows:
    """`value` of 10 of each class's statements, a half rounded up, are other classes' sentences, which the class has nowhere itself."""
    tenths, rng = _whole(value, 1, 10), _draw(seed, 0x3409)
    if len(rows) < 2:
        raise BenchError("wrong statements need a second class to take them from")
    made = []
    for i, texts in enumerate(rows):
        own = {s.text for s in texts}
        others = [s for j, theirs in enumerate(rows) if j != i for s in theirs if s.text not in own]
        num = (tenths * len(texts) + 5) // 10
        if texts and not num:
            raise BenchError(
                f"the control wrong:{value} makes none of {len(texts)} statements wrong; take a larger value, or more statements a class"
            )
        if num and not others:
            raise BenchError(
                f"the control wrong:{value} finds no sentence that a class does not have itself; its texts are the same"
            )
        places = set(rng.choice(len(texts), num, replace=False).tolist())
        taken = iter(rng.choice(len(others), num, replace=num > len(others)).tolist())
        made.append(tuple(others[next(taken)] if n in places else s for n, s in enumerate(texts)))
    return made


def count(rows: Rows, value: str, seed: int) -> Rows:
    """`value` of each class's statements, drawn, in the bank's order."""
    num, rng = _whole(value, 1, 1000), _draw(seed, 0xC047)
    made = []
    for texts in rows:
        if len(texts) < num:
            raise BenchError(f"the control count:{num} asks for more statements than a class has ({len(texts)})")
        made.append(tuple(texts[n] for n in sorted(rng.choice(len(texts), num, replace=False).tolist())))
    return made


def kind(rows: Rows, value: str, seed: int) -> Rows:
    """Only statements of one kind, "body_part" for "body part"."""
    name = value.replace("_", " ")
    if name not in KINDS:
        raise BenchError(f"there are no statements of the kind {name!r}; it is one of {', '.join(KINDS)}")
    return [tuple(s for s in texts if s.kind == name) for texts in rows]


def _whole(value: str, least: int, most: int) -> int:
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise BenchError(f"{value!r} is no whole number from {least} to {most}")
    return int(value)


CONTROLS: dict[str, Callable[[Rows, str, int], Rows]] = {
    f.__name__: f for f in (shuffled, other_class, random_words, wrong, count, kind)
}
