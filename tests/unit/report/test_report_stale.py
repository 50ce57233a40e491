"""When a report is written again."""

import os

import made_runs
import pytest
from fakes import plug_in
from rendered import A, B, broken, table

from bench import exporting, provenance, reporting, store
from bench.contracts import Artifact


def test_refresh_renders_only_when_runs_scores_or_code_changed(home, only, monkeypatch):
    count = []
    only(t=lambda results: count.append(1) or [Artifact("t.md", "x")])
    reporting.refresh(home)
    reporting.refresh(home)
    assert len(count) == 1
    made_runs.complete(home, B, seed=2)
    assert reporting.refresh(home).files == ("t.md",)
    assert len(count) == 2
    store.write_scores(home, B, {"top1": 0.5})
    reporting.refresh(home)
    assert len(count) == 3
    monkeypatch.setattr(reporting, "source_digest", lambda: "other code")
    reporting.refresh(home)
    assert len(count) == 4
    store.remove(home, B)
    reporting.refresh(home)
    reporting.refresh(home)
    assert len(count) == 5


def test_a_library_that_decides_the_bytes_makes_the_report_stale(home, only, monkeypatch):
    count = []
    only(t=lambda results: count.append(1) or [Artifact("t.md", "x")])
    real = provenance._version
    for done, library in enumerate(["", "pandas", "matplotlib", "seaborn", "scipy", "statsmodels", "Jinja2"], start=1):
        named = library.lower()
        monkeypatch.setattr(provenance, "_version", lambda name, it=named: "0" if name.lower() == it else real(name))
        for _ in range(2):
            reporting.refresh(home)
        assert len(count) == done, library


def test_every_library_that_a_report_imports_is_in_its_stamp(tmp_path):
    imported = {name.lower() for name, _ in exporting._copy_code(tmp_path)}
    assert imported <= {name.lower() for name in provenance.RENDERING}


@pytest.mark.parametrize("spoil", ["t.md", "index.html", "cut", reporting.STAMP])
def test_a_report_that_lacks_a_file_is_rendered_again(home, only, spoil):
    only(t=table())
    reporting.refresh(home)
    whole = made_runs.files(home / "report")
    if spoil == "cut":
        (home / "report" / "t.md").write_text("o")
    elif spoil == reporting.STAMP:
        (home / "report" / spoil).write_text("[]")
    else:
        (home / "report" / spoil).unlink()
    reporting.refresh(home)
    assert made_runs.files(home / "report") == whole


def test_a_run_that_ends_while_a_report_is_rendered_makes_it_stale(home, only):
    seen = []

    def render(results):
        seen.append(len(results.runs))
        if len(seen) == 1:
            made_runs.complete(home, B, seed=2)
        return [Artifact("t.md", "x")]

    only(t=render)
    for _ in range(3):
        reporting.refresh(home)
    assert seen == [1, 2]


def test_with_plug_ins_from_outside_whose_code_is_not_known_a_report_is_rendered_each_time(home, only, monkeypatch):
    count = []
    only(t=lambda results: count.append(1) or [Artifact("t.md", "x")])
    plug_in(monkeypatch, "results", "odd", TITLE="odd", render=lambda results: [])
    for _ in range(2):
        reporting.refresh(home)
    assert len(count) == 2


def test_a_report_with_an_error_or_a_damaged_run_is_rendered_each_time(home, only):
    count = []
    only(t=lambda results: count.append(1) or [], bad=broken)
    reporting.refresh(home)
    assert reporting.refresh(home).errors and len(count) == 2
    only(t=lambda results: count.append(1) or [])
    path = store.run_folder(home, A) / "predictions.npz"
    good = path.read_bytes()
    path.write_bytes(b"spoilt")
    os.utime(store.run_folder(home, A) / store.COMPLETE, ns=(1, 1))
    reporting.refresh(home)
    path.write_bytes(good)
    count.clear()
    reporting.refresh(home)
    assert len(count) == 1, "the run was mended, and nothing but its file tells"


def test_a_report_is_rendered_again_when_predictions_are_damaged_after_it(home, only):
    count = []
    only(t=lambda results: count.append(1) or [])
    reporting.refresh(home)
    (store.run_folder(home, A) / "predictions.npz").unlink()
    assert reporting.refresh(home).damaged.keys() == {A} and len(count) == 2
