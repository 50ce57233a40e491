"""Ablations: the reference, the one switch, and what stays visible."""

import io
import json

import pandas as pd
import pytest
from fake_results import COOP, FEW, KNOWING, FakeResults
from result_tables import stands_in

from bench.stats import holm
from results import _data, _switches, ablation

SHUFFLED = {**KNOWING, "bank_control": "shuffled", "label": "shuffled"}


def test_ablation_takes_the_variant_with_the_most_neighbours_for_its_reference():
    results = FakeResults()
    results.add([0.1, 0.2, 0.1, 0.2])
    results.add([0.8, 0.8, 0.7, 0.8], **KNOWING)
    for seed in (1, 2):
        results.add([0.1, 0.1, 0.2, 0.1], seed=seed, **SHUFFLED)
    results.add([0.8, 0.8, 0.7, 0.8], backbone="other", **KNOWING)
    found = {a.name: a.content for a in ablation.render(results)}
    pictures = {f"ablation-toy-zero_shot.{form}" for form in ("png", "pdf")}
    tables = {f"ablation-toy.{form}" for form in ("md", "csv", "tex", "html")}
    assert tables | pictures <= set(found) <= tables | pictures | {"ablation-toy-zero_shot.svg"}
    frame = pd.read_csv(io.StringIO(found["ablation-toy.csv"])).set_index("switch")
    assert set(frame.index) == {"text", "control"} and set(frame["reference"]) == {"descriptions"}
    assert frame["difference"]["text"] == pytest.approx(-0.625)
    assert frame["difference"]["control"] == pytest.approx(-0.65)
    assert frame["p_holm"].max() < 0.05
    assert set(frame["backbone"]) == {"clip-tiny"}  # one variant alone is no ablation


def test_the_reference_of_controls_is_the_bank_as_it_is_and_each_bank_has_its_own():
    results = FakeResults()
    for bank in ("toy", "zoo"):
        for place, control in enumerate(("wrong:2", "none", "shuffled", "count:1")):
            told = {**KNOWING, "bank": bank, "bank_control": control, "label": f"descriptions ({bank}, {control})"}
            for seed in (1, 2):
                results.add([0.1 * place, 0.2, 0.3, 0.2], seed=seed, is_default=True, **told)
    whole = _data.board(results)
    toy, zoo = _switches.ablations(whole, whole.cells)
    for one, bank in ((toy, "toy"), (zoo, "zoo")):
        assert one.reference.name == f"descriptions ({bank}, none)"
        assert sorted(v.value for v in one.variants if v.switch == "control") == ["count:1", "shuffled", "wrong:2"]
    assert [v.value for v in toy.variants if v.switch == "bank"] == ["zoo"]


def test_a_setting_without_one_complete_run_is_no_reference():
    results = FakeResults()
    for value in (1, 2, 3):
        told = {**COOP, "label": f"CoOp {value}", "config": json.dumps({"m": value})}
        results.add([0.5, 0.6], status="failed" if value == 1 else "complete", is_default=value == 1, **told)
    whole = _data.board(results)
    (one,) = _switches.ablations(whole, whole.cells)
    assert one.reference.name == "CoOp 2" and [v.value for v in one.variants] == [1, 3]


def test_two_banks_in_files_are_told_by_name_in_an_ablation():
    results = FakeResults()
    for bank in ("/a/one.json", "/a/two.json"):
        results.add([0.5, 0.6], **{**KNOWING, "bank": bank, "label": f"knowing {bank}"})
    whole = _data.board(results)
    ((variant,),) = [one.variants for one in _switches.ablations(whole, whole.cells)]
    assert {variant.was, variant.value} == {"one.json", "two.json"}


def test_ablation_finds_the_one_switch_in_the_config():
    results = FakeResults()
    settings = [
        {"m": 4, "init": "random"},
        {"m": 8, "init": "random"},
        {"m": 4, "init": "words"},
        {"m": 8, "init": "no"},
    ]
    for i, config in enumerate(settings):
        for seed in (1, 2, 3):
            shares = [0.5 + 0.1 * i + 0.02 * seed] * 3
            results.add(shares, seed=seed, config=json.dumps(config), **{**COOP, "label": f"CoOp {config}"})
    whole = _data.board(results)
    (found,) = _switches.ablations(whole, whole.cells)
    assert found.reference.name == f"CoOp {settings[0]}"
    told = {(v.switch, v.was, v.value): v.test.difference for v in found.variants}
    assert told == {("m", 4, 8): pytest.approx(0.1), ("init", "random", "words"): pytest.approx(0.2)}
    assert [v.p_holm for v in found.variants] == pytest.approx(holm([v.test.p_value for v in found.variants]))


