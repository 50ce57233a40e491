"""What the commands share: the two consoles, tables that a pipe does not cut, and the user's words as a Choice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import knowledge, plugins
from bench.contracts import BenchError, Choice

if TYPE_CHECKING:
    from bench.reporting import Rendered

# What a terminal obeys or hides: C0 but for tab and newline, C1, and the marks that turn the direction of writing.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""The text with control characters written out (`\u001b`): a reason or a class name never moves a cursor or sets a title."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Console(Console):
    """Without markup and emoji: a reason or a class may hold [brackets] or :colons:. Every string that is printed is made `visible`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(visible(o) if isinstance(o, str) else o for o in objects), **options)


out = _Console()
err = _Console(stderr=True)
WIDE = 4000  # columns of a table that goes into a pipe, which has no width of its own

Names = Annotated[str | None, typer.Option(help="Comma-separated names.")]


def print_table(table: Table, rows: Iterable[Sequence[str]]) -> None:
    """On a terminal as wide as that is; into a pipe or file as wide as the table, so that nothing is wrapped or cut."""
    for row in rows:
        table.add_row(*map(visible, row))
    if out.is_terminal:
        out.print(table)
        return
    wide = Console(width=WIDE, highlight=False, markup=False, emoji=False)
    with wide.capture() as shown:
        wide.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))


def tell_problems(rendered: Rendered) -> bool:
    """Say which tables and plots could not be rendered, and which runs are damaged; whether there are any."""
    for name, reason in rendered.errors.items():
        err.print(f"  not rendered  {name}  {reason}")
    for line in rendered.damage():
        err.print(f"  damaged  {line}")
    return bool(rendered.errors or rendered.damaged)


def choice_of(
    dataset: str,
    root: str | None,
    options: list[str],
    backbones: str | None = None,
    methods: str | None = None,
    seeds: str | None = None,
    shots: str | None = None,
    limit: int | None = None,
    bank: str | None = None,
) -> Choice:
    """The user's words, checked: a name that nobody knows fails here, with the nearest ones."""
    pairs = []
    for text in options:
        name, sign, value = text.partition("=")
        if not sign:
            raise BenchError(f"--option takes name=value, not {text!r}")
        pairs.append((name, value))
    known = plugins.names("adapters")
    given = tuple(plugins.absolute(name) for name in split(backbones) or ())
    chosen = given or tuple(n for n in known if n.startswith("tiny-"))
    for name in chosen:
        module = plugins.find("adapters", name)
        if hasattr(module, "at_hand"):
            module.at_hand(name)  # missing weights are found out before a data set is made
    for name in set(split(methods) or ()) - set(plugins.names("methods")):
        raise plugins.unknown("method", name, plugins.names("methods"))
    if bank is not None:
        knowledge.load(bank)
    return Choice(
        dataset=plugins.find("datasets", dataset).DATASET,
        backbones=chosen,
        methods=split(methods),
        seeds=numbers("--seeds", seeds),
        shots=numbers("--shots", shots),
        root=root,
        options=tuple(pairs),
        limit=limit,
        bank=bank,
        named=bool(given),
    )


def config_of(texts: Sequence[str]) -> tuple[tuple[str, str, Any], ...]:
    """METHOD.FIELD=VALUE -> (method, field, value): a number, true, false, null, or text. Raises BenchError on anything else."""
    found = []
    for text in texts:
        where, sign, value = text.partition("=")
        method, dot, name = where.partition(".")
        if not (sign and dot and name):
            raise BenchError(f"--config takes METHOD.FIELD=VALUE, such as coop.epochs=20, not {text!r}")
        plugins.find("methods", method)
        try:
            found.append((method, name, json.loads(value)))
        except ValueError:
            found.append((method, name, value))
    return tuple(found)


def split(text: str | None) -> tuple[str, ...] | None:
    """A comma-separated list, each name once; None where nothing was given."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) if text else None


def numbers(what: str, text: str | None) -> tuple[int, ...] | None:
    """A comma-separated list of whole numbers. Raises BenchError on anything else, with `what` it was given for."""
    try:
        return tuple(int(part) for part in split(text) or ()) or None
    except ValueError:
        raise BenchError(f"{what} takes whole numbers such as 1,2,3, not {text!r}") from None
