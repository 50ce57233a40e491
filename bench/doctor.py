"""Is this machine fit for a run? `python -m bench doctor` prints one line a check and what to do where it is not."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from bench import places, plugins, sites
from bench._inside import PACKAGES, ROOT, check_packages
from bench.contracts import BenchError
from bench.devices import ANOTHER_BUILD, gpu_supported
from bench.places import bench_home

Status = Literal["ok", "warn", "fail"]

LOW_DISK_GB = 10.0
NO_DISK_GB = 1.0


@dataclass(frozen=True)
class Check:
    """One finding: `warn` may still give right numbers, `fail` does not run."""

    name: str
    status: Status
    text: str


def report(weights_at_hand: Callable[[str], str] | None = None) -> list[Check]:
    """Every check, in the order in which a reader wants them. A check that breaks is a finding, never an exception.

    Args:
        weights_at_hand: says in words whether a backbone's weights are on this machine, BenchError where they are not;
            without it they are not looked at.
    """
    checks: list[Check] = []
    for name, check in {
        "python": _python,
        "packages": _packages,
        "imports": _imports,
        "torch": _torch,
        "gpu": _gpu,
        "disk": _disk,
        "opencv": _opencv,
        "video": _video,
        **({"slurm": _slurm} if shutil.which("sbatch") or sites.is_there(bench_home(writes=False)) else {}),
    }.items():
        try:
            status, text = check()
        except BenchError as error:
            status, text = "fail", str(error)
        except Exception as error:
            status, text = "fail", f"{type(error).__name__}: {error}"
        checks.append(Check(name, status, text))
    if weights_at_hand is not None:
        checks += _weights(weights_at_hand)
    return checks


def _python() -> tuple[Status, str]:
    text = f"{platform.python_version()} at {sys.executable} on {platform.platform(terse=True)}"
    return ("ok", text) if sys.version_info >= (3, 11) else ("fail", f"{text}; 3.11 or newer is needed")


def _packages() -> tuple[Status, str]:
    pins = ROOT / "constraints.txt"
    if not pins.exists():
        return "warn", "constraints.txt is not here, so versions are not compared"
    missing, other = compare_pins(pins.read_text().splitlines(), _installed())
    needed = _names(metadata_requires())
    lost = [m for m in missing if m in needed]
    if lost:
        return "fail", f"not installed: {', '.join(lost)}; run make setup"
    if other or missing:
        differences = [*other, *(f"{m} (not installed)" for m in missing)]
        return "warn", f"not as pinned, so numbers may differ a little: {', '.join(differences)}"
    return "ok", "every version is the pinned one"


def compare_pins(lines: Iterable[str], installed: dict[str, str]) -> tuple[list[str], list[str]]:
    """Pins that hold on this machine against what is installed -> (missing names, others as "name found (pin)")."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    missing: list[str] = []
    other: list[str] = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker and not pin.marker.evaluate():
            continue
        name = canonicalize_name(pin.name)
        found = installed.get(name)
        if found is None:
            # What a torch build brings along is its own matter.
            if not name.startswith(("nvidia-", "cuda-", "triton")):
                missing.append(name)
        elif not pin.specifier.contains(Version(found), prereleases=True):
            other.append(f"{name} {found} ({str(pin.specifier).removeprefix('==')})")
    return missing, other