def test_variants_far_from_the_reference_are_an_ablation_of_their_own():
    results = FakeResults()
    far = [{"m": 8, "init": "no", "part": part} for part in (True, 1.5, 2.5)]
    for i, config in enumerate([{"m": m, "init": "random", "part": False} for m in (4, 8, 16, 32)] + far):
        for seed in (1, 2, 3):
            shares = [0.2 + 0.1 * i + 0.02 * seed] * 3
            results.add(shares, seed=seed, config=json.dumps(config), **{**COOP, "label": f"CoOp {config}"})
    whole = _data.board(results)
    near, own = _switches.ablations(whole, whole.cells)
    assert [v.switch for v in near.variants] == ["m"] * 3 and near.kind == ""
    assert (
        own.kind == "2" and own.reference.name == f"CoOp {far[1]}" and [v.switch for v in own.variants] == ["part"] * 2
    )
    assert {"ablation-toy-coop-k4.png", "ablation-toy-coop-k4-2.png"} <= {a.name for a in ablation.render(results)}
    assert all(stands_in(ablation.text(results), f"CoOp {config}") for config in far)


def test_many_variants_get_a_figure_a_switch(monkeypatch):
    results = FakeResults()
    configs = [{"m": m, "init": "random", "on": False} for m in (1, 4, 8)]
    configs += [{"m": 4, "init": init, "on": False} for init in ("words", "phrase")]
    for i, config in enumerate([*configs, {"m": 4, "init": "random", "on": True}]):
        results.add([0.2 + 0.1 * i] * 3, config=json.dumps(config), **{**COOP, "label": f"CoOp {config}"})
    monkeypatch.setattr(ablation, "MOST_BARS", 4)
    whole = _data.board(results)
    found = _switches.ablations(whole, whole.cells)
    parts = ablation.by_switch(found)
    assert {switch: len(own.variants) for switch, (own,) in parts.items()} == {"m": 2, "init": 2, "others": 1}
    names = {a.name for a in ablation.render(results)}
    assert {
        f"ablation-toy-coop-k4-{switch}.png" for switch in parts
    } <= names and "ablation-toy-coop-k4.png" not in names
    monkeypatch.setattr(ablation, "MOST_BARS", 5)
    assert ablation.by_switch(found) == {"": found}


def test_controls_of_the_bank_are_held_against_coop_too():
    results = FakeResults()
    knowing = {**KNOWING, **FEW, "method": "knowledge_prompt", "is_default": True, "text_source": ""}
    for seed in (1, 2, 3):
        results.add([0.5, 0.5 + 0.02 * seed, 0.6], seed=seed, **{**COOP, "is_default": True})
        other = {**COOP, "is_default": False, "label": "CoOp, other", "config": '{"m": 4}'}
        results.add([0.1, 0.1, 0.2], seed=seed, **other)
        results.add([0.9, 0.9, 0.8], seed=seed, **knowing)
    whole = _data.board(results)
    assert {one.kind for one in _switches.ablations(whole, whole.cells)} <= {""}  # nothing controlled, nothing to ask
    for control in ("shuffled", "random_words"):
        for seed in (1, 2, 3):
            told = {**knowing, "bank_control": control, "label": f"descriptions ({control})"}
            results.add([0.5, 0.6, 0.4 + 0.1 * seed], seed=seed, **told)
    whole = _data.board(results)
    (found,) = (one for one in _switches.ablations(whole, whole.cells) if one.kind == "baseline")
    assert found.reference.name == "CoOp"
    told = {v.value: (v.was, v.test.difference, v.p_holm) for v in found.variants}
    assert set(told) == {"none", "shuffled", "random_words"} and told["none"][0] == "no bank"
    assert told["none"][1] == pytest.approx(0.866667 - 0.546667, abs=0.02) and told["none"][2] >= 0
    assert stands_in(ablation.text(results), "knowledge: no bank → random_words")


def test_a_failed_variant_stays_visible_and_is_not_tested():
    results = FakeResults()
    results.add([0.1, 0.2, 0.1, 0.2], status="failed", reason="boom")
    results.add([0.8, 0.8, 0.7, 0.8], **KNOWING)
    text = next(a.content for a in ablation.render(results) if a.name == "ablation-toy.md")
    assert "failed: boom" in text and "No difference could be tested" in text
