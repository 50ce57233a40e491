"""The review's server without a browser: who is let in, what is saved, and that nothing is overwritten."""

import json
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import bench
from fakes import write_video

from bench.contracts import BenchError
from bench.knowledge import _decisions, _pictures
from bench.knowledge._decisions import Place
from bench.knowledge._pictures import FRAMES, GAP, HEIGHT, VIDEOS
from bench.knowledge.bank import load, parsed
from bench.knowledge.review import MAX_REQUEST, create_app, open_desk, serve
from bench.manifest import build

TOKEN, PORT = "the-token-of-this-test", 5000
HERE = f"http://127.0.0.1:{PORT}"
SENT = {"Origin": HERE}
ROUTES = ["/", "/bank", "/page.js", "/page.css", "/icon.svg", "/frames/0/0", "/nothing"]
ODD = 'rock & "roll" <3'

RAISED = {"text": "A hand goes up.", "kind": "motion", "origin": "gpt", "status": "proposed"}
OPEN = {"text": "The palm is open.", "kind": "appearance", "origin": "gpt", "status": "proposed"}
CLOSE = {
    **RAISED,
    "text": "Both hands meet.",
    "status": "rejected",
    "scores": {"margin": -0.1},
    "nearest": "clap",
    "reason": "closer to the class 'clap' <script>alert(1)</script>",
}


@pytest.fixture
def path(tmp_path):
    origins = {"gpt": {"by": "a language model", "prompt": "What does waving look like?"}}
    classes = {"wave": [RAISED, OPEN, CLOSE], "clap": [{**RAISED, "text": "Two hands meet."}], ODD: [OPEN]}
    bank = {"schema": 2, "dataset": "mine", "about": "", "origins": origins, "classes": classes}
    path = tmp_path / "banks" / "mine.json"
    path.parent.mkdir()
    _decisions.save(parsed(json.dumps(bank), "made here"), path)
    return path


@pytest.fixture
def desk(path):
    return open_desk(path, "Ada")


def client_of(desk):
    """A browser that opened the printed address."""
    client = create_app(desk, TOKEN, PORT).test_client()
    assert client.get(f"/?token={TOKEN}", base_url=HERE).status_code == 200
    return client


@pytest.fixture
def client(desk):
    return client_of(desk)


def version(client):
    return client.get("/bank", base_url=HERE).json["version"]


def decide(client, action="accept", name="wave", number=0, headers=SENT, **more):
    asked = {"class": name, "number": number, "action": action, "reviewer": "", **more}
    if "version" not in asked:
        asked["version"] = version(client)
    return client.post("/decide", json=asked, base_url=HERE, headers=headers)


def undo(client, number):
    return client.post("/undo", json={"version": version(client), "undo": number}, base_url=HERE, headers=SENT)


def statement(path, name="wave", number=0):
    return load(str(path)).classes[name][number]


@pytest.fixture
def untouched(path):
    """The bank's folder is at the end as it was at the beginning."""
    before = path.read_bytes()
    yield
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


# --- who is let in ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "given", ["", "?token=", "?token=wrong", f"?token={TOKEN[:-1]}", "?token=%C3%A9", "?token=%00"]
)
def test_nothing_is_answered_without_the_token(route, given, desk, untouched):
    answer = create_app(desk, TOKEN, PORT).test_client().get(route + given, base_url=HERE)
    assert answer.status_code == 403 and "the address that the command printed" in answer.json["error"]


@pytest.mark.parametrize("route", ["/decide", "/undo"])
def test_nothing_is_saved_without_the_token(route, desk, untouched):
    client = create_app(desk, TOKEN, PORT).test_client()
    assert client.post(f"{route}?token={TOKEN}", json={}, base_url=HERE, headers=SENT).status_code == 403


