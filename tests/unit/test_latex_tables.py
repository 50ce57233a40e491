"""The LaTeX form of tables: names as they are written, headings, heads of several lines, parts that fit."""

import re

import pandas as pd
import pytest
from fake_results import COOP, FakeResults
from latex import compiled
from result_tables import NASTY, nasty_table

from results import _latex, _tables, cost, leaderboard


def test_latex_has_its_structure_and_no_raw_special_character():
    text = _tables.latex(nasty_table())
    parts = (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\begin{tabular}",
        r"\end{tabular}",
        r"\caption{",
        r"\label{tab:nasty}",
    )
    assert [text.count(part) for part in parts] == [1] * len(parts)
    bare = re.sub(r"\\[{}$&%#_]", "", text.split("\n", 1)[1])
    assert bare.count("{") == bare.count("}")
    rows = [line for line in bare.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()]
    assert [row.count("&") for row in rows] == [1] * len(NASTY)
    assert all(row.endswith(r" \\") and row[0] not in "[*" for row in rows)
    assert "%" not in "".join(rows)
    assert _latex.escape_latex("CLIP ViT-B-16 -- $") == r"CLIP ViT-B-16 {-}{-} \$"


def test_characters_that_pdflatex_lacks_are_told_by_number():
    assert _latex.escape_latex("Ünï ☃ 走る Δ") == (r"Ünï \kpchar{2603}{☃} \kpchar{8D70}{走}\kpchar{308B}{る} $\Delta$")
    assert r"\providecommand{\kpchar}" in _tables.latex(_tables.empty("n", "N", ("☃",), "why"))
    assert r"\kpchar" not in _tables.latex(_tables.empty("n", "N", ("Ü",), "why"))


@pytest.mark.latex
def test_latex_compiles_and_shows_names_as_they_are_written(tmp_path):
    every = "".join(map(chr, range(0x20, 0x180))) + "ƒȘșȚț‐‘’‚“”„†‡•…‰€№™←↑→↓☃走"
    odd = _tables.empty("none", "Nothing", ("A", "B"), every)
    log, text = compiled(tmp_path, _tables.latex(nasty_table()) + _tables.latex(odd))
    assert "Missing character" not in log
    for shown in ("<script>alert(1)</script>", "100%_&", r"put_on\textbf", "(U+2603)", "ÀÁÂÃ"):
        assert shown in text


def test_a_large_table_is_several_floats_that_lose_nothing():
    rows = tuple(tuple(_tables.Cell(f"r{i}c{j}") for j in range(14)) for i in range(90))
    head = ("Name", *(f"a long head of column {j}" for j in range(1, 14)))
    table = _tables.Table("big", "Big", "Caption.", head, (rows[:50], rows[50:]), 1, pd.DataFrame(), ("a note",))
    text = _tables.latex(table)
    num = text.count(r"\begin{table")
    assert num > 4 and text.count(rf"Part {num - 1} of {num - 1}.") == 1 and text.count("a note") == 1
    assert len(set(re.findall(r"\\label\{[^}]*\}", text))) == num - 1, "the last float holds the notes"
    for i in range(90):
        assert all(f"r{i}c{j} " in text for j in range(1, 14))
    for part in text.split(r"\toprule")[1:]:
        body = part.split(r"\bottomrule")[0]
        assert body.count(r" \\") - 1 <= _latex.MOST_ROWS


def table(header, blocks, num_text, **more):
    cells = tuple(tuple(tuple(map(_tables.Cell, row)) for row in block) for block in blocks)
    return _tables.Table("t", "T", "Caption.", header, cells, num_text, pd.DataFrame(), **more)


def body(text):
    return text.split("\\midrule\n", 1)[1].split("\n\\bottomrule")[0].split("\n")


