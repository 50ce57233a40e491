"""A cell of a table: what is averaged, its interval, what is tested against what, and what must not be put together."""

import math

import numpy as np
import pytest
from fake_results import COOP, FakeResults
from result_tables import cells, only

from bench.stats import holm, over_splits
from results import _data, _grid, backbones
from results._units import group_differences


def test_number_formats_stand_in_columns_of_their_own():
    results = FakeResults()
    for precision, share in (("float32", 0.5), ("bf16", 0.4), ("bf16+compile", 0.3)):
        results.add([share] * 3, precision=precision)
    results.rows[0].pop("precision")  # a run from before the column was kept
    table = only(results)
    heads = table.header[3:]
    assert sorted(heads) == ["clip-tiny (8 × 1)", "clip-tiny (8 × 1, bf16)", "clip-tiny (8 × 1, bf16+compile)"]
    found = dict(zip(heads, cells(table)["zero-shot", "zero-shot, class names"], strict=True))
    assert [found[h][:4] for h in sorted(heads)] == ["50.0", "40.0", "30.0"]


def test_a_run_over_groups_and_seeds_over_seeds():
    results = FakeResults()
    results.add([0.4, 0.5, 0.6])
    for seed, share in enumerate([0.4, 0.5, 0.6], start=1):
        results.add([share] * 3, seed=seed, **COOP)
    table = only(results)
    width = f"{100 * 0.1 / math.sqrt(3) * 4.302653:.1f}"
    assert cells(table)["zero-shot", "zero-shot, class names"] == [f"50.0 ± {width}"]
    assert cells(table)["few-shot, K = 4", "CoOp"] == [f"50.0 ± {width} (3)"]
    assert cells(table)["—", "chance (100 / C)"] == ["10.0"]
    notes = "\n".join([*table.notes, *(text for _, text in table.footnotes)])
    for said in ("3 subjects: other subjects", "3 seeds: other draws of shots", _data.TOY_SCALE, _grid.TOY_NAMES):
        assert said in notes
    assert "selection: last step; tuning trials: 0" in notes
    assert "undecodable test videos, recorded and in no score: 0" in notes


SPLITS = (("1", [0.2, 0.4, 0.6]), ("2", [0.4, 0.6, 0.8]))


def test_learnt_replicates_on_overlapping_splits_have_a_corrected_interval():
    results = FakeResults()
    for split, shares in SPLITS:
        results.add(shares, seed=int(split), split=split, num_pool=60, **COOP)
    row = only(results).frame.dropna(subset=["interval_over"]).iloc[0]
    assert row["interval_over"].startswith("2 overlapping splits: other splits, draws of shots")
    # means .4 and .6: variance .02, times 1/2 + 30/60 (Nadeau-Bengio); t(.975, 1) = 12.7062
    assert row["high"] - row["top1"] == pytest.approx(12.7062 * math.sqrt(0.02 * (1 / 2 + 30 / 60)), rel=1e-5)
    groups = np.array([0.3, 0.5, 0.7])
    assert row["high_over_groups"] == pytest.approx(0.5 + 4.302653 * groups.std(ddof=1) / math.sqrt(3), rel=1e-5)


def test_replicates_on_splits_of_unknown_size_and_unlearnt_ones_are_pooled_by_group():
    for facts in (COOP, {}):
        results = FakeResults()
        for split, shares in SPLITS:
            results.add(shares, seed=int(split), split=split, **facts)
        frame = only(results).frame
        assert frame["interval_over"].dropna().item() == "3 subjects: other subjects (t, 2 degrees of freedom)"
        assert frame["interval_mean"].dropna().item() == pytest.approx(0.5)


def test_learnt_cells_on_overlapping_splits_are_compared_by_the_corrected_test():
    from bench.stats import paired_over_splits

    results = FakeResults()
    for label, gain in (("a", 0.2), ("b", 0.0)):
        for split, shares in SPLITS:
            more = gain + (0.1 if gain and split == "1" else 0.0)
            results.add(
                [s + more for s in shares], seed=int(split), split=split, num_pool=60, **{**COOP, "label": label}
            )
    whole = _data.board(results)
    test = whole.compare(*whole.cells)
    assert test == paired_over_splits([0.3, 0.2], 60, 30)
    assert test.test.startswith("Nadeau-Bengio over 2 overlapping splits")


def test_videos_that_only_one_of_two_cells_decoded_are_left_out_of_their_test():
    results = FakeResults()
    results.add([0.8, 0.9, 0.7], label="a")
    results.add([0.5, 0.5], label="b")  # the third subject's videos could not be decoded
    whole = _data.board(results)
    a, b = whole.cells
    test = whole.compare(a, b)
    assert test.difference == pytest.approx((0.3 + 0.4) / 2)
    assert test.test.endswith(", on the 20 of 30 videos of both")
    assert whole.compare(b, a).difference == pytest.approx(-test.difference)


