"""What tables say of intervals, tests and bold marks, and which numbers their CSVs hold, on results made up in memory."""

import math

import numpy as np
import pytest
from fake_results import COOP, KNOWING, FakeResults

from bench.contracts import UNTRAINED
from bench.stats import Interval, paired_over_splits
from results import _cells, _data, _notes, _tables, ablation, backbones, base_to_novel, cost, leaderboard
from results._units import group_differences

OTHER = {**COOP, "label": "Other", "method": "other"}
SHUFFLED = {**KNOWING, "bank_control": "shuffled", "label": "shuffled"}
ZERO = {**COOP, "needs_train": False, "label": "Zero", "method": "zero"}


def said(table):
    return "\n".join([table.caption, *table.notes, *(text for _, text in table.footnotes)])


def shown(table):
    """Method -> its last cell, with the texts of its footnotes."""
    texts = dict(table.footnotes)
    method = table.header.index("Method") if "Method" in table.header else -2
    rows = [row for block in table.blocks for row in block]
    return {row[method].text: (row[-1].text, row[-1].bold, [texts[mark] for mark in row[-1].marks]) for row in rows}


def two_seeds_rows(results, gap=0.2, seeds=(1, 2, 3)):
    """CoOp and another method, seeds .1 apart, the other worse by `gap` and by .01 more from group to group."""
    for seed in seeds:
        right = [0.5 + 0.1 * seed] * 3
        results.add(right, seed=seed, per_group=100, **COOP)
        worse = [share - gap - 0.01 * group for group, share in enumerate(right)]
        results.add(worse, seed=seed, per_group=100, **OTHER)


# --- no spread: one rule for groups, splits and seeds ---------------------------------------------------------------


@pytest.mark.parametrize(("num", "tied"), [(3, True), (6, False)])
@pytest.mark.parametrize("over", ["subjects", "overlapping splits"])
def test_the_same_difference_everywhere_is_tested_by_sign_flips_over_groups_and_splits_alike(over, num, tied):
    results = FakeResults()
    for place in range(num):
        for facts, more in ((COOP, 0.2), (OTHER, 0.0)):
            if over == "subjects":
                results.add([0.5 + more + 0.02 * i for i in range(num)], per_group=50, seed=place, **facts)
            else:
                where = {"split": str(place), "seed": place, "num_pool": 60}
                results.add([0.5 + more + 0.02 * place] * 4, per_group=50, **{**facts, **where})
    whole = _data.board(results)
    test = whole.compare(*whole.cells)
    assert test.test == f"sign flips over {num} {over}, all with the same difference"
    assert test.p_value == pytest.approx(2 / 2**num) and math.isnan(test.low) and math.isnan(test.high)
    (table,) = backbones.tables(results)
    assert [shown(_last_two(table))[name][1] for name in ("CoOp", "Other")] == [True, tied]


def _last_two(table):
    """The table with the method next to its numbers, for `shown`."""
    blocks = tuple(tuple((row[1], *row[3:]) for row in block) for block in table.blocks)
    return _tables.Table("t", "", table.caption, (), blocks, 1, table.frame, table.notes, table.footnotes)


def test_numbers_that_are_all_the_same_have_no_interval_and_a_footnote_in_every_table():
    results = FakeResults()
    for seed in (1, 2, 3):
        results.add([0.4, 0.5, 0.6], seed=seed, **COOP)
    results.add([0.5, 0.5, 0.5], **{**ZERO, "config": '{"m": 1}'})
    tables = [leaderboard.table(results), cost.table(results)]
    for table in tables:
        assert "± 0.0" not in _tables.markdown(table)
        for text in ("3 seeds, all the same: no interval", "3 subjects, all the same: no interval"):
            assert text in said(table), table.name
    assert shown(tables[0])["CoOp"] == ("50.0 (3)", True, ["3 seeds, all the same: no interval"])
    row = tables[0].frame.set_index("shown_as").loc["CoOp"]
    assert math.isnan(row["low"]) and math.isnan(row["high"])


def test_an_ablation_without_spread_says_so():
    results = FakeResults()
    for seed in (1, 2, 3):
        for tokens in (4, 8):
            label = {"config": f'{{"m": {tokens}}}', "label": f"CoOp {tokens}"}
            results.add([0.4 + tokens / 20] * 3, seed=seed, **{**COOP, **label})
    text = next(a.content for a in ablation.render(results) if a.name.endswith(".md"))
    assert "3 seeds, all the same: no interval" in text and "sign flips over 3 subjects" in text and "0.250" in text


# --- rows that saw more of a video ----------------------------------------------------------------------------------


