import html.parser
import io
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fake_results import COOP, FEW, KNOWING, FakeResults
from markdown_it import MarkdownIt

from bench import _page
from bench.contracts import Artifact
from bench.plugins import ROOT
from bench.stats import holm, over_splits
from results import _data, _grid, _keys, _switches, _tables, ablation, backbones, few_shot_curve
from results._units import group_differences

NASTY = [
    "<script>alert(1)</script>",
    "100%_&",
    r"put_on\textbf",
    "a|b",
    "two\nlines",
    "*b* _i_ `c` [l](u) ~~s~~",
    r"\| $x^2$ {#}",
    "[0.5ex]",
    "--",
    "\x1b[31mred",
]


SHUFFLED = {**KNOWING, "bank_control": "shuffled", "label": "shuffled"}


def cells(table):
    """(protocol, method) -> the texts of its cells."""
    return {(row[0].text, row[1].text): [c.text for c in row[3:]] for block in table.blocks for row in block}


def only(results):
    (table,) = backbones.tables(results)
    return table


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


def test_two_banks_under_one_label_are_two_rows():
    results = FakeResults()
    results.add(**KNOWING)
    results.add(**{**KNOWING, "bank": "other"})
    assert {name for _, name in cells(only(results))} == {
        "chance (100 / C)",
        "descriptions (toy)",
        "descriptions (other)",
    }


def test_banks_in_files_are_called_by_their_names_and_by_a_folder_where_two_are_alike():
    banks = ["toy", "toy@0123456789abcdef", "/a/b/mine.json", "/a/c/mine.json", "/d/other.json@0123456789abcdef", ""]
    assert list(_keys.bank_names(banks).values()) == [
        "toy",
        "toy@0123456789abcdef",
        "b/mine.json",
        "c/mine.json",
        "other.json@0123456789abcdef",
        "",
    ]
    results = FakeResults()
    for bank in banks[2:4]:
        results.add(**{**KNOWING, "bank": bank})
    assert {name for _, name in cells(only(results))} >= {"descriptions (b/mine.json)", "descriptions (c/mine.json)"}


def test_the_csv_leads_back_to_the_runs_and_holds_shares():
    results = FakeResults()
    run_id = results.add([0.4, 0.5, 0.6])
    frame = pd.read_csv(io.StringIO(_tables.csv(only(results))), dtype=str, keep_default_na=False)
    row = frame[frame["run_ids"] == run_id].iloc[0]
    assert float(row["top1"]) == 0.5
    assert float(row["nll"]) == 1.0


@pytest.mark.parametrize("render", [backbones.render, few_shot_curve.render, ablation.render])
def test_no_run_and_no_complete_run_render_and_say_so(render):
    texts = [a.content for a in render(FakeResults()) if a.name.endswith(".md")]
    assert len(texts) == 1
    assert "here are no runs yet" in texts[0]
    failed = FakeResults()
    failed.add(status="failed", reason="boom", **COOP)
    failed.add(status="failed", reason="boom", **KNOWING)
    assert list(render(failed))


def test_figures_are_the_same_bytes_each_time_and_data_sets_without_points_are_named():
    results = FakeResults()
    for shots in (1, 16):
        results.add(**{**COOP, "shots": shots, "label": "_hidden $x$ " + "long " * 12})
    results.add(**KNOWING)
    results.add(dataset="bare")

    def files(plugin):
        return {a.name: a.content for a in plugin.render(results)}

    first = files(few_shot_curve)
    assert first == files(few_shot_curve)
    names = [*(f"few-shot-toy.{form}" for form in ("png", "pdf", "svg", "csv")), "few-shot.md"]
    assert list(first) == names
    assert "bare" in first["few-shot.md"]
    assert files(ablation) == files(ablation)


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
    assert all(f"CoOp {config}" in ablation.text(results) for config in far)


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
    assert "knowledge: no bank → random_words" in ablation.text(results)


def test_a_failed_variant_stays_visible_and_is_not_tested():
    results = FakeResults()
    results.add([0.1, 0.2, 0.1, 0.2], status="failed", reason="boom")
    results.add([0.8, 0.8, 0.7, 0.8], **KNOWING)
    text = next(a.content for a in ablation.render(results) if a.name == "ablation-toy.md")
    assert "failed: boom" in text and "No difference could be tested" in text


def nasty_table():
    rows = tuple((_tables.Cell(name), _tables.Cell(name, bold=True, marks=("a",))) for name in NASTY)
    frame = pd.DataFrame({"name": NASTY})
    return _tables.Table(
        "nasty", NASTY[0], NASTY[1], (NASTY[2], NASTY[3]), (rows,), 1, frame, (NASTY[0],), (("a", NASTY[5]),)
    )


def test_markdown_shows_names_as_they_are_written():
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(_tables.markdown(nasty_table()))
    inline = [t for i, t in enumerate(tokens) if t.type == "inline" and tokens[i - 1].type == "td_open"]
    assert [[c.type for c in t.children] == ["text"] * len(t.children) for t in inline[::2]] == [True] * len(NASTY)
    assert ["".join(c.content for c in t.children) for t in inline[::2]] == [_tables.plain(name) for name in NASTY]
    assert all(t.children[1].type == "strong_open" for t in inline[1::2])


def test_html_shows_names_as_they_are_written():
    found, tags = [], []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)

        def handle_data(self, data):
            found.append(data)

    Reader().feed(_tables.html(nasty_table()))
    assert "script" not in tags
    for name in NASTY:
        assert found.count(_tables.plain(name)) >= 2


def test_csv_keeps_names_unchanged():
    back = pd.read_csv(io.StringIO(_tables.csv(nasty_table())), dtype=str, keep_default_na=False)
    assert list(back["name"]) == NASTY


def test_file_names_are_safe_and_distinct():
    names = ["toy", "../x", "a/b", "a b", "a-b", "", ".", "ü", "<script>"]
    slugs = [_tables.slug(name) for name in names]
    assert slugs[0] == "toy"
    assert len(set(slugs)) == len(names)
    for slug in slugs:
        Artifact(f"backbones-{slug}.md", "")


def test_a_nasty_data_set_method_and_backbone_render_everywhere():
    results = FakeResults()
    for name in NASTY[:3]:
        results.add(dataset=name, backbone=name, label=name, reason=name)
        results.add(dataset=name, backbone=name, **{**COOP, "label": name})
    found = [a for plugin in (backbones, few_shot_curve, ablation) for a in plugin.render(results)]
    assert len({a.name for a in found}) == len(found)
    page = _page.index_html(found)
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == 3
    assert backbones.text(results).count("## Backbones") == 3


def test_the_page_of_nothing_and_of_text_alone():
    assert "nothing to show" in _page.index_html([])
    page = _page.index_html([Artifact("few-shot.md", "<b>why</b>", "<i>")])
    assert "&lt;b&gt;why" in page
    assert "<i>" not in page


def test_results_do_not_import_torch():
    code = "import sys, results.backbones, results.few_shot_curve, results.ablation, bench._page; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "adapters", "baselines"} & set(done.stdout.split())


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


# --- numbers that must not be put together, and tests that say otherwise than the numbers -----------------------


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
