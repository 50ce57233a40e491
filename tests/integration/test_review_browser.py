"""`python -m bench knowledge review` as a person uses it: the command in a process of its own, the page in a real browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from fakes import write_classes

from bench.knowledge import _decisions
from bench.knowledge.bank import load, parsed
from bench.plugins import ROOT

pytestmark = pytest.mark.browser

HEIGHTS = ((1280, 800), (800, 600))
MARKED = "closer to the class 'clap' than to its own <img src=x onerror=alert(1)><script>alert(2)</script> \u202eevil"


def one(text, **fields):
    return {"text": text, "kind": "motion", "origin": "gpt", "status": "proposed", **fields}


@pytest.fixture
def path(tmp_path):
    wave = [
        one("A hand goes up."),
        one("The palm is open.", scores={"margin": 0.0712}, nearest="clap"),
        one("The arm swings."),
        one("No."),
    ]
    wave[3] |= {"status": "rejected", "reason": MARKED, "nearest": "clap"}
    classes = {
        "wave": wave,
        "clap": [one("Two hands meet."), one("The elbows bend.")],
        'rock & "roll" <3': [one("It rolls.")],
    }
    bank = {"schema": 2, "dataset": "mine", "about": "", "origins": {"gpt": {"by": "a model"}}, "classes": classes}
    path = tmp_path / "mine.json"
    _decisions.save(parsed(json.dumps(bank), "made here"), path)
    return path


class Review:
    """The command, and what it printed."""

    def __init__(self, path, *words):
        command = [sys.executable, "-m", "bench", "knowledge", "review", str(path), *map(str, words)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        line = self.process.stdout.readline()  # "" where it ended
        found = re.fullmatch(r"review mine.json at (http://\S+) \(Ctrl-C ends it; what is decided is saved\)\n", line)
        if found is None:
            self.process.kill()
            pytest.fail(f"{line!r} is not its first line; {self.process.communicate()[1]}")
        self.address = found[1]

    def end(self):
        """Ctrl-C; what it printed then, and to stderr in all."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return out, err


@pytest.fixture
def review(path):
    started = []

    def start(*words):
        started.append(Review(path, *words))
        return started[-1]

    yield start
    for one_ in started:
        if one_.process.poll() is None:
            one_.process.kill()
            one_.process.communicate()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield browser
        browser.close()


@pytest.fixture
def told():
    """What pages wrote to their consoles or wanted from elsewhere; nothing, at a test's end."""
    told = []
    yield told
    assert told == []


@pytest.fixture
def visit(browser, told):
    """A page of the review in a browser with nothing in it, ready for keys."""
    contexts = []

    def open_page(address, size=HEIGHTS[0]):
        contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}))
        page = contexts[-1].new_page()
        here = address.split("?")[0]
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(here) else told.append(request.url))
        page.goto(address)
        page.locator("#statements > li").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


def selected(page):
    return page.locator("#statements > li[aria-current] .text").text_content()


def press(page, *keys, count=None):
    """Type keys one after the other; `count` is what the progress says once the last is saved."""
    for key in keys:
        page.keyboard.press(key)
    if count is not None:
        page.locator("#count", has_text=f"{count} of 7 decided").wait_for()


def notice(page, text):
    from playwright.sync_api import expect

    expect(page.locator("#notice")).to_contain_text(text, timeout=30_000)  # which tells what is there instead
    return page.locator("#notice").text_content()


def loaded(page):
    """Wait until every picture is there or has failed."""
    page.evaluate(
        "Promise.all([...document.querySelectorAll('#frames img')].map("
        "i => i.complete || new Promise(done => { i.addEventListener('load', done); i.addEventListener('error', done); })))"
    )


def rows(path, name="wave"):
    return [(s.text, s.status) for s in load(str(path)).classes[name]]


