"""The report is replaced whole, whatever is killed or removed meanwhile."""

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
from rendered import names, table

from bench import _swap, plugins, reporting
from bench.contracts import BenchError


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