def test_the_token_opens_the_page_alone_which_keeps_it_in_a_cookie_that_scripts_and_other_sites_do_not_get(desk):
    client = create_app(desk, TOKEN, PORT).test_client()
    assert client.get(f"/bank?token={TOKEN}", base_url=HERE).status_code == 403
    cookie = client.get(f"/?token={TOKEN}", base_url=HERE).headers["Set-Cookie"]
    assert f"kpbench-review-{PORT}={TOKEN};" in cookie and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert client.get("/bank", base_url=HERE).status_code == client.get("/", base_url=HERE).status_code == 200


HOSTS = ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.1.evil.example:{PORT}"]


@pytest.mark.parametrize("host", [*HOSTS, f"0.0.0.0:{PORT}", f"[::1]:{PORT}"])
def test_a_foreign_host_name_that_leads_here_is_refused(host, desk, untouched):
    client = create_app(desk, TOKEN, PORT).test_client()
    known = {"Host": host, "Cookie": f"kpbench-review-{PORT}={TOKEN}"}
    for answer in (
        client.get(f"/?token={TOKEN}", headers=known),
        client.get("/bank", headers=known),
        client.post("/decide", json={}, headers={**known, "Origin": f"http://{host}"}),
    ):
        assert answer.status_code == 403 and "host" in answer.json["error"]


