"""Every method keeps the contract on every tiny backbone."""

import pytest

from bench import checks, plugins
from bench.contracts import KNOWLEDGE, TRAIN

TINY = [name for name in plugins.names("adapters") if name.startswith("tiny-")]


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("name", plugins.names("methods"))
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
    assert method.TRAINABLE in ("none", "prompt", "head")
    assert method.NEEDS <= {"text", "prompts", KNOWLEDGE, TRAIN}
