import errno
import os
import shutil
import subprocess
import sys
import time

import pytest

from bench import _files, _staging
from bench._files import FORGOTTEN_S, clear, temporary_beside
from bench._staging import publish
from bench.plugins import ROOT
from bench.stored_results import Results


def is_whole(folder):
    return (folder / "DONE").is_file()


def writes(text):
    def fill(folder):
        (folder / "content").write_text(text)
        (folder / "DONE").touch()

    return fill


@pytest.fixture
def final(tmp_path):
    return tmp_path / "shelf" / "it"


def names(final):
    return sorted(p.name for p in final.parent.iterdir())


def test_it_appears_whole(final):
    def fill(folder):
        assert not final.exists() and list(folder.iterdir()) == []
        writes("a")(folder)
        assert not final.exists()

    assert publish(final, fill, is_whole)
    assert (final / "content").read_text() == "a" and names(final) == ["it"]


def test_names_last_before_it_appears_and_after(final, monkeypatch):
    synced = []
    monkeypatch.setattr(_staging, "sync", lambda folder: synced.append((folder, final.exists())))
    publish(final, writes("a"), is_whole)
    (staged, before), last = synced
    assert staged.name.startswith(".it.") and not before and last == (final.parent, True)


def test_what_is_whole_stays(final, monkeypatch):
    publish(final, writes("a"), is_whole)
    monkeypatch.setattr(_staging.os, "rename", lambda *_: pytest.fail("it must not even be moved aside"))
    assert not publish(final, writes("b"), is_whole)
    assert (final / "content").read_text() == "a" and names(final) == ["it"]


@pytest.mark.parametrize("leftover", [[], ["content"], ["content", "other"]])
def test_what_is_not_whole_makes_way(final, leftover):
    final.mkdir(parents=True)
    for name in leftover:
        (final / name).write_text("old")
    assert publish(final, writes("new"), is_whole)
    assert sorted(p.name for p in final.iterdir()) == ["DONE", "content"] and names(final) == ["it"]
    assert (final / "content").read_text() == "new"


def test_an_error_while_filling_leaves_nothing(final):
    def fill(folder):
        writes("a")(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        publish(final, fill, is_whole)
    assert names(final) == []


def test_another_s_that_comes_between_look_and_rename_stays(final, monkeypatch):
    """Both see that nothing whole is there; the other renames first."""
    rename, seen = os.rename, []

    def late(source, target):
        if not seen:
            seen.append(1)
            publish(final, writes("theirs"), is_whole)
        rename(source, target)

    monkeypatch.setattr(_staging.os, "rename", late)
    assert not publish(final, writes("ours"), is_whole)
    assert (final / "content").read_text() == "theirs" and names(final) == ["it"]


def test_another_s_that_comes_between_look_and_emptying_stays(final, monkeypatch):
    final.mkdir(parents=True)
    (final / "content").write_text("half")
    emptied = _staging._emptied

    def late(folder, whole):
        shutil.rmtree(folder)
        publish(final, writes("theirs"), is_whole)
        return emptied(folder, whole)

    monkeypatch.setattr(_staging, "_emptied", late)
    assert not publish(final, writes("ours"), is_whole)
    assert (final / "content").read_text() == "theirs" and names(final) == ["it"]


def test_what_comes_whole_while_a_half_one_is_removed_keeps_its_files(final, monkeypatch):
    final.mkdir(parents=True)
    (final / "content").write_text("half")
    unlink = os.unlink

    def late(name, **options):
        if name == "content" and options:
            final.rename(final.with_name("half"))
            publish(final, writes("theirs"), is_whole)
        unlink(name, **options)

    monkeypatch.setattr(_staging.os, "unlink", late)
    assert not publish(final, writes("ours"), is_whole)
    assert (final / "content").read_text() == "theirs" and is_whole(final)


def test_what_is_whole_is_never_out_of_its_place(final, monkeypatch):
    """Whoever is killed meanwhile would have taken it away; and over a network a folder is seen late."""
    publish(final, writes("theirs"), is_whole)
    looks, rename = [], os.rename

    def late(folder):
        looks.append(folder)
        return len(looks) > 1 and is_whole(folder)

    def moved(source, target):
        assert source != final, "it is put aside"
        rename(source, target)

    monkeypatch.setattr(_staging.os, "rename", moved)
    assert not publish(final, writes("ours"), late)
    assert (final / "content").read_text() == "theirs" and names(final) == ["it"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_fills_is_not(final):
    code = f"import sys, os, time; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from bench._staging import publish\n"
    code += f"publish(Path({str(final)!r}), lambda f: (print('in', flush=True), time.sleep(600)), lambda f: False)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        assert publish(final, writes("a"), is_whole)
        assert len(names(final)) == 2, "its folder is still being filled"
        process.kill()
        process.wait()
    assert not publish(final, writes("b"), is_whole)
    assert names(final) == ["it"]


def test_a_run_that_is_being_written_is_no_run_yet(tmp_path):
    import made_runs

    from bench import store

    run_id = "a" * 12
    made_runs.complete(tmp_path, run_id)
    folder = store.run_folder(tmp_path, run_id)
    shutil.copytree(folder, temporary_beside(folder, "part"))
    assert list(store.run_ids(tmp_path)) == [run_id]
    assert Results(tmp_path).runs["run_id"].tolist() == [run_id]


def test_another_machine_s_folder_stays_for_a_day(final):
    other = final.parent / ".it.00000000-1-1-00000000.part"
    for age, stays in ((60, True), (FORGOTTEN_S - 60, True), (FORGOTTEN_S + 60, False)):
        other.mkdir(parents=True, exist_ok=True)
        os.utime(other, (time.time() - age,) * 2)
        clear(final.parent, ".it.*.part")
        assert other.exists() == stays


def test_what_a_process_writes_that_the_kernel_hides_is_not_taken_from_it(final, monkeypatch):
    """With hidepid, /proc shows no processes of other users; and several users write into a store of features."""

    def another_users(pid, signal):
        raise PermissionError(1, "Operation not permitted")

    final.parent.mkdir()
    pid = int((_files.Path("/proc/sys/kernel/pid_max")).read_text()) + 1  # which /proc never shows
    left = final.with_name(temporary_beside(final, "part").name.replace(f"-{os.getpid()}-", f"-{pid}-"))
    left.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", another_users)
        assert not _files.is_abandoned(left)
        os.utime(left, (time.time() - FORGOTTEN_S - 60,) * 2)
        assert _files.is_abandoned(left), "as with another machine's"
    os.utime(left)
    assert _files.is_abandoned(left), "there is none"


@pytest.mark.parametrize("name", ["it", ".it.part", ".its.00000000-1-1-00000000.part", ".it.tmp"])
def test_nothing_else_is_removed(final, name):
    (final.parent / name).mkdir(parents=True)
    os.utime(final.parent / name, (0, 0))
    clear(final.parent, ".it.*.part")
    assert names(final) == [name]
