"""What a model is asked, in whose words, about which classes."""

import pytest
from commands import bench
from language_model import completion, raw

from bench.knowledge import bank as banks
from bench.knowledge.sources import endpoint


def test_openai_itself_is_asked_in_its_own_words(server):
    asked = endpoint.Endpoint(server.url, "m", max_tokens=77)
    asked.url = "https://api.openai.com/v1"
    asked.ask('"a", one class', 0, "the class 'a'")
    asked.close()
    assert server.bodies[0]["max_completion_tokens"] == 77 and "max_tokens" not in server.bodies[0]


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
