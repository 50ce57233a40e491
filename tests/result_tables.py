"""Cells, and a table with every nasty name, for tests of results/."""

import pandas as pd

from results import _tables, backbones

NASTY = [
    "<script>alert(1)</script>",
    "100%_&",
    r"put_on\textbf",
    "a|b",
    "two\nlines",
    "*b* _i_ `c` [l](u) ~~s~~",
    r"\| $x^2$ {#}",
    "[0.5ex]",
    "--",
    "\x1b[31mred",
]


def cells(table):
    """(protocol, method) -> the texts of its cells."""
    return {(row[0].text, row[1].text): [c.text for c in row[3:]] for block in table.blocks for row in block}


def only(results):
    (table,) = backbones.tables(results)
    return table


def lines(table, num_heads):
    """The first texts of each row -> the texts of the others."""
    rows = [row for block in table.blocks for row in block]
    return {tuple(c.text for c in row[:num_heads]): [c.text for c in row[num_heads:]] for row in rows}


def bolds(table):
    return {c.text for block in table.blocks for row in block for c in row if c.bold}


def said(table):
    """Caption, notes and footnotes."""
    return "\n".join([table.caption, *table.notes, *(text for _, text in table.footnotes)])


def the_one(tables):
    (table,) = tables
    return table


def nasty_table():
    rows = tuple((_tables.Cell(name), _tables.Cell(name, bold=True, marks=("a",))) for name in NASTY)
    frame = pd.DataFrame({"name": NASTY})
    return _tables.Table(
        "nasty", NASTY[0], NASTY[1], (NASTY[2], NASTY[3]), (rows,), 1, frame, (NASTY[0],), (("a", NASTY[5]),)
    )
