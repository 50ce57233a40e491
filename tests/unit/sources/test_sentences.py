"""Which sentences of an answer are statements, whatever shape it has."""

import pytest

from bench.knowledge import prompts
from bench.knowledge.answers import Nonsense, fault, sentences
from bench.knowledge.sources import files


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
        'Perhaps ["a leg"]?\n1. hmm\n</think>\n["One leg is high.", "Two arms are low."]',
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
    assert len(prompts.others("sit up", [f"c{i}" for i in range(400)]).split(", ")) == prompts.MOST_OTHERS == 30
