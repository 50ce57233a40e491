"""The doctor says in one sentence what is wrong, and never breaks itself."""

import collections
import shutil
import sys
import types

import pytest

from bench import doctor
from bench.contracts import BenchError


def by_name(checks):
    return {c.name: c for c in checks}


def test_this_machine_is_fit(tmp_path):
    checks = by_name(doctor.report())
    assert [c for c in checks.values() if c.status == "fail"] == []
    assert str(doctor.ROOT) in checks["imports"].text
    assert "headless" in checks["opencv"].text
    assert "FFmpeg" in checks["video"].text
    assert "GB free" in checks["disk"].text


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def broken():
        raise RuntimeError("no torch for you")

    monkeypatch.setattr(doctor, "_torch", broken)
    check = by_name(doctor.report())["torch"]
    assert (check.status, check.text) == ("fail", "RuntimeError: no torch for you")


def test_an_unwritable_home(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("BENCH_HOME", str(blocked / "out"))
    check = by_name(doctor.report())["disk"]
    assert check.status == "fail"
    assert "set BENCH_HOME" in check.text


@pytest.mark.parametrize(("free", "status"), [(0.5e9, "fail"), (5e9, "warn"), (50e9, "ok")])
def test_free_disk(monkeypatch, free, status):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100e9, 0, free))
    assert by_name(doctor.report())["disk"].status == status


@pytest.mark.parametrize(
    ("capability", "archs", "supported"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 6), ["sm_80", "sm_90"], True),  # a newer minor version of the same major one
        ((8, 0), ["sm_86", "sm_90"], False),
        ((6, 0), ["sm_75", "sm_80", "compute_90"], False),  # a P100 under a build that has dropped it
        ((12, 0), ["sm_90", "compute_90"], True),  # intermediate code is compiled for newer GPUs
        ((12, 0), ["sm_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90a", "compute_90a"], False),
        ((12, 1), ["sm_120"], True),
        ((7, 0), ["gfx90a"], False),
    ],
)
def test_gpu_against_the_build(capability, archs, supported):
    assert doctor.gpu_supported(capability, archs) is supported


def fake_torch(**cuda):
    defaults = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_arch_list": lambda: ["sm_75", "sm_80", "sm_90"],
        "get_device_name": lambda i: "Tesla P100",
        "get_device_capability": lambda i: (6, 0),
    }
    return types.SimpleNamespace(
        __version__="2.15.0",
        version=types.SimpleNamespace(cuda="13.0", hip=None),
        cuda=types.SimpleNamespace(**{**defaults, **cuda}),
    )


def test_a_gpu_that_the_build_has_dropped(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch())
    monkeypatch.setattr(doctor, "_driver", lambda: "580.1")
    status, text = doctor._gpu()
    assert status == "fail"
    assert "Tesla P100, compute capability 6.0, which this torch build" in text
    assert "does not support" in text and "make setup TORCH=" in text


def test_a_driver_that_is_too_old_for_the_build(monkeypatch):
    import warnings

    def unavailable():
        warnings.warn("The NVIDIA driver on your system is too old (found version 12000).", stacklevel=1)
        return False

    monkeypatch.setitem(sys.modules, "torch", fake_torch(is_available=unavailable))
    monkeypatch.setattr(doctor, "_driver", lambda: "525.60")
    status, text = doctor._gpu()
    assert status == "warn"
    assert "525.60" in text and "too old" in text and "make setup TORCH=" in text


def test_no_gpu_is_fine(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(is_available=lambda: False))
    monkeypatch.setattr(doctor, "_driver", lambda: None)
    assert doctor._gpu()[0] == "ok"


def test_pins_against_what_is_installed():
    pins = [
        "# a comment",
        "numpy==2.4.6",
        "torch==2.15.0",
        "gone==1.0",
        "nvidia-nccl-cu99==1.0",
        "opencv-python==5.0 ; sys_platform == 'never'",
        "Ruff==0.17.6",
    ]
    installed = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "ruff": "0.17.6"}
    assert doctor.compare_pins(pins, installed) == (["gone"], ["torch 2.13.0+cpu (2.15.0)"])
    assert doctor.compare_pins(["torch==2.13.0"], installed) == ([], [])  # a local build of the pinned version


@pytest.mark.parametrize(
    ("builds", "status", "said"),
    [
        ({"opencv-python-headless": "4.14"}, "ok", "headless"),
        ({"opencv-python": "4.14"}, "warn", "libGL"),
        ({"opencv-python": "4.14", "opencv-python-headless": "4.14"}, "fail", "overwrite"),
        ({}, "warn", "not installed"),
    ],
)
def test_opencv_builds(monkeypatch, builds, status, said):
    monkeypatch.setattr(doctor, "_installed", lambda: builds)
    found = doctor._opencv()
    assert found[0] == status
    assert said in found[1]


def test_weights_are_asked_for_by_name(monkeypatch):
    def at_hand(name):
        if name == "big":
            raise BenchError("big.safetensors is not in $BENCH_WEIGHTS")
        return "in the repository"

    monkeypatch.setattr(doctor.plugins, "names", lambda kind: ("tiny", "big"))
    checks = by_name(doctor.report(at_hand))
    assert (checks["weights tiny"].status, checks["weights tiny"].text) == ("ok", "in the repository")
    assert checks["weights big"].status == "warn"
    assert checks["weights big"].text == "big.safetensors is not in $BENCH_WEIGHTS"
