"""Collecting statements: from a fake OpenAI-compatible server on loopback into a bank."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from commands import bench

from bench.knowledge import _decisions, asking
from bench.knowledge import bank as banks
from bench.knowledge.answers import LONGEST
from bench.knowledge.collect import put
from bench.knowledge.gathering import Gathered
from bench.knowledge.sources import endpoint

KEY = "sk-thatNobodyMaySee-0123456789"
CLASSES = ("jump up", "WaveHands", "sit_down")
GOOD = json.dumps([f"The {w} arm moves slowly in front of the body." for w in ("left", "right", "other", "same")])


def completion(text, **choice):
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return {"model": "fake-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


class Server:
    """Answers by `say(prompt, how manieth request) -> (status, body, headers)` and remembers what it was asked."""

    def __init__(self):
        self.say = lambda prompt, number: (200, completion(GOOD), {})
        self.asked, self.keys, self.bodies, self.free = [], [], [], threading.Event()
        lock, me = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    prompt = body["messages"][0]["content"]
                    me.asked.append(prompt)
                    me.bodies.append(body)
                    me.keys.append(self.headers["authorization"])
                    number = len(me.asked)
                status, answer, headers = me.say(prompt, number)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    usual = {"content-type": "application/json", "content-length": len(content), "connection": "close"}
                    for name, value in {**usual, **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client went away, as it was to

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.free.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def about(self, name):
        return [p for p in self.asked if f'"{name}", one class' in p]


@pytest.fixture
def server(monkeypatch):
    for name in ("OPENAI_API_KEY", "BENCH_LLM_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def collect(server, tmp_path, capsys, monkeypatch):
    """The command with three classes; exit code, stdout, stderr."""
    (tmp_path / "three.txt").write_text("\n".join(CLASSES) + "\n")

    def run(*words, source=("--endpoint", server.url, "--model", "m")):
        return bench(capsys, monkeypatch, "knowledge", "collect", "--classes", tmp_path / "three.txt", *source, *words)

    return run


@pytest.fixture
def knowledge(tmp_path):
    return tmp_path / "bench_home" / "knowledge"


def raw(knowledge):
    return sorted((knowledge / "three" / "raw").glob("*.json"))


def named(prompt):
    return next(c for c in CLASSES if f'action is "{c}"' in prompt)


def test_good_answers_become_a_bank_of_proposed_statements(collect, knowledge, server):
    code, out, err = collect("--n", "4")
    assert code == 0 and "12 statements for 3 of 3 classes" in out and "12 said before" in out and not err
    bank = banks.load(str(knowledge / "three.json"))
    assert bank.dataset == "three" and tuple(bank.classes) == CLASSES and len(raw(knowledge)) == len(server.asked) == 6
    assert {s.status for rows in bank.classes.values() for s in rows} == {"proposed"}
    origin = bank.origins["m appearance"]
    assert (
        "the language model m (which calls itself fake-1)" in origin.by
        and json.loads(raw(knowledge)[0].read_text())["date"] in origin.by
    )
    assert "{class}" in origin.prompt and "{others}" in origin.prompt and "Write 4 short sentences" in origin.prompt
    assert 'data set "three"' in origin.prompt and "single frame" in origin.prompt
    assert (
        'action is "WaveHands"' in server.about("WaveHands")[0] and "jump up, sit_down" in server.about("WaveHands")[0]
    )


def test_each_kind_has_its_prompt_and_its_origin(collect, knowledge, server):
    server.say = lambda prompt, number: (
        200,
        completion(f"- The {'frame' if 'single frame' in prompt else 'limb'} is where everybody sees it."),
        {},
    )
    code, out, _ = collect()
    bank = banks.load(str(knowledge / "three.json"))
    assert code == 0 and "6 answers brought fewer than the 4 statements" in out
    assert [(s.kind, s.origin) for s in bank.classes["jump up"]] == [
        ("appearance", "m appearance"),
        ("motion", "m motion"),
    ]
    assert bank.origins["m motion"].prompt != bank.origins["m appearance"].prompt


def test_a_broken_off_collection_asks_only_for_the_rest(collect, knowledge, server):
    server.say = lambda prompt, number: (200, completion(GOOD), {}) if number <= 4 else (404, {"error": {}}, {})
    code, _, err = collect("--parallel", "1")
    assert code == 2 and "sit_down" in err and server.url in err and "goes on from there" in err
    assert len(raw(knowledge)) == 4 and not (knowledge / "three.json").exists()
    before, server.asked[:] = len(server.asked), []
    server.say = lambda prompt, number: (200, completion(GOOD), {})
    code, out, _ = collect("--parallel", "1")
    assert code == 0 and before == 5 and [named(p) for p in server.asked] == ["sit_down", "sit_down"]
    code, out, _ = collect()
    assert code == 0 and len(server.asked) == 2 and "0 of them new" in out
    assert not list(knowledge.rglob("*.tmp"))


def test_what_is_answered_while_another_question_fails_is_kept(collect, knowledge, server):
    failed = threading.Event()

    def say(prompt, number):
        if named(prompt) == "jump up":
            assert failed.wait(30)
            time.sleep(0.2)
            return 200, completion(GOOD), {}
        failed.set()
        return 401, {"error": {}}, {}

    server.say = say
    code, _, _ = collect("--parallel", "3", "--kinds", "motion")
    assert code == 2 and [p.name.split("-motion")[0] for p in raw(knowledge)] == ["jump-up"]


class Slow:
    """A model that answers once, and then when it is let."""

    name, workers = "slow", 1

    def __init__(self):
        self.settings, self.asked, self.gate = {}, [], threading.Event()

    def ask(self, prompt, sample, about):
        self.asked.append(prompt)
        assert len(self.asked) == 1 or self.gate.wait(60)
        return asking.Answer(GOOD, "stop", "slow")


def test_nothing_more_is_asked_after_the_user_stopped_it(tmp_path):
    def stop(what, done, total):
        if done:
            raise KeyboardInterrupt

    model = Slow()
    questions = [asking.Question("a", "motion", f"question {i}", 0) for i in range(5)]
    with pytest.raises(KeyboardInterrupt):
        asking.ask_all(questions, model, tmp_path, lambda raw: False, stop)
    model.gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(60)
    assert len(model.asked) <= 2
    assert len(list(tmp_path.glob("*.json"))) == len(model.asked)


NONSENSE = {
    "": "no answer",
    "   \n": "no answer",
    "<think>I wonder what a jump is.</think>": "no answer",
    "I'm sorry, but I can't help with that request.": "refuses to answer",
    "As an AI language model I have no eyes.": "refuses to answer",
    "0x7f 3e 9a 00 11 22 :: ;; ## 42 42 42": "no sentence",
    "yes": "no sentence",
    "[]": "an empty list",
    '{"sentences": ["A person stands on': "no whole JSON list",
    "the the the the the the the the the the": "repeats itself",
    '["I cannot describe this.", "<b>Bold</b> arms are here."]': "HTML, refuses to answer",
    "word " * 60: "more than 40 words",
    "<think>\nOkay, the user wants four sentences.\nThe knees bend first, I think.\nThen the": "no answer",
    "I apologize, but I am not able to describe this.": "refuses to answer",
    "As a large language model I do not have eyes to see.": "refuses to answer",
    "Sure, here are your four sentences about it.": "speaks to whoever asked",
    "A person walks. " * 5000: f"the answer has 80000 characters; a list has at most {LONGEST}",
}


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda a: a[:20])
def test_nonsense_is_a_counted_failure_and_asked_again_on_demand(answer, collect, knowledge, server):
    server.say = lambda prompt, number: (
        200,
        completion(answer if named(prompt) == "sit_down" and "body moves" in prompt else GOOD),
        {},
    )
    code, _, err = collect()
    file = next(p for p in raw(knowledge) if p.name.startswith("sit-down-motion"))
    assert code == 1 and f"1 answers are of no use; they are kept in {file.parent}" in err
    assert f"sit_down (motion): {NONSENSE[answer]}; {file.name}" in err
    assert json.loads(file.read_text())["answer"] == answer
    bank = banks.load(str(knowledge / "three.json"))
    assert [s.kind for s in bank.classes["sit_down"]] == ["appearance"] * 4
    asked = len(server.asked)
    code, _, err = collect()
    assert code == 1 and len(server.asked) == asked and NONSENSE[answer] in err
    server.say = lambda prompt, number: (200, completion(GOOD.replace("arm", "leg")), {})
    code, _, err = collect("--again")
    assert code == 0 and not err and len(server.asked) == asked + 1
    assert len(banks.load(str(knowledge / "three.json")).classes["sit_down"]) == 8


REFUSALS = [
    completion(None, message={"refusal": "This could hurt somebody who tries it."}),
    completion("This could hurt somebody who tries it.", finish_reason="content_filter"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["refusal", "filter"])
def test_a_class_without_anything_is_listed_and_the_bank_is_written(refusal, collect, knowledge, server):
    server.say = lambda prompt, number: (200, refusal if named(prompt) == "WaveHands" else completion(GOOD), {})
    code, out, err = collect("--kinds", "motion")
    assert code == 1 and "1 of 3 classes got no statement: WaveHands" in err and "WaveHands (motion): refuses" in err
    bank = banks.load(str(knowledge / "three.json"))
    assert bank.classes["WaveHands"] == () and len(bank.classes["jump up"]) == 4


def test_hostile_statements_are_refused_one_by_one(collect, knowledge, server):
    texts = [
        "The knees bend deeply before the feet leave the floor.",
        "x" * 10_000,
        "The arms\u0000 swing up high.",
        "The <script>alert(1)</script> arms swing.",
        "Half a character \ud800 is in this text.",
        {"a": 1, "b": 2},
        "   ",
    ]
    server.say = lambda prompt, number: (200, completion(json.dumps(texts)), {})
    code, out, _ = collect("--kinds", "motion")
    assert code == 0 and "3 statements for 3 of 3 classes" in out
    for told in ("3 too long", "6 a control character", "3 HTML", "3 no text", "3 empty"):
        assert told in out
    assert "alert" not in (knowledge / "three.json").read_text() and len(raw(knowledge)) == 3


@pytest.mark.parametrize("kept", ["", '{"answer": "x"}', "[1]"])
def test_a_damaged_kept_answer_is_named(kept, collect, knowledge):
    collect("--kinds", "motion")
    raw(knowledge)[1].write_text(kept)
    code, _, err = collect("--kinds", "motion")
    assert code == 2 and str(raw(knowledge)[1]) in err and "delete it" in err


def test_429_and_500_are_asked_again_and_then_named(collect, knowledge, server):
    busy = {"retry-after-ms": "1", "retry-after": "7"}
    server.say = lambda prompt, number: (
        (200, completion(GOOD), {})
        if number > 2
        else ((429, 500)[number - 1], {"error": {"message": "slow down"}}, busy)
    )
    code, _, _ = collect("--parallel", "1", "--kinds", "motion")
    assert code == 0 and len(server.asked) == 5


@pytest.mark.parametrize(("status", "words"), [(429, "too many requests"), (500, "the server failed")])
def test_an_endpoint_that_never_gets_better(status, words, collect, knowledge, server):
    later = {"retry-after-ms": "1", "retry-after": "7"}
    server.say = lambda prompt, number: (status, {"error": {"message": "slow down"}}, later)
    code, _, err = collect("--parallel", "1", "--retries", "2")
    assert code == 2 and len(server.asked) == 3 and not knowledge.exists()
    assert f"{server.url}, asked about the class 'jump up' (appearance): {status}, {words} (2 retries at most)" in err
    assert "slow down" in err and ("it asks to wait 7 s" in err) == (status == 429)


def test_so_many_questions_at_a_time_and_no_more(collect, server):
    together, lock, now, most = threading.Barrier(3), threading.Lock(), [0], [0]

    def say(prompt, number):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(30)  # breaks, and the answer with it, where fewer than three come at a time
        with lock:
            now[0] -= 1
        return 200, completion(GOOD), {}

    server.say = say
    code, _, _ = collect("--parallel", "3", "--retries", "0")
    assert code == 0 and most == [3]


def test_a_timeout_is_retried_and_then_named(collect, knowledge, server):
    server.say = lambda prompt, number: (server.free.wait(60), completion(GOOD), {})
    code, _, err = collect("--parallel", "1", "--retries", "1", "--timeout", "0.2")
    assert code == 2 and "'jump up'" in err and "no answer within 0.2 s (1 retries at most)" in err
    assert len(server.asked) == 2 and not knowledge.exists()
    assert endpoint.Endpoint(server.url, "m", timeout=7)._client.timeout == 7


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "401, it refuses the key"),
        (403, b"<html>no</html>", "403, it refuses the key"),
        (404, {"error": {"message": "model m not found"}}, "404, it knows no model 'm'"),
        (400, {"error": {"message": "bad temperature"}}, "400, it refuses the request (it says: bad temperature)"),
        (200, b"<html>hello</html>", "no JSON of a chat completion; it begins with '<html>hello</html>'"),
        (200, b"\xff\xfe", "no JSON of a chat completion"),
        (200, b"[" * 100_000, "no JSON of a chat completion"),
        (200, {"error": "overloaded"}, "no JSON of a chat completion"),
        (200, {"choices": []}, "no JSON of a chat completion"),
        (200, completion(7), "no JSON of a chat completion"),
        (200, completion("x" * (endpoint.LARGEST + 1)), "the response is larger than 2 MB"),
    ],
)
def test_other_faults_are_told_at_once(status, body, words, collect, knowledge, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.say = lambda prompt, number: (status, body, {})
    code, out, err = collect("--parallel", "1")
    assert code == 2 and words in err and "'jump up'" in err and server.url in err and len(server.asked) == 1
    assert KEY not in out + err and not knowledge.exists()


def test_a_response_that_breaks_off(collect, knowledge, server):
    server.say = lambda prompt, number: (200, b'{"choices"', {"content-length": "500"})
    code, _, err = collect("--parallel", "1")
    assert code == 2 and "broke off" in err and "'jump up'" in err


def test_nobody_listens(collect, knowledge, server):
    code, _, err = collect("--retries", "0", source=("--endpoint", "http://127.0.0.1:9/v1", "--model", "m"))
    assert code == 2 and "http://127.0.0.1:9/v1" in err and "cannot be reached" in err and not knowledge.exists()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "BENCH_LLM_KEY"])
def test_the_key_is_sent_and_appears_nowhere(name, collect, tmp_path, server, monkeypatch, caplog):
    monkeypatch.setenv(name, f" {KEY}\n")
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level("DEBUG")
    told = json.dumps([f"My secret key is {KEY} as you know.", "The feet leave the floor together."])
    server.say = lambda prompt, number: (200, {**completion(told), "model": f"fake {KEY}"}, {"x-echo": KEY})
    code, out, err = collect()
    assert code == 0 and set(server.keys) == {f"Bearer {KEY}"}
    seen = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert len(seen) >= 8 and not any(KEY.encode() in content for content in seen)
    assert KEY not in out + err
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("bench"))


CUT = {  # where what is shown ends in the middle of the key
    "body": (200, b"x" * 70 + KEY.encode(), {}),
    "message": (400, {"error": {"message": "x" * 190 + KEY}}, {}),
    "wait": (429, {}, {"retry-after": "x" * 30 + KEY, "retry-after-ms": "1"}),
    "name": (200, {**completion(GOOD), "model": "m" * 90 + KEY}, {}),
    "finish": (200, completion(GOOD, finish_reason=KEY), {}),
}


@pytest.mark.parametrize("where", CUT)
def test_not_even_a_part_of_the_key_appears(where, collect, tmp_path, server, monkeypatch):
    monkeypatch.setenv("BENCH_LLM_KEY", KEY)
    server.say = lambda prompt, number: CUT[where]
    _, out, err = collect("--kinds", "motion", "--retries", "0")
    seen = [out + err, *(p.read_text() for p in tmp_path.rglob("*") if p.is_file())]
    assert len(seen) > 1 and not any(KEY[:8] in text for text in seen) and any("<key>"[:4] in text for text in seen)


def test_an_address_that_holds_the_key_in_its_path(collect, tmp_path, server, monkeypatch):
    monkeypatch.setenv("BENCH_LLM_KEY", KEY)
    code, out, err = collect(source=("--endpoint", f"{server.url}/{KEY}", "--model", "m"))
    assert code == 2 and "--endpoint holds the key" in err and KEY not in out + err and not server.asked


def test_a_proxy_that_the_client_does_not_know(collect, server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "socks9://user:secret@127.0.0.1:9")
    code, out, err = collect()
    assert code == 2 and "HTTP_PROXY" in err and server.url in err and "secret" not in out + err


def test_a_response_that_never_ends(collect, server, monkeypatch):
    """Each byte comes in time, the whole does not."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(endpoint.time, "monotonic", lambda: next(ticks))
    server.say = lambda prompt, number: (200, completion("x" * 500_000), {})
    code, _, err = collect("--parallel", "1", "--timeout", "1")
    assert code == 2 and "did not end within 1 s" in err and "'jump up'" in err


