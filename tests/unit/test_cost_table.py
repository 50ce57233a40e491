"""The cost table, on results made up in memory."""

from fake_results import COOP, FakeResults
from result_tables import lines, said

from results import cost

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
