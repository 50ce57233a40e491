"""Where a number came from: code, versions, hardware. Recorded beside every run, never part of its identity."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench import _inside
from bench.plugins import FOLDERS, ROOT, outside_packages

COMMAND = "KPBENCH_COMMAND"  # in a worker: the words that started the launch, as a JSON list
PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "transformers",
    "timm",
    "numpy",
    "pandas",
    "scikit-learn",
    "av",
    "safetensors",
    "optuna",
    "mmaction2",
    "mmengine",
    "opencv-python-headless",
)
# What the bytes of a table or a plot depend on.
RENDERING = (
    "jinja2",
    "MarkupSafe",
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "pillow",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "seaborn",
    "statsmodels",
)


@functools.cache
def provenance() -> dict[str, Any]:
    """Git commit of this repository (not of the current folder) and whether it is dirty, versions, machine, threads."""
    import torch

    return {
        "git": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain", "--", *_inside.PACKAGES, "pyproject.toml", "constraints.txt")),
        "python": platform.python_version(),
        "versions": versions(),
        "decoder": _decoder(),
        "command": json.loads(os.environ.get(COMMAND, "null")) or sys.argv,
        "host": platform.node(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "torch_threads": 1,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """The installed versions of libraries, those that a number can depend on unless told; imports none of them."""
    return {name: _version(name) for name in packages}


def source_digest() -> str:
    """16 hex characters over every file of our packages and the plug-ins' that can change a number: code, banks, weights that ship."""
    total = hashlib.sha256()
    for top in [*(ROOT / name for name in sorted({p.split(".")[0] for p in FOLDERS.values()})), *outside_packages()]:
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and path.suffix in (".py", ".json", ".safetensors", ".gz", ".txt"):
                total.update(
                    str(path.relative_to(top.parent)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest()
                )
    return total.hexdigest()[:16]


def _git(*words: str) -> str | None:
    try:
        out = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _decoder() -> str:
    import av

    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
