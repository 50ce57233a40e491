"""A bank, the desk that it lies on, and a client that was let in."""

import json

import pytest
from reviewing import CLOSE, ODD, OPEN, RAISED, client_of

from bench.knowledge import _decisions
from bench.knowledge.bank import parsed
from bench.knowledge.desk import open_desk


@pytest.fixture
def path(tmp_path):
    origins = {"gpt": {"by": "a language model", "prompt": "What does waving look like?"}}
    classes = {"wave": [RAISED, OPEN, CLOSE], "clap": [{**RAISED, "text": "Two hands meet."}], ODD: [OPEN]}
    bank = {"schema": 2, "dataset": "mine", "about": "", "origins": origins, "classes": classes}
    path = tmp_path / "banks" / "mine.json"
    path.parent.mkdir()
    _decisions.save(parsed(json.dumps(bank), "made here"), path)
    return path


@pytest.fixture
def desk(path):
    return open_desk(path, "Ada")


@pytest.fixture
def client(desk):
    return client_of(desk)


@pytest.fixture
def untouched(path):
    """The bank's folder is at the end as it was at the beginning."""
    before = path.read_bytes()
    yield
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