@pytest.mark.parametrize("died", ["before its answer was kept", "while its answer was written"])
def test_a_collection_that_is_killed_goes_on(died, server, tmp_path, knowledge):
    """kill -9 between two answers."""
    (tmp_path / "three.txt").write_text("\n".join(CLASSES) + "\n")
    command = [sys.executable, "-m", "bench", "knowledge", "collect", "--classes", str(tmp_path / "three.txt")]
    command += ["--endpoint", server.url, "--model", "m", "--parallel", "1", "--kinds", "motion"]
    env = {**os.environ, "BENCH_HOME": str(tmp_path / "bench_home")}
    third = threading.Event()

    def say(prompt, number):
        if number == 3:
            third.set()
            server.free.wait(60)
        return 200, completion(GOOD), {}

    server.say = say
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert third.wait(60)
    finally:
        process.kill()
        process.wait()
    kept = raw(knowledge)
    assert len(kept) == 2 and not (knowledge / "three.json").exists()
    if died == "while its answer was written":
        (kept[0].parent / f".sit-down-motion.{process.pid}-0.tmp").write_text('{"class"')
    server.say = lambda prompt, number: (200, completion(GOOD), {})
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and len(server.asked) == 4 and named(server.asked[-1]) == "sit_down", done.stderr
    assert {c: len(rows) for c, rows in banks.load(str(knowledge / "three.json")).classes.items()} == dict.fromkeys(
        CLASSES, 4
    )


