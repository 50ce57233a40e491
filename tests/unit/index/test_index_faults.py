"""An index that is spoilt, cannot be written, or whose writers are killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import synthetic
from indexed import SMALL, anew, fill, known, same

from bench import _table, index
from bench._files import temporary_beside
from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.stored_results import Results


def spoilt(content):
    rng = np.random.default_rng(0)
    yield "empty", b""
    yield "of another program", b"PAR1" + content[4:]
    yield "of another format", content.replace(f"index {index.FORMAT}.".encode(), b"index 1.", 1)
    yield "longer", content + b"\0"
    for cut in (1, 20, len(content) // 2, len(content) - 1):
        yield f"cut at {cut}", content[:cut]
    for place in rng.integers(0, len(content), 40):
        yield f"flipped at {place}", content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def test_an_index_that_is_spoilt_in_any_way_is_rebuilt_without_a_word(tmp_path):
    fill(tmp_path)
    fresh = Results(tmp_path).runs
    content = index.path(tmp_path).read_bytes()
    for how, bad in spoilt(content):
        index.path(tmp_path).write_bytes(bad)
        assert index.load(tmp_path) is None, how
    same(Results(tmp_path).runs, fresh)
    assert index.path(tmp_path).read_bytes() == content
    index.path(tmp_path).unlink()
    same(Results(tmp_path).runs, fresh)
    assert index.path(tmp_path).read_bytes() == content


def test_a_home_that_cannot_be_written_to_is_read_all_the_same(tmp_path, monkeypatch):
    ids = fill(tmp_path)
    (tmp_path / "index").write_text("in the way of a folder")
    assert len(Results(tmp_path).runs) == len(ids)
    with pytest.raises(BenchError, match="cannot be written.*make .* writable"):
        index.rebuild(tmp_path)
    (tmp_path / "index").unlink()

    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(index, "write_atomic", refuse)
        assert len(Results(tmp_path).runs) == len(ids)
        assert Results(tmp_path).tested(ids[0])[1].size == 30
    assert not (tmp_path / "index").exists()


def test_nothing_is_written_where_there_are_no_runs(tmp_path):
    assert Results(tmp_path).runs.empty and Results(tmp_path).metrics == () and Results(tmp_path).scores.empty
    assert list(tmp_path.iterdir()) == []


LOOP = """
import sys, time
from pathlib import Path
from bench import index
home, end = Path(sys.argv[1]), time.time() + float(sys.argv[2])
print("ready", flush=True)
while time.time() < end:
    index.refresh(home)
    index.rebuild(home)
"""


@contextmanager
def looping(home, seconds):
    """A process that refreshes and rebuilds as long as it may."""
    command = [sys.executable, "-c", LOOP, str(home), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"ready\n"
        yield worker


def test_two_processes_that_refresh_at_once_leave_a_whole_index(tmp_path):
    runs = list(synthetic.made(**SMALL, scores=synthetic.quick_scores))
    for run in runs[:10]:
        synthetic.put(tmp_path, run)
    loads = 0
    with looping(tmp_path, 3) as one, looping(tmp_path, 3) as other:
        for run in runs[10:]:
            synthetic.put(tmp_path, run)
            if index.path(tmp_path).exists():
                assert index.load(tmp_path) is not None
                loads += 1
            time.sleep(0.05)
    assert loads and (one.returncode, other.returncode) == (0, 0)
    index.refresh(tmp_path)
    same(known(tmp_path), anew(tmp_path))
    assert [f.name for f in (tmp_path / "index").iterdir()] == ["runs.index"]


@pytest.mark.slow
def test_killed_at_any_moment_a_refresh_leaves_the_old_index_or_the_new_one(tmp_path):
    ids = fill(tmp_path, scores=synthetic.quick_scores)
    for wait in (0.0, 0.01, 0.03, 0.06, 0.1):
        with looping(tmp_path, 60) as worker:
            time.sleep(wait)
            worker.send_signal(signal.SIGKILL)
        assert not index.path(tmp_path).exists() or len(known(tmp_path)) == len(ids)
        same(_table.frame(index.refresh(tmp_path)), anew(tmp_path))


def test_a_rebuild_clears_what_killed_processes_left(tmp_path):
    fill(tmp_path)
    index.refresh(tmp_path)
    ours = temporary_beside(index.path(tmp_path))
    theirs = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-7"))
    for file in (ours, theirs):
        file.write_bytes(b"half")
    index.rebuild(tmp_path)
    assert not theirs.exists() and ours.exists(), "this process may be writing it"
