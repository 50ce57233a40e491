"""One table, four forms: Markdown, CSV, LaTeX (booktabs) and HTML from the same cells, with one escaping policy.

Whatever a class, a method or a backbone is called, it is shown as it is written: line breaks and other control
characters become spaces in what is shown, and what a format takes for markup is escaped. The CSV alone keeps names
unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import jinja2
import pandas as pd

from bench._markdown import escape_markdown, plain
from bench.contracts import Artifact, digest
from results._latex import latex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


BOLD = "Bold: "  # how a note on what bold means begins
WIDEST = 28  # characters of a name in a terminal's table; longer ones go on below


@dataclass(frozen=True)
class Cell:
    """What one cell shows: plain text, never markup; `marks` point to footnotes."""

    text: str
    bold: bool = False
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table before it takes a form.

    `header` has one name a column, the first `num_text` of them left-aligned; `blocks` are groups of rows between
    rules; `footnotes` are (mark, text); `frame` is the long table behind the cells, one row a number: the CSV. `names` is the column
    of text that says what a row is, the last one unless told: it stands in the row in every form.
    """

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    blocks: tuple[tuple[tuple[Cell, ...], ...], ...]
    num_text: int
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    footnotes: tuple[tuple[str, str], ...] = ()
    names: int = -1


@dataclass
class Footnotes:
    """Gives each distinct text one letter, in order of first use."""

    texts: dict[str, str] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """The letter of this text: a, b, ..., z, aa, ab, ..."""
        if text not in self.texts:
            number, letters = len(self.texts) + 1, ""
            while number:
                number, digit = divmod(number - 1, 26)
                letters = chr(ord("a") + digit) + letters
            self.texts[text] = letters
        return self.texts[text]

    def listed(self) -> tuple[tuple[str, str], ...]:
        """(mark, text) in order."""
        return tuple((mark, text) for text, mark in self.texts.items())


def slug(name: str) -> str:
    """A file name's part for any name: letters, digits, `-`, `_` and `.`; names that had to change get a digest."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:60]
    return safe if safe == name else f"{safe or 'unnamed'}-{digest(name, 6)}"


# --- Markdown --------------------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """A heading, a pipe table with padded columns, and the notes."""
    return _padded(table, escape_markdown, "**{}**", "\\[{}\\]")


def text(table: Table) -> str:
    """The same for a terminal: nothing is escaped but control characters, a star stands for bold, long names take several lines."""
    notes = tuple(f"*: {note.removeprefix(BOLD)}" if note.startswith(BOLD) else note for note in table.notes)
    return _padded(replace(table, notes=notes), plain, "*{}", "[{}]", WIDEST)


def _padded(table: Table, show: Callable[[str], str], bold: str, mark_form: str, widest: int | None = None) -> str:
    """A pipe table; `show` escapes a text, `bold` and `mark_form` are filled with a shown text or a footnote's letters.

    Texts of more than `widest` characters, and heads of numbers, are wrapped.
    """

    def shown(cell: Cell) -> str:
        written = show(cell.text)
        marks = " " + mark_form.format(",".join(cell.marks)) if cell.marks else ""
        return (bold.format(written) if cell.bold else written) + marks

    rows = [[show(name) for name in table.header]]
    rows += [[shown(cell) for cell in row] for block in table.blocks for row in block]
    left = [i < table.num_text for i in range(len(table.header))]
    wrapped = [
        [_wrapped(c, widest) if widest and (is_left or not n) else [c] for c, is_left in zip(row, left, strict=True)]
        for n, row in enumerate(rows)
    ]
    widths = [max(3, *(len(line) for row in wrapped for line in row[i])) for i in range(len(left))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(cells, widths, left, strict=True))
        return f"| {' | '.join(padded)} |"

    drawn = [[line(cells) for cells in zip_longest(*row, fillvalue="")] for row in wrapped]
    rule = ["-" * w if is_left else "-" * (w - 1) + ":" for w, is_left in zip(widths, left, strict=True)]
    lines = [*drawn[0], "| " + " | ".join(rule) + " |", *(text for row in drawn[1:] for text in row)]
    notes = [f"- {show(note)}" for note in table.notes]
    notes += [f"- {mark_form.format(mark)} {show(told)}" for mark, told in table.footnotes]
    head = [f"## {show(table.title)}", "", show(table.caption), ""]
    return "\n".join([*head, *(lines if len(rows) > 1 else ["Nothing to show."]), "", *notes]).rstrip() + "\n"


def _wrapped(text: str, widest: int) -> list[str]:
    """A text in lines of at most so many characters, broken behind spaces and signs that join words, else anywhere."""
    lines = [""]
    for word in re.findall(r"[^\s_-]*[\s_-]?", text):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > widest:
            lines.append("")
        while len(word.rstrip()) > widest:
            lines[-1], word = word[:widest], word[widest:]
            lines.append("")
        lines[-1] += word
    return [line.rstrip() for line in lines]


# --- HTML ------------------------------------------------------------------------------------------------------

_HTML = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
_HTML.filters["plain"] = plain
_TEMPLATE = _HTML.from_string("""\
<section class="table" id="{{ table.name }}">
<h2>{{ table.title | plain }}</h2>
<table>
<caption>{{ table.caption | plain }}</caption>
<thead><tr>
{% for name in table.header %}
<th scope="col"{% if loop.index0 >= table.num_text %} class="number"{% endif %}>{{ name | plain }}</th>
{% endfor %}
</tr></thead>
{% for block in table.blocks %}
<tbody>
{% for row in block %}
<tr>
{% for cell in row %}
<td{% if loop.index0 >= table.num_text %} class="number"{% endif %}>
{%- if cell.bold %}<strong>{{ cell.text | plain }}</strong>{% else %}{{ cell.text | plain }}{% endif %}
{%- if cell.marks %}<sup>{{ cell.marks | join(",") }}</sup>{% endif %}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
{% else %}
<tbody><tr><td colspan="{{ table.header | length }}">Nothing to show.</td></tr></tbody>
{% endfor %}
</table>
<ul>
{% for note in table.notes %}
<li>{{ note | plain }}</li>
{% endfor %}
{% for mark, text in table.footnotes %}
<li><sup>{{ mark }}</sup> {{ text | plain }}</li>
{% endfor %}
</ul>
</section>
""")


def html(table: Table) -> str:
    """A fragment to be put into a page; every text in it is escaped."""
    return _TEMPLATE.render(table=table)


# --- all -------------------------------------------------------------------------------------------------------


def csv(table: Table) -> str:
    """The long table behind the cells, names unchanged, shares in [0, 1] and not in percent."""
    return table.frame.to_csv(index=False, lineterminator="\n")


FORMS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": csv, "tex": latex, "html": html}


def artifacts(table: Table) -> Iterator[Artifact]:
    """The table in every form, as `<name>.<form>`."""
    for form, write in FORMS.items():
        yield Artifact(f"{table.name}.{form}", write(table), table.title)


def empty(name: str, title: str, header: Sequence[str], why: str) -> Table:
    """A table without rows that says why it has none."""
    return Table(name, title, why, tuple(header), (), len(header), pd.DataFrame(columns=list(header)))
