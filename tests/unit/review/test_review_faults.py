"""The review's server and command: bad input is told, and nothing is saved."""

import json
import re
import socket
import subprocess
import sys

import pytest
from commands import bench
from reviewing import HERE, OPEN, RAISED, SENT, version

from bench.contracts import BenchError
from bench.knowledge.review import MAX_REQUEST, serve

GOOD = {
    "version": "",
    "class": "wave",
    "number": 0,
    "action": "edit",
    "reviewer": "",
    "text": "A text.",
    "kind": "motion",
}


FAULTS = {
    "an empty text": ({"text": " "}, 422, "class 'wave', statement 1: the text has 0 characters"),
    "a long text": ({"text": "a" * 10_000}, 422, "the text has 10000 characters; it needs 1 to 500"),
    "a NUL": ({"text": "a\0b"}, 422, "control character"),
    "a line break": ({"text": "a\nb"}, 422, "control character"),
    "HTML": ({"text": "a <script>alert(1)</script>"}, 422, "the text holds HTML"),
    "half a surrogate pair": ({"text": "a \ud800"}, 422, "control character"),
    "a text that the class has": ({"text": OPEN["text"]}, 422, "statement 2 of the class has this text already"),
    "the same text": ({"text": RAISED["text"]}, 422, "nothing was changed"),
    "a kind nobody knows": ({"kind": "feeling"}, 422, "the kind 'feeling' is none of"),
    "a class nobody knows": ({"class": "\ud800"}, 422, "the bank has no such statement"),
    "a statement past the end": ({"number": 3}, 422, "the bank has no such statement"),
    "a statement before the beginning": ({"number": -1}, 422, "the bank has no such statement"),
    "an action nobody knows": ({"action": "delete"}, 422, "the action 'delete' is none of"),
    "a number for a text": ({"text": 3}, 400, "text (str)"),
    "a truth for a number": ({"number": True}, 400, "number (int)"),
    "no action": ({"action": None}, 400, "action (str)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_decision_is_told_and_nothing_is_saved(fault, client, untouched):
    change, code, said = FAULTS[fault]
    answer = client.post("/decide", json={**GOOD, "version": version(client), **change}, base_url=HERE, headers=SENT)
    assert answer.status_code == code and said in answer.json["error"]


BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 10_000,
    "a huge number": b'{"number": ' + b"9" * 9_000 + b"}",
    "not UTF-8": b'"\xff"',
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("route", ["/decide", "/undo"])
def test_a_request_that_is_no_object_is_told(body, route, client, untouched):
    answer = client.post(route, data=BODIES[body], content_type="application/json", base_url=HERE, headers=SENT)
    assert answer.status_code == 400 and answer.json["error"]


def test_a_form_is_no_request(client, untouched):
    answer = client.post("/decide", data=json.dumps(GOOD), content_type="text/plain", base_url=HERE, headers=SENT)
    assert answer.status_code == 400 and "application/json" in answer.json["error"]


def test_a_large_request_is_not_read(client, untouched):
    body = b'"' + b"a" * MAX_REQUEST + b'"'
    answer = client.post("/decide", data=body, content_type="application/json", base_url=HERE, headers=SENT)
    assert answer.status_code == 413


# --- the command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy"], "a review writes to a .json file, not to 'toy'"),
        (["nowhere.json"], "there is no knowledge bank"),
        (["BANK", "--root", "."], "name it with --dataset"),
        (["BANK", "--dataset", "toi"], "unknown dataset 'toi'"),
        (["BANK", "--dataset", "folder"], "--root FOLDER"),
        (["BANK", "--reviewer", "a;b"], "the reviewer's name"),
    ],
)
def test_what_cannot_be_reviewed_is_told(words, said, path, capsys, monkeypatch, untouched):
    code, _, err = bench(capsys, monkeypatch, "knowledge", "review", *[str(path) if w == "BANK" else w for w in words])
    assert code == 2 and said in err


def test_a_fault_in_the_bank_names_file_class_and_statement(path, capsys, monkeypatch):
    path.write_text(path.read_text().replace('"kind": "appearance"', '"kind": "feeling"', 1))
    code, _, err = bench(capsys, monkeypatch, "knowledge", "review", path)
    assert code == 2 and f"{path}, class 'wave', statement 2: the kind 'feeling'" in err


def test_a_port_that_is_taken_is_told(desk):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BenchError, match=f"port {port} cannot be had .*leave --port out"):
            serve(desk, port, lambda address: None)


def test_the_page_is_served_to_this_machine_alone_and_its_address_told_once(desk):
    addresses = []

    def ready(address):
        addresses.append(address)
        raise KeyboardInterrupt

    serve(desk, 0, ready)
    (address,) = addresses
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", address) and desk.closed


def test_a_review_needs_no_torch():
    code = "import sys, bench.cli, bench.knowledge.review; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
