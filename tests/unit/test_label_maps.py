"""From a recogniser's classes to a data set's: by name, by a file, in alphabetical order; what does not fit is named."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from baselines import mmaction2_as_is as as_is
from bench.contracts import BenchError, Classes, NotApplicable
from bench.specs import ResolvedRun, RunSpec, as_pairs

OWN = ["abseiling", "push up", "situp", "zumba"]
OURS = ("exercise", "climbing")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("\n".join(OWN) + "\n")
    return str(path)


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_identity_is_the_alphabetical_order():
    config = as_is.Config(label_map="identity")
    assert as_is.mapping(config, 3, ("walk", "run", "sit")) == {"run": (0,), "sit": (1,), "walk": (2,)}
    with pytest.raises(BenchError, match="the recogniser has 400, the data set 3"):
        as_is.mapping(config, 400, ("walk", "run", "sit"))


def test_by_name_spaces_and_case_do_not_matter(own):
    config = as_is.Config(own_classes=own)
    assert as_is.mapping(config, 4, ("PushUp", "zumba", "Abseiling")) == {
        "PushUp": (1,),
        "zumba": (3,),
        "Abseiling": (0,),
    }


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_several_may_go_to_one(kind, own, tmp_path):
    pairs = {"push up": "exercise", "situp": "exercise", "abseiling": "climbing"}
    table = "source,class\n" + "".join(f"{a},{b}\n" for a, b in pairs.items())
    file = write(tmp_path, f"map.{kind}", pairs if kind == "json" else table)
    config = as_is.Config(own_classes=own, label_map=file)
    assert as_is.mapping(config, 4, OURS) == {"exercise": (1, 2), "climbing": (0,)}


def test_numbers_need_no_names(tmp_path):
    file = write(tmp_path, "map.json", {"7": "exercise", "2": "climbing", "3": "climbing"})
    assert as_is.mapping(as_is.Config(label_map=file), 8, OURS) == {"exercise": (7,), "climbing": (2, 3)}
    with pytest.raises(BenchError, match="no class '7', which are 0 to 6"):
        as_is.mapping(as_is.Config(label_map=file), 7, OURS)


def test_a_class_that_nothing_is_mapped_to_is_named_with_the_nearest(own, tmp_path):
    file = write(tmp_path, "map.json", {"push up": "exercise"})
    with pytest.raises(BenchError, match="mapped to 'climbing'; .*add it to label_map"):
        as_is.mapping(as_is.Config(own_classes=own, label_map=file), 4, OURS)
    with pytest.raises(BenchError, match="mapped to 'sit ups'; nearest to 'sit ups': 'situp'"):
        as_is.mapping(as_is.Config(own_classes=own), 4, ("zumba", "sit ups"))


def test_a_source_that_is_no_class_is_named_with_the_nearest(own, tmp_path):
    file = write(tmp_path, "map.json", {"pushing up": "exercise"})
    with pytest.raises(BenchError, match=r"map.json: the recogniser has no class 'pushing up'; did you mean 'push up'"):
        as_is.mapping(as_is.Config(own_classes=own, label_map=file), 4, OURS)


def test_a_target_that_is_no_class_is_named_with_the_nearest(own, tmp_path):
    file = write(tmp_path, "map.json", {"push up": "exercise", "situp": "exercize", "abseiling": "climbing"})
    with pytest.raises(
        BenchError, match="'situp' goes to 'exercize', which is no class of the data set; did you mean 'exercise'"
    ):
        as_is.mapping(as_is.Config(own_classes=own, label_map=file), 4, OURS)


@pytest.mark.parametrize(
    ("name", "content"),
    [("m.json", '{"1": "exercise", "1": "climbing"}'), ("m.csv", "source,class\n1,exercise\n1,climbing\n")],
)
def test_a_source_goes_to_one_class(name, content, tmp_path):
    with pytest.raises(BenchError, match="has '1' twice"):
        as_is.mapping(as_is.Config(label_map=write(tmp_path, name, content)), 4, OURS)


def test_classes_that_it_was_not_mapped_to_are_not_applicable(monkeypatch):
    predictor = as_is.AsIs(torch.nn.Identity(), [], {"exercise": (0,)}, "mean", torch.device("cpu"))
    with pytest.raises(NotApplicable, match="not climbing"):
        predictor(None, Classes(OURS))


def test_without_a_map_it_says_what_to_give():
    with pytest.raises(BenchError, match="400 classes mean which of the data set's 2; give own_classes"):
        as_is.mapping(as_is.Config(), 400, OURS)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.json", "{", "is no JSON"),
        ("m.json", "[1]", "is no object such as"),
        ("m.csv", "a,b\n1,2\n", "has the columns a, b; they are source and class"),
        ("m.csv", "source,class\n1,\n", "line 2: a field is empty"),
        ("m.csv", "source,class\n1,exercise\n2\n", "line 3: a field is empty"),
        ("m.csv", "source,class\n1,exercise\n2,climbing, up\n", "line 3: it has more than two fields"),
        ("m.yaml", "", "is a .json or a .csv file"),
    ],
)
def test_a_map_that_cannot_be_read(name, content, said, tmp_path):
    with pytest.raises(BenchError, match=said):
        as_is.mapping(as_is.Config(label_map=write(tmp_path, name, content)), 4, OURS)


def test_its_own_list_has_as_many_classes_as_it(own):
    with pytest.raises(BenchError, match="lists 4 classes, and the recogniser has 400"):
        as_is.mapping(as_is.Config(own_classes=own), 400, OURS)


def run_id(config):
    """Of a run that differs from others in this config alone."""
    spec = RunSpec(dataset="toy", backbone="b", method="mmaction2_as_is", protocol="zero_shot")
    settings = as_pairs(dataclasses.asdict(config))
    facts = {"manifest": "m", "backbone": "b", "adapter": "a", "num_frames": 8, "bank": None, "versions": ()}
    return ResolvedRun(spec=spec, config=settings, **facts).run_id


def test_a_file_is_known_by_its_content(tmp_path):
    file = write(tmp_path, "map.json", {"0": "exercise"})
    config = as_is.Config(label_map=file)
    assert as_is.Config(label_map=config.label_map) == config and config.label_map.startswith(f"{file}@")
    moved = as_is.Config(label_map=write(tmp_path, "moved.json", {"0": "exercise"}))
    assert run_id(moved) == run_id(config) and moved != config, "the same run, wherever its map lies"
    assert run_id(as_is.Config(label_map=write(tmp_path, "other.json", {"1": "exercise"}))) != run_id(config)
    (tmp_path / "map.json").write_text("{}")
    with pytest.raises(BenchError, match="is not what it was when this run was planned"):
        as_is.Config(label_map=config.label_map)
    with pytest.raises(BenchError, match="there is no such file"):
        as_is.Config(label_map="nowhere.json")


@pytest.mark.parametrize(
    ("merge", "expected"), [("mean", [[0.15, 0.6], [0.25, 0.3]]), ("max", [[0.2, 0.6], [0.4, 0.3]])]
)
def test_probabilities_of_several_are_merged(merge, expected, monkeypatch):
    given = torch.tensor([[0.6, 0.2, 0.1, 0.1], [0.3, 0.4, 0.1, 0.2]]).log()
    monkeypatch.setattr(as_is.shared, "predict", lambda *_: given)
    predictor = as_is.AsIs(torch.nn.Identity(), [], {"exercise": (1, 2), "climbing": (0,)}, merge, torch.device("cpu"))
    logits = predictor(None, Classes(OURS))
    np.testing.assert_allclose(logits.exp().numpy(), expected, rtol=1e-5)
    assert torch.equal(predictor(None, Classes(OURS[::-1])), logits.flip(1))


def test_a_map_is_checked_before_anything_is_computed(tmp_path):
    path = write(tmp_path, "map.csv", "source,class\n0,a\n1,c\n")
    adapter = SimpleNamespace(
        facts=SimpleNamespace(name="r", architecture="r", pretraining="K400"),
        recipe={"model": {"cls_head": {"num_classes": 2}}},
    )
    as_is.check(as_is.Config(label_map=path), adapter, ("a", "c"))
    with pytest.raises(BenchError, match="goes to 'c', which is no class of the data set"):
        as_is.check(as_is.Config(label_map=path), adapter, ("a", "b"))
    adapter.facts.pretraining = as_is.UNTRAINED
    with pytest.raises(BenchError, match="r has random weights, so its classes mean nothing"):
        as_is.check(as_is.Config(label_map=path), adapter, ("a", "c"))
