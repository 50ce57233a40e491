"""Our folder names are generic, and packages of those names exist: does Python find ours?"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from bench.contracts import BenchError

PACKAGES = ("bench", "adapters", "baselines", "sweeps", "results")
ROOT = Path(__file__).resolve().parent.parent


def package_folder(name: str) -> Path | None:
    """The folder that `import name` would use; None where there is none. Imports nothing."""
    module = sys.modules.get(name)
    spec = find_spec(name) if module is None else module.__spec__
    if spec is None:
        return None
    place = next(iter(spec.submodule_search_locations or ()), spec.origin)
    return Path(place).resolve() if place else None


def check_packages() -> None:
    """Every top-level package is the one beside this file; called at start-up and by every worker.

    Raises:
        BenchError: another package or module of that name comes first on the path, with its place and what to do.
    """
    wrong = []
    for name in PACKAGES:
        found = package_folder(name)
        if found != ROOT / name:
            wrong.append(f"{name!r} is {found or 'not found'}, not {ROOT / name}")
    if wrong:
        raise BenchError(
            f"Python would import other packages than this repository's: {'; '.join(wrong)}. "
            "Start from the repository root (python -m bench), take the other folder off PYTHONPATH, "
            "or uninstall the package that brings it"
        )