def test_other_frames_or_views_are_told_under_every_table_with_what_they_cost():
    results = FakeResults()
    many = {"backbone": "tsn", "num_frames": 3, "num_views": 250, "gflops": 20.0}
    for more in (
        {"gflops": 140.0},
        {"backbone": "other", "gflops": 35.0},
        {"backbone": "unknown", "num_frames": 0},
        many,
    ):
        results.add([0.5, 0.6, 0.4], **{**COOP, "num_views": 1, **more})
    told = "8 × 1 (clip-tiny, other, 35 to 140 GFLOPs a video)"
    for table in (leaderboard.table(results), cost.table(results), next(backbones.tables(results))):
        (note,) = [text for text in table.notes if text.startswith("Not all rows saw as much of a video")]
        assert f"? × 1 (unknown); 3 × 250 (tsn, 5,000 GFLOPs a video); {told}." in note
    alike = FakeResults()
    for name in ("a", "b"):
        alike.add([0.5, 0.6, 0.4], **{**COOP, "backbone": name, "gflops": 35.0})
    assert "saw as much" not in said(leaderboard.table(alike))


def test_no_test_is_across_frames_or_views():
    """An accuracy that is far above is bold beside others of its own frames and views alone."""
    results = FakeResults()
    for views, accuracy in ((1, 0.2), (30, 0.9)):
        for label, more in (("CoOp", 0.0), ("worse", -0.1)):
            row = {**COOP, "label": label, "num_views": views}
            results.add([accuracy + more, accuracy + more + 0.02, accuracy + more - 0.02] * 4, **row)
    frame = leaderboard.table(results).frame.set_index(["num_views", "label"])
    best = frame["best_or_tied"].astype(bool)
    assert best[1, "CoOp"] and best[30, "CoOp"] and not best[1, "worse"] and not best[30, "worse"]


# --- what is tested and what ± is over ------------------------------------------------------------------------------


def test_tables_tell_that_tests_over_groups_leave_out_the_variance_over_seeds():
    results = FakeResults()
    two_seeds_rows(results)
    (table,) = backbones.tables(results)
    told = "The tests over subjects are paired, on the mean of the runs that were made: they leave out the variance over seeds."
    assert told in said(table) and "± over seeds has that variance, and leaves out that over subjects" in said(table)
    alone = FakeResults()
    alone.add([0.5, 0.6, 0.8])
    alone.add([0.4, 0.4, 0.5], label="other")
    for seed in (1, 2, 3):
        alone.add([0.1, 0.2, 0.1 * seed], seed=seed, **SHUFFLED)
    assert "leave out the variance over shuffles" in said(leaderboard.table(alone))
    drawn = FakeResults()
    drawn.add([0.9, 0.8, 0.9, 0.6], label="b")
    for seed in (1, 2, 3):
        random = {**KNOWING, "bank_control": "random_words", "label": "random words"}
        drawn.add([0.2, 0.3, 0.1, 0.1 * seed], seed=seed, **random)
    assert "leave out the variance over draws" in said(leaderboard.table(drawn))
    assert "variance over seeds" not in said(leaderboard.table(alone))


def test_intervals_over_seeds_beside_no_test_need_no_such_note():
    results = FakeResults()
    for seed in (1, 2, 3):
        results.add([0.1 * seed, 0.5, 0.6], seed=seed, **COOP)
    assert "3 seeds" in said(leaderboard.table(results)) and "leave out" not in said(leaderboard.table(results))


def test_tests_over_splits_are_not_said_to_leave_out_seeds():
    results = FakeResults()
    for facts, more in ((COOP, 0.2), (OTHER, 0.0)):
        for split in (1, 2, 3):
            right = [0.4 + 0.05 * split + more * split / 3] * 3
            results.add(right, seed=split, split=str(split), num_pool=60, per_group=100, **facts)
    table = leaderboard.table(results)
    assert "Nadeau-Bengio over 3 overlapping splits" in said(table) and "variance over seeds" not in said(table)


def test_base_to_novel_and_ablations_tell_it_too():
    results = FakeResults()
    for seed in (1, 2, 3):
        for tokens in (4, 8):
            right = [0.2 + tokens / 20 + 0.1 * seed, 0.3 + tokens / 40, 0.4]
            facts = {**COOP, "config": f'{{"m": {tokens}}}', "label": f"CoOp {tokens}", "seed": seed}
            results.add(right, **facts)
            results.add(right, novel=right, **{**facts, "protocol": "base_to_novel", "method": f"m{tokens}"})
    (novel,) = base_to_novel.tables(results)
    assert "leave out the variance over seeds" in said(novel)
    text = next(a.content for a in ablation.render(results) if a.name.endswith(".md"))
    assert "leave out the variance over seeds" in text


