"""What figures show: that looks, edges, signs, axes, stars and fronts are those of the numbers, and that all of it can be read."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from drawn import faults, figures, placed
from fake_results import COOP, KNOWING, FakeResults
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_rgb
from synthetic import fill

from bench.stored_results import Results
from results import (
    _ablation_figures,
    _looks,
    _plots,
    _switches,
    ablation,
    accuracy_cost,
    confusion,
    critical_difference,
    few_shot_curve,
    per_class_gains,
    reliability,
)
from results._data import board

FIGURES = (ablation, few_shot_curve, accuracy_cost, per_class_gains, confusion, reliability, critical_difference)
KNOWLEDGE = {**COOP, "method": "knowledge_prompt", "label": "knowledge prompt"}
SHUFFLED = {**KNOWING, "bank_control": "shuffled", "label": "descriptions (shuffled)"}
WIDE = "W" * 70
LONG = "a method with a name that goes on and on, of many words and one number, "


def looks_of(results):
    return {name: (look["color"], look["marker"]) for name, look in _looks.looks(board(results)).items()}


def paper():
    """Every kind of figure on two data sets and two backbones, whose costs differ."""
    results = FakeResults()
    for dataset in ("toy", "other"):
        for i, backbone in enumerate(("clip", "siglip")):
            on = {"dataset": dataset, "backbone": backbone, "gflops": 4.0 + i}
            results.add((0.2, 0.3, 0.2), **on)
            results.add((0.6, 0.5, 0.7), **{**on, **KNOWING})
            results.add((0.1, 0.1, 0.2), **{**on, **SHUFFLED})
            for seed, shots in itertools.product((1, 2), (1, 4)):
                more = {**on, "seed": seed, "shots": shots}
                results.add((0.4 + 0.1 * seed, 0.5, 0.6), **{**COOP, **more, "num_trainable": 512})
                results.add((0.7, 0.8, 0.6 + 0.1 * seed), **{**KNOWLEDGE, **more, "num_trainable": 1024})
    return results


# --- looks -----------------------------------------------------------------------------------------------------


def test_a_method_looks_the_same_in_every_figure():
    results = paper()
    looks = looks_of(results)
    seen = {}
    for plugin in (few_shot_curve, accuracy_cost, reliability):
        for figure in figures(plugin, results).values():
            (legend,) = figure.legends
            for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True):
                if text.get_text() in looks:
                    marker = line.get_marker()
                    seen.setdefault(text.get_text(), []).append((line.get_color(), marker))
                    assert line.get_color() == looks[text.get_text()][0]
                    assert marker in ("None", looks[text.get_text()][1])  # a horizontal line has no marker
    assert seen.keys() == looks.keys()
    assert {len(found) for found in seen.values()} == {4, 6}  # the zero-shot ones are in two kinds of figure
    bars = figures(ablation, results)["ablation-toy-zero_shot"].axes[0]
    rows = [label.get_text().replace("\n", " ") for label in bars.get_yticklabels()]
    assert [bar.get_facecolor()[:3] for bar in bars.patches] == [to_rgb(looks[row][0]) for row in rows]
    for ax in figures(per_class_gains, results)["per-class-gains-toy"].axes:
        gained, lost = looks["knowledge prompt"][0], looks["CoOp"][0]
        drawn = {(bar.get_width() > 0, bar.get_facecolor()[:3]) for bar in ax.patches if bar.get_width()}
        assert drawn <= {(True, to_rgb(gained)), (False, to_rgb(lost))} and drawn


def test_the_lines_in_a_panel_are_those_of_the_legend():
    results = paper()
    looks = _looks.looks(board(results))
    figure = figures(few_shot_curve, results)["few-shot-toy"]
    for ax in figure.axes:
        styles = {(line.get_color(), line.get_marker()) for line in ax.lines}
        for name in ("CoOp", "knowledge prompt"):
            assert (looks[name]["color"], looks[name]["marker"]) in styles
        assert (looks["descriptions"]["color"], "None") in styles
    for ax in figures(accuracy_cost, results)["accuracy-cost-toy"].axes:
        for line in ax.lines[:-1]:  # the last is the front
            assert (line.get_color(), line.get_marker()) in looks_of(results).values()


def test_looks_do_not_depend_on_what_else_was_run():
    whole = looks_of(paper())
    for facts in ({}, KNOWING, COOP, KNOWLEDGE, SHUFFLED):
        alone = FakeResults()
        alone.add(**facts)
        ((name, look),) = looks_of(alone).items()
        assert look == whole[name]


def test_a_new_method_keeps_its_looks_unless_another_has_its_place():
    def run(*labels):
        results = FakeResults()
        for label in labels:
            results.add(**{**COOP, "method": "mine", "label": label})
        return looks_of(results)

    alone = {label: run(label)[label] for label in "abcdefghi"}
    together = run(*alone)
    clashing = [one for one in alone if list(alone.values()).count(alone[one]) > 1]
    free = alone.keys() - clashing
    assert free and clashing
    assert {label: together[label] for label in free} == {label: alone[label] for label in free}
    assert len({colour for colour, _ in together.values()}) == len(_looks.COLOURS) == 9


def test_the_default_variant_has_the_methods_own_place():
    results = FakeResults()
    results.add(**{**COOP, "label": "CoOp, 16 tokens", "is_default": True})
    before = looks_of(results)
    results.add(**{**COOP, "label": "CoOp, 12 tokens", "is_default": False})
    after = looks_of(results)
    assert after["CoOp, 16 tokens"] == before["CoOp, 16 tokens"] and len(set(after.values())) == 2


def test_many_methods_all_look_different_and_colours_come_again_late():
    results = FakeResults()
    for i in range(40):
        results.add(**{**COOP, "label": f"m{i}", "method": f"m{i}"})
        results.add(label=f"z{i}", method=f"z{i}")
    looks = _looks.looks(board(results))
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 80
    assert all((look["linestyle"] == "-") == (name[0] == "m") for name, look in looks.items())
    assert len({(look["color"], str(look["linestyle"])) for name, look in looks.items() if name[0] == "z"}) > 25


# --- few-shot curves -------------------------------------------------------------------------------------------


def test_the_edges_of_a_band_are_those_of_the_interval():
    results = FakeResults()
    for shots in (1, 4, 16):
        for seed in (1, 2, 3):
            share = 0.2 + 0.02 * shots + 0.02 * seed**2
            results.add((share, share + 0.1, share), **{**COOP, "shots": shots, "seed": seed})
    # Two of three groups are one: the mean of group means is not the accuracy, and the interval lies round the former.
    for shots in (1, 4, 16):
        results.add((0.2, 0.4, 0.9), group_names=["a", "a", "b"], **{**KNOWLEDGE, "shots": shots})
    cells = board(results).cells
    (ax,) = figures(few_shot_curve, results)["few-shot-toy"].axes
    bands = [found for found in ax.collections if isinstance(found, FillBetweenPolyCollection)]
    looks = looks_of(results)
    for name in ("CoOp", "knowledge prompt"):
        mine = sorted((cell for cell in cells if cell.name == name), key=lambda cell: cell.key.shots)
        (band,) = [found for found in bands if to_rgb(looks[name][0]) == tuple(found.get_facecolor()[0][:3])]
        at = pd.DataFrame(band.get_paths()[0].vertices, columns=["x", "y"]).groupby("x")["y"]
        assert list(at.groups) == [1, 4, 16]
        assert at.min().tolist() == pytest.approx([100 * cell.interval.low for cell in mine])
        assert at.max().tolist() == pytest.approx([100 * cell.interval.high for cell in mine])
        (curve,) = [line for line in ax.lines if line.get_color() == looks[name][0]]
        assert curve.get_xdata().tolist() == [1, 4, 16]
        assert curve.get_ydata().tolist() == pytest.approx([100 * cell.top1 for cell in mine])
    lopsided = next(cell for cell in cells if cell.name == "knowledge prompt")
    assert abs(lopsided.interval.mean - lopsided.top1) > 0.05


# --- accuracy against cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("costs", "values", "expected"),
    [
        ([1, 1, 2, 3, 4], [5, 6, 6, 9, 8], [1, 3]),
        ([3, 2, 1], [9, 9, 1], [2, 1]),  # the same for less
        ([1, 1, 2], [5, 5, 4], [0, 1]),  # twins beat neither one the other
        ([4, 3, 2, 1], [4, 3, 2, 1], [3, 2, 1, 0]),
        ([2], [0.5], [0]),
    ],
)
def test_on_the_front_is_what_no_other_beats(costs, values, expected):
    assert accuracy_cost.front(np.array(costs, float), np.array(values, float)).tolist() == expected


def test_points_stand_at_their_cost_and_each_protocol_has_its_own_front():
    results = FakeResults()
    for i, backbone in enumerate(("small", "middle", "large")):
        on = {"backbone": backbone, "gflops": (2.0, 4.0, 8.0)[i]}
        results.add([(0.3, 0.2, 0.4)[i]] * 3, **on)
        results.add([(0.3, 0.1, 0.1)[i]] * 3, **{**on, "label": "other"})
        results.add([(0.8, 0.9, 0.9)[i]] * 3, **{**on, **COOP})
        results.add([(0.1, 0.0, 0.0)[i]] * 3, **{**on, **COOP, "protocol": "cross_subject", "shots": pd.NA})
    figure = figures(accuracy_cost, results)["accuracy-cost-toy"]
    zero, few, cross = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["zero-shot", "few-shot, K = 4", "cross-subject"]
    assert cross.lines[-1].get_ydata().tolist() == [10, 10]
    *points, front = zero.lines
    drawn = sorted(sorted(line.get_xydata().tolist()) for line in points)
    assert drawn == [[[2, 30], [4, 10], [8, 10]], [[2, 30], [4, 20], [8, 40]]]
    # On: both at 2 (twins), and 8 with 40. At 4 nothing new is reached: the line goes on at 30.
    x, y = (values.tolist() for values in (front.get_xdata(), front.get_ydata()))
    assert (x[:-1], y) == ([2, 2, 8], [30, 30, 40, 40]) and x[-1] == zero.get_xlim()[1]
    assert front.get_drawstyle() == "steps-post"  # what is reached at 2 is to be had for 4 too
    assert (few.lines[-1].get_xdata()[:-1].tolist(), few.lines[-1].get_ydata().tolist()) == ([2, 4], [80, 90, 90])


def test_a_method_that_reaches_the_same_on_every_backbone_has_no_front_of_its_own():
    results = FakeResults()
    for i, backbone in enumerate(("small", "large")):
        results.add([0.3 + 0.1 * i] * 3, backbone=backbone, gflops=2.0 + i)
        results.add(
            [0.1] * 3, backbone=backbone, gflops=2.0 + i, method="majority", label="m", protocol="cross_subject"
        )
    (figure,) = figures(accuracy_cost, results).values()
    assert [ax.get_title() for ax in figure.axes] == ["zero-shot"]
    assert "No panel" not in figure.get_supxlabel()


def test_a_cost_that_does_not_vary_has_no_panel_and_the_note_says_so():
    results = FakeResults()
    for method, trained in ((COOP, 100), (KNOWLEDGE, 200)):
        results.add(**{**method, "gflops": 4.0, "num_trainable": trained})
    results.add(gflops=4.0, num_trainable=0)
    (figure,) = figures(accuracy_cost, results).values()
    (ax,) = figure.axes
    assert ax.get_xlabel() == "trained parameters"
    note = " ".join(figure.get_supxlabel().split())
    assert "No panel, since GFLOPs a video do not differ: zero-shot; few-shot, K = 4." in note
    same = FakeResults()
    same.add(gflops=4.0)
    assert not figures(accuracy_cost, same)
    found = {artifact.name: artifact.content for artifact in accuracy_cost.render(same)}
    assert list(found) == ["accuracy-cost-toy.csv", "accuracy-cost.md"] and "differ" in found["accuracy-cost.md"]


def test_where_one_of_two_costs_differs_the_other_panel_is_left_out():
    results = FakeResults()
    for i, backbone in enumerate(("clip", "siglip")):
        results.add([0.5 + 0.1 * i] * 3, backbone=backbone, gflops=4.0 + i)
        for method, trained in ((COOP, 100), (KNOWLEDGE, 200)):
            results.add(**{**method, "backbone": backbone, "gflops": 4.0 + i, "num_trainable": trained})
    (figure,) = figures(accuracy_cost, results).values()
    assert [(ax.get_title(), ax.get_xlabel()) for ax in figure.axes] == [
        ("zero-shot", ""),
        ("few-shot, K = 4", "GFLOPs a video"),
        ("few-shot, K = 4", "trained parameters"),
    ]


# --- gains, confusion, reliability -----------------------------------------------------------------------------


def test_gains_share_their_axis_which_says_what_is_subtracted_from_what():
    results = FakeResults()
    for backbone, better in (("clip", 0.9), ("siglip", 0.5)):
        results.add((0.4,), backbone=backbone)
        results.add((better,), backbone=backbone, **KNOWING)
    first, second = figures(per_class_gains, results)["per-class-gains-toy"].axes
    assert first.get_xlim() == second.get_xlim()
    low, high = first.get_xlim()
    for ax in (first, second):
        assert " ".join(ax.get_xlabel().split()) == "descriptions − zero-shot, class names, points"
        ends = [bar.get_width() for bar in ax.patches]
        assert low < min(ends) and max(ends) < high
    assert {bar.get_width() for bar in first.patches} == {0, 100}


def test_the_difference_of_two_matrices_is_the_cell_minus_its_baseline_rows_true_columns_taken_for():
    results = FakeResults()
    results.add((0.0, 0.0), num_classes=3, per_group=3)  # class i is always taken for class i + 1
    results.add((1.0, 0.34), num_classes=3, per_group=3, **KNOWING)  # of class 0 all right, of the others one of two
    figure = figures(confusion, results)["confusion-toy"]
    left, right, *_ = figure.axes
    assert left.images[0].get_array().tolist() == [[100, 0, 0], [0, 50, 50], [50, 0, 50]]
    assert right.images[0].get_array().tolist() == [[100, -100, 0], [0, 50, -50], [-50, 0, 50]]
    assert right.images[0].origin == "upper" and right.images[0].get_clim() == (-100, 100)
    low, _, high = (right.images[0].cmap(value)[:3] for value in (0.0, 0.5, 1.0))
    assert low[0] > low[2] and high[2] > high[0]  # red is a loss, blue a gain
    assert (left.get_ylabel(), left.get_xlabel()) == ("true", "taken for")
    for labels in (left.get_yticklabels(), left.get_xticklabels()):
        assert [label.get_text() for label in labels] == ["class 0", "class 1", "class 2"]


def test_confidence_is_across_and_accuracy_upwards_in_bins_that_hold_their_upper_end():
    results = FakeResults()
    run = results.add((0.5,), num_classes=2, per_group=4)
    # Confidence .8 (the upper end of bin 12 of 15), .8, .55 and 1.
    sure = np.array([0.8, 0.8, 0.55, 1.0])
    results.logits = lambda run_id: np.log(np.stack([sure, np.clip(1 - sure, 1e-12, None)], axis=1)).astype(float)
    correct = np.array([True, False, False, True])
    results.predictions = lambda run_id: pd.DataFrame({"correct": correct})
    frame = reliability.bins(board(results), board(results).cells[0])
    assert run and frame["low"].tolist() == pytest.approx([8 / 15, 11 / 15, 14 / 15])
    assert frame["high"].tolist() == pytest.approx([9 / 15, 12 / 15, 1.0])
    assert frame["num"].tolist() == [1, 2, 1]
    (ax,) = figures(reliability, results)["reliability-toy"].axes
    (points,) = ax.collections
    assert points.get_offsets().tolist() == pytest.approx(np.array([[55, 0], [80, 50], [100, 100]]))
    assert ax.lines[1].get_xydata().tolist() == pytest.approx(np.array([[55, 0], [80, 50], [100, 100]]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence (%)", "accuracy (%)")
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [100, 100]]
    assert ax.get_xlim() == ax.get_ylim() == (0, 100)


# --- ablations -------------------------------------------------------------------------------------------------


def ablated(values, backbones=("clip", "siglip"), label="prompt, {}"):
    """A method whose one switch takes these values; how surely each differs from the first falls with its place."""
    rng = np.random.default_rng(3)
    results, apart = FakeResults(), 0.04 * np.array([1, -1, 1, -1, 1, -1])  # without spread there is no interval
    for backbone in backbones:
        for i, value in enumerate(values):
            noise = rng.normal(0, 0.02 * i**2, 6) if i else np.zeros(6)
            shares = np.clip(0.6 - 0.08 * (i > 0) + apart + noise, 0.02, 0.98)
            facts = {**KNOWLEDGE, "label": label.format(value), "backbone": backbone, "is_default": i == 0}
            results.add(shares.tolist(), per_group=50, config=json.dumps({"m": value}), **facts)
    return results


def drawn_ablation(results):
    whole = board(results)
    found = _switches.ablations(whole, whole.cells)
    return found, placed(lambda: _ablation_figures.draw(whole, found))


@pytest.mark.parametrize("values", [["a", "b", "c", "d", "e"], [0, 1, 2, 4, 8]])
def test_a_star_stands_exactly_where_holms_p_is_below_five_percent(values):
    found, figure = drawn_ablation(ablated(values))
    every = [variant for one in found for variant in one.variants]
    # Otherwise the test could not tell the corrected from the plain p, nor either from a star everywhere.
    assert any(v.test.p_value < 0.05 <= v.p_holm for v in every) and any(v.p_holm < 0.05 for v in every)
    assert any(v.test.p_value >= 0.05 for v in every)
    for ax, one in zip(figure.axes, found, strict=True):
        told = {text.get_position()[1]: text.get_text() for text in ax.texts if not hasattr(text, "xy")}
        told |= {text.xy[0]: text.get_text() for text in ax.texts if hasattr(text, "xy")}
        names = [value for value in values if value != one.variants[0].was]
        assert len(told) == len(names)
        for (_, shown), value in zip(sorted(told.items()), names, strict=True):
            (variant,) = [v for v in one.variants if v.value == value]
            sign = "+" if variant.test.difference > 0 else "−"
            star = "*" if variant.p_holm < 0.05 else ""
            assert shown == f"{sign}{abs(100 * variant.test.difference):.1f}{star}"


def test_whiskers_and_bands_of_ablations_are_the_intervals():
    found, figure = drawn_ablation(ablated(["a", "b", "c"]))
    for ax, one in zip(figure.axes, found, strict=True):
        cells = [one.reference, *(variant.cell for variant in one.variants)]
        whiskers = [line.get_xdata() for line in ax.lines if line.get_marker() == "|"]
        assert [list(w) for w in whiskers] == [[100 * c.interval.low, 100 * c.interval.high] for c in cells]
        assert [bar.get_width() for bar in ax.patches] == [100 * cell.top1 for cell in cells]
    found, figure = drawn_ablation(ablated([1, 2, 3]))
    for ax, one in zip(figure.axes, found, strict=True):
        cells = [one.reference, *(variant.cell for variant in one.variants)]
        at = pd.DataFrame(ax.collections[0].get_paths()[0].vertices, columns=["x", "y"]).groupby("x")["y"]
        assert at.min().tolist() == pytest.approx([100 * cell.interval.low for cell in cells])
        assert at.max().tolist() == pytest.approx([100 * cell.interval.high for cell in cells])


@pytest.mark.parametrize("backbones", [1, 2, 5])
@pytest.mark.parametrize("values", [list("abcdefgh"), [1, 2, 3], [1, 2, 4, 8, 16, 32, 64, 128]])
@pytest.mark.parametrize("name", ["b{}", WIDE + "{}", LONG + "{}"])
def test_ablations_can_be_read_with_long_names_and_many_panels(backbones, values, name):
    names = tuple(name.format(i) for i in range(backbones))
    label = name.replace("{}", "") + " {}" if len(name) > 10 else "prompt, {}"
    found, figure = drawn_ablation(ablated(values, names, label))
    assert len(figure.axes) == backbones == len(found)
    assert not faults(figure)
    shown = [ax.get_title().replace("\n", "").replace(" ", "") for ax in figure.axes]
    assert shown == [f"{name}(8×1)".replace(" ", "") for name in names]  # all of it
    assert all(ax.bbox.height > 100 and ax.bbox.width > 250 for ax in figure.axes)  # a third and almost an inch


# --- all of them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", FIGURES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"backbone": WIDE, "num_classes": 14}, {"backbone": LONG * 2, "num_classes": 3}],
    ids=["plain", "wide", "long"],
)
def test_nothing_overlaps_is_cut_or_too_small(plugin, changes):
    found = figures(plugin, renamed(paper(), **changes) if changes else paper())
    assert found
    for figure in found.values():
        assert not faults(figure)


def renamed(results, backbone, num_classes):
    """Names of backbones, methods, and numbers of classes as they should not be."""
    again = FakeResults()
    for row in results.rows:
        facts = {
            key: value for key, value in row.items() if key not in ("run_id", "top1", "nll", "num_test", "num_groups")
        }
        facts |= {"backbone": f"{backbone}{row['backbone']}", "label": f"{backbone}{row['label']}"}
        again.add((0.2 if row["method"] == "coop" else 0.6, 0.5, 0.4), **facts | {"num_classes": num_classes})
    return again


def test_nothing_overlaps_is_cut_or_too_small_in_the_figures_of_a_large_home(tmp_path):
    for i, classes in enumerate((14, 120)):
        fill(
            tmp_path / str(i),
            **{"methods": 14, "backbones": 3, "shots": (1, 2, 4, 8, 16), "seeds": 1, "failed": 0.05, "nasty": i == 0},
            **{"num_classes": classes, "num_videos": 2 * classes},
        )
        results = Results(tmp_path / str(i))
        found = {name: figure for plugin in FIGURES for name, figure in figures(plugin, results).items()}
        assert len(found) == 4
        for name, figure in found.items():
            assert not faults(figure), name


def test_the_check_of_figures_sees_what_it_should():
    def bad():
        figure, axes = _plots.panels(["one", "two"], 1.0, 0.2)
        axes[0].set_title("a title that goes on and on and on, over that of the next panel")
        axes[0].text(0, 0, "tiny", fontsize=5)
        axes[0].text(1.5, 0.8, "guest", in_layout=False)
        axes[1].text(0.8, 0.2, "out of the picture", in_layout=False)
        axes[1].text(0.1, 0.5, "one of two")
        axes[1].text(0.2, 0.5, "two of two")
        return figure

    told = faults(placed(bad))
    for words in (
        "'tiny' has 5.0 points",
        "'out of the picture' is cut",
        "'one of two' is on 'two of two'",
        "over that of the next panel' is on 'two'",
        "'guest' is in another panel",
    ):
        assert sum(words in text for text in told) == 1
