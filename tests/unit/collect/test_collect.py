"""From a server's answers to a bank of proposed statements; what is broken off, stopped or killed goes on."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from language_model import CLASSES, GOOD, completion, named, raw

from bench.knowledge import asking
from bench.knowledge import bank as banks


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
