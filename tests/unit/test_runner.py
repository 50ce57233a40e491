import pytest
import torch
from fakes import FakeAdapter
from torch import nn

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
