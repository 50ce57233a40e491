"""The diagram of mean ranks: what is drawn, joined and told, and that it can be read."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from fake_results import FakeResults
from matplotlib.backends.backend_agg import FigureCanvasAgg
from ranked import NASTY, groups, made, ordered

from results import _plots, critical_difference
from results._data import board


def texts(results):
    """The texts of each figure and the names of its files."""
    found = [a for a in critical_difference.render(results) if a.name.endswith(".png")]
    drawn = []
    for artifact in found:
        group = next(g for g in groups(results) if artifact.title.endswith(g.where))
        with _plots.style():
            figure = critical_difference.diagram(group, "")
        drawn.append([text.get_text().replace("\n", " ") for text in figure.axes[0].texts])
    return [a.name for a in found], drawn


def test_what_is_tied_is_joined_and_all_of_it_where_friedman_finds_nothing():
    (apart,) = groups(made(ordered(5, 20)))  # critical difference 2.728 * sqrt(30 / 120) = 1.36
    assert apart.tied == ((1, 2), (2, 3), (3, 4), (4, 5))
    (none,) = groups(made({"A": [0.9, 0.3, 0.6], "B": [0.6, 0.9, 0.3], "C": [0.3, 0.6, 0.8]}))
    assert none.friedman_p > 0.05 and none.tied == ((none.mean_ranks.min(), none.mean_ranks.max()),)
    (told,) = groups(made(ordered(3, 2)))  # 2.343 * sqrt(12 / 12) reaches over all three anyway, and p = e^-2
    assert told.tied == ((1, 3),)


def test_bars_lie_below_each_other_where_they_would_touch():
    assert critical_difference.bar_levels([(1, 3), (2, 4), (3.5, 5), (4.05, 6)], 0.1) == [0, 1, 0, 2]
    assert critical_difference.bar_levels([], 0.1) == []


def test_the_axis_ends_at_the_worst_or_where_what_is_drawn_ends():
    few, many, wide = (groups(made(ordered(*of)))[0] for of in ((4, 8), (16, 60), (16, 2)))
    assert critical_difference.axis_end(few) == 4
    assert critical_difference.axis_end(many) == 12
    assert critical_difference.axis_end(wide) == 16  # for a critical difference that is longer than all ranks


@pytest.mark.parametrize("num", [3, 12, 13, 15])
def test_the_best_twelve_are_drawn_in_three_forms_and_the_rest_is_counted(num):
    results = made(ordered(num, 8))
    found = list(critical_difference.render(results))
    name = "critical-difference-few_shot-4-clip-tiny-8-1-float32"
    assert [a.name for a in found] == [f"{name}.png", f"{name}.pdf", f"{name}.svg"]
    assert [a.content for a in critical_difference.render(results)] == [a.content for a in found]
    ((drawn,),) = texts(results)[1:]
    assert ["a (1.00)" in drawn, f"{chr(ord('a') + min(num, 12) - 1)} ({min(num, 12)}.00)" in drawn] == [True] * 2
    assert sum(bool(re.fullmatch(r"\w \(\d+\.00\)", text)) for text in drawn) == min(num, 12)
    (group,) = groups(results)
    assert f"CD = {group.critical_difference:.2f}" in drawn
    small = critical_difference._note(board(results), group, 0)
    assert ("Not drawn" in small) == (num > 12)
    assert num <= 12 or f"Not drawn: {num - 12} more, mean ranks 13.00 to {num}.00" in small


def test_two_groups_are_drawn_those_with_the_most_data_sets_and_methods():
    results = made(ordered(3, 3), backbone="few")
    made(ordered(5, 2), results=results, backbone="most methods")
    made(ordered(4, 3), results=results, backbone="more methods")
    made(ordered(2, 4), results=results, backbone="two methods")
    names, _ = texts(results)
    assert [re.search("4-(.*)-8", name)[1] for name in names] == ["more-methods", "few"]
    whole = board(results)
    assert "Not drawn: 1 more protocols and backbones" in critical_difference._note(whole, groups(results)[0], 1)


def test_the_small_print_tells_what_was_found_and_who_is_missing():
    results = made({**ordered(3, 8), "gone": [0.5] * 7 + ["failed"]})
    made({"b": ["failed"]}, results=results, seed=2)
    small = critical_difference._note(board(results), groups(results)[0], 0)
    for text in (
        "over 8 data sets (d1, d2, d3, d4, d5, d6, d7, d8)",
        "Friedman p = 3 × 10⁻⁴. Bars join methods that are not told apart.",
        "Not ranked, for want of a number on a data set: 1: gone (failed on d8).",
        "With failed runs left out: 1 of 24 numbers.",
        "Toy-scale",
    ):
        assert text in small
    none = made(ordered(3, 2))
    assert "no pair is told apart; the bar joins all" in critical_difference._note(board(none), groups(none)[0], 0)


def test_without_three_methods_on_two_data_sets_a_page_says_so():
    for results, why in (
        (FakeResults(), "there are no runs yet"),
        (made(ordered(2, 4)), "three methods"),
        (made(ordered(5, 1)), "three methods"),
        (made({"A": ["failed"] * 2}), "three methods"),
    ):
        (page,) = critical_difference.render(results)
        assert page.name == "critical-difference.md" and why in page.content


@pytest.mark.parametrize("num", [3, 7, 12, 14])
def test_leader_lines_start_at_the_rank_of_their_name_and_do_not_cross(num):
    (group,) = groups(made(ordered(num, 8)))
    with _plots.style():
        (ax,) = critical_difference.diagram(group, "").axes
    leaders = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 3]
    found = {}  # rank that a name tells -> where its leader line leaves the axis, and how deep it goes
    for text in ax.texts:
        if shown := re.fullmatch(r"\w+ \((\d+\.\d\d)\)", text.get_text()):
            x, y = text.get_position()
            (leader,) = [line for line in leaders if line[2][1] == y and abs(line[2][0] - x) < 0.1]
            found[float(shown[1])] = leader[0][0], y
    assert len(found) == min(num, 12)
    ranks = sorted(found)
    places, depths = ([found[rank][i] for rank in ranks] for i in (0, 1))
    assert np.diff(places) == pytest.approx(np.diff(ranks) * (places[1] - places[0]))
    bars = [line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == critical_difference._BAR]
    assert bars and max(bars) < min(depths)
    half = -(-len(ranks) // 2)  # the outermost is the least deep, so that none passes through another
    assert depths[:half] == sorted(depths[:half]) and depths[half:] == sorted(depths[half:], reverse=True)


def test_bars_end_with_the_axis_and_those_of_methods_that_are_not_drawn_are_left_out():
    (group,) = groups(made(ordered(14, 8)))
    with _plots.style():
        bars = ((1, 3), (2, 14), (13, 14))
        (ax,) = critical_difference.diagram(dataclasses.replace(group, tied=bars), "").axes
    drawn = [line.get_xdata() for line in ax.lines if line.get_linewidth() == critical_difference._BAR]
    axis = ax.lines[0].get_xdata()
    assert len(drawn) == 2 and drawn[1][1] == pytest.approx(axis[1] + 0.025)
    assert drawn[0] == pytest.approx([axis[0] - 0.025, axis[0] + 2 / 11 * (axis[1] - axis[0]) + 0.025])


def test_long_names_keep_their_ends():
    (group,) = groups(made({f"{LONG}{i}": [0.1 * i] * 2 for i in range(4)}))
    with _plots.style():
        (ax,) = critical_difference.diagram(group, "").axes
    ends = [text.get_text().replace("\n", " ")[-26:] for text in ax.texts if "…" in text.get_text()]
    assert ends == [f"of review, number {i} ({4 - i}.00)" for i in (3, 2, 0, 1)]


LONG = "knowledge prompt with descriptions refined by several rounds of review, number "
RANDOM = np.random.default_rng(1).random((12, 7)).round(1).tolist()


@pytest.mark.parametrize(
    ("scores", "facts"),
    [
        (ordered(3, 2), {}),
        (ordered(6, 8), {}),
        (ordered(12, 3), {}),
        (ordered(14, 30), {"backbone": LONG * 2}),
        ({name: [0.5] * 4 for name in "abcd"}, {}),
        (dict(zip(NASTY, RANDOM, strict=False)), {"backbone": NASTY[0]}),
        ({f"{LONG}{i}": row for i, row in enumerate(RANDOM)}, {}),
        ({"W" * 70 + str(i): row for i, row in enumerate(RANDOM)}, {"backbone": "W" * 150}),
        ({"M" * i: row for i, row in enumerate(RANDOM, start=1)}, {}),
    ],
)
def test_nothing_overlaps_and_nothing_is_cut(scores, facts):
    results = made(scores, **facts)
    (group,) = groups(results)
    with _plots.style():
        figure = critical_difference.diagram(group, critical_difference._note(board(results), group, 3))
        figure.set_dpi(300)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        (ax,) = figure.axes
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
        lines = [line.get_window_extent(renderer) for line in ax.lines]
    assert figure.get_size_inches()[0] == _plots.WIDTH_IN
    for box in boxes + lines:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    # No leader line, ruler or bar runs through a text: lines are thin, so each of their parts is tested.
    for line, box in itertools.product(ax.lines, boxes):
        corners = ax.transData.transform(line.get_xydata())
        for (x0, y0), (x1, y1) in itertools.pairwise(corners):
            across = min(x0, x1) < box.x1 and max(x0, x1) > box.x0
            assert not (across and min(y0, y1) < box.y1 and max(y0, y1) > box.y0)
