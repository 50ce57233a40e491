"""Which GPUs the workers of this machine get where runs train on several."""

from types import SimpleNamespace

import pytest

from bench import launch
from bench.contracts import BenchError


def planned(*processes):
    return [SimpleNamespace(config=(("processes", n),) if n else ()) for n in processes]


def test_each_worker_has_as_many_as_the_widest_run_wants():
    assert launch.gpus_a_run(planned(0, 1), 8) == 1 and launch.gpus_a_run(planned(0, 4, 2), 8) == 4
    assert [launch.visible_gpus(index, 4, 1) for index in range(5)] == [[0], [1], [2], [3], [0]]
    assert [launch.visible_gpus(index, 5, 2) for index in range(2)] == [[0, 1], [2, 3]]
    assert (launch._num_at_once(99, 4, 1), launch._num_at_once(99, 5, 2), launch._num_at_once(3, 8, 2)) == (16, 2, 3)


def test_on_the_cpu_processes_are_no_gpus():
    assert (
        launch.gpus_a_run(planned(4), 0) == 4
        and launch.visible_gpus(1, 0, 4) == []
        and launch._num_at_once(9, 0, 4) == 9
    )


def test_more_than_there_are_is_an_error():
    with pytest.raises(BenchError, match="a run has processes=3, one a GPU, and there are 2 GPUs here"):
        launch.gpus_a_run(planned(1, 3), 2)