def test_what_is_alone_is_not_bold_and_has_no_note_on_bold():
    results = FakeResults()
    results.add([0.5, 0.6, 0.7], label="majority")
    for seed in (1, 2):
        results.add([0.5, 0.4], novel=[0.5, 0.1 * seed], seed=seed, **{**COOP, "protocol": "base_to_novel"})
    (novel,) = base_to_novel.tables(results)
    for table in (leaderboard.table(results), novel):
        assert not any(cell.bold for block in table.blocks for row in block for cell in row)
        assert not any(note.startswith(_tables.BOLD) for note in table.notes)
        assert "best_or_tied" not in table.frame


def test_a_terminal_is_told_what_a_star_means_and_a_page_what_bold_means():
    results = FakeResults()
    two_seeds_rows(results)
    (table,) = backbones.tables(results)
    assert "- *: the best of one protocol" in _tables.text(table) and "Bold" not in _tables.text(table)
    assert "- Bold: the best of one protocol" in _tables.markdown(table)


def test_intervals_that_say_nothing_are_told():
    results = FakeResults()
    two_seeds_rows(results, seeds=(1, 2))
    table = leaderboard.table(results)
    assert "65.0 ± 63.5 (2)" in _tables.markdown(table)
    assert "± over 2 seeds is too wide to say anything: two values leave one degree of freedom" in said(table)
    assert "± may reach below 0 or above 100" in said(table)
    row = table.frame.set_index("shown_as").loc["CoOp"]
    assert row["high"] > 1  # as it is: nothing is cut off
    more = FakeResults()
    two_seeds_rows(more, seeds=(1, 2, 3))
    assert "too wide" not in said(leaderboard.table(more)) and "may reach" not in said(leaderboard.table(more))


@pytest.mark.parametrize(("low", "high", "told"), [(-0.1, 0.5, True), (0.5, 1.1, True), (0.1, 0.9, False)])
def test_bounds_outside_the_range_are_told_on_either_side(low, high, told):
    notes = list(_notes.too_wide([Interval(0.5, low, high, 3, "3 seeds: other draws")]))
    assert bool(notes) == told and all("below 0 or above 100" in note for note in notes)


def test_shuffles_are_not_counted_as_seeds():
    results = FakeResults()
    two_seeds_rows(results)
    for seed in range(1, 11):
        results.add([0.1, 0.2, 0.01 * seed], seed=seed, per_group=100, **SHUFFLED)
    table = leaderboard.table(results)
    told = table.caption
    assert "95 % intervals over 10 shuffles, 3 seeds;" in told
    assert "± over 10 shuffles: other shuffles of the descriptions." in said(table)
    assert "seeds 1, 2, 3, split test; rows of shuffled descriptions: 10 shuffles;" in told
    for seed in (1, 2):
        results.add([0.1, 0.2, 0.1 * seed], seed=seed, **{**SHUFFLED, "backbone": "b"})
    assert "rows of shuffled descriptions: 2 to 10 shuffles;" in leaderboard.table(results).caption
    alone = FakeResults()
    alone.add([0.1, 0.2, 0.3], **SHUFFLED)
    assert "8 × 1; split test; rows of shuffled descriptions: 1 shuffle;" in leaderboard.table(alone).caption


# --- numbers -------------------------------------------------------------------------------------------------------


def uneven():
    """Two groups, one of 20 videos and one of 10: the mean of the groups is .65, that of the videos .6."""
    results = FakeResults()
    results.add([0.4, 0.6, 0.8], group_names=["a", "a", "b"])
    return results


def test_the_csv_has_the_interval_about_its_own_mean():
    results = uneven()
    half = 12.7062 * np.array([0.5, 0.8]).std(ddof=1) / math.sqrt(2)
    for table in (leaderboard.table(results), cost.table(results)):
        row = table.frame[table.frame["shown_as"].notna()].iloc[0]
        assert row["top1"] == pytest.approx(0.6) and row["interval_mean"] == pytest.approx(0.65)
        assert (row["low"], row["high"]) == pytest.approx((0.65 - half, 0.65 + half), rel=1e-5)


def test_the_gap_between_the_mean_of_groups_and_of_videos_is_told_where_there_is_one():
    told = "plain mean, which is up to 5.0 points from the mean over videos"
    assert told in said(leaderboard.table(uneven()))
    even = FakeResults()
    even.add([0.4, 0.6, 0.8])
    assert "plain mean" not in said(leaderboard.table(even))


def test_what_is_not_applicable_is_told_without_a_name_from_the_code():
    results = FakeResults()
    results.add()
    results.add(status="n/a", reason="NotApplicable: x has no text side", **COOP)
    results.add(status="failed", reason="RuntimeError: disk full", **OTHER)
    table = leaderboard.table(results)
    assert "n/a: x has no text side" in said(table) and "NotApplicable" not in _tables.markdown(table)
    assert "failed: RuntimeError: disk full" in said(table)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "1.000"),
        (0.0312, "0.031"),
        (0.001, "0.001"),
        (0.000999, "1 × 10⁻³"),
        (2.2e-6, "2 × 10⁻⁶"),
        (3e-12, "3 × 10⁻¹²"),
        (0.0, "< 10⁻⁹⁹"),
        (math.nan, "—"),
    ],
)
def test_a_p_value_is_written_without_an_e(p, text):
    assert _cells.p_text(p) == text


