"""The table of mean ranks: ties, bold, tests, and what is said where a number is missing."""

import html
import io
import math

import pandas as pd
import pytest
from fake_results import FakeResults
from markdown_it import MarkdownIt
from ranked import NASTY, groups, made

from bench import _page
from results import _tables, ranking

ON = "few-shot, K = 4 on clip-tiny (8 × 1)"


def rows(table):
    return [[cell.text for cell in row[2:]] for block in table.blocks for row in block]


def bold(table):
    """Method -> whether its mean rank is bold; no other cell may be."""
    lines = [row for block in table.blocks for row in block]
    assert not any(cell.bold for row in lines for i, cell in enumerate(row) if i != 3)
    return {row[2].text: row[3].bold for row in lines}


def said(table):
    return "\n".join([table.caption, *table.notes, *(text for _, text in table.footnotes)])


def marked(table, method):
    """The footnotes of a method's name."""
    texts = dict(table.footnotes)
    return [texts[mark] for block in table.blocks for row in block if row[2].text == method for mark in row[2].marks]


def test_mean_ranks_share_ties_and_all_are_bold_where_friedman_finds_nothing():
    # ranks: 1 2 3, 1.5 1.5 3, 2 1 3
    table = ranking.table(made({"C": [0.3, 0.3, 0.3], "A": [0.9, 0.9, 0.5], "B": [0.6, 0.9, 0.9]}))
    assert table.header[:5] == ("Protocol", "Backbone", "Method", "Mean rank", "Mean top-1 (%)")
    assert [row[:3] for row in rows(table)] == [["B", "1.50", "80.0"], ["A", "1.50", "76.7"], ["C", "3.00", "30.0"]]
    assert [cell.text for cell in table.blocks[0][0][:2]] == ["few-shot, K = 4", "clip-tiny (8 × 1)"]
    assert bold(table) == {"A": True, "B": True, "C": True}
    frame = table.frame.set_index("shown_as")
    # rank sums 4.5, 4.5, 9: 12 / 36 * (20.25 + 20.25 + 81) - 36 = 4.5, corrected for a tie of two by 1 - 6 / 72
    assert frame["friedman_p"].tolist() == pytest.approx([math.exp(-4.5 / (66 / 72) / 2)] * 3)
    assert frame["critical_difference"].tolist() == pytest.approx([2.343 * math.sqrt(12 / 18)] * 3, abs=1e-3)
    assert (
        f"{ON}: 3 data sets (d1, d2, d3), 3 methods; Friedman p = 0.086, so no pair is told apart; "
        "critical difference of mean ranks 1.91"
    ) in said(table)


def test_bold_is_what_lies_within_the_critical_difference_of_the_best():
    # ranks 1, 2, 3 on each of 8: 2.343 * sqrt(12 / 48) = 1.17; Friedman 16, p = e^-8
    table = ranking.table(made({"A": [0.9] * 8, "B": [0.6] * 8, "C": [0.3] * 8}))
    assert bold(table) == {"A": True, "B": True, "C": False}
    assert "They are: clip-tiny." in table.notes[0] and table.notes[-1] == "Pre-training: clip-tiny: sticks."
    assert "Friedman p = 3 × 10⁻⁴; critical difference of mean ranks 1.17" in said(table)
    # The exact test finds p = 2 / 2^8 for both pairs, 2 / 2^7 after Holm's correction.
    assert [row[3:] for row in rows(table)] == [
        ["—", "—", "best"],
        ["+30.0", "0.016", "no"],
        ["+60.0", "0.016", "no"],
    ]
    assert "over 8 data sets, so many with the same difference that there is no interval" in said(table)
    assert "Fewer than 6" not in said(table) and "want of data sets" not in said(table)


