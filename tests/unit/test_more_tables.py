"""Leaderboard, few-shot, zero-shot, base-to-novel, cost and per-class tables, on results made up in memory."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from fake_results import COOP, FEW, KNOWING, FakeResults
from markdown_it import MarkdownIt
from result_tables import NASTY

from bench import _page
from results import _grid, _tables, base_to_novel, cost, few_shot, leaderboard, per_class, zero_shot

PLUGINS = (leaderboard, few_shot, zero_shot, base_to_novel, cost, per_class)
NOVEL = {**COOP, "protocol": "base_to_novel"}
T2 = 4.302653  # t(.975, 2)


def lines(table, num_heads):
    """The first texts of each row -> the texts of the others."""
    rows = [row for block in table.blocks for row in block]
    return {tuple(c.text for c in row[:num_heads]): [c.text for c in row[num_heads:]] for row in rows}


def bolds(table):
    return {c.text for block in table.blocks for row in block for c in row if c.bold}


def said(table):
    return "\n".join([table.caption, *table.notes, *(text for _, text in table.footnotes)])


def only(tables):
    (table,) = tables
    return table


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
    table = only(few_shot.tables(results))
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
    table = only(few_shot.tables(results))
    assert table.caption == "There are no few-shot runs on toy." and not table.blocks


# --- zero-shot -------------------------------------------------------------------------------------------------


def test_zero_shot_tells_each_split_and_their_mean():
    results = FakeResults()
    for split, shares in (("1", [0.2, 0.4, 0.6]), ("2", [0.4, 0.6, 0.8]), ("3", [0.3, 0.5, 0.7])):
        results.add(shares, split=split)
    results.add([0.5, 0.5, 0.5], split="1", **KNOWING)
    results.add(split="2", status="failed", reason="disk full", **KNOWING)
    table = only(zero_shot.tables(results))
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
    assert only(zero_shot.tables(results)).caption == "There are no zero-shot runs on toy."


# --- base-to-novel ---------------------------------------------------------------------------------------------


def add_novel(results, label, base, novel, facts=NOVEL):
    """One run a seed: `base` and `novel` have for each seed a share for each of three groups."""
    for seed, (b, n) in enumerate(zip(base, novel, strict=True), start=1):
        results.add(b, novel=n, seed=seed, **{**facts, "label": label, "method": label.lower()})


def test_base_to_novel_has_intervals_over_seeds_and_bold_by_the_test_over_groups():
    results = FakeResults()
    add_novel(results, "CoOp", [[0.8] * 3, [0.7] * 3, [0.9] * 3], [[0.3, 0.4, 0.5]] * 3)
    # base: .1, 0, -.1 apart in the groups, no difference; novel: .2, .2, .1 better: t = .1667 / (.0577 / 1.732) = 5, p = .038
    add_novel(results, "Near", [[0.7, 0.8, 0.9]] * 3, [[0.5, 0.6, 0.6]] * 3)
    results.add(status="n/a", reason="one class only", **{**NOVEL, "label": "None", "method": "none"})
    table = only(base_to_novel.tables(results))
    assert table.header[3:] == ("Base", "Novel", "Harmonic mean")
    where = ("base-to-novel, K = 4", "clip-tiny (8 × 1)")
    found = lines(table, 3)
    half = 100 * 0.1 / math.sqrt(3) * T2
    hm = np.array([0.64 / 1.2, 0.56 / 1.1, 0.72 / 1.3])
    of_hm = f"{100 * hm.mean():.1f} ± {100 * hm.std(ddof=1) / math.sqrt(3) * T2:.1f} (3)"
    assert found[(*where, "CoOp")] == [f"80.0 ± {half:.1f} (3)", "40.0 (3)", of_hm]
    assert found[(*where, "None")] == ["n/a"] * 3
    rows = {row[2].text: [cell.bold for cell in row[3:]] for block in table.blocks for row in block}
    # harmonic means of the groups: 2 * .8 * .3 / 1.1 and so on: .1470, .1524, .1046 apart, t = 9.0, p = .012; Holm over the
    # table's three tests: .036 for it, .076 for novel
    assert rows == {"CoOp": [True, True, False], "Near": [True, True, True], "None": [False] * 3}
    assert "one class only" in said(table) and "paired t over 3 subjects" in said(table)
    assert "± over 3 seeds: other draws of shots" in said(table)


def test_base_to_novel_of_what_learns_nothing_is_over_groups():
    results = FakeResults()
    zero = {**NOVEL, "needs_train": False}
    add_novel(results, "Zero", [[0.5, 0.6, 0.7]], [[0.2, 0.2, 0.5]], zero)
    table = only(base_to_novel.tables(results))
    shown = lines(table, 3)["base-to-novel, K = 4", "clip-tiny (8 × 1)", "Zero"]
    half = 100 * 0.1 / math.sqrt(3) * T2
    of_groups = np.array([0.2 / 0.7, 0.24 / 0.8, 0.7 / 1.2])
    whole = 2 * 0.6 * 0.3 / 0.9  # of all videos, which is not the mean of the groups' own
    of_hm = 100 * of_groups.std(ddof=1) / math.sqrt(3) * T2
    assert shown == [f"60.0 ± {half:.1f}", f"30.0 ± {half * math.sqrt(3):.1f}", f"{100 * whole:.1f} ± {of_hm:.1f}"]
    assert "± over 3 subjects: other subjects" in said(table)
    add_novel(results, "CoOp", [[0.8, 0.9, 0.9]] * 3, [[0.2, 0.2, 0.5]] * 3)  # base: t = 8, p = .015
    rows = {r[2].text: [c.bold for c in r[3:5]] for b in only(base_to_novel.tables(results)).blocks for r in b}
    assert rows == {"CoOp": [True, True], "Zero": [False, True]}


def test_base_to_novel_on_overlapping_splits_is_over_splits():
    results = FakeResults()
    for split in (1, 2, 3):
        facts = {**NOVEL, "split": str(split), "num_pool": 60}
        for label, more in (("CoOp", 0.0), ("Better", 0.1 + 0.01 * split)):
            share = [0.4 + 0.1 * split + more] * 3
            results.add(share, novel=share, per_group=100, seed=split, **{**facts, "label": label, "method": label})
    table = only(base_to_novel.tables(results))
    assert "Nadeau-Bengio over 3 overlapping splits" in said(table)
    # the differences .11, .12, .13: t = .12 / (.01 * sqrt(1/3 + 600/60)) = 3.7, p = .064: a tie
    rows = {row[2].text: [cell.bold for cell in row[3:]] for block in table.blocks for row in block}
    assert rows == {"CoOp": [True] * 3, "Better": [True] * 3}


def test_runs_that_decoded_other_videos_keep_their_parts():
    results = FakeResults()
    for seed, per_group in ((1, 10), (2, 20)):
        results.add([0.5] * 3, novel=[0.2] * 3, per_group=per_group, seed=seed, **NOVEL)
    zero = {**NOVEL, "needs_train": False, "label": "Zero", "method": "zero"}
    results.add([0.5, 0.6, 0.4], novel=[0.4] * 3, **zero)
    shown = lines(only(base_to_novel.tables(results)), 3)
    assert shown["base-to-novel, K = 4", "clip-tiny (8 × 1)", "CoOp"][:2] == ["50.0 (2)", "20.0 (2)"]


def test_base_to_novel_says_what_a_run_lacks_and_that_there_are_none():
    results = FakeResults()
    results.add(**COOP)
    assert only(base_to_novel.tables(results)).caption == "There are no base-to-novel runs yet."
    results.add(metrics={"base_top1": 0.5, "novel_top1": None, "harmonic_mean": None}, novel=[0.5] * 3, **NOVEL)
    table = only(base_to_novel.tables(results))
    assert [c.text for c in table.blocks[0][0][3:]] == ["50.0", "—", "—"]
    assert "not all of its runs have this number" in said(table)


# --- cost ------------------------------------------------------------------------------------------------------

COSTS = {
    **{"num_trainable": 8192, "num_parameters": 149_600_000, "gflops": 140.4, "feature_ms": 52.345},
    **{
        "resolution": 224,
        "fit_seconds": 12.5,
        "predict_ms": 0.123,
        "peak_memory_mb": 1234.5,
        "start_memory_mb": 1000.0,
        "hardware": "2 x Xeon",
    },
}


def test_cost_is_told_where_the_most_videos_and_shots_are():
    results = FakeResults()
    results.add([0.5] * 3, dataset="small", **{**COOP, **COSTS, "shots": 16})
    for shots in (4, 2):
        results.add([0.6] * 4, dataset="large", seed=1, **{**COOP, **COSTS, "shots": shots})
        results.add([0.6] * 4, dataset="large", seed=2, **{**COOP, **COSTS, "shots": shots, "fit_seconds": 13.5})
    table = cost.table(results)
    assert lines(table, 3) == {
        ("clip-tiny (8 × 1)", "large, few-shot, K = 4", "CoOp"): [
            *("60.0 (2)", "8", "1", "224", "8,192", "150 M", "140", "52.3", "13.0", "0.12", "234"),
        ]
    }
    assert table.frame["fit_seconds"].item() == 13.0 and table.frame["hardware"].item() == "2 x Xeon"
    assert "wall-clock" in said(table) and "2 x Xeon" in said(table) and "not recorded" not in said(table)


def test_cost_tells_where_test_views_are_of_another_size_than_training():
    results = FakeResults()
    results.add([0.5] * 3, **{**COOP, **COSTS, "resolution": 73, "train_resolution": 64})
    assert "trained on pictures of 64 pixels; its test views are crops of another size" in said(cost.table(results))
    alike = FakeResults()
    alike.add([0.5] * 3, **{**COOP, **COSTS, "train_resolution": 224})
    assert "crops of another size" not in said(cost.table(alike))


def test_cost_tells_older_runs_and_several_machines():
    results = FakeResults()
    results.add([0.6] * 3)
    results.add([0.6] * 3, **{**COOP, **COSTS})
    results.add([0.6] * 3, **{**COOP, **COSTS, "seed": 2, "hardware": "H200", "gflops": None})
    results.add(status="failed", reason="disk full", backbone="other")
    table = cost.table(results)
    found = lines(table, 3)
    assert found["clip-tiny (8 × 1)", "toy, zero-shot", "zero-shot, class names"][1:] == ["8", "1", *["—"] * 8]
    assert found["clip-tiny (8 × 1)", "toy, few-shot, K = 4", "CoOp"][1:7] == ["8", "1", "224", "8,192", "150 M", "140"]
    for text in (
        "measured on 2 x Xeon and H200; means over all of them",
        "measured on hardware that was not recorded",
        "recorded in some of its runs only: GFLOPs a video (1 of 2)",
        "Times on different hardware cannot be compared",
        "runs from before costs were kept",
        "without a complete run: 1 pairs",
    ):
        assert text in said(table), text
    nothing = FakeResults()
    nothing.add(status="failed", reason="disk full")
    assert cost.table(nothing).caption == "No run is complete."


def test_a_view_costs_as_much_as_the_one_before_and_what_is_not_counted_here_is_marked():
    results = FakeResults()
    readme = "twice the multiply-adds that its README prints"
    tsn = {**COOP, **COSTS, "backbone": "tsn", "num_frames": 3, "num_views": 250, "gflops": 24.6}
    results.add([0.6] * 3, **{**tsn, "gflops_source": readme})
    results.add([0.6] * 3, **{**COOP, **COSTS, "backbone": "elsewhere", "num_frames": 0, "num_views": 0})
    results.add([0.6] * 3, **{**COOP, **COSTS, "backbone": "clip", "precision": "bf16"})
    table = cost.table(results)
    found = lines(table, 3)
    where = "toy, few-shot, K = 4", "CoOp"
    assert found["tsn (3 × 250)", *where][1:4] == ["3", "250", "224"] and found["tsn (3 × 250)", *where][6] == "6,150"
    assert found["elsewhere (? × ?)", *where][1:3] == ["?", "?"] and found["elsewhere (? × ?)", *where][6] == "—"
    assert found["clip (8 × 1, bf16)", *where][6] == "140"
    frame = table.frame.set_index("backbone")
    assert frame.loc["tsn", ["gflops", "gflops_video", "gflops_source"]].tolist() == [24.6, 6150, readme]
    mark = {text: mark for mark, text in table.footnotes}[f"GFLOPs not counted here: {readme}"]
    marked = {row[0].text: mark in row[2].marks for block in table.blocks for row in block}
    assert marked == {"tsn (3 × 250)": True, "elsewhere (? × ?)": False, "clip (8 × 1, bf16)": False}


# --- per class -------------------------------------------------------------------------------------------------


def test_per_class_recalls_of_the_most_shots_and_of_descriptions():
    results = FakeResults()
    few = {"num_classes": 2, "per_group": 4}
    # 4 videos a group, labels 0 1 0 1, the first ones right: .25 is one of class 0, .75 all of class 0 and one of class 1
    results.add([0.25, 0.75], **few)
    results.add([0.5, 0.5], **few, **KNOWING)
    results.add([1.0, 1.0], **few, **COOP)
    results.add([0.25, 0.75], **few, **{**COOP, "shots": 8})
    results.add([0.75, 0.75], **few, **{**COOP, "shots": 8, "seed": 2})
    table = only(per_class.tables(results))
    assert table.name == "per-class-toy--clip-tiny-8-1-float32"
    assert table.header == ("Class", "Videos", "descriptions, zero-shot", "CoOp, few-shot, K = 8")
    # descriptions: one of two of each class in each group; CoOp: class 0 (1 + 2 + 4) of 8, class 1 (0 + 1 + 2) of 8
    assert lines(table, 1) == {
        ("mean over classes",): ["8", "50.0", "62.5"],
        ("class 0",): ["4", "50.0", "87.5"],
        ("class 1",): ["4", "50.0", "37.5"],
    }
    assert table.frame["recall"].tolist() == [0.5, 0.5, 0.875, 0.375]
    assert "descriptions: 1; CoOp: 2" in said(table)


def test_per_class_bounds_its_columns_and_says_so():
    results = FakeResults()
    for i in range(per_class.MOST + 2):
        results.add([i / 10] * 3, **{**COOP, "label": f"m{i}", "method": f"m{i}"})
    results.add(status="failed", reason="disk full", **{**COOP, "label": "broken", "method": "broken"})
    table = only(per_class.tables(results))
    assert [head.split(",")[0] for head in table.header[2:]] == [f"m{i}" for i in range(2, per_class.MOST + 2)]
    assert "left out for room: 2" in said(table)
    assert "No numbers of broken, few-shot, K = 4: failed: disk full" in said(table)


def test_per_class_puts_runs_on_different_videos_together():
    results = FakeResults()
    few = {"num_classes": 2, "per_group": 2, **COOP}
    results.add([0.5, 0.5], **few)
    results.add([1.0], seed=2, **few)  # one group could not be decoded
    table = only(per_class.tables(results))
    # class 0: 2 of 2 and 1 of 1; class 1: 0 of 2 and 1 of 1
    assert lines(table, 1)["class 0",] == ["2", "100.0"]
    assert lines(table, 1)["class 1",] == ["2", "33.3"]


def test_per_class_says_where_no_run_is_complete():
    results = FakeResults()
    results.add(status="failed", reason="disk full")
    assert only(per_class.tables(results)).caption == "No run on toy with clip-tiny (8 × 1) is complete."
