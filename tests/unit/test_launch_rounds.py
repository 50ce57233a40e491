"""What a launcher makes of workers that end without having done anything."""

import pytest

from bench import jobs, launch
from bench._progress import bars
from bench.contracts import BenchError
from bench.provenance import source_digest


@pytest.fixture
def rounds(monkeypatch):
    """How many workers were started in each round; none of them does anything."""
    found = []
    monkeypatch.setattr(launch, "_round", lambda job, stage, count, *rest: found.append(count))
    return found


def stage(home, source):
    job = jobs.create(home, {"runs": [{"lease": f"{n:012x}"} for n in range(3)]}, {"where": "local", "source": source})
    with bars() as bar:
        launch._stage(job, "runs", "local", 2, 0, bar)


def test_a_source_tree_that_changed_meanwhile_is_said(tmp_path, rounds):
    with pytest.raises(BenchError, match="the source tree changed since"):
        stage(tmp_path, "another tree")
    assert rounds == [2]


def test_workers_that_die_before_they_begin_anything_are_not_replaced_for_ever(tmp_path, rounds):
    stage(tmp_path, source_digest())
    assert rounds == [2] * launch.ROUNDS
