"""The per-class table, on results made up in memory."""

from fake_results import COOP, KNOWING, FakeResults
from result_tables import lines, said, the_one

from results import per_class


def test_per_class_recalls_of_the_most_shots_and_of_descriptions():
    results = FakeResults()
    few = {"num_classes": 2, "per_group": 4}
    # 4 videos a group, labels 0 1 0 1, the first ones right: .25 is one of class 0, .75 all of class 0 and one of class 1
    results.add([0.25, 0.75], **few)
    results.add([0.5, 0.5], **few, **KNOWING)
    results.add([1.0, 1.0], **few, **COOP)
    results.add([0.25, 0.75], **few, **{**COOP, "shots": 8})
    results.add([0.75, 0.75], **few, **{**COOP, "shots": 8, "seed": 2})
    table = the_one(per_class.tables(results))
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
    table = the_one(per_class.tables(results))
    assert [head.split(",")[0] for head in table.header[2:]] == [f"m{i}" for i in range(2, per_class.MOST + 2)]
    assert "left out for room: 2" in said(table)
    assert "No numbers of broken, few-shot, K = 4: failed: disk full" in said(table)


def test_per_class_puts_runs_on_different_videos_together():
    results = FakeResults()
    few = {"num_classes": 2, "per_group": 2, **COOP}
    results.add([0.5, 0.5], **few)
    results.add([1.0], seed=2, **few)  # one group could not be decoded
    table = the_one(per_class.tables(results))
    # class 0: 2 of 2 and 1 of 1; class 1: 0 of 2 and 1 of 1
    assert lines(table, 1)["class 0",] == ["2", "100.0"]
    assert lines(table, 1)["class 1",] == ["2", "33.3"]


def test_per_class_says_where_no_run_is_complete():
    results = FakeResults()
    results.add(status="failed", reason="disk full")
    assert the_one(per_class.tables(results)).caption == "No run on toy with clip-tiny (8 × 1) is complete."