def test_a_difference_beyond_the_critical_one_counts_for_nothing_where_friedman_finds_nothing():
    scores = {
        **{"worst": [0.1, 0.1, 0.2], "best": [0.5, 0.5, 0.4]},
        **{"x": [0.2, 0.3, 0.4], "y": [0.3, 0.2, 0.3], "z": [0.4, 0.4, 0.2]},
    }
    table = ranking.table(made(scores))
    # ranks 5 5 4.5 and 1 1 1.5; critical difference 2.728 * sqrt(30 / 18) = 3.52, Friedman p = .07
    assert [rows(table)[i][:2] for i in (0, -1)] == [["best", "1.17"], ["worst", "4.83"]]
    assert set(bold(table).values()) == {True} and set(table.frame["best_or_not_told_apart"]) == {True}
    (group,) = groups(made(scores))
    assert group.critical_difference < 3.6 and list(*group.tied) == pytest.approx([7 / 6, 29 / 6])


def test_the_best_is_tested_against_each_with_the_holm_correction_of_the_whole_table():
    results = made({"A": [0.9] * 7, "B": [0.6] * 6 + [1.0], "C": [0.3] * 7})
    made({"A": [0.2] * 7, "B": [0.6] * 7}, results=results, backbone="other")
    table = ranking.table(results)
    assert len(table.blocks) == 2 and "over the 3 tests of this table" in said(table)
    frame = table.frame.set_index(["backbone", "shown_as"])
    # B is better once, by .1 and thus with the smallest rank, 1: of 2^7 signs (0 or 1 against) 2 * 2 are as far out.
    assert frame["p"].dropna().to_dict() == pytest.approx(
        {("clip-tiny", "B"): 4 / 128, ("clip-tiny", "C"): 2 / 128, ("other", "A"): 2 / 128}
    )
    assert frame["p_holm"].dropna().tolist() == pytest.approx([6 / 128] * 3)
    assert frame.loc[("other", "A"), "difference"] == pytest.approx(0.4)
    assert frame["best"].tolist() == ["A", "A", "A", "B", "B"]
    # 7 data sets allow 2 / 128; a seventh test would make a tie of that whatever the numbers
    assert "want of data sets" not in said(table)
    for name in ("third", "fourth", "fifth", "sixth"):
        made({"A": [0.2] * 7, "B": [0.6] * 7}, results=results, backbone=name)
    more = ranking.table(results)
    assert "smallest p that 7 data sets allow is 0.016 before Holm's correction over 7 tests" in said(more)
    assert {row[-1] for row in rows(more)} == {"best", "yes"}
    assert more.frame["p_holm"].max() == pytest.approx(14 / 128)


def test_two_methods_are_bold_by_the_signed_rank_test_alone():
    apart = ranking.table(made({"A": [0.9] * 6, "B": [0.6] * 6}))
    assert rows(apart) == [
        ["A", "1.00", "90.0", "—", "—", "best"],
        ["B", "2.00", "60.0", "+30.0", "0.031", "no"],
    ]
    assert bold(apart) == {"A": True, "B": False}
    assert "two methods are compared by the signed-rank test alone" in said(apart)
    assert "of two methods, the signed-rank test finds no difference" in said(apart)
    assert "Nemenyi" not in said(apart) and apart.frame["critical_difference"].isna().all()
    tied = ranking.table(made({"A": [0.9] * 5, "B": [0.6] * 5}))
    assert bold(tied) == {"A": True, "B": True} and [row[3:] for row in rows(tied)][1] == ["+30.0", "0.062", "yes"]
    often = ranking.table(made({"A": [0.5, 0.5, 0.5], "B": [0.4, 0.4, 1.0]}))  # A is better twice, B by more
    assert [row[:3] for row in rows(often)] == [["A", "1.33", "50.0"], ["B", "1.67", "60.0"]]
    half = ranking.table(made({"A": [0.9, 0.5, 0.5], "B": [0.6, 0.5, 0.6]}))
    assert [row[1] for row in rows(half)] == ["1.50", "1.50"]


