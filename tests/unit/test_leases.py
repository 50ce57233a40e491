import dataclasses
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from bench import leases
from bench.leases import Leases
from bench.plugins import ROOT

ELSEWHERE = {"machine": "another host", "pid": 1, "started": "1", "job": "", "token": "f" * 16}


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def two(tmp_path):
    with Leases(tmp_path / "leases") as a, Leases(tmp_path / "leases") as b:
        yield a, b


def test_one_of_two_gets_it_and_the_other_when_it_is_given_back(two):
    a, b = two
    lease = a.take("k")
    assert lease is not None and b.take("k") is None and a.take("k") is None
    assert b.holder("k") == a.me and b.take("other") is not None
    lease.release()
    assert b.holder("k") is None and b.take("k") is not None and a.take("k") is None


def test_leaving_the_block_gives_all_back(tmp_path):
    with Leases(tmp_path) as a:
        a.take("k1")
        a.take("k2")
        assert len(list(tmp_path.iterdir())) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "a b"])
def test_a_key_is_a_plain_name(tmp_path, key):
    with Leases(tmp_path) as a, pytest.raises(ValueError, match="is no name of a lease"):
        a.take(key)


def test_of_many_threads_one_gets_it(tmp_path):
    got = []
    with Leases(tmp_path) as first:
        others = [Leases(tmp_path) for _ in range(16)]
        barrier = threading.Barrier(16)

        def take(one):
            barrier.wait()
            got.append(one.take("k"))

        threads = [threading.Thread(target=take, args=[one]) for one in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None for lease in got) == 1 and first.take("k") is None


def foreign(folder, key, **changes):
    """A lease held on another machine, where nobody can look whether its process lives."""
    path = folder / key
    path.write_text(json.dumps(ELSEWHERE | changes))
    return path


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(leases.time, "monotonic", lambda: self.now)


def test_a_lease_that_stands_still_lapses_on_the_watcher_s_own_clock(tmp_path, monkeypatch):
    clock, path = Clock(monkeypatch), foreign(tmp_path, "k")
    a = Leases(tmp_path, lapse_s=60)
    # The other clock is an hour ahead, or behind: the file's time is compared with itself alone.
    os.utime(path, (time.time() + 3600,) * 2)
    assert a.take("k") is None
    clock.now += 59.9
    assert a.take("k") is None
    clock.now += 0.2
    assert a.take("k") is not None and a.holder("k") == a.me
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_a_beat_keeps_it(tmp_path, monkeypatch):
    clock, path = Clock(monkeypatch), foreign(tmp_path, "k")
    a = Leases(tmp_path, lapse_s=60)
    for beat in range(5):
        assert a.take("k") is None
        clock.now += 50
        os.utime(path, (1000 + beat,) * 2)
    assert a.take("k") is None


def test_two_watchers_of_a_lapsed_lease_get_it_once(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    foreign(tmp_path, "k")
    a, b = Leases(tmp_path, lapse_s=60), Leases(tmp_path, lapse_s=60)
    assert a.take("k") is None and b.take("k") is None
    clock.now += 61
    # b has judged it lapsed when a takes it: the rename brings a's lease away, which goes back.
    removed, remove = [], b._remove

    def late(key, path):
        removed.append(a.take("k"))
        return remove(key, path)

    monkeypatch.setattr(b, "_remove", late)
    assert b.take("k") is None and removed[0] is not None
    assert a.holder("k") == a.me and [p.name for p in tmp_path.iterdir()] == ["k"]
    clock.now += 1
    assert b.take("k") is None


def test_the_heart_beats_and_a_lost_lease_is_known(tmp_path):
    with Leases(tmp_path, beat_s=0.01) as a:
        lease = a.take("k")
        path = tmp_path / "k"
        os.utime(path, (1, 1))
        until(lambda: path.stat().st_mtime > 1)
        assert not lease.is_lost
        path.unlink()
        foreign(tmp_path, "k")
        os.utime(path, (1, 1))
        until(lambda: lease.is_lost)
        assert path.stat().st_mtime == 1, "another's lease is not kept alive"
        lease.release()
        assert json.loads(path.read_text()) == ELSEWHERE, "nor given back"


def test_a_dead_process_of_this_machine_loses_it_at_once(tmp_path):
    code = f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from bench.leases import Leases; from pathlib import Path\n"
    code += f"with Leases(Path({str(tmp_path)!r})) as a: a.take('k'); print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        a = Leases(tmp_path)
        assert a.take("k") is None and not a.holder("k").is_gone
        process.kill()
        # Killed and not waited for: it still has a number, but it holds nothing.
        until(lambda: a.holder("k").is_gone)
        assert a.take("k") is not None


def test_sweeping_takes_away_what_dead_processes_of_this_machine_held(tmp_path):
    with Leases(tmp_path) as a:
        a.take("mine")
        foreign(tmp_path, "elsewhere")
        (tmp_path / "dead").write_text(json.dumps(dataclasses.asdict(dataclasses.replace(a.me, started="7"))))
        (tmp_path / "unread").touch()
        a.sweep()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "mine", "unread"]


def test_a_later_process_of_the_same_number_is_another(tmp_path, monkeypatch):
    a = Leases(tmp_path)
    assert not a.me.is_gone and dataclasses.replace(a.me, started="7").is_gone
    assert not dataclasses.replace(a.me, started="7", machine="another").is_gone, "who knows"
    monkeypatch.setattr(leases, "is_hidden", lambda pid: True)
    assert not dataclasses.replace(a.me, started="").is_gone, (
        "another user's, who shares the folder, where /proc shows none"
    )


def test_a_lease_that_is_just_being_written_is_another_s(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    (tmp_path / "k").touch()
    a = Leases(tmp_path, lapse_s=60)
    assert a.take("k") is None and a.holder("k") is None
    clock.now += 61
    assert a.take("k") is not None


def test_a_lease_that_the_disk_does_not_take_leaves_no_claim_behind(tmp_path, monkeypatch):
    """On a full disk the name is made and the content is not; that would stand for a minute as somebody's."""
    a = Leases(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "asdict", lambda holder: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            a.take("k")
    assert not list(tmp_path.iterdir()) and a.take("k") is not None


def test_one_that_is_made_between_look_and_taking_away_stays_though_nothing_is_in_it_yet(tmp_path, monkeypatch):
    a, path = Leases(tmp_path), tmp_path / "k"
    foreign(tmp_path, "k")
    remove = a._remove

    def late(key, at):
        at.touch()  # another's, just before it writes who it is
        return remove(key, at)

    stat = leases.Path.stat

    def gone(self, **options):
        if self == path:
            path.unlink(missing_ok=True)
        return stat(self, **options)

    monkeypatch.setattr(a, "_remove", late)
    with monkeypatch.context() as patch:
        patch.setattr(leases.Path, "stat", gone)
        assert a.take("k") is None
    assert [p.name for p in tmp_path.iterdir()] == ["k"] and not path.read_text()