def test_the_own_key_is_sent_before_openais(collect, server, monkeypatch):
    monkeypatch.setenv("BENCH_LLM_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-for-elsewhere")
    collect("--kinds", "motion")
    assert set(server.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("bad", ["two words of a key", "schlüssel-0123456789", "line\nbreak-0123456789"])
def test_a_key_that_is_none_is_refused_without_being_told(bad, collect, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    code, out, err = collect()
    assert code == 2 and "$OPENAI_API_KEY" in err and bad.split()[0] not in out + err and not server.asked


@pytest.mark.parametrize(
    "url",
    ["localhost:11434/v1", "ftp://a/v1", "http://", "http://a:0x/v1", f"https://u:{KEY}@a/v1", f"http://a/v1?k={KEY}"],
)
def test_an_address_that_is_none_or_holds_a_key(url, collect, server):
    code, out, err = collect(source=("--endpoint", url, "--model", "m"))
    assert code == 2 and "--endpoint" in err and KEY not in out + err


def test_a_model_that_gives_itself_a_hostile_name(collect, knowledge, server):
    server.say = lambda prompt, number: (200, {**completion(GOOD), "model": "a\x1b]0;b\ud800\n" + "c" * 1000}, {})
    code, _, _ = collect("--kinds", "motion")
    by = banks.load(str(knowledge / "three.json")).origins["m motion"].by
    assert code == 0 and by.isprintable() and "calls itself a]0;bccc" in by and len(by) < 300


def test_openai_itself_is_asked_in_its_own_words(server):
    asked = endpoint.Endpoint(server.url, "m", max_tokens=77)
    asked.url = "https://api.openai.com/v1"
    asked.ask('"a", one class', 0, "the class 'a'")
    asked.close()
    assert server.bodies[0]["max_completion_tokens"] == 77 and "max_tokens" not in server.bodies[0]


def test_an_answer_in_parts(collect, server):
    server.say = lambda prompt, number: (
        200,
        completion([{"type": "text", "text": t} for t in (GOOD[:9], GOOD[9:])]),
        {},
    )
    code, out, _ = collect("--kinds", "motion")
    assert code == 0 and "12 statements" in out


def test_what_is_sent(collect, server, knowledge):
    collect("--kinds", "motion", "--temperature", "0.7", "--seed", "5", "--samples", "2", "--max-tokens", "77")
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.7, 77)
    assert sorted(b["seed"] for b in server.bodies) == [5, 5, 5, 6, 6, 6] and len(raw(knowledge)) == 6
    collect("--kinds", "motion", "--temperature", "0.8", "--seed", "5", "--samples", "2", "--max-tokens", "77")
    assert len(server.asked) == 12  # other settings are another question


def test_an_own_prompt(collect, server, tmp_path, knowledge):
    (tmp_path / "p.txt").write_text('Tell {n} facts on {class} ({kind}), as {"a": ["b"]}, beside {others}.')
    assert collect("--kinds", "motion", "--n", "2", "--prompt", f"motion={tmp_path / 'p.txt'}")[0] == 0
    assert 'Tell 2 facts on jump up (motion), as {"a": ["b"]}, beside WaveHands, sit_down.' in server.asked
    prompt = banks.load(str(knowledge / "three.json")).origins["m motion"].prompt
    assert prompt == 'Tell 2 facts on {class} (motion), as {"a": ["b"]}, beside {others}.'
    for text, words in (("Tell {n} facts", "does not hold {class}"), ("{class} {what}", "placeholder {what}")):
        (tmp_path / "p.txt").write_text(text)
        code, _, err = collect("--prompt", tmp_path / "p.txt")
        assert code == 2 and words in err
    code, _, err = collect("--prompt", tmp_path / "none.txt")
    assert code == 2 and "none.txt" in err


def test_two_prompts_are_two_origins(collect, knowledge, server, tmp_path):
    collect("--kinds", "motion")
    (tmp_path / "p.txt").write_text("Tell of {class}")
    server.say = lambda prompt, number: (200, completion("- Both feet leave the floor.\n- The hands are high."), {})
    collect("--kinds", "motion", "--prompt", tmp_path / "p.txt")
    bank = banks.load(str(knowledge / "three.json"))
    assert [s.origin for s in bank.classes["jump up"]] == ["m motion"] * 4 + ["m motion 2"] * 2
    assert bank.origins["m motion 2"].prompt == "Tell of {class}" != bank.origins["m motion"].prompt


def test_what_a_bank_holds_is_never_changed(collect, knowledge, server, tmp_path):
    collect("--kinds", "motion")
    path = knowledge / "three.json"
    text = path.read_text().replace('"proposed"', '"rejected", "reason": "seen"')
    path.write_text(text)
    reviewed = banks.load(str(path))
    (tmp_path / "more.txt").write_text("jump up: Both feet are in the air at the same time.\n")
    code, out, err = collect("--by", "me,", source=("--file", tmp_path / "more.txt"))
    assert code == 1 and "2 of 3 classes got no statement: WaveHands sit_down" in err and "1 of them new" in out
    bank = banks.load(str(path))
    assert bank.classes["WaveHands"] == reviewed.classes["WaveHands"]
    assert bank.classes["jump up"][:-1] == reviewed.classes["jump up"]
    assert bank.classes["jump up"][-1].text == "Both feet are in the air at the same time."
    assert bank.origins[bank.classes["jump up"][-1].origin].by.startswith("me, more.txt, sha256 ")
    path.write_text(text.replace('"dataset": "three"', '"dataset": "four"'))
    code, _, err = collect("--kinds", "motion")
    assert code == 2 and "a bank of 'four'" in err


def test_a_text_that_was_edited_does_not_come_back(collect, knowledge, server):
    collect("--kinds", "motion")
    path = knowledge / "three.json"
    left = '"The left arm moves slowly in front of the body."'
    path.write_text(
        path.read_text().replace(left, '"One arm moves."').replace('"proposed"', f'"edited", "was": {left}', 1)
    )
    _, out, _ = collect("--kinds", "motion")
    assert "2 of them new" in out and sum(s.text in left for s in banks.load(str(path)).classes["jump up"]) == 0


def test_the_same_words_in_other_letters_are_said_before(collect, server):
    server.say = lambda prompt, number: (
        200,
        completion("- Both FEET leave the floor.\n- both feet leave the floor."),
        {},
    )
    _, out, _ = collect("--kinds", "motion")
    assert "3 statements" in out and "3 said before" in out


def test_what_was_reviewed_while_the_model_was_asked_is_not_lost(collect, knowledge, server):
    collect("--kinds", "motion")
    path = knowledge / "three.json"
    link = path.with_name("link.json")
    link.symlink_to(path)

    def say(prompt, number):
        path.write_text(path.read_text().replace('"proposed"', '"rejected", "reason": "seen"'))
        return 200, completion(GOOD.replace("arm", "leg")), {}

    server.say = say
    code, out, _ = collect("--kinds", "appearance", "--parallel", "1", "--out", link)
    rows = banks.load(str(path)).classes["jump up"]
    assert code == 0 and "12 of them new" in out and link.is_symlink()
    assert [(s.status, s.reason) for s in rows] == [("rejected", "seen")] * 4 + [("proposed", "")] * 4
    assert not list(knowledge.glob(".*"))


def test_a_collection_waits_for_a_decision_that_is_being_saved(tmp_path):
    path, said = tmp_path / "mine.json", []
    with _decisions.locked(path):
        other = threading.Thread(target=lambda: said.append(put(path, "mine", ("a",), Gathered())))
        other.start()
        other.join(0.3)
        assert not said and not path.exists()
    other.join(60)
    assert said == [0] and banks.load(str(path)).classes == {"a": ()}


def test_a_bank_that_was_spoilt_while_the_model_was_asked_is_left_alone(collect, knowledge, server):
    path = knowledge / "three.json"

    def say(prompt, number):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
        return 200, completion(GOOD), {}

    server.say = say
    code, _, err = collect("--kinds", "motion")
    assert code == 2 and str(path) in err and path.read_text() == "{" and len(raw(knowledge)) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "where the statements come from"),
        (("--wordnet", "debian", "--local", "x"), "not with 2 of them"),
        (("--endpoint", "http://a/v1"), "needs --model"),
        (("--wordnet", "debian", "--again"), "--again has no effect"),
        (("--file", "a.json", "--n", "3"), "--n has no effect"),
        (("--local", "x", "--timeout", "3"), "--timeout has no effect"),
        (("--endpoint", "http://a/v1", "--model", "m", "--samples", "2"), "--temperature above 0"),
        (("--endpoint", "http://a/v1", "--model", "m", "--n", "0"), "at least 1"),
        (("--endpoint", "http://a/v1", "--model", "m", "--timeout", "nan"), "--timeout"),
        (("--endpoint", "http://a/v1", "--model", "m", "--kinds", "smell"), "'smell' is no kind"),
        (("--file", "a.json", "--kinds", "motion,object"), "one kind"),
        (("--file", "a.json", "--bank", "toy"), "--classes"),
        (("--endpoint", "http://a/v1", "--model", "m", "--out", "bank.txt"), "does not end in .json"),
    ],
)
def test_options_that_do_not_go_together(words, told, collect):
    code, _, err = collect(*words, source=())
    assert code == 2 and told in err