def test_localhost_is_the_same_place(desk):
    base = f"http://localhost:{PORT}"
    client = create_app(desk, TOKEN, PORT).test_client()
    assert client.get(f"/?token={TOKEN}", base_url=base).status_code == 200
    asked = {"class": "wave", "number": 0, "action": "accept", "reviewer": ""}
    asked["version"] = client.get("/bank", base_url=base).json["version"]
    assert client.post("/decide", json=asked, base_url=base, headers={"Origin": base}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}"]
)
def test_another_page_can_neither_send_nor_read(origin, client, untouched):
    if origin:
        assert client.get("/bank", base_url=HERE, headers={"Origin": origin}).status_code == 403
    answer = decide(client, headers={"Origin": origin} if origin else {})
    assert answer.status_code == 403 and "another page" in answer.json["error"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("let_in", [True, False])
def test_every_answer_tells_the_browser_to_load_and_run_nothing_else(route, let_in, desk):
    client = client_of(desk) if let_in else create_app(desk, TOKEN, PORT).test_client()
    headers = client.get(route, base_url=HERE).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"


def test_the_page_has_no_script_and_no_style_of_its_own_and_names_no_other_place(client):
    page = client.get("/", base_url=HERE).text
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/page.js">']
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    for route in ("/", "/page.js", "/page.css"):
        text = client.get(route, base_url=HERE).text
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|\beval\b|url\(", text)


def test_a_name_of_a_file_is_no_html(path):
    odd = path.with_name("<img src=x onerror=alert(1)>.json")
    odd.write_bytes(path.read_bytes())
    page = client_of(open_desk(odd)).get("/", base_url=HERE).text
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;.json" in page


def test_odd_texts_come_as_data(client):
    answer = client.get("/bank", base_url=HERE)
    assert answer.mimetype == "application/json"
    classes = {c["name"]: c for c in answer.json["classes"]}
    assert ODD in classes and "<script>" in classes["wave"]["statements"][2]["reason"]
    assert [s["confusable"] for s in classes["wave"]["statements"]] == ["", "", "clap"]
    assert classes["wave"]["statements"][2]["scores"] == {"margin": -0.1}


# --- what is saved ---------------------------------------------------------------------------------------------


def test_accepting_lets_through_and_says_who(client, path):
    answer = decide(client)
    assert answer.status_code == 200 and answer.json["statement"]["status"] == "accepted"
    s = statement(path)
    assert (s.status, s.reason, s.text, s.origin) == ("accepted", "accepted in review by Ada", RAISED["text"], "gpt")
    assert answer.json["version"] == version(client)


def test_what_refinement_said_stays_behind_every_later_decision(client, path):
    for action in ("accept", "reject", "accept"):
        assert decide(client, action, number=2).status_code == 200
    s = statement(path, number=2)
    assert s.status == "accepted" and s.reason == f"accepted in review by Ada; before: {CLOSE['reason']}"
    assert s.scores == CLOSE["scores"]


def test_editing_keeps_what_was_there_first_and_who_wrote_it(client, path):
    for text in ("One hand goes up.", "  One hand goes up high.  "):
        assert decide(client, "edit", text=text, kind="body part").status_code == 200
    s = statement(path)
    assert (s.text, s.was, s.status, s.kind) == ("One hand goes up high.", RAISED["text"], "edited", "body part")
    assert s.reason == "edited in review by Ada"
    origin = load(str(path)).origins[s.origin]
    assert origin.by == "a language model, edited by Ada" and origin.prompt == "What does waving look like?"
    assert list(load(str(path)).origins) == ["gpt", "gpt, edited by Ada"]


def test_an_edited_statement_loses_the_scores_of_its_old_text_and_stays_edited_through_other_decisions(client, path):
    decide(client, "edit", number=2, text="Both hands meet above the head.", kind="motion")
    assert (statement(path, number=2).scores, statement(path, number=2).nearest) == ({}, "")
    decide(client, "reject", number=2)
    assert statement(path, number=2).status == "rejected"
    decide(client, "accept", number=2)
    assert statement(path, number=2).status == "edited"


def test_another_kind_alone_is_an_edit_that_keeps_the_scores(client, path):
    decide(client, "edit", number=2, text=CLOSE["text"], kind="body part")
    s = statement(path, number=2)
    assert (s.status, s.kind, s.was, s.scores) == ("edited", "body part", "", CLOSE["scores"]) and s.nearest == "clap"


@pytest.mark.parametrize("action", ["accept", "reject", "edit"])
def test_undo_gives_the_very_file_back(action, client, path, untouched):
    number = decide(client, action, number=2, text="A new text.", kind="motion").json["undo"]
    assert statement(path, number=2).reason != CLOSE["reason"]
    answer = undo(client, number)
    assert answer.status_code == 200 and (answer.json["class"], answer.json["number"]) == ("wave", 2)
    assert undo(client, number).status_code == 410


def test_an_origin_that_another_edit_uses_survives_an_undo(client, path):
    first = decide(client, "edit", text="One.", kind="motion").json["undo"]
    decide(client, "edit", number=1, text="Two.", kind="motion")
    assert undo(client, first).status_code == 200
    assert statement(path, number=1).origin == "gpt, edited by Ada"


def test_a_statement_that_was_changed_since_is_not_undone(client, path):
    first = decide(client).json["undo"]
    decide(client, "reject")
    before = path.read_bytes()
    answer = undo(client, first)
    assert answer.status_code == 410 and "changed since" in answer.json["error"] and path.read_bytes() == before


def test_the_page_gives_the_reviewer_where_the_command_did_not(path):
    client = client_of(open_desk(path))
    for name in ("", "  ", "a;b", "a\nb", "<b>Bob</b>", "x" * 81):
        answer = decide(client, reviewer=name)
        assert answer.status_code == 422 and "the reviewer's name" in answer.json["error"]
    assert decide(client, reviewer=" Bob ").status_code == 200
    assert statement(path).reason == "accepted in review by Bob"


def test_the_name_on_the_command_line_is_not_to_be_changed_by_a_page(client, path):
    decide(client, reviewer="Mallory")
    assert statement(path).reason == "accepted in review by Ada"


def test_a_link_to_a_bank_stays_a_link(path):
    link = path.with_name("link.json")
    link.symlink_to(path)
    assert decide(client_of(open_desk(link, "Ada"))).status_code == 200
    assert link.is_symlink() and statement(path).status == "accepted"


# --- nothing is overwritten ------------------------------------------------------------------------------------


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


# --- bad input -------------------------------------------------------------------------------------------------

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


# --- frames ----------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path):
    """Of waving: a test video, two training videos of one person and one of another; of clapping: test videos, one is broken."""
    videos = tmp_path / "videos"
    rows = [("wave", "t", "test"), ("wave", "a", "train"), ("wave", "a", "train"), ("wave", "b", "train")]
    rows += [("clap", "t", "test"), ("clap", "t", "test")]
    for i in range(5):
        write_video(videos / f"{i}.mp4", 6, first=3 * i, colour=(220, 40, 40))
    (videos / "5.mp4").write_bytes(b"no video")
    table = [{"video_id": str(i), "path": f"{i}.mp4", "label": c, "group": g} for i, (c, g, _) in enumerate(rows)]
    return build("mine", table, ("clap", "wave"), videos, splits={"1": [role for *_, role in rows]})


def test_frames_are_from_training_videos_of_different_people_first(manifest, path):
    samples = open_desk(path, "Ada", manifest).samples
    assert [r["path"][-5:] for r in samples["wave"].rows] == ["1.mp4", "3.mp4", "2.mp4"]
    assert samples["wave"].side == "training videos" and "every video" in samples["clap"].side
    assert len(samples["wave"].rows) == VIDEOS


def test_a_video_that_any_split_tests_is_not_shown(tmp_path):
    rows = [{"video_id": str(i), "path": f"{i}.mp4", "label": "wave", "group": str(i)} for i in range(3)]
    for i in range(3):
        write_video(tmp_path / f"{i}.mp4", 2)
    roles = {"1": ["train", "test", "train"], "2": ["train", "train", "test"]}
    (shown,) = _pictures.samples(build("mine", rows, ("wave",), tmp_path, splits=roles)).values()
    assert [r["path"][-5:] for r in shown.rows] == ["0.mp4"] and shown.side == "training videos"


def test_frames_come_as_pictures_by_class_and_number(manifest, path):
    client = client_of(open_desk(path, "Ada", manifest))
    state = client.get("/bank", base_url=HERE).json
    frames = {c["name"]: c["frames"] for c in state["classes"]}
    assert state["dataset"] == "mine" and frames["wave"]["count"] == 3 and frames[ODD] is None
    answer = client.get(f"/frames/{frames['wave']['label']}/0", base_url=HERE)
    assert answer.mimetype == "image/jpeg"
    coloured = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
    blue, _, red = coloured[:, 160:220].mean(axis=(0, 1))
    assert red > 180 and blue < 80
    picture = coloured.mean(axis=2)
    assert picture.shape == (HEIGHT, FRAMES * 240 + (FRAMES - 1) * GAP)  # of 32 x 48
    shades = [picture[:, t * (240 + GAP) + 20 : t * (240 + GAP) + 100].mean() for t in range(FRAMES)]
    assert shades == sorted(shades) and shades[0] < shades[-1]


@pytest.mark.parametrize(
    "where", ["9/0", "0/9", "-1/0", "0/-1", "../../bank", "%2e%2e/%2e%2e/etc/passwd", "0/0/../1", "a/b", "0/0.mp4"]
)
def test_other_frames_there_are_none(where, manifest, path):
    answer = client_of(open_desk(path, "Ada", manifest)).get(f"/frames/{where}", base_url=HERE)
    assert answer.status_code == 404 and answer.json["error"]


def test_a_video_that_cannot_be_decoded_says_why(manifest, path):
    client = client_of(open_desk(path, "Ada", manifest))
    label = client.get("/bank", base_url=HERE).json["classes"][1]["frames"]["label"]
    answer = client.get(f"/frames/{label}/1", base_url=HERE)
    assert answer.status_code == 422 and "5.mp4" in answer.json["error"]


def test_a_data_set_without_a_published_split_says_so(manifest, path):
    table = manifest.rows.drop(columns="split:1")
    samples = open_desk(path, "Ada", type(manifest)("mine", manifest.class_names, pd.DataFrame(table))).samples
    assert samples["clap"].side == "the data set publishes no split" and len(samples["wave"].rows) == 3


def test_a_data_set_of_other_classes_is_an_error(manifest, path):
    path.write_text(path.read_text().replace('"wave": [', '"bow": [').replace('"clap": [', '"sit": ['))
    with pytest.raises(
        BenchError, match=r"mine has none of the classes of .*mine.json: it has .*; the bank has bow, sit"
    ):
        open_desk(path, "Ada", manifest)


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