def test_a_person_decides_with_the_keyboard_and_ends_it(path, review, visit, told):
    run = review("--reviewer", "Ada")
    page = visit(run.address)
    assert "token" not in page.url and "reviewed by Ada" in page.locator("#who").text_content()
    assert selected(page) == "A hand goes up."
    press(page, "a", count=2)
    assert selected(page) == "The palm is open." and "margin 0.071" in page.locator(".facts").text_content()
    press(page, "r", count=3)
    assert selected(page) == "The arm swings."

    press(page, "e", "Control+a")
    page.keyboard.type("The arm swings like a pendulum; press a, r or u?")
    press(page, "Enter", count=4)
    assert rows(path)[:3] == [
        ("A hand goes up.", "accepted"),
        ("The palm is open.", "rejected"),
        ("The arm swings like a pendulum; press a, r or u?", "edited"),
    ]
    assert selected(page) == "Two hands meet."  # of the next class; the rejected one between is decided

    whole = path.read_bytes()
    press(page, "e")
    page.keyboard.type("never saved")
    press(page, "Escape")
    assert page.locator("textarea:visible").count() == 0 and path.read_bytes() == whole

    press(page, "u", count=3)
    assert selected(page) == "The arm swings." and rows(path)[2] == ("The arm swings.", "proposed")
    press(page, "u", count=2)
    assert rows(path)[1] == ("The palm is open.", "proposed")
    press(page, "u", count=1)
    press(page, "u")
    notice(page, "nothing to undo")
    press(page, "a", count=2)

    out, err = run.end()
    assert out == "decided: 1 accepted; undecided in mine.json: 5\n" and err == ""
    press(page, "a")
    notice(page, "does not answer: start the command again")
    assert "ERR_CONNECTION_REFUSED" in told.pop()


def test_what_was_decided_is_there_the_next_day_and_the_page_asks_who_decides(path, review, visit):
    first = review("--reviewer", "Ada")
    press(visit(first.address), "a", "j", count=2)
    assert first.end()[0] == "decided: 1 accepted; undecided in mine.json: 5\n"

    page = visit(review().address)
    press(page, "a")  # before it knows who decides
    page.locator("#name").fill("  Bob; the builder ")
    page.keyboard.press("Enter")
    assert "without a semicolon" in page.locator("#ask-fault").text_content()
    page.locator("#name").fill("Bob")
    # At once: a browser takes the focus from what is hidden a little later, and the next key would go there.
    assert page.evaluate("document.querySelector('#begin').click(), document.activeElement.id") == ""
    assert selected(page) == "The palm is open." and "2 of 7" in page.locator("#count").text_content()
    press(page, "a", count=3)
    assert [s.reason for s in load(str(path)).classes["wave"]][:2] == [
        "accepted in review by Ada",
        "accepted in review by Bob",
    ]


def test_keys_move_through_statements_and_classes(path, review, visit):
    page = visit(review("--reviewer", "Ada").address)
    moves = [("j", "The palm is open."), ("ArrowDown", "The arm swings."), ("j", "No."), ("j", "Two hands meet.")]
    moves += [("k", "No."), ("ArrowRight", "Two hands meet."), ("ArrowRight", "It rolls."), ("j", "It rolls.")]
    moves += [
        ("ArrowLeft", "Two hands meet."),
        ("ArrowUp", "No."),
        ("n", "Two hands meet."),
        ("ArrowLeft", "A hand goes up."),
    ]
    moves += [("k", "A hand goes up.")]
    for key, text in moves:
        press(page, key)
        assert selected(page) == text, key
    press(page, "?")
    assert page.locator("#help").is_visible()
    press(page, "a", "Escape")
    assert not page.locator("#help").is_visible() and rows(path)[0] == ("A hand goes up.", "proposed")
    press(page, "Control+a", "Alt+r", "Meta+a")
    page.locator("nav button", has_text="rock").click()
    assert selected(page) == "It rolls." and page.locator("#class").text_content() == 'rock & "roll" <3'
    page.locator("button", has_text="Accept").click()
    page.locator("#count", has_text="2 of 7 decided").wait_for()
    assert rows(path) == [(s, "rejected" if s == "No." else "proposed") for s, _ in rows(path)]
    press(page, "a", "a", "a", "a", "a")  # typed faster than they are saved: the next one is never decided unseen
    page.locator("#count", has_text=re.compile("[34567] of 7")).wait_for()


def test_text_that_looks_like_a_page_is_shown_as_text(review, visit):
    page = visit(review("--reviewer", "Ada").address)
    press(page, "j", "j", "j")
    facts = page.locator(".facts").text_content()
    assert MARKED in facts and "most confusableclap" in facts
    assert page.locator("main img, main script").count() == 0


