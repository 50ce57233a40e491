"""Leaderboard, few-shot and zero-shot tables, and what all tables have in common, on results made up in memory."""

import io
import math

import pandas as pd
import pytest
from fake_results import COOP, FEW, KNOWING, FakeResults
from markdown_it import MarkdownIt
from result_tables import NASTY, bolds, lines, said, the_one

from bench import _page
from results import _grid, _tables, base_to_novel, cost, few_shot, leaderboard, per_class, zero_shot

PLUGINS = (leaderboard, few_shot, zero_shot, base_to_novel, cost, per_class)
NOVEL = {**COOP, "protocol": "base_to_novel"}
T2 = 4.302653  # t(.975, 2)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_nothing_one_row_missing_seeds_and_failures_render_in_every_form(plugin):
    nothing = list(plugin.render(FakeResults()))
    assert [a.name.rpartition(".")[2] for a in nothing] == ["md", "csv", "tex", "html"]
    assert "There are no runs yet." in nothing[0].content and "Nothing to show." in nothing[0].content
    one = FakeResults()
    one.add()
    failed, mixed = FakeResults(), FakeResults()
    failed.add(status="failed", reason="out of memory")
    for protocol in (COOP, NOVEL):
        mixed.add(seed=1, novel=[0.5] * 3 if protocol is NOVEL else None, **protocol)
        mixed.add(seed=2, status="failed", reason="disk full", **protocol)
        mixed.add(seed=1, status="n/a", reason="no classes", **{**protocol, "method": "m", "label": "M"})
    mixed.add(backbone="other", status="damaged", reason="cut short")
    for results in (one, failed, mixed):
        found = list(plugin.render(results))
        assert found and len(found) % 4 == 0
        assert len({a.name for a in found}) == len(found)
        for artifact in found:
            if artifact.name.endswith(".csv"):
                pd.read_csv(io.StringIO(artifact.content))
            if artifact.name.endswith(".md"):
                assert "nan" not in artifact.content.split()


@pytest.mark.parametrize("plugin", PLUGINS)
def test_names_that_are_markup_stay_names(plugin):
    results = FakeResults()
    for name in NASTY:
        facts = {"dataset": name, "backbone": name, "label": name, "hardware": name}
        results.add(**{**facts, "reason": name})
        results.add(**{**COOP, **facts})
        results.add(novel=[0.5] * 3, **{**NOVEL, **facts})
        results.add(status="failed", reason=name, seed=2, **{**COOP, **facts})
    found = list(plugin.render(results))
    assert len({a.name for a in found}) == len(found)
    assert "<script" not in _page.index_html(found)
    for artifact in found:
        assert "\x1b" not in artifact.content or artifact.name.endswith(".csv")
        if artifact.name.endswith(".md"):
            tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(artifact.content)
            kinds = {child.type for token in tokens if token.children for child in token.children}
            assert kinds <= {"text", "strong_open", "strong_close", "softbreak"}
            heads = sum(token.type == "th_open" for token in tokens)
            cells = sum(token.type == "td_open" for token in tokens)
            assert cells % heads == 0
        if artifact.name.endswith(".tex"):
            for part in artifact.content.split(r"\toprule")[1:]:
                rows = part.split(r"\bottomrule")[0].strip().split("\n")
                rows = [row for row in rows if row != r"\midrule" and not row.startswith(r"\multicolumn")]
                assert len({row.count("&") - row.count(r"\&") for row in rows}) == 1 and len(rows) > 1
    told = "".join(a.content for a in found if a.name.endswith(".html"))
    for name in NASTY[:3]:
        assert _tables._HTML.from_string("{{ name | plain }}").render(name=name) in told


# --- leaderboard -----------------------------------------------------------------------------------------------


def filled():
    """CoOp and a clearly worse method on two data sets with banks of their own, zero-shot on one of them."""
    results = FakeResults()
    for dataset, gain in (("a", 0.0), ("b", 0.1)):
        for seed, noise in ((1, -0.1), (2, 0.0), (3, 0.1)):
            for label, share in (("CoOp", 0.7), ("Worse", 0.2)):
                facts = {**COOP, "label": label, "method": label, "bank": f"bank-{dataset}", "seed": seed}
                results.add([share + gain + noise] * 2 + [share + gain + noise + 0.1], dataset=dataset, **facts)
    results.add([0.4, 0.5, 0.6], dataset="b")
    results.add([0.9, 0.9, 0.9], dataset="b", **{**NOVEL, "method": "CoOp", "bank": "bank-b"})
    return results


