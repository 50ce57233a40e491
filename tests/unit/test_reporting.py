"""The report is replaced whole; one plug-in that raises takes no other down."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import made_runs
import pytest
import synthetic
from commands import bench
from fakes import plug_in

from bench import _swap, exporting, plugins, provenance, reporting, store
from bench.contracts import Artifact, BenchError

A, B = "a1b2c3d4e5f6", "0123456789ab"


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "bench_home"
    made_runs.complete(home, A, seed=1)
    return home


@pytest.fixture
def only(monkeypatch):
    """Put given plug-ins in the place of all of results/; name -> its render function."""

    def put(**renders):
        modules = {name: type(sys)(name) for name in renders}
        for name, render in renders.items():
            vars(modules[name]).update(TITLE=name, render=render)
        real = plugins.find
        monkeypatch.setattr(
            plugins, "find", lambda kind, name: modules[name] if kind == "results" else real(kind, name)
        )
        real_names = plugins.names
        monkeypatch.setattr(plugins, "names", lambda kind: tuple(renders) if kind == "results" else real_names(kind))

    return put


def table(name="t", text="one"):
    return lambda results: [Artifact(f"{name}.md", text, name), Artifact(f"{name}.csv", text)]


def broken(results):
    yield Artifact("half.md", "half of it")
    raise KeyError("<top9>")


def names(home):
    return sorted(p.name for p in (home / "report").iterdir())


def test_the_report_is_a_link_to_a_folder_and_nothing_else_is_left(home, only):
    only(t=table())
    for _ in range(3):
        rendered = reporting.write(home)
    assert rendered.page.is_file() and rendered.files == ("t.md", "t.csv") and not rendered.errors
    assert (home / "report").is_symlink() and len(list((home / "reports").iterdir())) == 1
    assert not (home / "report").readlink().is_absolute(), "a home can be moved"
    assert names(home) == [".rendered", "index.html", "t.csv", "t.md"]


def test_files_of_an_earlier_rendering_are_gone(home, only):
    only(t=table(), old=table("old"))
    reporting.write(home)
    only(t=table())
    reporting.write(home)
    assert names(home) == [".rendered", "index.html", "t.csv", "t.md"]


def test_a_real_folder_from_before_is_replaced_by_the_link(home, only):
    (home / "report").mkdir()
    (home / "report" / "old.md").write_text("old")
    only(t=table())
    reporting.write(home)
    assert (home / "report").is_symlink() and "old.md" not in names(home)
    assert len(list((home / "reports").iterdir())) == 1


def test_a_real_folder_whose_move_was_broken_off_gets_its_name_back_first(home, only):
    (home / "reports" / _swap.MOVED).mkdir(parents=True)
    (home / "reports" / _swap.MOVED / "old.png").write_text("old")
    only(t=table())
    reporting.write(home, "tables")
    assert (home / "report").is_symlink() and "t.md" in names(home)


def test_a_rendering_that_raises_leaves_the_old_report(home, only, monkeypatch):
    only(t=table())
    reporting.write(home)
    before, link = made_runs.files(home / "report"), (home / "report").readlink()
    only(t=table(text="two"))
    monkeypatch.setattr(reporting, "index_html", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reporting.write(home)
    assert made_runs.files(home / "report") == before and (home / "report").readlink() == link
    assert len(list((home / "reports").iterdir())) == 1


def test_what_a_killed_rendering_left_is_removed_by_the_next_and_what_another_is_writing_stays(home, only):
    only(t=table())
    reporting.write(home)
    left = home / "reports" / "0123456789ab"
    left.mkdir()
    program = (
        "import sys; from pathlib import Path; from bench._swap import replaced\n"
        f"with replaced(Path({str(home / 'report')!r})) as new:\n"
        "    new.write('other.md', 'by another')\n"
        "    print(new.folder.name, flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], cwd=plugins.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    writing = other.stdout.readline().strip()
    reporting.write(home)
    assert not left.exists() and (home / "reports" / writing / "other.md").is_file()
    other.communicate()
    assert other.returncode == 0 and names(home) == ["other.md"]
    assert len(list((home / "reports").iterdir())) == 1


def test_links_that_a_killed_rendering_did_not_put_in_place_are_removed(home, only):
    only(t=table())
    left = home / ".report.17-abcd.tmp"
    left.symlink_to("reports/nowhere")
    other = home / ".reportage.tmp"
    other.touch()
    reporting.write(home)
    assert not left.is_symlink() and other.is_file()


def test_locks_are_on_regular_files_open_for_writing_which_network_disks_pass_on(home, only, monkeypatch):
    locked = []

    def flock(fd, how):
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        locked.append((stat.S_ISREG(os.fstat(fd).st_mode), mode == os.O_RDWR))

    monkeypatch.setattr(_swap.fcntl, "flock", flock)
    only(t=table())
    reporting.write(home)
    assert set(locked) == {(True, True)} and len(locked) >= 3, "of the link twice, of the folder"


@pytest.mark.parametrize("meanwhile", ["removed", "cut", "one more", "whole folder"])
def test_a_report_that_is_not_what_was_written_never_takes_the_old_ones_place(home, only, monkeypatch, meanwhile):
    only(t=table())
    reporting.write(home)
    before = made_runs.files(home / "report")
    real = _swap.Filling.write

    def write(self, name, content):
        real(self, name, content)
        if name == "index.html":
            do = {
                "removed": (self.folder / "t.md").unlink,
                "cut": lambda: (self.folder / "t.md").write_text("t"),
                "one more": (self.folder / "u.md").touch,
                "whole folder": lambda: shutil.rmtree(self.folder),
            }
            do[meanwhile]()

    monkeypatch.setattr(_swap.Filling, "write", write)
    with pytest.raises(BenchError, match="reports/[0-9a-f]{12}"):
        reporting.write(home)
    assert made_runs.files(home / "report") == before and len(list((home / "reports").iterdir())) == 1


def test_a_folder_that_was_removed_while_it_is_filled_is_not_made_again(tmp_path):
    with pytest.raises(BenchError, match="one.md.*cannot be written"), _swap.replaced(tmp_path / "report") as new:
        shutil.rmtree(new.folder)
        new.write("one.md", "text")
    assert not list((tmp_path / "reports").iterdir()) and not (tmp_path / "report").is_symlink()


@pytest.mark.parametrize("call", ["fsync", "mkdir", "flock", "replace", "move the link"])
def test_a_full_or_read_only_disk_is_an_error_that_names_the_place_and_leaves_the_old_report(
    home, only, monkeypatch, call
):
    only(t=table())
    reporting.write(home)
    before = made_runs.files(home / "report")

    replace = Path.replace

    def refused(*args, **kwargs):
        if call == "move the link" and not args[0].name.startswith(".report."):
            return replace(*args)
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = {"flock": _swap.fcntl, "fsync": os}.get(call, Path)
    monkeypatch.setattr(owner, call.replace("move the link", "replace"), refused)
    with pytest.raises(BenchError, match=f"{home}/report.*No space left on device.*BENCH_HOME"):
        reporting.write(home)
    monkeypatch.undo()
    assert made_runs.files(home / "report") == before
    assert len(list((home / "reports").iterdir())) == 1 and not list(home.glob(".report.*.tmp"))


def test_a_disk_without_links_is_said_to_be_one(home, only, monkeypatch):
    from pathlib import Path

    def refused(self, target, target_is_directory=False):
        raise OSError(1, "Operation not permitted")

    only(t=table())
    monkeypatch.setattr(Path, "symlink_to", refused)
    with pytest.raises(BenchError, match="takes no symbolic links"):
        reporting.write(home)


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
    assert "KeyError" in rendered.errors["bad"] and "test_reporting.py, line" in rendered.errors["bad"]
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


def test_what_somebody_else_put_beside_the_reports_stays(tmp_path):
    made_runs.complete(tmp_path, "a" * 12)
    (tmp_path / "reports" / "thesis").mkdir(parents=True)
    (tmp_path / "reports" / "thesis" / "a.tex").write_text("mine")
    for _ in range(2):
        reporting.write(tmp_path)
    assert (tmp_path / "reports" / "thesis" / "a.tex").read_text() == "mine"
    assert len(list((tmp_path / "reports").iterdir())) == 2


def test_a_link_of_ones_own_in_the_place_of_the_report_is_refused(tmp_path):
    made_runs.complete(tmp_path, "a" * 12)
    (tmp_path / "public").mkdir()
    (tmp_path / "report").symlink_to("public")
    with pytest.raises(BenchError, match="report is a link to public, which was not made here"):
        reporting.write(tmp_path)
    assert (tmp_path / "report").readlink() == Path("public") and not list((tmp_path / "public").iterdir())


def test_a_home_whose_only_record_is_spoilt_still_renders_and_says_so(tmp_path):
    made_runs.complete(tmp_path, "a" * 12)
    (tmp_path / "runs" / "aa" / ("a" * 12) / "run.json").write_text('{"cut')
    rendered = reporting.write(tmp_path)
    assert not rendered.errors
    assert "damaged" in (tmp_path / "report" / "leaderboard.md").read_text()
