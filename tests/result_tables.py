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


def nasty_table():
    rows = tuple((_tables.Cell(name), _tables.Cell(name, bold=True, marks=("a",))) for name in NASTY)
    frame = pd.DataFrame({"name": NASTY})
    return _tables.Table(
        "nasty", NASTY[0], NASTY[1], (NASTY[2], NASTY[3]), (rows,), 1, frame, (NASTY[0],), (("a", NASTY[5]),)
    )