def test_fewer_than_six_data_sets_are_told_and_so_are_data_sets_without_difference():
    results = made({"A": [0.9] * 5, "B": [0.6] * 5})
    made({"A": [0.9] * 6, "B": [0.6] * 5 + [0.9]}, results=results, backbone="other")
    table = ranking.table(results)
    (few,) = [note for note in table.notes if note.startswith("Fewer than 6 data sets")]
    assert few.endswith(f"{ON}.") and "other" not in few
    assert dict(table.footnotes)[table.blocks[1][1][5].marks[0]] == (
        "exact signed-rank over 6 data sets, 1 of them without difference, too few for p < .05"
    )
    assert not table.blocks[0][1][5].marks


def test_methods_that_lack_a_data_set_are_named_with_it_and_leave_the_ranks_alone():
    scores = {
        **{"A": [0.9, 0.8, 0.7], "B": [0.6, 0.5, 0.6], "no run": [1.0, None, 1.0]},
        **{"broken": [1.0, "failed", "n/a"], "never": ["n/a", "n/a", "n/a"]},
    }
    results = made(scores)
    made({"A": [0.9], "only": [None]}, ["thin"], results)
    table = ranking.table(results)
    assert [row[:2] for row in rows(table)] == [["A", "1.00"], ["B", "2.00"]]
    (left_out,) = [note for note in table.notes if note.startswith("Left out")]
    for text in ("no run (no run on d2)", "broken (failed on d2, n/a on d3)", "never (n/a on d1, d2, d3)", ON):
        assert text in left_out
    assert "A (" not in left_out
    assert f"fewer than two methods are complete there: thin. In: {ON}." in said(table)
    frame = table.frame.set_index("shown_as")
    assert set(frame.index) == set(scores)
    assert frame.loc["broken", "not_ranked"] == "failed on d2, n/a on d3" and frame.loc["A", "not_ranked"] == ""
    assert frame.loc["A", ["top1_d1", "top1_d2", "top1_d3", "top1_thin"]].tolist() == pytest.approx(
        [0.9, 0.8, 0.7, 0.9]
    )
    assert math.isnan(frame.loc["broken", "mean_rank"]) and frame.loc["A", "mean_top1"] == pytest.approx(0.8)
    assert len(frame.loc["A", "run_ids"].split()) == 4 and frame.loc["A", "datasets"] == "d1, d2, d3"


def test_runs_that_clash_or_have_no_score_are_no_number():
    results = made({"A": [0.9, 0.8], "B": [0.6, 0.5], "C": [0.9, 0.9]})
    made({"C": [0.5]}, results=results)  # the same seed again
    made({"D": [0.7, 0.7]}, results=results)
    results.rows[-1]["top1"] = math.nan
    table = ranking.table(results)
    assert [row[0] for row in rows(table)] == ["A", "B"]
    assert "C (mixed on d1); D (failed on d2)." in said(table)


def test_what_is_not_as_it_should_be_with_a_ranked_number_is_told():
    results = made({"A": [0.9, 0.8], "B": [0.6, 0.5]})
    made({"A": ["failed"]}, ["d2"], results, seed=2)
    made({"A": [0.9]}, ["d1"], results, seed=2)
    table = ranking.table(results)
    assert marked(table, "A") == ["selection: last step; tuning trials: 0", "d2: failed (seed 2): for a reason"]
    assert [text for text in marked(table, "B") if "no run" in text] == [
        "d1: no run for seed 2 on split test",
        "d2: no run for seed 2 on split test",
    ]
    assert table.frame.set_index("shown_as").loc["A", "problems"] == "d2: failed (seed 2): for a reason"


