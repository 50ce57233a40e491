"""The review's server without a browser: nothing is overwritten that somebody else wrote."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from reviewing import HERE, SENT, client_of, decide, statement, undo, version

from bench.knowledge import _decisions
from bench.knowledge._decisions import Place


def test_of_two_pages_the_second_is_told_what_the_first_saved(desk, path):
    one, two = client_of(desk), client_of(desk)
    seen = version(two)
    decide(one, "edit", text="One hand goes up.", kind="motion")
    after = path.read_bytes()
    answer = decide(two, "reject", version=seen)
    assert answer.status_code == 409 and "changed meanwhile" in answer.json["error"]
    shown = answer.json["bank"]["classes"][0]["statements"][0]
    assert shown["text"] == "One hand goes up." and shown["reason"] == "edited in review by Ada"
    assert path.read_bytes() == after
    assert decide(two, "reject", version=answer.json["bank"]["version"]).status_code == 200


def test_a_file_changed_by_hand_is_not_overwritten_not_even_by_an_undo(client, path):
    first = decide(client).json
    path.write_text(path.read_text().replace("The palm is open.", "The palm is wide open."))
    by_hand = path.read_bytes()
    assert decide(client, version=first["version"]).status_code == 409
    asked = {"version": first["version"], "undo": first["undo"]}
    assert client.post("/undo", json=asked, base_url=HERE, headers=SENT).status_code == 409
    assert path.read_bytes() == by_hand


@pytest.mark.parametrize("spoilt", [b"{", b"", b'{"schema": 2, "origins": {}, "classes": {"wave": [{}]}}', b"\xff"])
def test_a_file_broken_at_that_moment_is_left_alone_and_told(spoilt, client, path):
    seen, whole = version(client), path.read_bytes()
    path.write_bytes(spoilt)
    answer = decide(client, version=seen)
    assert answer.status_code == 422 and str(path) in answer.json["error"] and path.read_bytes() == spoilt
    path.write_bytes(whole)
    assert decide(client, version=seen).status_code == 200


def test_a_file_that_is_gone_is_not_made_again(client, path):
    seen = version(client)
    path.unlink()
    answer = decide(client, version=seen)
    assert answer.status_code == 422 and "there is no knowledge bank" in answer.json["error"]
    assert list(path.parent.iterdir()) == []


def test_of_many_saves_at_once_from_one_version_one_is_done(desk, path):
    clients = [client_of(desk) for _ in range(8)]
    seen = version(clients[0])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda c: decide(c, version=seen).status_code, clients))
    assert sorted(answers) == [200] + [409] * 7 and list(path.parent.iterdir()) == [path]


def test_no_other_process_gets_between_reading_and_writing(path):
    other = (
        "import fcntl, sys\n"
        "try: fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('it waits')\n"
    )

    def make(bank):
        command = [sys.executable, "-c", other, str(path.with_name(".mine.json.lock"))]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "it waits\n"
        return _decisions.accepted(bank, Place("wave", 0), "Ada")

    _decisions.change(path, _decisions.snapshot(path).version, make)
    assert statement(path).status == "accepted"


def test_the_lock_lets_one_in_at_a_time_though_its_file_comes_and_goes(path):
    count = path.with_name("count")
    count.write_text("0")

    def add():
        for _ in range(40):
            with _decisions.locked(path):
                found = int(count.read_text())
                threading.Event().wait(0.0005)
                count.write_text(str(found + 1))

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(add) for _ in range(6)]:
            done.result()
    assert count.read_text() == "240" and sorted(path.parent.iterdir()) == [count, path]


def test_after_the_end_nothing_more_is_saved(desk, path):
    client = client_of(desk)
    decide(client)
    desk.close()
    before = path.read_bytes()
    answer = decide(client, "reject")
    assert answer.status_code == 422 and "ended" in answer.json["error"] and path.read_bytes() == before


def test_the_end_tells_what_was_decided(desk, path):
    client = client_of(desk)
    assert desk.told() == "decided: nothing; undecided in mine.json: 4"
    decide(client, "reject")
    undone = decide(client, "accept", name="clap").json["undo"]
    decide(client, "accept")
    decide(client, "edit", number=1, text="Open.", kind="motion")
    undo(client, undone)
    assert desk.told() == "decided: 1 accepted, 1 edited; undecided in mine.json: 2"
    path.write_text("{")
    assert desk.told().startswith("decided: 1 accepted, 1 edited; then the file was spoilt: ")
