"""The key is sent, and not a part of it appears anywhere."""

import json

import pytest
from language_model import GOOD, KEY, completion


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
