"""The base-to-novel table, on results made up in memory."""

import math

import numpy as np
from fake_results import COOP, FakeResults
from result_tables import lines, said, the_one

from results import base_to_novel

NOVEL = {**COOP, "protocol": "base_to_novel"}
T2 = 4.302653  # t(.975, 2)


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
    table = the_one(base_to_novel.tables(results))
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
    table = the_one(base_to_novel.tables(results))
    shown = lines(table, 3)["base-to-novel, K = 4", "clip-tiny (8 × 1)", "Zero"]
    half = 100 * 0.1 / math.sqrt(3) * T2
    of_groups = np.array([0.2 / 0.7, 0.24 / 0.8, 0.7 / 1.2])
    whole = 2 * 0.6 * 0.3 / 0.9  # of all videos, which is not the mean of the groups' own
    of_hm = 100 * of_groups.std(ddof=1) / math.sqrt(3) * T2
    assert shown == [f"60.0 ± {half:.1f}", f"30.0 ± {half * math.sqrt(3):.1f}", f"{100 * whole:.1f} ± {of_hm:.1f}"]
    assert "± over 3 subjects: other subjects" in said(table)
    add_novel(results, "CoOp", [[0.8, 0.9, 0.9]] * 3, [[0.2, 0.2, 0.5]] * 3)  # base: t = 8, p = .015
    rows = {r[2].text: [c.bold for c in r[3:5]] for b in the_one(base_to_novel.tables(results)).blocks for r in b}
    assert rows == {"CoOp": [True, True], "Zero": [False, True]}


def test_base_to_novel_on_overlapping_splits_is_over_splits():
    results = FakeResults()
    for split in (1, 2, 3):
        facts = {**NOVEL, "split": str(split), "num_pool": 60}
        for label, more in (("CoOp", 0.0), ("Better", 0.1 + 0.01 * split)):
            share = [0.4 + 0.1 * split + more] * 3
            results.add(share, novel=share, per_group=100, seed=split, **{**facts, "label": label, "method": label})
    table = the_one(base_to_novel.tables(results))
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
    shown = lines(the_one(base_to_novel.tables(results)), 3)
    assert shown["base-to-novel, K = 4", "clip-tiny (8 × 1)", "CoOp"][:2] == ["50.0 (2)", "20.0 (2)"]


def test_base_to_novel_says_what_a_run_lacks_and_that_there_are_none():
    results = FakeResults()
    results.add(**COOP)
    assert the_one(base_to_novel.tables(results)).caption == "There are no base-to-novel runs yet."
    results.add(metrics={"base_top1": 0.5, "novel_top1": None, "harmonic_mean": None}, novel=[0.5] * 3, **NOVEL)
    table = the_one(base_to_novel.tables(results))
    assert [c.text for c in table.blocks[0][0][3:]] == ["50.0", "—", "—"]
    assert "not all of its runs have this number" in said(table)