# --- which test, on what -------------------------------------------------------------------------------------------


def on_splits(results, facts, shares, **more):
    for split, share in enumerate(shares, start=1):
        results.add([share] * 3, seed=split, split=str(split), per_group=100, **{**facts, **more})


def test_the_sizes_of_splits_are_those_of_the_learnt_one_whichever_comes_first():
    results = FakeResults()
    on_splits(results, COOP, (0.6, 0.7, 0.9), num_pool=500)
    on_splits(results, ZERO, (0.5, 0.5, 0.6), num_pool=7)
    whole = _data.board(results)
    zero, coop = sorted(whole.cells, key=lambda cell: cell.key.needs_train)
    expected = paired_over_splits([0.1, 0.2, 0.3], 500, 300)
    for test, sign in ((whole.compare(coop, zero), 1), (whole.compare(zero, coop), -1)):
        assert test.test == expected.test
        assert (sign * test.difference, test.p_value) == pytest.approx((expected.difference, expected.p_value))
    both = FakeResults()
    on_splits(both, COOP, (0.6, 0.7, 0.9), num_pool=500)
    on_splits(both, OTHER, (0.5, 0.5, 0.6), num_pool=50)
    a, b = _data.board(both).cells
    assert _data.board(both).compare(a, b).p_value == pytest.approx(expected.p_value)  # the first one's


def test_nothing_learnt_on_several_splits_is_compared_over_groups():
    results = FakeResults()
    on_splits(results, ZERO, (0.6, 0.7, 0.9), num_pool=500)
    on_splits(results, {**ZERO, "label": "Other", "method": "other"}, (0.5, 0.5, 0.6), num_pool=500)
    whole = _data.board(results)
    assert whole.compare(*whole.cells).test.startswith("sign flips over 3 subjects")


def test_the_videos_of_both_are_counted_against_the_larger_of_the_two_whichever_comes_first():
    results = FakeResults()
    results.add([0.8, 0.9, 0.7], label="a")
    results.add([0.5, 0.6], label="b")
    whole = _data.board(results)
    a, b = whole.cells
    for pair in ((a, b), (b, a)):
        assert whole.compare(*pair).test.endswith(", on the 20 of 30 videos of both")
        assert group_differences(*(whole.units(cell) for cell in pair))[2:] == (20, 30)


def test_what_is_known_against_a_data_set_is_under_every_table_of_what_is_learnt_there():
    results, zero = FakeResults(), FakeResults()
    two_seeds_rows(results)
    results.runs["beware"] = "the list is wrong about three clips"
    assert said(leaderboard.table(results)).count("the list is wrong about three clips") == 1
    zero.add(**{**ZERO})
    zero.runs["beware"] = "the list is wrong about three clips"
    assert "the list is wrong" not in said(leaderboard.table(zero))


def test_random_weights_are_told_wherever_the_backbone_is_named():
    results = FakeResults()
    results.add(backbone="tsm_imagenet-pretrained", pretraining=UNTRAINED)
    results.add(backbone="tsm_imagenet-pretrained-own", pretraining="not stated (own weights)")
    for table in (leaderboard.table(results), cost.table(results), next(backbones.tables(results))):
        shown = _tables.markdown(table)
        assert "tsm_imagenet-pretrained, random weights (8 × 1)".replace("_", "\\_") in shown, table.name
        assert "tsm_imagenet-pretrained-own (8 × 1)".replace("_", "\\_") in shown, table.name


def test_what_others_trained_on_the_data_set_itself_stands_among_the_supervised():
    results = FakeResults()
    for backbone, data in (("clip", "WIT-400M"), ("tsm", "ImageNet, Kinetics-400")):
        results.add(dataset="kinetics400, at most 5 a class", backbone=backbone, pretraining=data, protocol="zero_shot")
    table = leaderboard.table(results)
    rows = [[cell.text for cell in row[:2]] for block in table.blocks[1:] for row in block]
    assert rows == [["zero-shot", "clip (8 × 1)"], ["cross-subject", "tsm (8 × 1)"]]
    assert "stand under cross-subject: zero-shot, class names on tsm" in said(table)
    other = FakeResults()
    other.add(dataset="ucf101", backbone="tsm", pretraining="ImageNet, Kinetics-400", protocol="zero_shot")
    assert "stand under" not in said(leaderboard.table(other))
