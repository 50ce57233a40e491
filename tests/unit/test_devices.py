import pytest

from bench import devices
from bench.contracts import BenchError


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of this name and capability under a torch build for these targets, or none."""
    import torch

    def there_is(name=None, capability=(0, 0), archs=(), cuda="12.8"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: name is not None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(archs))
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch, "__version__", "2.15.0+cu128")

    monkeypatch.delenv("BENCH_DEVICE", raising=False)
    return there_is


OLD = ("Tesla P100-PCIE-16GB", (6, 0), ("sm_75", "sm_80", "sm_90", "sm_100", "compute_120"))
GOOD = ("NVIDIA H100 80GB HBM3", (9, 0), ("sm_75", "sm_80", "sm_90"))


def test_a_gpu_that_the_build_has_code_for_is_used_and_no_gpu_is_the_cpu(gpu):
    gpu(*GOOD)
    assert devices.choose() == "cuda"
    gpu()
    assert devices.choose() == "cpu"


@pytest.mark.parametrize("asked", ["", "cuda"])
def test_a_gpu_that_the_build_has_no_code_for_is_named_with_the_ways_out(gpu, monkeypatch, asked):
    gpu(*OLD)
    monkeypatch.setenv("BENCH_DEVICE", asked)
    with pytest.raises(BenchError) as error:
        devices.choose()
    for part in (
        "Tesla P100-PCIE-16GB",
        "compute capability 6.0",
        "2.15.0+cu128, made for sm_75 sm_80 sm_90 sm_100 compute_120",
        'make setup TORCH="torch==... torchvision==..."',
        "BENCH_DEVICE=cpu",
    ):
        assert part in str(error.value)


def test_the_cpu_is_the_way_round_an_unsupported_gpu_and_a_choice_beside_a_good_one(gpu, monkeypatch):
    monkeypatch.setenv("BENCH_DEVICE", "cpu")
    for one in (OLD, GOOD):
        gpu(*one)
        assert devices.choose() == "cpu"


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(gpu, monkeypatch):
    gpu()
    monkeypatch.setenv("BENCH_DEVICE", "cuda")
    with pytest.raises(
        BenchError, match=r"\$BENCH_DEVICE is cuda, but torch 2.15.0\+cu128 finds no GPU.*bench doctor says why"
    ):
        devices.choose()


@pytest.mark.parametrize("value", ["gpu", "CUDA", "cuda:1", "0"])
def test_a_device_that_is_none_is_an_error_that_lists_them(gpu, monkeypatch, value):
    gpu(*GOOD)
    monkeypatch.setenv("BENCH_DEVICE", value)
    with pytest.raises(BenchError, match=rf"\$BENCH_DEVICE is '{value}'; it is cpu or cuda, or unset"):
        devices.choose()


def test_every_command_that_loads_a_backbone_says_so_and_ends_with_2(gpu, monkeypatch, capsys):
    from commands import bench

    from bench import planning

    planning.load_adapter.cache_clear()
    gpu(*OLD)
    code, out, err = bench(capsys, monkeypatch, "check-adapter", "tiny-clip")
    assert code == 2 and not out and err.startswith("error: the GPU Tesla P100-PCIE-16GB has compute capability 6.0")


CASES = {
    "machine code of its own version": ((8, 0), ["sm_80"], True),
    "machine code of an older minor version": ((8, 6), ["sm_80"], True),
    "machine code of a newer minor version": ((8, 0), ["sm_86"], False),
    "machine code of an older major version": ((9, 0), ["sm_80"], False),
    "machine code of a newer major version": ((8, 9), ["sm_90"], False),
    "intermediate code of an older version": ((12, 0), ["compute_90"], True),
    "intermediate code of a newer version": ((8, 0), ["compute_90"], False),
    "code for exactly this one": ((9, 0), ["sm_90a"], True),
    "code for exactly another one": ((9, 2), ["sm_90a"], False),
    "intermediate code for exactly one": ((10, 0), ["compute_90a"], False),
    "two digits in front": ((12, 1), ["sm_120"], True),
    "the last of many": ((9, 0), ["sm_75", "sm_80", "sm_90"], True),
    "a target of another maker": ((9, 0), ["gfx90a"], False),
    "nothing": ((9, 0), [], False),
}


@pytest.mark.parametrize("case", CASES)
def test_which_gpus_a_build_has_code_for(case):
    capability, archs, fits = CASES[case]
    assert devices.gpu_supported(capability, archs) is fits


def test_a_build_that_names_no_targets_or_is_not_of_cuda_is_left_to_itself(gpu):
    gpu("AMD Instinct MI300X", (9, 4), ("gfx942",), cuda=None)
    assert devices.choose() == "cuda"
    gpu("a GPU", (6, 0), ())
    assert devices.choose() == "cuda"
