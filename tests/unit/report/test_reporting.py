"""What is rendered and told; one plug-in that raises takes no other down."""

import os

import made_runs
import pytest
import synthetic
from commands import bench
from fakes import plug_in
from rendered import broken, names, table

from bench import reporting, store
from bench.contracts import Artifact, BenchError


@pytest.mark.parametrize("kind, kept", [("tables", "p.png"), ("plots", "t.md")])
def test_one_kind_is_rendered_and_the_files_of_the_other_stay_as_they_are(home, only, kind, kept):
    def both(text):
        return lambda results: [Artifact("t.md", text, "t"), Artifact("p.png", text.encode(), "p")]

    only(x=both("one"), gone=lambda results: [Artifact("gone.md", "one"), Artifact("gone.png", b"one")])
    reporting.write(home)
    only(x=both("two"))
    reporting.write(home, kind)
    found = made_runs.files(home / "report")
    assert found.pop(kept) == b"one" and {"t.md", "p.png"} <= {*found, kept}
    assert all(content == b"two" for name, content in found.items() if name in ("t.md", "p.png"))
    assert ("gone.png" in found, "gone.md" in found) == (kind == "tables", kind == "plots")
    assert reporting.STAMP not in found, "a report of two times is not up to date"


def test_an_unknown_kind_is_refused(home):
    with pytest.raises(BenchError, match="unknown kind 'table'"):
        reporting.write(home, "table")


def test_a_plug_in_that_raises_is_told_on_the_page_and_the_others_are_rendered(home, only):
    only(bad=broken, good=table("good"))
    rendered = reporting.write(home)
    assert rendered.files == ("good.md", "good.csv") and rendered.errors.keys() == {"bad"}
    assert "KeyError" in rendered.errors["bad"] and "rendered.py, line" in rendered.errors["bad"]
    page = rendered.page.read_text()
    assert "could not be rendered" in page and "&lt;top9&gt;" in page and "<top9>" not in page
    assert "half.md" not in names(home) and reporting.STAMP not in names(home)


def test_a_plug_in_that_cannot_be_imported_is_told_too(home, monkeypatch):
    plug_in(monkeypatch, "results", "odd", TITLE="no render")
    rendered = reporting.write(home)
    assert rendered.errors.keys() == {"odd"} and "does not define render" in rendered.errors["odd"]


def test_two_plug_ins_never_write_one_file(home, only):
    only(a=table("same", "one"), b=table("same", "two"), page=lambda results: [Artifact("index.html", "x")])
    rendered = reporting.write(home)
    assert rendered.errors.keys() == {"b", "page"} and "files of a already" in rendered.errors["b"]
    assert (home / "report" / "same.md").read_text() == "one"


def test_render_prints_the_folder_and_how_many_and_fails_where_one_fails(home, only, capsys, monkeypatch):
    only(t=table())
    code, out, _ = bench(capsys, monkeypatch, "render")
    assert (
        code == 0
        and out == f"all: rendered; 2 files in {home / 'report'}, all of them on {home / 'report' / 'index.html'}"
    )
    code, out, _ = bench(capsys, monkeypatch, "render", "--verbose")
    assert str(home / "report" / "t.csv") in out
    only(t=table(), bad=broken)
    code, _, err = bench(capsys, monkeypatch, "render")
    assert code == 1 and "not rendered bad KeyError" in err


def test_render_tells_each_kind_of_damage_in_a_line_and_what_to_do_and_fails_after_it_has_written(
    home, only, capsys, monkeypatch
):
    only(t=table())
    for number in range(5):
        made_runs.complete(home, f"{number:012x}", seed=number)
        (store.run_folder(home, f"{number:012x}") / "predictions.npz").unlink()
    for number in (5, 6):
        made_runs.complete(home, f"{number:012x}", seed=number)
        (store.run_folder(home, f"{number:012x}") / "scores.csv").write_text("cut " * number)
    code, out, err = bench(capsys, monkeypatch, "render")
    assert code == 1 and out.startswith("all: rendered; 2 files in") and names(home) == ["index.html", "t.csv", "t.md"]
    first = ", ".join(f"{number:012x}" for number in range(3))
    assert err == (
        f"damaged 5 runs: predictions.npz is missing ({first} and 2 more); "
        "delete their folders and start the same sweep again; python -m bench status names each "
        "damaged 2 runs: scores.csv cannot be read (000000000005, 000000000006); "
        "python -m bench rescore writes it again; python -m bench status names each"
    )


@pytest.mark.parametrize("how", ["gone", "not told by the stamp"])
def test_damaged_predictions_take_their_own_run_out_of_tables_and_plots_and_no_other(how, tmp_path):
    ids = synthetic.fill(tmp_path, datasets=2, backbones=1, methods=2, seeds=2)
    reporting.write(tmp_path)
    path = store.run_folder(tmp_path, ids[1]) / "predictions.npz"
    before = made_runs.files(tmp_path / "report")
    if how == "gone":
        path.unlink()
    else:
        was, content = path.stat(), bytearray(path.read_bytes())
        place = content.index(b"logits.npy") + 300
        content[place] ^= 1
        path.write_bytes(bytes(content))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    rendered = reporting.write(tmp_path)
    after = made_runs.files(tmp_path / "report")
    assert not rendered.errors and list(rendered.damaged) == ([ids[1]] if how == "gone" else [])
    assert after.keys() - {reporting.STAMP} == before.keys() - {reporting.STAMP}
    for name in ("confusion", "reliability"):
        assert after[f"{name}-set-1.csv"] == before[f"{name}-set-1.csv"]
        assert b"(2 runs)" in before[f"{name}-set-0.csv"] and b"(1 run)" in after[f"{name}-set-0.csv"]
    if how == "gone":
        (name,) = (name for name in after if name.startswith("per-class-set-0") and name.endswith(".md"))
        assert b"Method 1: 1." in after[name] and b"predictions.npz is missing" in after[name]


def test_a_home_whose_only_record_is_spoilt_still_renders_and_says_so(tmp_path):
    made_runs.complete(tmp_path, "a" * 12)
    (tmp_path / "runs" / "aa" / ("a" * 12) / "run.json").write_text('{"cut')
    rendered = reporting.write(tmp_path)
    assert not rendered.errors
    assert "damaged" in (tmp_path / "report" / "leaderboard.md").read_text()
