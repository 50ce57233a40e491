"""Ranking over data sets: the table, its notes and its diagram, on results made up in memory."""

import dataclasses
import html
import io
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from fake_results import COOP, FakeResults
from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench import _page
from results import _plots, _ranks, _tables, critical_difference, ranking
from results._data import board

ON = "few-shot, K = 4 on clip-tiny (8 × 1)"
NASTY = ("<script>alert(1)</script>", "100%_&", r"put_on\textbf", "a|b $x$", "_two\nlines")


def made(scores, datasets=None, results=None, **facts):
    """Method -> its top-1 on each of the data sets: a number, a status without one, or None for no run."""
    results = results or FakeResults()
    for name, of_method in scores.items():
        for place, top1 in enumerate(of_method):
            dataset = datasets[place] if datasets else f"d{place + 1}"
            told = {**COOP, "label": name, "method": name, "bank": f"bank of {dataset}", "dataset": dataset, **facts}
            if isinstance(top1, str):
                results.add(status=top1, reason="for a reason", **told)
            elif top1 is not None:
                results.add([top1] * 3, per_group=20, **told)
    return results


def ordered(num_methods, num_datasets):
    """Methods that rank the same on every data set: a is the best."""
    return {chr(ord("a") + i): [round(0.9 - 0.05 * i, 2)] * num_datasets for i in range(num_methods)}


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


# --- the table -------------------------------------------------------------------------------------------------


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


# --- the diagram -----------------------------------------------------------------------------------------------


def groups(results):
    return _ranks.groups(board(results))


def texts(results):
    """The texts of each figure and the names of its files."""
    found = [a for a in critical_difference.render(results) if a.name.endswith(".png")]
    drawn = []
    for artifact in found:
        group = next(g for g in groups(results) if artifact.title.endswith(g.where))
        with _plots.style():
            figure = critical_difference.diagram(group, "")
        drawn.append([text.get_text().replace("\n", " ") for text in figure.axes[0].texts])
    return [a.name for a in found], drawn


def test_what_is_tied_is_joined_and_all_of_it_where_friedman_finds_nothing():
    (apart,) = groups(made(ordered(5, 20)))  # critical difference 2.728 * sqrt(30 / 120) = 1.36
    assert apart.tied == ((1, 2), (2, 3), (3, 4), (4, 5))
    (none,) = groups(made({"A": [0.9, 0.3, 0.6], "B": [0.6, 0.9, 0.3], "C": [0.3, 0.6, 0.8]}))
    assert none.friedman_p > 0.05 and none.tied == ((none.mean_ranks.min(), none.mean_ranks.max()),)
    (told,) = groups(made(ordered(3, 2)))  # 2.343 * sqrt(12 / 12) reaches over all three anyway, and p = e^-2
    assert told.tied == ((1, 3),)


def test_bars_lie_below_each_other_where_they_would_touch():
    assert critical_difference.bar_levels([(1, 3), (2, 4), (3.5, 5), (4.05, 6)], 0.1) == [0, 1, 0, 2]
    assert critical_difference.bar_levels([], 0.1) == []


def test_the_axis_ends_at_the_worst_or_where_what_is_drawn_ends():
    few, many, wide = (groups(made(ordered(*of)))[0] for of in ((4, 8), (16, 60), (16, 2)))
    assert critical_difference.axis_end(few) == 4
    assert critical_difference.axis_end(many) == 12
    assert critical_difference.axis_end(wide) == 16  # for a critical difference that is longer than all ranks


@pytest.mark.parametrize("num", [3, 12, 13, 15])
def test_the_best_twelve_are_drawn_in_three_forms_and_the_rest_is_counted(num):
    results = made(ordered(num, 8))
    found = list(critical_difference.render(results))
    name = "critical-difference-few_shot-4-clip-tiny-8-1-float32"
    assert [a.name for a in found] == [f"{name}.png", f"{name}.pdf", f"{name}.svg"]
    assert [a.content for a in critical_difference.render(results)] == [a.content for a in found]
    ((drawn,),) = texts(results)[1:]
    assert ["a (1.00)" in drawn, f"{chr(ord('a') + min(num, 12) - 1)} ({min(num, 12)}.00)" in drawn] == [True] * 2
    assert sum(bool(re.fullmatch(r"\w \(\d+\.00\)", text)) for text in drawn) == min(num, 12)
    (group,) = groups(results)
    assert f"CD = {group.critical_difference:.2f}" in drawn
    small = critical_difference._note(board(results), group, 0)
    assert ("Not drawn" in small) == (num > 12)
    assert num <= 12 or f"Not drawn: {num - 12} more, mean ranks 13.00 to {num}.00" in small


def test_two_groups_are_drawn_those_with_the_most_data_sets_and_methods():
    results = made(ordered(3, 3), backbone="few")
    made(ordered(5, 2), results=results, backbone="most methods")
    made(ordered(4, 3), results=results, backbone="more methods")
    made(ordered(2, 4), results=results, backbone="two methods")
    names, _ = texts(results)
    assert [re.search("4-(.*)-8", name)[1] for name in names] == ["more-methods", "few"]
    whole = board(results)
    assert "Not drawn: 1 more protocols and backbones" in critical_difference._note(whole, groups(results)[0], 1)


