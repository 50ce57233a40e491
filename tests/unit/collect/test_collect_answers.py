"""Answers that are nonsense, hostile, damaged or in parts: counted, named, never in the bank."""

import json

import pytest
from language_model import GOOD, completion, named, raw

from bench.knowledge import bank as banks
from bench.knowledge.answers import LONGEST

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


def test_a_model_that_gives_itself_a_hostile_name(collect, knowledge, server):
    server.say = lambda prompt, number: (200, {**completion(GOOD), "model": "a\x1b]0;b\ud800\n" + "c" * 1000}, {})
    code, _, _ = collect("--kinds", "motion")
    by = banks.load(str(knowledge / "three.json")).origins["m motion"].by
    assert code == 0 and by.isprintable() and "calls itself a]0;bccc" in by and len(by) < 300


def test_an_answer_in_parts(collect, server):
    server.say = lambda prompt, number: (
        200,
        completion([{"type": "text", "text": t} for t in (GOOD[:9], GOOD[9:])]),
        {},
    )
    code, out, _ = collect("--kinds", "motion")
    assert code == 0 and "12 statements" in out
