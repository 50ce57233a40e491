"""The doctor says in one sentence what is wrong, and never breaks itself."""

import collections
import shutil
import sys
import types
from dataclasses import replace

import pytest
import torch
from fakes import FakeAdapter, plug_in_adapter
from typer.testing import CliRunner

from bench import cli, doctor, examine
from bench.contracts import BenchError, Features
from bench.forward import Encoder


def by_name(checks):
    return {c.name: c for c in checks}


def test_this_machine_is_fit(tmp_path):
    checks = by_name(doctor.report())
    assert [c for c in checks.values() if c.status == "fail"] == []
    assert str(doctor.ROOT) in checks["imports"].text
    assert "headless" in checks["opencv"].text
    assert "FFmpeg" in checks["video"].text
    assert "GB free" in checks["disk"].text


def test_a_site_file_where_nothing_can_be_submitted_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert "slurm" not in by_name(doctor.report())
    site = doctor.bench_home() / "site.toml"
    site.parent.mkdir(parents=True, exist_ok=True)
    site.write_text('partition = "gpu"\n')
    check = by_name(doctor.report())["slurm"]
    assert check.status == "warn" and "site.toml and no sbatch here" in check.text


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
    assert checks["weights"].status == "warn"
    assert checks["weights"].text.startswith("1 models have none on this machine: big. ")
    assert checks["weights"].text.endswith("big.safetensors is not in $BENCH_WEIGHTS")


# --- one backbone --------------------------------------------------------------------------------------------------


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine on which torch.compile cannot run, and starts nothing."""

    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler here")

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call: compile(call, backend=broken))


def allowing(*precisions, **facts):
    adapter = FakeAdapter()
    adapter.facts = replace(adapter.facts, precisions=precisions, **facts)
    return adapter


def test_a_backbone_is_described_and_each_way_to_compute_measured(no_compiler):
    lines = list(examine.examine(allowing("float32", "bf16", "fp16", gflops=17.5)))
    text = "\n".join(lines)
    for said in (
        "Fake",
        "drawn",
        FakeAdapter().facts.weights_sha256,
        "17.5",
        "32 tokens, zeros behind",
        "cosine times 20",
    ):
        assert said in text
    (bf16,) = [line for line in lines if line.startswith("  bf16 ")]
    (fp16,) = [line for line in lines if line.startswith("  fp16 ")]
    for line in (bf16, fp16):
        assert "largest" in line and "softmax at most" in line and "same top-1" in line and "x float32" in line
    assert "torch.compile cannot run fake on this machine" in lines[-1] and "no C++ compiler here" in lines[-1]


def test_a_backbone_in_float32_alone_without_text(no_compiler):
    lines = list(examine.examine(allowing("float32", capabilities=frozenset())))
    assert not any(line.startswith(("  bf16", "  fp16", "  float32 ")) for line in lines)
    assert "text             none" in lines and "logits           none" in lines


class Off:
    """Another way to compute whose first frame of the second video comes out 10 % longer, and the last one turned round."""

    def __init__(self, exact):
        self.exact = exact

    def forward(self, batch):
        found = self.exact.forward(batch).frames.clone()
        found[1, 0] *= 1.1
        found[-1, -1] *= -1
        return Features(found)


def test_the_differences_are_those_of_the_features():
    exact = Encoder(FakeAdapter())
    videos = [exact.adapter.transform(v) for v in examine.pictures(4, 4)]
    d = examine.compare(exact, Off(exact), videos, examine.SENTENCES)
    assert d.largest == pytest.approx(2.0) and d.mean == pytest.approx(2.1 / 16)
    assert d.cosine == pytest.approx(-1.0)
    assert d.probability > 1e-4 and d.agreement in (0.5, 0.75, 1.0) and d.speed > 0
    same = examine.compare(exact, exact, videos, examine.SENTENCES)
    assert (same.largest, same.probability, same.agreement) == (0.0, 0.0, 1.0)


def test_made_up_videos_are_the_same_each_time_all_different_and_move():
    one, other = (list(examine.pictures(3, 4)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert one[0].shape == (4, examine.HEIGHT, examine.WIDTH, 3) and one[0].std() > 30
    assert len({v.tobytes() for v in one}) == 3 and len({f.tobytes() for f in one[0]}) == 4


def test_nothing_is_cut_at_the_edge_of_a_terminal(monkeypatch, no_compiler):
    long = "weights of big are nowhere: " + "put the file there " * 20
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(cli.backbones, "_weights_at_hand", lambda name: long)
    assert long.strip() in " ".join(CliRunner().invoke(cli.app, ["doctor"]).output.split())
    plug_in_adapter(monkeypatch, allowing("float32", licence="a licence " * 20))
    shown = CliRunner().invoke(cli.app, ["doctor", "--backbone", "fake"])
    assert shown.exit_code == 0 and ("a licence " * 20).strip() in shown.output