def test_seeds_of_one_split_that_saw_different_videos_count_where_they_saw_them():
    results = FakeResults()
    results.add([1.0, 0.5, 0.0], seed=1, **COOP)
    results.add([0.0, 0.5], seed=2, **COOP)
    whole = _data.board(results)
    (units,) = whole.units(whole.cells[0])
    assert len(units.correct) == 30
    groups, by_split, num, most = group_differences((units,), None)
    assert groups == pytest.approx([0.5, 0.5, 0.0])
    assert (num, most, by_split) == (30, 30, [pytest.approx(1 / 3)])


def test_bold_is_the_best_and_what_no_test_tells_from_it():
    results = FakeResults()
    results.add([0.8, 0.9, 0.8, 0.9, 0.9], label="best")
    results.add([0.8, 0.9, 0.9, 0.8, 0.8], label="tied")
    results.add([0.1, 0.2, 0.2, 0.1, 0.3], label="far")
    results.add([1, 1, 1, 1, 1], label="of other frames", num_frames=16)
    table = only(results)
    bold = {(row[1].text, i) for block in table.blocks for row in block for i, cell in enumerate(row[3:]) if cell.bold}
    assert bold == {("best", 0), ("tied", 0)}  # "of other frames" has nothing to be better than


def test_one_group_cannot_be_tested_and_the_table_says_so():
    results = FakeResults()
    results.add([0.8], label="best")
    results.add([0.7], label="other")
    table = only(results)
    assert cells(table)["zero-shot", "best"] == ["80.0"]
    said = [text for _, text in table.footnotes]
    assert "1 subject: no interval" in said
    assert "a tie with the best is not testable: one subject" in said


def test_failed_inapplicable_missing_and_mixed_are_visible():
    results = FakeResults()
    results.add(seed=1, **COOP)
    results.add(seed=2, status="failed", reason="out of\nmemory", **COOP)
    results.add(seed=3, backbone="other", **COOP)
    results.add(status="failed", reason="boom", label="broken")
    results.add(status="n/a", reason="it has no text tower", label="impossible")
    results.add(label="twice")
    results.add(label="twice")
    table = only(results)
    found = cells(table)
    assert found["zero-shot", "broken"] == ["failed", "—"]
    assert found["zero-shot", "impossible"] == ["n/a", "—"]
    assert found["zero-shot", "twice"] == ["mixed", "—"]
    said = "\n".join(text for _, text in table.footnotes)
    for text in (
        "failed (seed 2): out of",
        "failed: boom",
        "n/a: it has no text tower",
        "no run for seed 3",
        "settings",
    ):
        assert text in said
    assert "no run for seed 1 on split test, seed 2 on split test" in said
    assert set(table.frame["status"].dropna()) == {"complete", "failed", "n/a", "mixed", "missing"}


def test_a_shuffled_row_has_its_interval_over_shuffles():
    results = FakeResults()
    for seed, right in enumerate([(0.1, 0.2, 0.3), (0.3, 0.2, 0.4), (0.2, 0.1, 0.1)], start=1):
        results.add(right, seed=seed, bank_control="shuffled", text_source="descriptions", bank="toy")
    interval = _data.board(results).cells[0].interval
    assert interval.num == 3 and "other shuffles" in interval.over


def test_bold_marks_are_holm_corrected():
    results = FakeResults()
    shares = {"a": (0.9, 0.8, 0.9, 0.9), "b": (0.8, 0.8, 0.7, 0.9), "c": (0.6, 0.7, 0.5, 0.6)}
    for label, right in shares.items():
        results.add(right, label=label, method=label)
    whole = _data.board(results)
    a, b, c = whole.cells
    raw = [whole.compare(a, other).p_value for other in (b, c)]
    verdicts = whole.ties([whole.cells])
    assert [verdicts[other.key].p_value for other in (b, c)] == pytest.approx(holm(raw))
    assert max(holm(raw)) >= max(raw) and min(holm(raw)) > min(raw)


@pytest.mark.parametrize(
    "differ, says",
    [
        ({"manifest": ("m1", "m2")}, "rows of the data set"),
        ({"versions": ({"method": 1}, {"method": 2})}, "versions of plug-ins"),
        ({"setting": ("a", "b")}, "settings, weights, statements or sampling"),
        ({"num_classes": (5, 10), "trainable": ("prompt", "head")}, "number of classes and what is trained"),
    ],
)
def test_seeds_that_differ_in_more_than_the_seed_make_no_number(differ, says):
    results = FakeResults()
    for i, seed in enumerate((1, 2)):
        results.add([0.5, 0.6, 0.7], seed=seed, **{**COOP, **{name: values[i] for name, values in differ.items()}})
    (cell,) = _data.board(results).cells
    assert cell.status == "mixed" and math.isnan(cell.top1) and says in cell.problems[0]
    assert "(000000000000 against 000000000001)" in cell.problems[0] and "python -m bench show" in cell.problems[0]
    assert "mixed" in backbones.text(results)


