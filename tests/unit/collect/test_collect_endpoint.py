"""An endpoint that is slow, busy, broken or not there."""

import threading

import pytest
from language_model import GOOD, KEY, completion

from bench.knowledge.sources import endpoint


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
