import errno
from types import SimpleNamespace

import pytest
import torch
from fakes import FakeAdapter
from torch import nn

from bench import runner, stopping, store
from bench.contracts import BenchError, NotApplicable
from bench.frozen import parameter_hash


def of(*values, dtype=torch.float32):
    module = nn.Module()
    for number, value in enumerate(values):
        module.register_buffer(f"b{number}", torch.as_tensor(value, dtype=dtype))
    return parameter_hash(module)


CHANGES = {
    "all values alike": ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]),
    "two signs": ([1.0, 2.0, 3.0], [-1.0, -2.0, 3.0]),
    "two values change places": ([1.0, 2.0, 3.0], [2.0, 1.0, 3.0]),
    "the last bit": ([1.0, 1.0], [1.0, 1.0 + 2**-23]),
    "the sign of zero": ([0.0], [-0.0]),
    "an odd number of signs": ([-1.0, 1.0], [1.0, 1.0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_changes_the_hash(change):
    before, after = CHANGES[change]
    assert of(before) != of(after) and of(before) == of(before)


def test_two_tensors_that_change_places_change_the_hash():
    assert of([1.0, 2.0], [3.0, 4.0]) != of([3.0, 4.0], [1.0, 2.0])


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
)
def test_every_type_of_a_parameter_is_seen(dtype):
    assert of([1, 0, 1], dtype=dtype) != of([1, 1, 1], dtype=dtype)


def test_numbers_and_empty_tensors_are_seen():
    assert of(1.0) != of(2.0) and of([]) == of([])


def test_parameters_and_buffers_of_a_backbone_are_in_it_and_its_memory_layout_is_not():
    module, other = FakeAdapter().module, FakeAdapter().module
    assert parameter_hash(module) == parameter_hash(other) != parameter_hash(FakeAdapter(seed=1).module)
    other.visual = nn.Parameter(other.visual.T.contiguous().T, requires_grad=False)
    assert parameter_hash(module) == parameter_hash(other)
    for parameter in other.parameters():
        before = parameter_hash(other)
        parameter[(-1,) * parameter.dim()] += 1
        assert parameter_hash(other) != before


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (stopping.Stopped("SIGTERM"), None),
        (BenchError("bad config"), "failed"),
        (NotApplicable("no text"), "n/a"),
        (MemoryError("too large"), "failed"),
    ],
)
def test_only_what_the_method_is_at_fault_for_is_recorded_and_ends_its_checkpoints(
    error, status, tmp_path, monkeypatch
):
    def fails(resolved, home):
        raise error

    run_id = "ab" * 6
    kept = tmp_path / "checkpoints" / run_id
    kept.mkdir(parents=True)
    resolved = SimpleNamespace(run_id=run_id, identity=dict, spec=None)
    monkeypatch.setattr(runner, "columns", lambda *_: {})
    monkeypatch.setattr(runner, "to_dict", lambda spec: {})
    monkeypatch.setattr(runner, "_fit_and_predict", fails)
    with pytest.raises(type(error)):
        runner.execute(resolved, tmp_path)
    found = store.failure(tmp_path, run_id)
    assert (found and found["status"]) == status and kept.exists() == (status is None)
    if found:
        assert "fails(" not in found["reason"] and "in fails" in found["traceback"]