def metadata_requires() -> list[str]:
    """What pyproject.toml asks for; a repository need not be installed to be used."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def _names(requirements: Iterable[str]) -> set[str]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return {canonicalize_name(Requirement(r).name) for r in requirements}


def _installed() -> dict[str, str]:
    from packaging.utils import canonicalize_name

    return {canonicalize_name(d.name): d.version for d in metadata.distributions() if d.name}


def _imports() -> tuple[Status, str]:
    check_packages()
    return "ok", f"{', '.join(PACKAGES)} are those of {ROOT}"


def _torch() -> tuple[Status, str]:
    import torch

    kinds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    build = next((f"{kind} {found}" for kind, found in kinds.items() if found), "CPU only")
    archs = torch.cuda.get_arch_list()
    made_for = f", made for {' '.join(archs)}" if archs else ""
    text = f"{torch.__version__}, {build}{made_for}; {torch.get_num_threads()} CPU threads"
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        return "fail", f"{text}; its torchvision is of another build ({error}). {ANOTHER_BUILD}"
    return "ok", text


def _gpu() -> tuple[Status, str]:
    import torch

    driver = _driver()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if not usable:
        if driver is None:
            return "ok", "none here; everything runs on the CPU"
        if not torch.version.cuda:
            why = "this torch build is for CPUs only"
        else:
            said = str(heard[-1].message).split("(Triggered")[0].strip() if heard else "torch gives no reason"
            why = f"this torch build ({torch.__version__}, CUDA {torch.version.cuda}) cannot use it: {said}"
        return "warn", f"there is an NVIDIA driver ({driver}), but {why}. {ANOTHER_BUILD}"
    archs = torch.cuda.get_arch_list()
    status: Status = "ok"
    lines = []
    for i in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(i)
        line = f"GPU {i}: {torch.cuda.get_device_name(i)}, compute capability {capability[0]}.{capability[1]}"
        if archs and torch.version.cuda and not gpu_supported(capability, archs):
            status = "fail"
            build = f"{torch.__version__}, made for {' '.join(archs)}"
            line += f", which this torch build ({build}) does not support. {ANOTHER_BUILD}"
        lines.append(line)
    return status, f"{'; '.join(lines)} (driver {driver or 'unknown'})"


def _driver() -> str | None:
    """The NVIDIA driver's version, None where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        asked = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def _disk() -> tuple[Status, str]:
    home = bench_home()  # raises where it cannot be written to
    text = f"{home} can be written to"
    if places.is_shared(home):
        from bench.features import check_room  # which brings torch

        check_room(places.features(home), NO_DISK_GB * 1000)
        text += f", features lie in {places.features(home)}"
    free_gb = shutil.disk_usage(home).free / 1e9
    text += f", {free_gb:.1f} GB free"
    if free_gb < NO_DISK_GB:
        return "fail", f"{text}; set BENCH_HOME to a bigger disk"
    if free_gb < LOW_DISK_GB:
        return "warn", f"{text}; features of a large data set may not fit"
    return "ok", text


def _opencv() -> tuple[Status, str]:
    builds = {n: v for n, v in sorted(_installed().items()) if n.startswith("opencv-")}
    listed = ", ".join(f"{n} {v}" for n, v in builds.items())
    if not builds:
        return "warn", "not installed; MMAction2 backbones need it"
    if len(builds) > 1:
        return "fail", f"several builds overwrite each other's files: {listed}. Uninstall all, then run make setup"
    if not all("headless" in n for n in builds):
        return "warn", f"{listed} needs libGL, which a cluster's node may lack; opencv-python-headless does not"
    return "ok", listed


def _video() -> tuple[Status, str]:
    import av

    libraries = {name: ".".join(str(part) for part in parts) for name, parts in av.library_versions.items()}
    ffmpeg = getattr(av, "ffmpeg_version_info", "of unknown version")
    return "ok", f"PyAV {av.__version__}, FFmpeg {ffmpeg} (libavcodec {libraries.get('libavcodec', '?')})"


def _weights(weights_at_hand: Callable[[str], str]) -> list[Check]:
    checks = []
    try:
        names = plugins.names("adapters")
    except Exception as error:
        return [Check("weights", "fail", f"the adapters cannot be listed: {error}")]
    absent = {}
    for name in names:
        try:
            checks.append(Check(f"weights {name}", "ok", weights_at_hand(name)))
        except BenchError as error:
            absent[name] = str(error)
    if absent:
        text = f"{len(absent)} models have none on this machine: {', '.join(absent)}. The first, for one: {next(iter(absent.values()))}"
        checks.append(Check("weights", "warn", text))
    return checks


def _slurm() -> tuple[Status, str]:
    from bench import _site_checks

    home = bench_home(writes=False)
    if not sites.is_there(home):
        return (
            "warn",
            f"sbatch is here; there is no site file at {home / sites.NAME}; docs/cluster.md says how to write one",
        )
    path = sites.find(home)
    site = sites.load(path)
    if not shutil.which("sbatch"):
        return (
            "warn",
            f"there is a site file at {path} and no sbatch here, so nothing can be submitted; ask again on a login node",
        )
    if wrong := _site_checks.problems(site):
        return "fail", f"{path}: {'; '.join(wrong)}"
    if silent := _site_checks.accounting():
        return "warn", f"{path} fits this cluster; its accounting does not answer, and nothing here needs it ({silent})"
    return "ok", f"{path} fits this cluster"
