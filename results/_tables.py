"""One table, four forms: Markdown, CSV, LaTeX (booktabs) and HTML from the same cells, with one escaping policy.

Whatever a class, a method or a backbone is called, it is shown as it is written: line breaks and other control
characters become spaces in what is shown, and what a format takes for markup is escaped. The CSV alone keeps names
unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import jinja2
import pandas as pd

from bench.contracts import Artifact, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


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
    rules; `footnotes` are (mark, text); `frame` is the long table behind the cells, one row a number: the CSV.
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


def plain(text: str) -> str:
    """One printable line: runs of white space and control characters become one space."""
    return " ".join(
        "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text).split()
    )


# --- Markdown --------------------------------------------------------------------------------------------------


def escape_markdown(text: str) -> str:
    """Shown as written by CommonMark and GitHub, inside a table's cell too."""
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", plain(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(table: Table) -> str:
    """A heading, a pipe table with padded columns, and the notes."""
    return _padded(table, escape_markdown, "**{}**", "\\[{}\\]")


def text(table: Table) -> str:
    """The same for a terminal: nothing is escaped but control characters, a star stands for bold."""
    return _padded(table, plain, "*{}", "[{}]")


def _padded(table: Table, show: Callable[[str], str], bold: str, mark_form: str) -> str:
    """A pipe table; `show` escapes a text, `bold` and `mark_form` are filled with a shown text or a footnote's letters."""

    def shown(cell: Cell) -> str:
        written = show(cell.text)
        marks = " " + mark_form.format(",".join(cell.marks)) if cell.marks else ""
        return (bold.format(written) if cell.bold else written) + marks

    rows = [[show(name) for name in table.header]]
    rows += [[shown(cell) for cell in row] for block in table.blocks for row in block]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(table.header))]
    left = [i < table.num_text for i in range(len(widths))]
    lines = [
        "| "
        + " | ".join(c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(r, widths, left, strict=True))
        + " |"
        for r in rows
    ]
    rule = ["-" * w if is_left else "-" * (w - 1) + ":" for w, is_left in zip(widths, left, strict=True)]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    notes = [f"- {show(note)}" for note in table.notes]
    notes += [f"- {mark_form.format(mark)} {show(told)}" for mark, told in table.footnotes]
    head = [f"## {show(table.title)}", "", show(table.caption), ""]
    return "\n".join([*head, *(lines if len(rows) > 1 else ["Nothing to show."]), "", *notes]).rstrip() + "\n"


# --- LaTeX -----------------------------------------------------------------------------------------------------

_LATEX = {
    **{c: f"\\{c}" for c in "{}$&%#_"},
    **{c: f"{{{c}}}" for c in "[]*"},  # a bracket or star after \\ or \midrule would be taken for its argument
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two in a row are no dash
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "—": "---",
    "–": "--",
    "Δ": r"$\Delta$",
}
# What pdfLaTeX with T1 fonts shows as it stands; tried with TeX Live 2022.
_LATIN = re.compile("[ -~¡-¬®-ĥĨ-ķĹ-ľŁ-ňŊ-ťŨ-žƒȘșȚț‐‘’‚“”„†‡•…‰€№™←↑→↓]")
COLUMN_WIDTH = 62  # characters of 9 point that go into 3.3 inches
MOST_CHARACTERS = 150  # of a row over a whole page: scaled down, but not below 7 point
MOST_ROWS = 38  # of one float on a page, beside a caption of some lines
NOTES_FIT = 2400  # characters of small print that go under such a table
_OTHER = r"\providecommand{\kpchar}[2]{\ifdefined\Umathchar#2\else(U+#1)\fi}"  # XeTeX and LuaTeX have that primitive


def escape_latex(text: str) -> str:
    """Shown as written by LaTeX with T1 fonts; a character that pdfLaTeX lacks as its number there, as (U+2603)."""
    shown = re.sub(r"(?<=\w)\{-\}(?=\w)", "-", "".join(map(_latex_char, plain(text))))
    return re.sub(r"([,'])(?=\1)", r"\1{}", shown)  # two in a row would become a quotation mark


def _latex_char(char: str) -> str:
    if char in _LATEX:
        return _LATEX[char]
    return char if _LATIN.match(char) else rf"\kpchar{{{ord(char):04X}}}{{{char}}}"