@pytest.mark.parametrize(("text", "told"), [("", "no class"), ("a\nb\na", "a twice"), ("a\n<b>x</b>", "HTML")])
def test_class_lists_that_are_none(text, told, collect, tmp_path):
    (tmp_path / "three.txt").write_text(text)
    code, _, err = collect()
    assert code == 2 and told in err and "three.txt" in err


def test_the_classes_of_a_data_set_and_of_a_bank(server, tmp_path, capsys, monkeypatch, root):
    for i, name in enumerate(("wave", "clap")):
        (tmp_path / "set" / name).mkdir(parents=True)
        (root / f"{i}.mp4").rename(tmp_path / "set" / name / "a.mp4")
    words = ("knowledge", "collect", "--endpoint", server.url, "--model", "m", "--kinds", "motion")
    code, out, _ = bench(capsys, monkeypatch, *words, "--dataset", "folder", "--root", tmp_path / "set")
    assert code == 0 and "set.json: 8 statements for 2 of 2 classes" in out
    code, out, _ = bench(capsys, monkeypatch, *words, "--bank", "utkinect")
    assert code == 0 and "utkinect.json" in out and "10 of 10 classes" in out
    odd = banks.Bank("../../up", "", {}, {"a": ()})
    banks.save(odd, tmp_path / "odd.json")
    code, _, err = bench(capsys, monkeypatch, *words, "--bank", tmp_path / "odd.json")
    assert code == 2 and "--out" in err