def test_first_columns_that_say_the_same_in_a_block_are_its_heading():
    blocks = [
        [("—", "—", "chance", "7")],
        [("zero-shot", "clip", "names", "1"), ("zero-shot", "clip", "texts", "2")],
        [("few-shot", "—", "names", "3")],
    ]
    text = _latex.latex(table(("Protocol", "Backbone", "Method", "Top-1"), blocks, 3))
    assert "\nMethod & Top-1 \\\\\n" in text and r"\begin{tabular}{@{}lr@{}}" in text
    across = r"\multicolumn{2}{@{}l@{}}"
    assert body(text) == [
        *(r"chance & 7 \\", r"\midrule"),
        *(rf"{across}{{\textit{{zero-shot; clip}}}} \\", r"names & 1 \\", r"texts & 2 \\", r"\midrule"),
        *(rf"{across}{{\textit{{few-shot}}}} \\", r"names & 3 \\"),
    ]


def test_a_label_is_said_once_for_rows_that_follow_each_other_and_again_under_another():
    rows = [("a", "x", "m", "1"), ("a", "x", "n", "1"), ("a", "y", "n", "2"), ("b", "y", "n", "2")]
    found = body(_latex.latex(table(("A", "B", "C", "D"), [rows], 3)))
    assert found == [r"a & x & m & 1 \\", r" &  & n & 1 \\", r" & y & n & 2 \\", r"b & y & n & 2 \\"]


def test_a_head_longer_than_its_cells_is_wrapped_and_brackets_stay_together():
    text = _latex.latex(table(("Name", "Trainable parameters", "clip (8 × 1)"), [[("x", "1", "2")]], 1))
    assert r"Name & \shortstack[r]{Trainable\\parameters} & \shortstack[r]{clip\\(8 $\times$ 1)} \\" in text
    wide = _latex.latex(table(("Name", "Trainable parameters"), [[("x", "1" * 30)]], 1))
    assert "Name & Trainable parameters" in wide


def test_columns_are_shared_out_evenly_over_parts():
    header = ("Name", *(f"column {i}" for i in range(9)))
    text = _latex.latex(table(header, [[("x" * 30, *["55.5 ± 10.0 (3)"] * 9)]], 1))
    # four go beside such a name, but four, four and one would leave one alone
    assert [part.split(r"\midrule")[0].count("column") for part in text.split(r"\toprule")[1:]] == [3, 3, 3]


def test_notes_that_do_not_fit_under_the_rows_of_a_page_stand_in_a_float_of_their_own():
    rows = [(f"m{i}", "1") for i in range(20)]
    short, long = (
        _latex.latex(table(("A", "B"), [rows], 1, notes=("a note of some words " * 20,) * num)) for num in (2, 9)
    )
    assert "minipage" in short and "Notes to" not in short
    assert "minipage" not in long and long.index(r"\end{table}") < long.index(r"Notes to Table~\ref{tab:t}")
    outside = re.sub(r"\\begin\{(table\*?)\}.*?\\end\{\1\}", "", long, flags=re.S)
    assert all(not line or line.startswith("%") for line in outside.splitlines()), (
        "nothing lands in the text around the table"
    )


def test_rules_between_blocks_take_room_too():
    rows, notes = [(f"m{i}", "1") for i in range(20)], ("a note of some words " * 20,) * 5
    one = _latex.latex(table(("A", "B"), [rows], 1, notes=notes))
    many = _latex.latex(table(("A", "B"), [[row] for row in rows], 1, notes=notes))
    assert "Notes to" not in one and "Notes to" in many


def test_small_p_values_have_their_exponents_above_the_line():
    assert _latex.escape_latex("2 × 10⁻⁶") == r"2 $\times$ 10\textsuperscript{$-$}\textsuperscript{6}"


def test_tables_of_results_name_a_backbone_and_a_place_once():
    results = FakeResults()
    results.add([0.4, 0.5, 0.6])
    for label in ("A", "B"):
        results.add([0.4, 0.5, 0.6], **{**COOP, "label": label, "method": label})
    for part in _latex.latex(cost.table(results)).split(r"\toprule")[1:]:
        assert part.count("toy, few-shot, K = 4") == 1 and part.count("toy, zero-shot") == 1
    board = _latex.latex(leaderboard.table(results)).split(r"\toprule")[1].split(r"\bottomrule")[0]
    assert board.count("few-shot, K = 4") == 1 and board.count("clip-tiny") == 2
