"""Tables and figures in all their forms, whatever the names in them hold."""

import html.parser
import io
import subprocess
import sys

import pandas as pd
import pytest
from fake_results import COOP, KNOWING, FakeResults
from markdown_it import MarkdownIt
from result_tables import NASTY, cells, nasty_table, only

from bench import _page
from bench.contracts import Artifact
from bench.plugins import ROOT
from results import _keys, _tables, ablation, backbones, few_shot_curve


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