def test_leaderboard_puts_data_sets_across_and_protocols_in_blocks():
    table = leaderboard.table(filled())
    assert table.header == ("Protocol", "Backbone", "Method", "Trained", "a", "b")
    found = {heads[:3]: numbers for heads, numbers in lines(table, 4).items()}
    on = "clip-tiny (8 × 1)"
    half = f"{100 * 0.1 / math.sqrt(3) * T2:.1f}"  # seeds lie 0.1 apart
    # means of groups: (.7 + .7 + .8) / 3
    assert found["few-shot, K = 4", on, "CoOp"] == [f"73.3 ± {half} (3)", f"83.3 ± {half} (3)"]
    assert found["few-shot, K = 4", on, "Worse"] == [f"23.3 ± {half} (3)", f"33.3 ± {half} (3)"]
    assert found["zero-shot", on, "zero-shot, class names"] == ["—", f"50.0 ± {half}"]
    assert found["—", "—", "chance (100 / C)"] == ["10.0", "10.0"]
    assert len(table.blocks) == 3 and len(found) == 4
    assert [row[0].text for block in table.blocks[1:] for row in block] == ["zero-shot", *["few-shot, K = 4"] * 2]
    assert "3 seeds: other draws of shots" in said(table) and "one protocol and data set on one backbone" in said(table)
    assert table.frame["status"].value_counts().to_dict() == {"complete": 5, "missing": 1}
    assert table.frame.loc[table.frame["status"] == "missing", "dataset"].tolist() == ["a"]


def test_leaderboard_marks_the_best_of_one_data_set_protocol_and_backbone():
    results = filled()
    for seed in (1, 2, 3):
        facts = {**COOP, "label": "Worse", "method": "Worse", "bank": "bank-a", "seed": seed}
        results.add([0.1, 0.2, 0.3], dataset="a", backbone="other", **facts)
    rows = [row for block in leaderboard.table(results).blocks for row in block]
    marked = {(row[1].text, row[2].text): [cell.bold for cell in row[4:]] for row in rows}
    # On each of 3 groups CoOp is better by exactly .5: p = 2 / 2^3 = .25, a tie; the best of each are bold.
    assert marked["clip-tiny (8 × 1)", "CoOp"] == [True, True]
    assert marked["clip-tiny (8 × 1)", "Worse"] == [True, True]
    assert marked["other (8 × 1)", "Worse"] == [False, False]  # alone
    apart = FakeResults()
    apart.add([0.9, 0.8, 0.9])
    apart.add([0.1, 0.1, 0.2], label="worse")  # .8, .7, .7: t = .7333 / (.0577 / 1.732) = 22, p = .002
    apart.add([0.1, 0.1, 0.2], backbone="other")
    assert bolds(leaderboard.table(apart)) == {"86.7 ± 14.3"}
    apart_rows = [row for block in leaderboard.table(apart).blocks[1:] for row in block]
    assert [(row[2].text[:5], row[4].bold) for row in apart_rows] == [
        ("worse", False),
        ("zero-", True),
        ("zero-", False),
    ]


def test_leaderboard_tells_what_was_trained_and_fits_a_terminal():
    results, config = FakeResults(), "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
    results.add()
    results.add(**COOP)
    results.add(
        **{
            **FEW,
            "backbone": config,
            "num_views": 250,
            "trainable": "all",
            "label": "trained recogniser, 3 epochs, 64 px",
        }
    )
    table = leaderboard.table(results)
    assert table.header[:4] == ("Protocol", "Backbone", "Method", "Trained")
    assert [row[3].text for block in table.blocks for row in block] == ["—", "none", "prompt", "all"]
    assert not any(row[3].marks for block in table.blocks for row in block), "footnotes are the method's"
    drawn = [line for line in _tables.text(table).splitlines() if line.startswith("|")]
    assert {len(line) for line in drawn} == {len(drawn[0])} and len(drawn[0]) < 120
    start = next(number for number, line in enumerate(drawn) if "tsm_" in line)
    column = "".join(line.split("|")[2] for line in drawn[start : start + 5])
    assert column.replace(" ", "") == f"{config}(8×250)", "nothing of a long name is lost"


