"""The LaTeX form of a table: floats with booktabs rules that fit their page in type that can be read."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench._markdown import plain
from results._cells import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results._tables import Cell, Table

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
    "⁻": r"\textsuperscript{$-$}",
    **{c: rf"\textsuperscript{{{digit}}}" for digit, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}
# What pdfLaTeX with T1 fonts shows as it stands; tried with TeX Live 2022.
_LATIN = re.compile("[ -~¡-¬®-ĥĨ-ķĹ-ľŁ-ňŊ-ťŨ-žƒȘșȚț‐‘’‚“”„†‡•…‰€№™←↑→↓]")
_OTHER = r"\providecommand{\kpchar}[2]{\ifdefined\Umathchar#2\else(U+#1)\fi}"  # XeTeX and LuaTeX have that primitive
COLUMN_WIDTH = 238  # points: one of two columns of a paper, 3.3 inches
PAGE_WIDTH = 500  # points: scaled down, but from 9 point not below about 7 on lines of 5.5 inches
GAP = 7  # points between columns
NARROW, USUAL, SIGN = 2.9, 4.8, 11  # points that a character of 9 point takes, and a sign with the space about it
MOST_ROWS = 38  # of one float on a page, beside a caption of some lines
BREAK = r"\\"
RULE = 0.45  # lines that a \\midrule takes with the space about it
PAGE = 50  # lines of \small on a page, of which a line of the caption has 80 characters and one of the notes 100


@dataclass(frozen=True)
class _Block:
    """Rows between rules under a heading, which is "" where there is none."""

    heading: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class _Part:
    """What one float shows: `num_text` of the columns are left-aligned."""

    header: tuple[str, ...]
    blocks: tuple[_Block, ...]
    num_text: int


def latex(table: Table) -> str:
    """Floats with booktabs rules, caption above, notes below; a large table is several, so that each fits a page, and its notes one more.

    One that does not fit one column of a two-column paper is a `table*`, which goes over both and over the line of any other. What
    is a little wider than the line is scaled down. First columns that say the same in all rows of a block are its heading.
    """
    parts = [part for rows in _by_rows(_headed(table)) for part in _by_columns(rows)]
    notes = [escape_latex(note) for note in table.notes]
    notes += [rf"\textsuperscript{{{mark}}}{escape_latex(text)}" for mark, text in table.footnotes]
    fits = len(parts) == 1 and _height(parts[0], table.caption, notes) <= PAGE
    floats = [
        _float(table, part, f" Part {i + 1} of {len(parts)}." if len(parts) > 1 else "", i, notes if fits else ())
        for i, part in enumerate(parts)
    ]
    if (
        notes and not fits
    ):  # too much to stand below the last part: a float of their own, never in the text around the table
        of = rf"\noindent\textbf{{Notes to Table~\ref{{tab:{table.name}}}.}}"
        body = (r"\footnotesize\raggedright", of, "\\par\n\\noindent ".join(notes))
        floats.append("\n".join([r"\begin{table*}[tp]", *body, r"\end{table*}"]))
    text = "\n".join(floats) + "\n"
    needs = [r"% Needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}."]
    return "\n".join([*needs, *([_OTHER] if r"\kpchar" in text else []), text])


def escape_latex(text: str) -> str:
    """Shown as written by LaTeX with T1 fonts; a character that pdfLaTeX lacks as its number there, as (U+2603)."""
    shown = re.sub(r"(?<=\w)\{-\}(?=\w)", "-", "".join(map(_latex_char, plain(text))))
    return re.sub(r"([,'])(?=\1)", r"\1{}", shown)  # two in a row would become a quotation mark


def _latex_char(char: str) -> str:
    if char in _LATEX:
        return _LATEX[char]
    return char if _LATIN.match(char) else rf"\kpchar{{{ord(char):04X}}}{{{char}}}"


# --- parts ---------------------------------------------------------------------------------------------------------


def _headed(table: Table) -> _Part:
    """The table with first columns of text that are constant in each block, as far as the one that names rows, put into headings."""
    num = 0
    while num < table.names % table.num_text and all(
        len({row[num].text for row in block}) == 1 for block in table.blocks
    ):
        num += 1
    blocks = []
    for block in table.blocks:
        told = [_latex_cell(cell) for cell in block[0][:num] if cell.text != MISSING]
        blocks.append(_Block("; ".join(told), tuple(row[num:] for row in block)))
    return _Part(table.header[num:], tuple(blocks), table.num_text - num)


def _by_rows(whole: _Part) -> Iterator[_Part]:
    """The table in parts of at most MOST_ROWS rows, its blocks kept together where they fit."""
    blocks: list[_Block] = []
    for block in whole.blocks:
        for start in range(0, len(block.rows), MOST_ROWS - 1):
            piece = _Block(block.heading, block.rows[start : start + MOST_ROWS - 1])
            if blocks and _rows([*blocks, piece]) > MOST_ROWS:
                yield replace(whole, blocks=tuple(blocks))
                blocks = []
            blocks.append(piece)
    yield replace(whole, blocks=tuple(blocks))


def _rows(blocks: Sequence[_Block]) -> int:
    return sum(len(block.rows) + bool(block.heading) for block in blocks)


def _by_columns(part: _Part) -> Iterator[_Part]:
    """The part in as few equal parts as are each at most PAGE_WIDTH, all with the columns of text."""
    first, numbers = list(range(part.num_text)), list(range(part.num_text, len(part.header)))
    for size in range(len(numbers), 0, -1):
        num = math.ceil(len(numbers) / size)
        chosen = [numbers[len(numbers) * i // num : len(numbers) * (i + 1) // num] for i in range(num)]
        parts = [_columns(part, [*first, *some]) for some in chosen]
        if size == 1 or all(_width(one) <= PAGE_WIDTH for one in parts):
            yield from parts
            return
    yield part


def _columns(part: _Part, chosen: Sequence[int]) -> _Part:
    blocks = tuple(
        replace(block, rows=tuple(tuple(row[i] for i in chosen) for row in block.rows)) for block in part.blocks
    )
    return replace(part, header=tuple(part.header[i] for i in chosen), blocks=blocks)


def _width(part: _Part) -> float:
    """Points that a row takes, about: each column as wide as its longest cell, or the longest line of its head."""
    columns = _transposed(part) or [()] * len(part.header)
    texts = [
        [*lines, *(c.text + "".join(c.marks) for c in cells)]
        for lines, cells in zip(_heads(part), columns, strict=True)
    ]
    return sum(max(map(_points, of_column)) for of_column in texts) + GAP * (len(texts) - 1)


def _points(text: str) -> float:
    return sum(NARROW if char in " .,:;!'|()[]/fijlrtI" else SIGN if char in "±×→" else USUAL for char in text)


def _transposed(part: _Part) -> list[tuple[Cell, ...]]:
    return list(zip(*(row for block in part.blocks for row in block.rows), strict=True))


def _heads(part: _Part) -> list[list[str]]:
    """The lines of each head: it is wrapped where it is longer than what stands below; what is in brackets stays together."""
    columns = _transposed(part) or [()] * len(part.header)
    found = []
    for name, column in zip(part.header, columns, strict=True):
        whole = re.sub(r"\([^()]*\)", lambda match: match[0].replace(" ", "\xa0"), plain(name))
        room = max([10, *(len(cell.text) for cell in column)])
        lines = textwrap.wrap(whole, room, break_long_words=False, break_on_hyphens=False)
        found.append([line.replace("\xa0", " ") for line in lines] or [""])
    return found


def _height(part: _Part, caption: str, notes: Sequence[str]) -> float:
    """Lines of small type that a float takes, about."""
    told = sum(math.ceil(len(note) / 100) for note in notes)
    rules = RULE * max(0, len(part.blocks) - 1)
    return (
        _rows(part.blocks) + rules + max(map(len, _heads(part))) + 1.1 * math.ceil(len(caption) / 80) + 0.9 * told + 3
    )


# --- one float -----------------------------------------------------------------------------------------------------


def _float(table: Table, part: _Part, which: str, number: int, notes: Sequence[str]) -> str:
    """One float; `which` part it is ends its caption, `notes` stand below."""
    star = "*" if _width(part) > COLUMN_WIDTH else ""
    columns = "l" * part.num_text + "r" * (len(part.header) - part.num_text)
    across = rf"\multicolumn{{{len(part.header)}}}{{@{{}}l@{{}}}}"
    blocks = []
    for block in part.blocks:
        rows = [rf"{across}{{\textit{{{block.heading}}}}} \\"] if block.heading else []
        rows += [" & ".join(line) + r" \\" for line in _lines(block.rows, part.num_text)]
        blocks.append("\n".join(rows))
    heads = [_head(lines, "l" if i < part.num_text else "r") for i, lines in enumerate(_heads(part))]
    below = (r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright")
    lines = [
        rf"\begin{{table{star}}}[tp]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption + which)}}}",
        rf"\label{{tab:{table.name}{f'-{number + 1}' if number else ''}}}",
        rf"\smallskip\small\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        "\n\\midrule\n".join(blocks) or rf"{across}{{Nothing to show.}} \\",
        r"\bottomrule",
        r"\end{tabular}}",
        *([*below, "\\par\n".join(notes), r"\end{minipage}"] if notes else []),
        rf"\end{{table{star}}}",
    ]
    return "\n".join(lines)


def _head(lines: Sequence[str], side: str) -> str:
    shown = [escape_latex(line) for line in lines]
    return shown[0] if len(shown) == 1 else rf"\shortstack[{side}]{{{BREAK.join(shown)}}}"


def _lines(rows: Sequence[Sequence[Cell]], num_text: int) -> Iterator[list[str]]:
    """Rows of LaTeX; a first text that is the same as in the row above is not said again."""
    above: list[str] = []
    for row in rows:
        texts = [cell.text for cell in row]
        same = 0
        while same < num_text - 1 and above[: same + 1] == texts[: same + 1]:
            same += 1
        yield [""] * same + [_latex_cell(cell) for cell in row[same:]]
        above = texts


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    marks = rf"\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else ""
    return (rf"\textbf{{\boldmath {text}}}" if cell.bold else text) + marks
