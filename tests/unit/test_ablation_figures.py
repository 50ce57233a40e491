"""Figures of ablations: stars, whiskers, and long names."""

import json

import numpy as np
import pandas as pd
import pytest
from drawn import LONG, WIDE, faults, placed
from fake_results import KNOWLEDGE, FakeResults

from results import (
    _ablation_figures,
    _switches,
)
from results._data import board


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
