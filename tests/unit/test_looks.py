"""A method looks the same in every figure, and no other looks like it."""

from drawn import figures, looks_of
from fake_results import COOP, KNOWING, KNOWLEDGE, SHUFFLED, FakeResults, paper
from matplotlib.colors import to_rgb

from results import (
    _looks,
    ablation,
    accuracy_cost,
    few_shot_curve,
    per_class_gains,
    reliability,
)
from results._data import board


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
