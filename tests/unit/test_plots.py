"""The close-up figures and accuracy against cost: what is chosen, the numbers, and input that is not as it should be."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from bench import metrics
from bench.contracts import BenchError
from results import _ablation_figures, _pairs, _plots, _switches, accuracy_cost, confusion, per_class_gains, reliability
from results._data import board
from tests.fake_results import COOP, KNOWING, FakeResults

PLUGINS = (accuracy_cost, per_class_gains, confusion, reliability)
KNOWLEDGE = {**COOP, "method": "knowledge_prompt", "label": "knowledge prompt", "text_source": "descriptions"}
COST = {"gflops": 4.0, "num_trainable": 2048, "feature_ms": 10.0, "predict_ms": 0.1}
NASTY = ("<script>alert(1)</script>", "100%_& $x$ \\textbf{a}", "_a/b\n" + "long " * 40)


def some():
    results = FakeResults()
    for seed in (1, 2):
        for shots in (4, 16):
            results.add((0.3, 0.4, 0.5), **{**COOP, **COST, "seed": seed, "shots": shots})
        results.add((0.6, 0.7, 0.8), **{**KNOWLEDGE, **COST, "seed": seed})
    results.add((0.2, 0.2, 0.3), **COST)
    results.add((0.4, 0.2, 0.3), **{**KNOWING, **COST, "gflops": 5.0})
    return results


def rendered(plugin, results):
    return {a.name: a.content for a in plugin.render(results)}


def test_the_pair_is_knowledge_against_coop_at_the_largest_common_k_otherwise_zero_shot():
    results = some()
    results.add((0.2, 0.2, 0.3), backbone="other")
    results.add((0.4, 0.2, 0.3), **{**KNOWING, "backbone": "other"})
    results.add((0.9, 0.9, 0.9), backbone="third")
    results.add(status="failed", reason="no weights", backbone="fourth")
    (one,) = _pairs.chosen(board(results))
    few, zero = one.pairs
    assert (few.cell.key.method, few.base.key.method) == ("knowledge_prompt", "coop")
    assert few.cell.key.shots == few.base.key.shots == 4  # coop alone has 16
    assert (zero.cell.name, zero.base.name) == ("descriptions", "zero-shot, class names")
    assert one.no_room == ("third (8 × 1)",) and one.unfinished == ("fourth (8 × 1)",)


def test_untrained_rows_are_a_pair_where_others_trained_the_backbone_on_the_data_set_too():
    results, on = FakeResults(), {"dataset": "kinetics400", "pretraining": "WIT-400M, then Kinetics-400"}
    results.add((0.2, 0.2, 0.3), **on)
    results.add((0.4, 0.2, 0.3), **{**KNOWING, **on})
    results.add((0.9, 0.9, 0.9), **{**COOP, **on, "protocol": "cross_subject", "shots": None})
    ((pair,),) = (one.pairs for one in _pairs.chosen(board(results)))
    assert pair.base and (pair.cell.name, pair.base.name) == ("descriptions", "zero-shot, class names")
    assert pair.cell.key.protocol == "cross_subject"


def test_shuffled_descriptions_are_no_knowledge_and_the_best_stands_alone_without_a_baseline():
    results = FakeResults()
    results.add((0.2,), **COOP)
    results.add((0.9,), **{**KNOWLEDGE, "bank_control": "shuffled"})
    ((pair,),) = (one.pairs for one in _pairs.chosen(board(results)))
    assert pair.base is None and pair.cell.key.bank_control == "shuffled"
    for plugin in (confusion, reliability):
        assert any(name.endswith(".png") for name in rendered(plugin, results))
    assert list(rendered(per_class_gains, results)) == ["per-class-gains.md"]


def bad(results, *runs):
    """The predictions of these runs were damaged in a way that no stamp tells."""
    real = results.predictions

    def predictions(run_id):
        if run_id in runs:
            raise BenchError(f"run {run_id} is damaged: cut")
        return real(run_id)

    results.predictions = predictions


def test_a_run_whose_predictions_cannot_be_read_is_left_out_of_the_close_ups_and_named():
    results = FakeResults()
    _, spoilt = (results.add((0.2, 0.4), **{**COOP, "seed": seed}) for seed in (1, 2))
    results.add((0.5, 0.6), **KNOWLEDGE)
    bad(results, spoilt)
    whole = board(results)
    (one,) = _pairs.chosen(whole)
    (pair,) = one.pairs
    assert whole.run_ids(pair.base, done=True) == ["000000000000"]
    assert confusion.confused(whole, pair.base)[1].sum() == 20
    assert f"left out: run {spoilt} is damaged" in _pairs.note(whole, one, one.pairs) and "(1 run)" in _pairs.said(
        pair.base
    )
    for plugin in (confusion, reliability, per_class_gains):
        assert any(name.endswith(".png") for name in rendered(plugin, results))


def test_a_cell_without_readable_predictions_gives_its_place_to_the_next_and_a_data_set_without_any_is_named():
    results = FakeResults()
    plain = results.add((0.2,), **COOP)
    spoilt = results.add((0.5,), **KNOWLEDGE)
    bad(results, spoilt)
    ((pair,),) = (one.pairs for one in _pairs.chosen(board(results)))
    assert pair.base is None and board(results).run_ids(pair.cell) == [plain]
    results = FakeResults()
    bad(results, results.add((0.2,), **COOP))
    for plugin, name in ((confusion, "confusion.md"), (reliability, "reliability.md")):
        assert list(rendered(plugin, results)) == [name]


def test_bins_give_the_calibration_error_of_the_metrics():
    rng = np.random.default_rng(1)
    results = FakeResults()
    run = results.add((0.5, 0.9), per_group=50)
    labels = results.tested(run)[0].labels
    logits = (3 * rng.normal(size=(100, 10))).astype(np.float32)
    results.logits = lambda run_id: logits
    correct = logits.argmax(axis=1) == labels
    results.predictions = lambda run_id: pd.DataFrame({"correct": correct})
    whole = board(results)
    frame = reliability.bins(whole, whole.cells[0])
    assert reliability.NUM_BINS == metrics.NUM_BINS
    assert frame["num"].sum() == 100
    assert (frame["num"] * frame["accuracy"]).sum() == pytest.approx(correct.sum())
    assert frame["ece"].iloc[0] == pytest.approx(metrics.compute(logits, labels)["ece"])


def test_confusion_counts_all_runs_and_shares_take_blocks_together():
    results = FakeResults()
    for seed in (1, 2):
        results.add((0.5,), num_classes=2, **{**COOP, "seed": seed})
    whole = board(results)
    names, counts = confusion.confused(whole, whole.cells[0])
    assert names == ("class 0", "class 1")
    assert counts.tolist() == [[6, 4], [6, 4]]  # of each run the first 5 of 10 videos are right
    assert confusion.shares(counts).tolist() == [[0.6, 0.4], [0.6, 0.4]]
    blocks = confusion.shares(np.array([[1.0, 1, 2], [0, 0, 0], [0, 0, 0]]), 2)
    assert blocks.tolist() == [[0.5, 0.5], [0, 0]]


def test_gains_are_differences_of_recalls_largest_first_and_both_ends_are_drawn():
    results = FakeResults()
    results.add((0.5,), num_classes=30, per_group=30)
    results.add((0.8,), num_classes=30, per_group=30, **KNOWING)
    ((pair,),) = (one.pairs for one in _pairs.chosen(board(results)))
    frame = per_class_gains.gains(board(results), pair)
    assert frame["gain"].tolist() == [1.0] * 9 + [0.0] * 21  # videos 15 to 23 are right with descriptions alone
    assert frame["class"].tolist()[:2] == ["class 15", "class 16"]
    assert len(per_class_gains.ends(frame)) == 20
    assert per_class_gains.ends(frame)["class"].iloc[-1] == frame["class"].iloc[-1]
    assert len(per_class_gains.ends(frame.head(15))) == 15


def test_costs_are_means_of_runs_and_runs_without_them_are_told():
    results = some()
    results.add(dataset="old")
    found = rendered(accuracy_cost, results)
    frame = pd.read_csv(io.StringIO(found["accuracy-cost-toy.csv"]))
    assert set(frame["num_trainable"]) == {2048} and len(frame) == 5
    assert "old" in found["accuracy-cost.md"] and "recorded" in found["accuracy-cost.md"]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_figure_comes_in_three_forms_the_same_bytes_each_time(plugin):
    found = rendered(plugin, some())
    assert [name.rsplit(".")[-1] for name in found] == ["png", "pdf", "svg", "csv"]
    assert found == rendered(plugin, some())
    assert b"<dc:date>" not in next(content for name, content in found.items() if name.endswith(".svg"))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_nothing_one_row_and_failed_runs_render_and_say_so(plugin):
    ((_, text),) = rendered(plugin, FakeResults()).items()
    assert "no runs yet" in text
    failed = FakeResults()
    failed.add(status="failed", reason="no weights")
    ((_, text),) = rendered(plugin, failed).items()
    assert "toy" in text
    one = FakeResults()
    one.add(**COST)
    assert rendered(plugin, one)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_nasty_names_and_missing_seeds_break_nothing(plugin):
    results = FakeResults()
    for name in NASTY:
        facts = {"dataset": name, "backbone": name, **COST}
        results.add(**{**COOP, **facts, "label": name})
        results.add((0.9, 0.9, 0.9), **{**KNOWLEDGE, **facts, "label": f"{name} k", "num_trainable": 99})
        results.add(status="failed", reason=name, **{**KNOWLEDGE, **facts, "label": f"{name} k", "seed": 2})
    found = rendered(plugin, results)
    assert sum(name.endswith(".png") for name in found) == 3


# --- ablations -------------------------------------------------------------------------------------------------


def swept(values, status=None, **more):
    """A method whose one switch takes these values on two backbones; a higher value is a little better."""
    results = FakeResults()
    for backbone in ("clip", "siglip"):
        for i, value in enumerate(values):
            for seed in (1, 2, 3):
                facts = {**KNOWLEDGE, "label": f"prompt, {value}", "seed": seed, "backbone": backbone, **more}
                facts["is_default"] = value == values[1]
                share = min(0.95, 0.3 + 0.1 * i + 0.02 * seed)
                bad = status if value == values[-1] else None
                results.add(
                    (share, share, share + 0.05), config=json.dumps({"m": value}), status=bad or "complete", **facts
                )
    return results


def found(results):
    whole = board(results)
    return _switches.ablations(whole, whole.cells)


def test_the_reference_of_equals_is_the_one_with_the_defaults():
    ablated = found(swept([1, 4, 16]))
    assert [one.reference.name for one in ablated] == ["prompt, 4"] * 2
    assert [[v.value for v in one.variants] for one in ablated] == [[1, 16]] * 2


def test_a_number_that_is_the_only_switch_makes_a_curve():
    assert _ablation_figures.numeric_switch(found(swept([1, 4, 16]))) == "m"
    assert _ablation_figures.numeric_switch(found(swept([0, 0.5, 2]))) == "m"
    assert _ablation_figures.numeric_switch(found(swept([1, 4]))) is None
    assert _ablation_figures.numeric_switch(found(swept(["front", "middle", "end"]))) is None
    assert _ablation_figures.numeric_switch(found(swept([False, True, 2]))) is None


@pytest.mark.parametrize("values", [[1, 4, 16], ["front", "end"]])
@pytest.mark.parametrize("status", [None, "failed"])
def test_curves_and_bars_show_every_setting_with_its_difference(values, status):
    results = swept(values, status)
    whole = board(results)
    ablated = _switches.ablations(whole, whole.cells)
    with _plots.style():
        figure = _ablation_figures.draw(whole, ablated)
        figure.canvas.draw()
    told = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert len(figure.axes) == 2
    assert sum("+" in text or "−" in text for text in told) == 2 * (len(values) - (2 if status else 1))
    assert told.count("failed") == (2 if status else 0)
    if values[0] == 1:
        line = figure.axes[0].lines[0]
        assert line.get_xdata().tolist() == [0, 1, 2][: 2 if status else 3]
        assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1", "4", "16"]
        assert figure.axes[0].get_xlabel() == figure.axes[1].get_xlabel() == "m"


def test_a_picture_is_drawn_once_somebody_wants_it(monkeypatch):
    drawn = []
    figures = _plots.artifacts(lambda: (drawn.append(1), _plots.panels(["one"], 1.0, 0.1)[0])[1], "figure", "A figure")
    found = {a.name: a for a in figures}
    assert not drawn
    assert found["figure.png"].content[:4] == b"\x89PNG" and found["figure.pdf"].content[:4] == b"%PDF"
    assert b"<svg" in found["figure.svg"].content and found["figure.png"].content
    assert drawn == [1]
