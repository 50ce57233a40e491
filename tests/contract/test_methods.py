"""Every method keeps the contract on every tiny backbone."""

import json

import pytest
from small_recognizers import weights

from bench import checks, plugins
from bench.contracts import FRAMES, KNOWLEDGE, RECOGNIZER, TRAIN

TINY = [name for name in plugins.names("adapters") if name.startswith("tiny-")]
ON_RECOGNIZERS = [name for name in plugins.names("methods") if RECOGNIZER in plugins.find("methods", name).NEEDS]
SMALL = {"epochs": 2, "resolution": 32, "frames": 4, "views": "one"}
MAP = {"0": "sit down", "1": "wave", "2": "walk", "3": "walk"}


@pytest.mark.mmaction2
@pytest.mark.parametrize("name", ON_RECOGNIZERS)
def test_methods_on_recognisers_keep_the_contract(name, tmp_path):
    method, backbone = plugins.find("methods", name), weights(tmp_path / "tsm.safetensors")
    adapter = plugins.find("adapters", backbone).load(backbone, "cpu")
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    settings = {**SMALL, "label_map": str(tmp_path / "map.json")}
    known = method.Config.__dataclass_fields__
    results = checks.check_method(method, adapter, method.Config(**{k: v for k, v in settings.items() if k in known}))
    assert [(r.name, r.problem) for r in results if r.problem] == []


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("name", [name for name in plugins.names("methods") if name not in ON_RECOGNIZERS])
def test_methods_keep_the_contract(name, backbone):
    adapter = plugins.find("adapters", backbone).load(backbone, "cpu")
    results = checks.check_method(plugins.find("methods", name), adapter)
    assert [(r.name, r.problem) for r in results if r.problem] == []


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_suggest_proposes_fields_of_the_config(name):
    import optuna

    method = plugins.find("methods", name)
    trial = optuna.create_study().ask()
    method.Config(**method.suggest(trial))
    assert method.TRAINABLE in ("none", "prompt", "head", "all")
    assert method.NEEDS <= {"text", "prompts", KNOWLEDGE, TRAIN, FRAMES, RECOGNIZER}
