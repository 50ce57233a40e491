import os
import signal
import subprocess
import sys
import threading

import pytest

from bench import stopping
from bench.plugins import ROOT


@pytest.fixture(autouse=True)
def nobody_stops():
    stopping.forget()
    yield
    stopping.forget()


def test_it_is_asked_once_and_the_first_reason_stays():
    assert stopping.requested() is None
    stopping.check()
    stopping.request("one")
    stopping.request("two")
    assert stopping.requested() == "one"
    with pytest.raises(stopping.Stopped, match="^one$"):
        stopping.check()
    stopping.forget()
    assert stopping.requested() is None
    stopping.check()


def test_a_request_ends_a_wait():
    threading.Timer(0.05, stopping.request, ["other thread"]).start()
    with pytest.raises(stopping.Stopped, match="other thread"):
        stopping.wait(600)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_asks_and_what_it_did_before_comes_back(signum):
    before, then = signal.getsignal(signum), []
    with stopping.on_signals((signum,), then.append):
        os.kill(os.getpid(), signum)
        assert stopping.requested() == signum.name and then == [signum]
    assert signal.getsignal(signum) is before


def test_signals_get_back_what_they_did_after_an_error():
    before = [signal.getsignal(s) for s in stopping.SIGNALS]
    with pytest.raises(ValueError, match="x"), stopping.on_signals():
        assert [signal.getsignal(s) for s in stopping.SIGNALS] != before
        raise ValueError("x")
    assert [signal.getsignal(s) for s in stopping.SIGNALS] == before


DEADLOCK = """
import signal, sys, threading
sys.path.insert(0, {root!r})
from bench import stopping

def line(frame, event, arg):
    # A signal may come between any two instructions of whoever waits.
    if event == "line" and not stopping.requested():
        count[0] += 1
        if count[0] == {at}:
            signal.raise_signal(signal.SIGTERM)
    return line

count = [0]
signal.alarm(20)
with stopping.on_signals((signal.SIGTERM,)):
    sys.settrace(line)
    try:
        for _ in range(50):
            stopping.wait(0.001)
    except stopping.Stopped as why:
        sys.settrace(None)
        print(why)
"""


@pytest.mark.parametrize("at", range(1, 40, 3))
def test_a_signal_that_comes_while_it_is_waited_for_one_stops_the_wait(at):
    code = DEADLOCK.format(root=str(ROOT), at=at)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "SIGTERM\n"), done.stderr
