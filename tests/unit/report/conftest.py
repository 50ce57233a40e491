"""A home with a run, and a report of given plug-ins alone."""

import sys

import made_runs
import pytest
from rendered import A

from bench import plugins


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "bench_home"
    made_runs.complete(home, A, seed=1)
    return home


@pytest.fixture
def only(monkeypatch):
    """Put given plug-ins in the place of all of results/; name -> its render function."""

    def put(**renders):
        modules = {name: type(sys)(name) for name in renders}
        for name, render in renders.items():
            vars(modules[name]).update(TITLE=name, render=render)
        real = plugins.find
        monkeypatch.setattr(
            plugins, "find", lambda kind, name: modules[name] if kind == "results" else real(kind, name)
        )
        real_names = plugins.names
        monkeypatch.setattr(plugins, "names", lambda kind: tuple(renders) if kind == "results" else real_names(kind))

    return put
