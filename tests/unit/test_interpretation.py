"""What a learnt prompt tells of itself, from the vectors to the table and the figure."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import faults, figures, texts
from fake_results import FEW, FakeResults
from fakes import DIM, NUM_FRAMES, WIDTH, FakeAdapter, LayeredFake

from baselines import coop, knowledge_prompt
from bench import knowledge, store
from bench.contracts import BenchError, Classes, Features, LabelledFeatures
from bench.interpretation import MOST_VIDEOS, NEAREST, Interpretation, frame_logits, samples, told
from bench.planning import load_adapter
from bench.stored_results import Results
from results import interpretation

NAMES = ("clap", "wave", "sit")
WORDS = ("light", "place", "take", "line", "look", "people", "LIGHT", "x", "take2", "left-right")
CLASSES = Classes(
    NAMES, ("{}",), (("two hands meet", "arms bend"), ("a hand goes up",), ("hips go down", "knees bend", "slow"))
)


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def found(context, num=2):
    fits = torch.arange(num * 2 * 3, dtype=torch.float32).reshape(num, 2, 3)
    return Interpretation({"": context}, ["one", "two", "three"], [0, 1, 2], fits)


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fake", "tiny-clip", "tiny-siglip"])
def test_a_vector_that_is_a_words_embedding_lies_at_it(name):
    adapter = FakeAdapter() if name == "fake" else load_adapter(name)
    start = int(adapter.tokenize(["a"], 1).context[0, 0])
    tokens = adapter.tokenize(["take", "line"])
    assert tokens.num_text.tolist() == [1, 1]
    context = adapter.embed_tokens(tokens)[:, start]
    kept = told(adapter, found(context), WORDS, ["v", "w"], [0, 1], np.zeros((2, 3)), NAMES)
    assert [row["nearest"][0] for row in kept["context"]] == [["take", 0.0], ["line", 0.0]]
    assert [row["position"] for row in kept["context"]] == [1, 2] and kept["between_words"] > 0
    for row in kept["context"]:
        distances = [distance for _, distance in row["nearest"]]
        assert distances == sorted(distances) and len(distances) == min(NEAREST, kept["num_words"])
    assert kept["num_words"] == 6  # LIGHT is light, and the last three are no words


def test_words_of_several_tokens_are_no_candidates():
    adapter = load_adapter("tiny-clip")
    assert int(adapter.tokenize(["archery"]).num_text) > 1
    kept = told(adapter, found(draw(2, 96)), ["archery", "light", "line"], ["v", "w"], [0, 1], np.zeros((2, 3)), NAMES)
    assert {word for row in kept["context"] for word, _ in row["nearest"]} == {"light", "line"}


def test_the_words_are_those_of_the_banks_that_ship():
    words = knowledge.words()
    assert {"archery", "Hammering", "hand", "elbow"} <= set(words) and len(words) == len(set(words)) > 2000


# --- frames ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fake", "tiny-siglip", "tiny-xclip"])
def test_a_frame_is_judged_as_a_video_of_its_own(name):
    adapter = FakeAdapter() if name == "fake" else load_adapter(name)
    dim = adapter.facts.embed_dim
    extra = {"patches": draw(2, adapter.facts.extra_floats // dim, dim, seed=3)} if adapter.facts.extra_floats else {}
    features, text = Features(draw(2, 4, dim), extra), draw(3, dim, seed=2)
    logits = frame_logits(adapter, features, text)
    assert logits.shape == (2, 4, 3)
    for video in range(2):
        for frame in range(4):
            alone = Features(features.frames[video, frame][None, None], {k: v[video][None] for k, v in extra.items()})
            torch.testing.assert_close(adapter.similarity(alone, text)[0], logits[video, frame], rtol=1e-4, atol=1e-5)


def test_samples_are_the_first_of_each_class():
    assert samples(np.array([2, 0, 2, 1, 0])) == [1, 3, 0]
    assert samples(np.arange(100) % 50) == list(range(MOST_VIDEOS))


def test_a_video_has_the_statements_of_its_class_and_of_the_class_that_comes_next():
    logits = np.array([[1.0, 5.0, 3.0], [4.0, 9.0, 2.0]])
    kept = told(FakeAdapter(), found(draw(1, WIDTH)), WORDS, ["v", "w"], [0, 1], logits, NAMES)["videos"]
    assert [(v["class"], v["rival"], v["right"]) for v in kept] == [("clap", "wave", False), ("wave", "clap", True)]
    assert kept[0]["texts"] == kept[1]["texts"] == ["one", "two"]
    assert [v["of_rival"] for v in kept] == [[False, True], [True, False]]
    assert kept[1]["fits"] == [[6.0, 9.0], [7.0, 10.0]], "statements by frames"


# --- methods and runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("specific", [False, True])
@pytest.mark.parametrize("method", [coop, knowledge_prompt])
def test_methods_tell_their_context_and_their_texts(method, specific):
    adapter, labels = LayeredFake(), torch.arange(6) % 3
    train = LabelledFeatures(Features(draw(6, NUM_FRAMES, DIM)), labels)
    config = method.Config(num_context_tokens=2, class_specific_context=specific, epochs=1)
    learnt = method.fit(config, adapter, train, None, CLASSES, 1)
    test = Features(draw(3, NUM_FRAMES, DIM, seed=5))
    one = learnt.interpret(test, CLASSES)
    assert list(one.context) == (list(NAMES) if specific else [""])
    assert all(v.shape == (2, WIDTH) for v in one.context.values())
    num = 3 if method is coop else 6
    assert one.fits.shape == (3, NUM_FRAMES, num) and len(one.texts) == num
    assert list(one.owner) == ([0, 1, 2] if method is coop else [0, 0, 1, 2, 2, 2])
    json.dumps(told(adapter, one, WORDS, list("abc"), [0, 1, 2], np.zeros((3, 3)), NAMES), allow_nan=False)


def test_a_run_keeps_it_and_a_spoilt_one_is_an_error(tmp_path):
    import made_runs

    made_runs.complete(tmp_path, "a" * 12)
    assert Results(tmp_path).interpretation("a" * 12) is None
    found = made_runs.predictions()
    store.write(tmp_path, "b" * 12, made_runs.record(), found, {"top1": 0.5}, {"context": [], "videos": []})
    assert Results(tmp_path).interpretation("b" * 12) == {"context": [], "videos": []}
    (store.run_folder(tmp_path, "b" * 12) / store.INTERPRETATION).write_text("{")
    with pytest.raises(BenchError, match="interpretation.json is damaged"):
        Results(tmp_path).interpretation("b" * 12)


# --- table and figure --------------------------------------------------------------------------------------------


def video(name, right, num=4):
    return {
        "video_id": name,
        "class": name,
        "rival": "another class with quite a long name",
        "right": right,
        "texts": [
            f"{name}: the rival's statement {i} says something long about both hands and knees" for i in range(num)
        ]
        + [f"{name}: its own statement {i}" for i in range(num)],
        "of_rival": [True] * num + [False] * num,
        "fits": [[float(i), 2.0 * i, 1.0] for i in range(2 * num)],
    }


TOLD = {
    "num_words": 9,
    "between_words": 0.5,
    "context": [{"class": "", "position": 1, "nearest": [["hand", 0.25], ["arm", 0.75]]}],
    "videos": [video("archery", True), video("boxing", True), video("golf", False), video("yoga", True)],
}
KNOWLEDGE = {**FEW, "method": "knowledge_prompt", "label": "knowledge prompt", "bank": "toy", "is_default": True}


def results():
    made = FakeResults()
    for shots, seed in ((1, 1), (16, 2), (16, 1)):
        told_here = {**TOLD, "num_words": 10 * shots + seed}
        made.add(told=told_here, **{**KNOWLEDGE, "shots": shots, "seed": seed})
    made.add(told=TOLD, **{**KNOWLEDGE, "is_default": False, "label": "another setting", "shots": 16})
    made.add()
    return made


def test_the_table_has_the_words_of_the_first_seed_at_the_most_shots():
    made = {a.name: a.content for a in interpretation.render(results()) if a.name.endswith((".md", ".csv"))}
    text = made["interpretation-toy.md"]
    assert re.search(r"hand \(0\.25\), arm \(0\.75\) +\| +0\.5 \|", text) and "another setting" not in text
    assert "one token of the tower (161)" in text and "few-shot, K = 16" in text
    frame = pd.read_csv(io.StringIO(made["interpretation-toy.csv"]))
    assert (
        frame["word"].tolist() == ["hand", "arm"] and frame["rank"].tolist() == [1, 2] and set(frame["shots"]) == {16}
    )


def test_the_figure_shows_statements_by_frames_the_true_class_first_and_can_be_read():
    ((name, figure),) = figures(interpretation, results()).items()
    assert name.startswith("interpretation-toy-") and not faults(figure)
    *panels, _ = figure.axes
    assert len(panels) == 3
    for ax, shown in zip(panels, (TOLD["videos"][0], TOLD["videos"][1], TOLD["videos"][2]), strict=True):
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels[0].startswith(f"{shown['class']}: its own statement 0") and labels[4].startswith(
            f"{shown['class']}: the rival"
        )
        values = np.array(ax.get_images()[0].get_array())
        wanted = np.array([shown["fits"][i] for i in (4, 5, 6, 7, 0, 1, 2, 3)])
        np.testing.assert_allclose(values, wanted - wanted.mean(axis=0))
        assert ax.lines[0].get_ydata()[0] == 3.5
    assert any("wrong" in text.get_text() for _, text in texts(figure))


def test_runs_that_tell_nothing_are_said_to():
    made = FakeResults()
    made.add(**KNOWLEDGE)
    (text,) = (a.content for a in interpretation.render(made) if a.name.endswith(".md"))
    assert "No run tells of what it learnt: toy" in text