def test_the_small_print_tells_what_was_found_and_who_is_missing():
    results = made({**ordered(3, 8), "gone": [0.5] * 7 + ["failed"]})
    made({"b": ["failed"]}, results=results, seed=2)
    small = critical_difference._note(board(results), groups(results)[0], 0)
    for text in (
        "over 8 data sets (d1, d2, d3, d4, d5, d6, d7, d8)",
        "Friedman p = 3 × 10⁻⁴. Bars join methods that are not told apart.",
        "Not ranked, for want of a number on a data set: 1: gone (failed on d8).",
        "With failed runs left out: 1 of 24 numbers.",
        "Toy-scale",
    ):
        assert text in small
    none = made(ordered(3, 2))
    assert "no pair is told apart; the bar joins all" in critical_difference._note(board(none), groups(none)[0], 0)


def test_without_three_methods_on_two_data_sets_a_page_says_so():
    for results, why in (
        (FakeResults(), "there are no runs yet"),
        (made(ordered(2, 4)), "three methods"),
        (made(ordered(5, 1)), "three methods"),
        (made({"A": ["failed"] * 2}), "three methods"),
    ):
        (page,) = critical_difference.render(results)
        assert page.name == "critical-difference.md" and why in page.content


@pytest.mark.parametrize("num", [3, 7, 12, 14])
def test_leader_lines_start_at_the_rank_of_their_name_and_do_not_cross(num):
    (group,) = groups(made(ordered(num, 8)))
    with _plots.style():
        (ax,) = critical_difference.diagram(group, "").axes
    leaders = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 3]
    found = {}  # rank that a name tells -> where its leader line leaves the axis, and how deep it goes
    for text in ax.texts:
        if shown := re.fullmatch(r"\w+ \((\d+\.\d\d)\)", text.get_text()):
            x, y = text.get_position()
            (leader,) = [line for line in leaders if line[2][1] == y and abs(line[2][0] - x) < 0.1]
            found[float(shown[1])] = leader[0][0], y
    assert len(found) == min(num, 12)
    ranks = sorted(found)
    places, depths = ([found[rank][i] for rank in ranks] for i in (0, 1))
    assert np.diff(places) == pytest.approx(np.diff(ranks) * (places[1] - places[0]))
    bars = [line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == critical_difference._BAR]
    assert bars and max(bars) < min(depths)
    half = -(-len(ranks) // 2)  # the outermost is the least deep, so that none passes through another
    assert depths[:half] == sorted(depths[:half]) and depths[half:] == sorted(depths[half:], reverse=True)


def test_bars_end_with_the_axis_and_those_of_methods_that_are_not_drawn_are_left_out():
    (group,) = groups(made(ordered(14, 8)))
    with _plots.style():
        bars = ((1, 3), (2, 14), (13, 14))
        (ax,) = critical_difference.diagram(dataclasses.replace(group, tied=bars), "").axes
    drawn = [line.get_xdata() for line in ax.lines if line.get_linewidth() == critical_difference._BAR]
    axis = ax.lines[0].get_xdata()
    assert len(drawn) == 2 and drawn[1][1] == pytest.approx(axis[1] + 0.025)
    assert drawn[0] == pytest.approx([axis[0] - 0.025, axis[0] + 2 / 11 * (axis[1] - axis[0]) + 0.025])


def test_long_names_keep_their_ends():
    (group,) = groups(made({f"{LONG}{i}": [0.1 * i] * 2 for i in range(4)}))
    with _plots.style():
        (ax,) = critical_difference.diagram(group, "").axes
    ends = [text.get_text().replace("\n", " ")[-26:] for text in ax.texts if "…" in text.get_text()]
    assert ends == [f"of review, number {i} ({4 - i}.00)" for i in (3, 2, 0, 1)]


LONG = "knowledge prompt with descriptions refined by several rounds of review, number "
RANDOM = np.random.default_rng(1).random((12, 7)).round(1).tolist()


@pytest.mark.parametrize(
    ("scores", "facts"),
    [
        (ordered(3, 2), {}),
        (ordered(6, 8), {}),
        (ordered(12, 3), {}),
        (ordered(14, 30), {"backbone": LONG * 2}),
        ({name: [0.5] * 4 for name in "abcd"}, {}),
        (dict(zip(NASTY, RANDOM, strict=False)), {"backbone": NASTY[0]}),
        ({f"{LONG}{i}": row for i, row in enumerate(RANDOM)}, {}),
        ({"W" * 70 + str(i): row for i, row in enumerate(RANDOM)}, {"backbone": "W" * 150}),
        ({"M" * i: row for i, row in enumerate(RANDOM, start=1)}, {}),
    ],
)
def test_nothing_overlaps_and_nothing_is_cut(scores, facts):
    results = made(scores, **facts)
    (group,) = groups(results)
    with _plots.style():
        figure = critical_difference.diagram(group, critical_difference._note(board(results), group, 3))
        figure.set_dpi(300)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        (ax,) = figure.axes
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
        lines = [line.get_window_extent(renderer) for line in ax.lines]
    assert figure.get_size_inches()[0] == _plots.WIDTH_IN
    for box in boxes + lines:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    # No leader line, ruler or bar runs through a text: lines are thin, so each of their parts is tested.
    for line, box in itertools.product(ax.lines, boxes):
        corners = ax.transData.transform(line.get_xydata())
        for (x0, y0), (x1, y1) in itertools.pairwise(corners):
            across = min(x0, x1) < box.x1 and max(x0, x1) > box.x0
            assert not (across and min(y0, y1) < box.y1 and max(y0, y1) > box.y0)
