"""Collecting statements: from a fake OpenAI-compatible server on loopback, a tiny language model, WordNet and the files of the field."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commands import bench

from bench.contracts import BenchError
from bench.knowledge import asking, prompts
from bench.knowledge import bank as banks
from bench.knowledge.answers import LONGEST, Nonsense, fault, sentences
from bench.knowledge.sources import endpoint, files, wordnet

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


def test_what_is_sent(collect, server):
    collect("--kinds", "motion", "--temperature", "0.7", "--seed", "5", "--samples", "2", "--max-tokens", "77")
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.7, 77)
    assert sorted(b["seed"] for b in server.bodies) == [5, 5, 5, 6, 6, 6]
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


@pytest.mark.parametrize(
    "answer",
    [
        '["One leg is high.", "Two arms are low."]',
        '```json\n["One leg is high.", "Two arms are low."]\n```',
        'Sure! Here they are:\n["One leg is high.", "Two arms are low."]\nAsk for more.',
        '{"sentences": ["One leg is high.", "Two arms are low."]}',
        '[{"text": "One leg is high."}, {"text": "Two arms are low."}]',
        "Here are two sentences:\n\n1. One leg is high.\n2) Two arms are low.\n\nI hope this helps!",
        "- One leg is high.\n* **Two arms are low.**",
        "• One leg is high.\n• Two arms are low.",
        "One leg is high.\nTwo arms are low.",
        "One leg is high. Two arms are low.",
        '1. "One leg is high."\n2. “Two arms are low.”',
        "<think>\n1. hmm, what is this\n</think>\na) One leg is high.\nb) Two arms are low.",
    ],
)
def test_answers_in_many_shapes(answer):
    assert sentences(answer, "stop") == ["One leg is high.", "Two arms are low."]


def test_an_answer_that_is_cut_off_loses_its_last_line():
    assert sentences("- One leg is high.\n- Two ar", "length") == ["One leg is high."]
    with pytest.raises(Nonsense, match="cut off"):
        sentences('["One leg is high.", "Two', "length")


def test_what_is_a_statement():
    assert not fault("Die Arme schwingen über den Kopf.", "motion") and not fault("ball", "keyword")
    assert fault("ball", "object") == "no sentence" and not fault("ball", "object", model=False)
    assert fault(None, "motion", model=False) == "no text"


def test_class_names_by_their_letters():
    assert prompts.words("ApplyEyeMakeup") == prompts.words("apply_eye makeup") == ["apply", "eye", "makeup"]
    assert files.plain("YoYo") == files.plain("yo-yo") and files.plain("TaiChi") == files.plain("tai chi")
    find = files._finder(("sit up", "situp", "BenchPress"))
    assert find("sit up") == "sit up" and find("Sit_Up") is None and find("bench press") == "BenchPress"
    assert prompts.others("sit up", ("a b", "sit up", "sit down")) == "sit down, a b"


# --- files -----------------------------------------------------------------------------------------------------


FILES = {
    "cupl.json": (
        '{"Jump Up": ["Both feet leave the floor.", 7, ""], "wave hands": ["An open hand goes to and fro."]}',
        2,
    ),
    "twice.json": ('{"jump up": ["Both knees are bent."], "jump up": "Both feet leave the floor."}', 2),
    "menon.json": ('{"jump_up": ["bent knees", "air below the feet and floor"], "nobody": ["nothing"]}', 2),
    "ez.csv": ('SNo,Class Name,GPT3 discription\n1,jump up,"\n\nThe knees bend. Then both feet leave. The cut"\n', 2),
    "motion.csv": ('\ufeffjump up," doing a leap, with both feet."\nWave Hands,moving an open hand\n', 2),
    "action.csv": (' jump up: refers to a leap.\n"  sit down: to lower, bend, and rest."\n', 2),
    "lines.txt": ("jump up: A leap: both feet leave.\n\nsit down: The hips go down.\n", 2),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_each_layout(name, tmp_path):
    text, num = FILES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    gathered = files.gather(CLASSES, [str(tmp_path / name)], "2026-11-25")
    rows = [(c, s) for c, found in gathered.statements.items() for s in found]
    assert len(rows) == num and rows[0][0] == "jump up" and all(s.text == s.text.strip() for _, s in rows)
    assert (
        {s.kind for _, s in rows} == {"keyword", "appearance"}
        if name == "menon.json"
        else {s.kind for _, s in rows} == {"motion" if name == "motion.csv" else "appearance"}
    )
    assert gathered.unmatched == (["menon.json: nobody"] if name == "menon.json" else [])
    refused = {"cupl.json": {"no text": 1, "empty": 1}, "ez.csv": {"unfinished sentence": 1}}
    assert gathered.refused == refused.get(name, {})
    assert not any(str(tmp_path) in o.by for o in gathered.origins.values())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b"{", "no readable json"),
        ("a.json", b"[1]", "{class: [texts]}"),
        ("a.json", b'{"a": {"b": "c"}}', "{class: [texts]}"),
        ("a.json", b"{}", "no statement"),
        ("a.json", b'{"0": ["x"]}', "--labels"),
        ("a.json", b"[" * 100_000, "no readable json"),
        ("a.csv", b"a,b,c,d\n", "4 columns"),
        ("a.csv", b"a,b\nc\n", "1, 2 columns"),
        ("a.csv", b'a,"b\n', "no readable csv"),
        ("a.txt", b"jump up a leap", "no colon"),
        ("a.txt", b"jump: \xff", "not UTF-8"),
        ("a.xml", b"<a/>", "end in .json, .csv, .txt"),
    ],
)
def test_files_that_are_none(name, content, told, tmp_path, collect, knowledge):
    (tmp_path / name).write_bytes(content)
    code, _, err = collect(source=("--file", tmp_path / name))
    assert code == 2 and told in err and str(tmp_path / name) in err and not (knowledge / "three.json").exists()


def test_classes_that_are_numbers(tmp_path):
    (tmp_path / "temporal.json").write_text('{"0": ["Bend both knees first."], "1": ["Lift one open hand."]}')
    given = [str(tmp_path / "temporal.json")]
    for text in ("jump up\nwave_hands\n", "id,name\n0,jump up\n1,Wave Hands\n", "1 jump up\n2 wave hands\n"):
        (tmp_path / "labels").write_text(text)
        gathered = files.gather(CLASSES, given, "", labels=str(tmp_path / "labels"))
        assert [s.text for s in gathered.statements["WaveHands"]] == ["Lift one open hand."]
        assert gathered.statements["jump up"][0].kind == "motion"
    for text, told in (("jump up\n", "names 1 classes"), ("1 jump up\n3 wave hands\n", "in order"), ("", "in order")):
        (tmp_path / "labels").write_text(text)
        with pytest.raises(BenchError, match=told):
            files.gather(CLASSES, given, "", labels=str(tmp_path / "labels"))


REAL = {
    "hmdb51": {
        "ost/hmdb/temporal_descriptors/4_descriptors.json": 200,
        "ost/hmdb/spatio_descriptors/4_descriptors.json": 190,
        "ez_clip/HMDB_gpt_Class_discription_new.csv": 100,
        "motiondescriptions/hmdb_descriptions.csv": 51,
        "motiondescriptions/hmdb51_motion_with_objectname.csv": 51,
        "motiondescriptions/HMDB51_without_objectname.csv": 51,
    },
    "ucf101": {
        "ost/ucf/temporal_descriptors/8_descriptors.json": 780,
        "ost/ucf/spatio_descriptors/2_descriptors.json": 190,
        "ez_clip/UCF_101_gpt_Class_discription_new.csv": 200,
        "motiondescriptions/ucf_descriptions.csv": 101,
        "motiondescriptions/uc101_motion.csv": 101,
        "motiondescriptions/ucf_motion_alternate_version.csv": 101,
    },
}


@pytest.mark.parametrize(("bank", "name"), [(bank, name) for bank, names in REAL.items() for name in names])
def test_the_real_files_of_the_field(bank, name, shared_data):
    path = shared_data / "descriptions" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    classes = tuple(banks.load(bank).classes)
    labels = shared_data / "splits" / "vifi_clip" / "labels" / {"hmdb51": "hmdb_51", "ucf101": "ucf_101"}[bank]
    gathered = files.gather(classes, [str(path)], "", labels=f"{labels}_labels.csv" if name.startswith("ost") else None)
    assert not gathered.nothing(classes) and not gathered.unmatched
    assert sum(map(len, gathered.statements.values())) >= REAL[bank][name]
    first = {"hmdb51": "hair", "ucf101": ("eye", "mascara", "makeup")}[bank]
    told = " ".join(s.text.lower() for s in gathered.statements[classes[0]])
    assert any(word in told for word in ([first] if isinstance(first, str) else first))


def test_kinetics_in_one_column(shared_data):
    path = shared_data / "descriptions" / "motiondescriptions" / "Kinetics400_action_descrptions.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    gathered = files.gather(("arm wrestling", "applauding", "golf"), [str(path)], "")
    assert gathered.nothing(("arm wrestling", "applauding", "golf")) == ("golf",) and len(gathered.unmatched) == 398
    assert gathered.statements["arm wrestling"][0].text.startswith("refers to a sport")


# --- WordNet ---------------------------------------------------------------------------------------------------


def handmade(folder: Path) -> Path:
    """A WordNet of three synsets, with the files that Debian ships and no more."""
    folder.mkdir()
    lines = {
        "verb": [
            '38 v 01 jump 0 000 01 + 02 00 | move forward by leaps and bounds; "he jumped"',
            "35 v 01 wave 0 000 01 + 02 00 | signal with the hands or nod",
        ],
        "noun": ["08 n 01 hand 0 000 | the end of the arm", "06 n 01 hands 0 000 | custody"],
        "adj": [],
        "adv": [],
    }
    for pos, rows in lines.items():
        data, index, head = "", "", "  1 This is WordNet 3.0 Copyright of nobody\n"
        for row in rows:
            offset = len(head) + len(data)
            data += f"{offset:08d} {row}  \n"
            index += f"{row.split()[3]} {row.split()[1]} 1 0 1 0 {offset:08d}  \n"
        (folder / f"data.{pos}").write_text(head + data)
        (folder / f"index.{pos}").write_text(head + index)
        (folder / f"{pos}.exc").write_text("")
    return folder


def test_wordnet_without_a_download(tmp_path, collect, knowledge):
    folder = handmade(tmp_path / "wn")
    code, out, err = collect(source=("--wordnet", folder))
    assert code == 1 and "1 of 3 classes got no statement: sit_down" in err
    bank = banks.load(str(knowledge / "three.json"))
    assert [(s.text, s.kind) for s in bank.classes["jump up"]] == [("move forward by leaps and bounds", "motion")]
    assert [(s.text, s.kind) for s in bank.classes["WaveHands"]] == [
        ("signal with the hands or nod", "motion"),
        ("hands: the end of the arm", "body part"),
    ]
    assert bank.origins["WordNet"].by.startswith("WordNet 3.0 glosses")


def test_a_wordnet_that_is_none(tmp_path, collect):
    code, _, err = collect(source=("--wordnet", tmp_path / "nowhere"))
    assert code == 2 and "no data.adj" in err and "never downloaded" in err
    folder = handmade(tmp_path / "wn")
    (folder / "index.verb").write_text("jump v x\n")
    code, _, err = collect(source=("--wordnet", folder))
    assert code == 2 and "cannot be read as WordNet" in err


@pytest.mark.skipif(not wordnet.DEBIAN.is_dir(), reason="needs Debian's package wordnet-base")
def test_debians_wordnet():
    classes = ("walk", "wave hands", "cartwheel")
    gathered = wordnet.gather(classes, "debian", 1, "")
    assert not gathered.nothing(classes)
    assert ("body part", "hands: ") in [(s.kind, s.text[:7]) for s in gathered.statements["wave hands"]]


# --- a model in this process -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    """A causal language model of random weights, with a tokenizer of a few words."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny-gpt"
    words = [
        "<unk>",
        "<eos>",
        *"The arm leg moves up down left right slowly and then a person stands jump sit".split(),
        ".",
    ]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="<eos>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(words), n_positions=512, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def answers(knowledge):
    return {p.name: json.loads(p.read_text()) for p in raw(knowledge)}


