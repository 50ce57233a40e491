"""What the tests of the index share."""

import pytest

from bench import index


@pytest.fixture
def reads(monkeypatch):
    """The run ids that are read from their folders."""
    seen, real = [], index.read
    monkeypatch.setattr(index, "read", lambda home, run_id, lists: seen.append(run_id) or real(home, run_id, lists))
    return seen
