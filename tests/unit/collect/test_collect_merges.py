"""What a bank holds already, and what is decided meanwhile, is never changed."""

import threading

from language_model import GOOD, completion, raw

from bench.knowledge import _decisions
from bench.knowledge import bank as banks
from bench.knowledge.collect import put
from bench.knowledge.gathering import Gathered


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