def test_one_data_set_or_no_two_methods_say_why():
    one = ranking.table(made({"A": [0.9], "B": [0.6]}))
    assert not one.blocks and one.caption.startswith("A ranking needs two data sets")
    assert f"Not ranked because only d1 has two complete methods. In: {ON}." in said(one)
    assert one.frame["not_ranked"].tolist() == ["only d1 has two complete methods"] * 2
    alone = ranking.table(made({"A": [0.9, 0.8]}))
    assert not alone.blocks and "because no data set has two complete methods" in said(alone)
    crossed = ranking.table(made({"A": [0.9, 0.9], "B": [0.6, None], "C": [None, 0.6]}))
    assert not crossed.blocks and "because no two methods are complete on all of d1, d2" in said(crossed)
    assert "a data set: B (no run on d2); C (no run on d1). In" in said(crossed)
    some = made({"A": [0.9], "B": [0.6]}, backbone="other")
    some = ranking.table(made({"A": [0.9, 0.8], "B": [0.6, 0.5]}, results=some))
    assert len(some.blocks) == 1 and "A ranking needs two data sets" in said(some) and "other" in said(some)
    assert not some.caption.startswith("A ranking")


def test_protocols_shots_and_backbones_are_ranked_apart_and_base_to_novel_is_left_to_its_own_table():
    results = made({"A": [0.9, 0.8], "B": [0.6, 0.5]})
    made({"A": [0.1, 0.1], "B": [0.6, 0.5]}, results=results, shots=16)
    made({"A": [0.1, 0.1], "B": [0.6, 0.5]}, results=results, num_frames=16)
    made({"A": [0.1, 0.1], "B": [0.6, 0.5]}, results=results, protocol="base_to_novel")
    found = [[c.text for c in block[0][:3]] for block in ranking.table(results).blocks]
    assert found == [
        ["few-shot, K = 4", "clip-tiny (8 × 1)", "A"],
        ["few-shot, K = 4", "clip-tiny (16 × 1)", "B"],
        ["few-shot, K = 16", "clip-tiny (8 × 1)", "B"],
    ]
    novel = ranking.table(made({"A": [0.9, 0.8]}, protocol="base_to_novel"))
    assert not novel.blocks and "a table of its own" in novel.caption


@pytest.mark.parametrize("status", ["failed", "n/a", "damaged", None])
def test_nothing_and_runs_without_a_number_render_in_every_form(status):
    found = list(ranking.render(made({"A": [status, status], "B": [status, status]})))
    assert [a.name for a in found] == ["ranking.md", "ranking.csv", "ranking.tex", "ranking.html"]
    why = "no protocol and backbone here has that" if status else "There are no runs yet."
    assert why in found[0].content and "Nothing to show." in found[0].content
    assert len(pd.read_csv(io.StringIO(found[1].content))) == (2 if status else 0)


def test_names_that_are_markup_stay_names_in_every_form():
    results = FakeResults()
    for backbone in NASTY:
        made({name: [0.9 - 0.1 * i] * 2 for i, name in enumerate(NASTY)}, NASTY[:2], results, backbone=backbone)
        made({"lacks": [0.5, "failed"]}, NASTY[:2], results, backbone=backbone)
    found = {a.name.rpartition(".")[2]: a.content for a in ranking.render(results)}
    assert "<script" not in _page.index_html(list(ranking.render(results)))
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(found["md"])
    kinds = {child.type for token in tokens if token.children for child in token.children}
    assert kinds <= {"text", "strong_open", "strong_close", "softbreak"}
    heads, cells = (sum(token.type == kind for token in tokens) for kind in ("th_open", "td_open"))
    assert heads == 8 and cells == 8 * len(NASTY) ** 2
    body = found["tex"].split(r"\midrule" + "\n", 1)[1].split(r"\bottomrule")[0].strip().split("\n")
    rows = [row for row in body if row != r"\midrule" and not row.startswith(r"\multicolumn{6}")]
    assert {row.count("&") - row.count(r"\&") for row in rows} == {5}  # protocol and backbone are headings
    assert len(body) == len(rows) + 2 * len(NASTY) - 1
    assert r"put\_on\textbackslash{}textbf" in found["tex"]
    for name in NASTY:
        assert html.escape(_tables.plain(name), quote=False) in found["html"]
    frame = pd.read_csv(io.StringIO(found["csv"]), keep_default_na=False)
    assert set(frame["shown_as"]) == {*NASTY, "lacks"} and set(frame["backbone"]) == set(NASTY)