def test_two_pages_never_overwrite_each_other_and_a_typed_text_is_kept(path, review, visit, told):
    address = review().address
    pages = {}
    for name in ("Ada", "Bob"):
        pages[name] = visit(address)
        pages[name].locator("#name").fill(name)
        pages[name].keyboard.press("Enter")
    ada, bob = pages["Ada"], pages["Bob"]
    press(bob, "e", "Control+a")
    bob.keyboard.type("Bob's own words.")
    press(ada, "e", "Control+a")
    ada.keyboard.type("Ada's own words.")
    press(ada, "Enter", count=2)

    press(bob, "Enter")
    said = notice(bob, "changed beside this page")
    assert "“A hand goes up.” is now “Ada's own words.”" in said and "edited in review by Ada" in said
    assert rows(path)[0] == ("Ada's own words.", "edited")
    assert selected(bob) == "Ada's own words." and bob.locator(".editor textarea").input_value() == "Bob's own words."
    bob.locator(".editor textarea").press("Enter")  # now on purpose
    bob.locator("#statements .text", has_text="Bob's own words.").wait_for()
    s = load(str(path)).classes["wave"][0]
    assert (s.text, s.was, s.origin) == ("Bob's own words.", "A hand goes up.", "gpt, edited by Ada, edited by Bob")

    press(ada, "r")
    assert "Ada's own words." in notice(ada, "decide again") and rows(path)[1] == ("The palm is open.", "proposed")
    press(ada, "r", count=3)
    press(ada, "u", count=2)
    press(ada, "u")
    assert "changed since" in notice(ada, "nothing was undone")
    assert {line.split("status of ")[1][:3] for line in told} == {
        "409",
        "410",
    }  # what the browser itself writes of them
    told.clear()


def test_a_file_changed_or_spoilt_by_hand_is_not_overwritten(path, review, visit, told):
    page = visit(review("--reviewer", "Ada").address)
    press(page, "e", "Control+a")
    page.keyboard.type("My words.")
    whole = path.read_text()
    path.write_text("{ half a file")
    press(page, "Enter")
    assert "no readable knowledge bank" in notice(page, "Nothing was saved") and path.read_text() == "{ half a file"

    by_hand = "\n".join(line for line in whole.splitlines() if "A hand goes up." not in line)
    path.write_text(by_hand)
    press(page, "Enter")
    assert "4 statements before, 3 now" in notice(page, "changed beside this page")
    assert page.locator("#kept-text").input_value() == "My words." and path.read_text() == by_hand
    press(page, "Escape")
    assert not page.locator("#kept").is_visible()
    press(page, "a")
    page.locator("#count", has_text="2 of 6 decided").wait_for()
    assert {line.split("status of ")[1][:3] for line in told} == {"409", "422"}
    told.clear()


@pytest.mark.parametrize("size", HEIGHTS)
def test_frames_are_shown_and_everything_has_its_place(size, path, review, visit, tmp_path, told):
    videos = write_classes(tmp_path / "videos", ("clap", "wave"), per_class=2)
    (videos / "train" / "wave" / "train_wave_1.mp4").write_bytes(b"no video")
    page = visit(review("--reviewer", "Ada", "--dataset", "folder", "--root", videos).address, size)
    loaded(page)
    page.locator("#frames", has_text="train_wave_1.mp4").wait_for()
    assert "training videos" in page.locator("#frames").text_content() and page.locator("#frames img").count() == 1
    page.screenshot(path=tmp_path / "review.png")
    assert page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.body.scrollHeight <= innerHeight"
    )
    press(page, "j", "j", "j")
    page.locator("#rival", has_text="Most confusable class: clap").wait_for()
    loaded(page)
    widths = page.evaluate("[...document.querySelectorAll('#frames img')].map(i => i.naturalWidth)")
    assert len(widths) == 2 and min(widths) > 0
    box = page.locator("#statements > li[aria-current]").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= page.locator("footer").bounding_box()["y"] + 1
    small = page.locator("#frames img").first.bounding_box()["height"]
    press(page, "f")
    assert page.locator("#frames img").first.bounding_box()["height"] > small
    press(page, "ArrowRight", "ArrowRight")
    page.locator("#frames", has_text="has no class of this name").wait_for()
    assert {line.split("status of ")[1][:3] for line in told} == {"422"}  # of the broken video
    told.clear()


def test_without_a_data_set_the_page_says_so(review, visit):
    page = visit(review("--reviewer", "Ada").address)
    assert "without a data set (--dataset)" in page.locator("#frames").text_content()


def test_without_the_key_there_is_no_page(review, browser):
    page = browser.new_page()
    assert page.goto(review().address.split("?")[0]).status == 403
    assert "open the address that the command printed" in page.content()
    page.close()