def test_a_word_that_is_too_long_begins_in_the_first_line():
    assert _tables._wrapped("a" * 30 + " b", 28) == ["a" * 28, "aa b"]
    assert _tables._wrapped("", 28) == [""]


def test_leaderboard_tells_missing_seeds_failures_and_toy_names():
    results = FakeResults()
    results.add()
    for seed in (1, 2):
        results.add(seed=seed, **COOP)
    results.add(seed=1, **{**COOP, "label": "B", "method": "b"})
    results.add(seed=1, **{**COOP, "label": "C", "method": "c"}, status="failed", reason="disk full")
    table = leaderboard.table(results)
    assert "no run for seed 2 on split test" in said(table)
    assert _grid.TOY_NAMES in said(table)
    assert "failed: disk full" in said(table)
    assert lines(table, 4)["few-shot, K = 4", "clip-tiny (8 × 1)", "C", "prompt"] == ["failed"]


def test_leaderboard_leaves_base_to_novel_to_its_own_table():
    results = FakeResults()
    results.add(**NOVEL)
    table = leaderboard.table(results)
    assert not table.blocks and "a table of its own" in table.caption


# --- few-shot --------------------------------------------------------------------------------------------------


def test_few_shot_puts_shots_across_with_zero_shot_as_none():
    results = FakeResults()
    results.add([0.4, 0.5, 0.6])
    for shots in (16, 2):
        for seed in (1, 2, 3):
            results.add([(shots + 20 * seed) / 100] * 3, seed=seed, per_group=100, **{**COOP, "shots": shots})
    results.add([0.5] * 3, protocol="cross_subject", needs_train=True, label="other")
    table = the_one(few_shot.tables(results))
    assert table.name == "few-shot-table-toy"
    assert table.header == ("Backbone", "Method", "K = 0", "K = 2", "K = 16")
    half = f"{100 * 0.2 / math.sqrt(3) * T2:.1f}"
    on = "clip-tiny (8 × 1)"
    assert lines(table, 2) == {
        (on, "zero-shot, class names"): [f"50.0 ± {100 * 0.1 / math.sqrt(3) * T2:.1f}", "—", "—"],
        (on, "CoOp"): ["—", f"42.0 ± {half} (3)", f"56.0 ± {half} (3)"],
    }
    assert table.frame["shots"].dropna().tolist() == [2, 16]


def test_few_shot_says_where_there_is_none():
    results = FakeResults()
    results.add()
    table = the_one(few_shot.tables(results))
    assert table.caption == "There are no few-shot runs on toy." and not table.blocks


# --- zero-shot -------------------------------------------------------------------------------------------------


def test_zero_shot_tells_each_split_and_their_mean():
    results = FakeResults()
    for split, shares in (("1", [0.2, 0.4, 0.6]), ("2", [0.4, 0.6, 0.8]), ("3", [0.3, 0.5, 0.7])):
        results.add(shares, split=split)
    results.add([0.5, 0.5, 0.5], split="1", **KNOWING)
    results.add(split="2", status="failed", reason="disk full", **KNOWING)
    table = the_one(zero_shot.tables(results))
    assert table.header == ("Backbone", "Method", "Text", "Split 1", "Split 2", "Split 3", "Mean")
    found = lines(table, 3)
    half = 100 * 0.2 / math.sqrt(3) * T2  # groups over the splits: .3, .5, .7
    on = "clip-tiny (8 × 1)"
    names = found[on, "zero-shot, class names", "class names"]
    assert names == ["40.0", "60.0", "50.0", f"50.0 ± {half:.1f} (3)"]
    assert found[on, "descriptions", "descriptions"] == ["50.0", "failed", "—", "50.0"]
    assert "mean without split 3: no run" in said(table) and "disk full" in said(table)
    row = table.frame.set_index("shown_as").loc["zero-shot, class names"]
    assert [row[f"top1_{split}"] for split in "123"] == pytest.approx([0.4, 0.6, 0.5])


def test_zero_shot_says_where_there_is_none():
    results = FakeResults()
    results.add(**COOP)
    assert the_one(zero_shot.tables(results)).caption == "There are no zero-shot runs on toy."