def test_what_cannot_be_tested_is_a_tie_only_where_the_number_is_the_same():
    results = FakeResults()
    for label, share in (("best", 0.9), ("same", 0.9), ("worse", 0.5)):
        results.add([share], label=label, method=label)
    whole = _data.board(results)
    verdicts = whole.ties([whole.cells])
    assert {cell.name: verdicts[cell.key].bold for cell in whole.cells} == {"best": True, "same": True, "worse": False}


def test_seeds_of_one_split_are_no_splits_of_their_own():
    results, top1 = FakeResults(), {"1": (0.5, 0.7), "2": (0.6, 0.6), "3": (0.9, 0.7)}
    for split, shares in top1.items():
        for seed, share in enumerate(shares):
            results.add([share] * 3, split=split, seed=seed, num_pool=60, **COOP)
    (cell,) = _data.board(results).cells
    expected = over_splits([0.6, 0.6, 0.8], 60, 30)
    assert (cell.interval.low, cell.interval.high, cell.interval.num) == pytest.approx((expected.low, expected.high, 3))


def test_a_run_without_top1_is_named_and_not_counted():
    results = FakeResults()
    for seed in (1, 2, 3):
        bare = {"metrics": {"top1": None}} if seed == 3 else {}
        results.add([0.5, 0.6, 0.7], seed=seed, **bare, **COOP)
    results.add([0.9, 0.9, 0.9], metrics={"top1": None}, label="bare")
    results.add([0.2, 0.2, 0.3], label="other")
    whole = _data.board(results)
    coop = next(cell for cell in whole.cells if cell.name == "CoOp")
    assert coop.status == "complete" and len(coop.done) == 2 and "no top-1 among the scores" in coop.problems[0]
    bare = next(cell for cell in whole.cells if cell.name == "bare")
    assert bare.status == "failed"
    verdicts = whole.ties([[bare, coop, next(cell for cell in whole.cells if cell.name == "other")]])
    assert bare.key not in verdicts and len(verdicts) == 2


def test_what_a_test_finds_better_than_the_best_is_bold_and_says_so():
    results = FakeResults()
    results.add([0.7, 0.8, 0.8], split="1", per_group=100, label="A")
    results.add([0.8, 0.9, 0.91], split="1", per_group=100, label="B")
    results.add([0.3, 0.4, 0.4], split="2", per_group=100, label="B")
    whole = _data.board(results)
    a, b = whole.cells
    assert a.top1 > b.top1 and whole.compare(a, b).difference < 0 and whole.compare(a, b).p_value < 0.05
    verdict = whole.ties([[a, b]])[b.key]
    assert verdict.bold and verdict.caveat.startswith("better than A on what both were tested on, by 10.")
    assert "better than A on what both were tested on" in backbones.text(results)
    assert "no run on split 2" in backbones.text(results) or "no run for split 2" in backbones.text(results)


def test_single_runs_on_independent_videos_are_compared_by_mcnemar():
    results = FakeResults()
    for label, right in (("A", [0.9] * 10), ("B", [0.5] * 10)):
        results.add(right, label=label, group_kind="video")
    whole = _data.board(results)
    test = whole.compare(*whole.cells)
    assert test.test.startswith("exact McNemar over 100 videos, 40 discordant") and test.difference == pytest.approx(
        0.4
    )


def test_holm_is_over_all_comparisons_of_a_table():
    results = FakeResults()
    for backbone in ("x", "y", "z"):
        results.add([0.9, 0.8, 0.9, 0.9], backbone=backbone, label="a", method="a")
        results.add([0.6, 0.7, 0.5, 0.6], backbone=backbone, label="b", method="b")
    whole = _data.board(results)
    grid = _grid.Grid(whole, whole.cells)
    found = [v.p_value for v in grid.verdicts.values() if not math.isnan(v.p_value)]
    raw = whole.compare(*whole.cells[:2]) if whole.cells[0].key.column == whole.cells[1].key.column else None
    pairs = [[c for c in whole.cells if c.key.backbone == b] for b in ("x", "y", "z")]
    assert raw is None and len(found) == 3
    assert found == pytest.approx(holm([whole.compare(*pair).p_value for pair in pairs]))
    assert found[0] == pytest.approx(3 * whole.compare(*pairs[0]).p_value)