def test_a_local_model(gpt, collect, knowledge, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    drawn = ("--kinds", "motion", "--max-tokens", "20", "--temperature", "1.5", "--seed", "3", "--samples", "2")
    collect(*drawn, source=("--local", gpt))
    first = answers(knowledge)
    assert len(first) == 6 and all(a["model"] == "tiny-gpt" and a["answer"] for a in first.values())
    samples = {a["answer"] for a in first.values() if a["class"] == "WaveHands"}
    assert len(samples) == 2
    for path in raw(knowledge):
        path.unlink()
    collect(*drawn, source=("--local", gpt))
    assert {n: a["answer"] for n, a in answers(knowledge).items()} == {n: a["answer"] for n, a in first.items()}


def test_a_local_model_is_greedy_without_a_temperature(gpt, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    from bench.knowledge.sources.local import Local

    one, two = Local(str(gpt), max_tokens=8, seed=1), Local(str(gpt), max_tokens=8, seed=2)
    assert one.ask("The arm", 0, "") == two.ask("The arm", 3, "")
    assert one.ask("The arm", 0, "").finish == "length" and one.settings["weights"] == two.settings["weights"]
    with pytest.raises(BenchError, match="the class 'a'.*512"):
        Local(str(gpt), max_tokens=500).ask("The arm " * 10, 0, "the class 'a'")


def test_a_chat_template_is_used(gpt, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    import shutil

    from bench.knowledge.sources.local import Local

    shutil.copytree(gpt, tmp_path / "chat")
    path = tmp_path / "chat" / "tokenizer_config.json"
    template = "{% for m in messages %}left {{ m.content }} right{% endfor %}"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    chat, plain = Local(str(tmp_path / "chat"), max_tokens=8), Local(str(gpt), max_tokens=8)
    assert chat.ask("jump", 0, "").text == plain.ask("left jump right", 0, "").text != plain.ask("jump", 0, "").text


@pytest.mark.parametrize("fault", ["no config", "no weights", "pickle", "code", "damaged", "lacking", "no tokenizer"])
def test_a_folder_that_is_no_model(fault, gpt, tmp_path, collect, monkeypatch):
    import shutil

    import safetensors.torch

    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    folder = tmp_path / "model"
    shutil.copytree(gpt, folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if fault == "no config":
        config.unlink()
    elif fault == "no weights":
        weights.unlink()
    elif fault == "pickle":
        weights.rename(folder / "pytorch_model.bin")
    elif fault == "code":
        config.write_text(
            json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}})
        )
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    elif fault == "damaged":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif fault == "lacking":
        state = safetensors.torch.load_file(weights)
        del state["transformer.h.1.mlp.c_fc.weight"]
        safetensors.torch.save_file(state, weights, {"format": "pt"})
    else:
        (folder / "tokenizer.json").unlink()
    code, _, err = collect(source=("--local", folder))
    assert code == 2 and f"--local {folder}" in err and not (tmp_path / "ran").exists()
    assert "no .safetensors file" in err or fault not in ("pickle", "no weights")
