"""The review's server without a browser: who is let in."""

import re

import pytest
from reviewing import HERE, ODD, PORT, SENT, TOKEN, client_of, decide

from bench.knowledge.desk import open_desk
from bench.knowledge.review import create_app

ROUTES = ["/", "/bank", "/page.js", "/page.css", "/icon.svg", "/frames/0/0", "/nothing"]


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