def latex(table: Table) -> str:
    """Floats with booktabs rules, caption above, notes below the last; a large table is several, so that each fits a page.

    One that does not fit one column of a two-column paper is a `table*`, which goes over both and over the line of any other. What
    is a little wider than the line is scaled down.
    """
    parts = [part for rows in _by_rows(table) for part in _by_columns(rows)]
    notes = [escape_latex(note) for note in table.notes]
    notes += [rf"\textsuperscript{{{mark}}}{escape_latex(text)}" for mark, text in table.footnotes]
    fits = len(parts) == 1 and sum(map(len, notes)) <= NOTES_FIT
    floats = [
        _float(part, f" Part {i + 1} of {len(parts)}." if len(parts) > 1 else "", i, notes if fits else ())
        for i, part in enumerate(parts)
    ]
    if notes and not fits:  # too much to stand in a float: a paragraph of its own, where the table is put in
        floats.append("\n".join([r"{\footnotesize\raggedright\noindent", "\\par\n\\noindent ".join(notes), r"\par}"]))
    text = "\n".join(floats) + "\n"
    needs = [r"% Needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}."]
    return "\n".join([*needs, *([_OTHER] if r"\kpchar" in text else []), text])


def _by_rows(table: Table) -> Iterator[Table]:
    """The table in parts of at most MOST_ROWS rows, its blocks kept together where they fit."""
    blocks: list[tuple[tuple[Cell, ...], ...]] = []
    for block in table.blocks:
        for start in range(0, len(block), MOST_ROWS):
            piece = block[start : start + MOST_ROWS]
            if blocks and sum(map(len, blocks)) + len(piece) > MOST_ROWS:
                yield replace(table, blocks=tuple(blocks))
                blocks = []
            blocks.append(piece)
    yield replace(table, blocks=tuple(blocks))


def _by_columns(table: Table) -> Iterator[Table]:
    """The table in parts of at most MOST_CHARACTERS, each with the columns of text; at least one number a part."""
    first = list(range(table.num_text))
    chosen: list[int] = []
    for column in range(table.num_text, len(table.header)):
        if chosen and _width(_columns(table, [*first, *chosen, column])) > MOST_CHARACTERS:
            yield _columns(table, [*first, *chosen])
            chosen = []
        chosen.append(column)
    yield _columns(table, [*first, *chosen])


def _columns(table: Table, chosen: Sequence[int]) -> Table:
    blocks = tuple(tuple(tuple(row[i] for i in chosen) for row in block) for block in table.blocks)
    return replace(table, header=tuple(table.header[i] for i in chosen), blocks=blocks)


def _float(table: Table, which: str, number: int, notes: Sequence[str]) -> str:
    """One float; `which` part it is ends its caption, `notes` stand below."""
    star = "*" if _width(table) > COLUMN_WIDTH else ""
    columns = "l" * table.num_text + "r" * (len(table.header) - table.num_text)
    blocks = [" \\\\\n".join(" & ".join(map(_latex_cell, row)) for row in block) + r" \\" for block in table.blocks]
    nothing = rf"\multicolumn{{{len(table.header)}}}{{@{{}}l@{{}}}}{{Nothing to show.}} \\"
    below = (r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright")
    lines = [
        rf"\begin{{table{star}}}[tp]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption + which)}}}",
        rf"\label{{tab:{table.name}{f'-{number + 1}' if number else ''}}}",
        r"\smallskip\small",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        " & ".join(map(escape_latex, table.header)) + r" \\",
        r"\midrule",
        "\n\\midrule\n".join(blocks) or nothing,
        r"\bottomrule",
        r"\end{tabular}}",
        *([*below, "\\par\n".join(notes), r"\end{minipage}"] if notes else []),
        rf"\end{{table{star}}}",
    ]
    return "\n".join(lines)


def _width(table: Table) -> int:
    """Characters of the longest cell of each column, and two between columns."""
    rows = [list(table.header), *([cell.text for cell in row] for block in table.blocks for row in block)]
    return sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    marks = rf"\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else ""
    return (rf"\textbf{{\boldmath {text}}}" if cell.bold else text) + marks


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
