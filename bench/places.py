"""Where things lie: a home for what one person runs, and a store of features, which a group may share. No libraries."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bench import sites
from bench.contracts import BenchError
from bench.failures import InfrastructureError

FEATURES = "features"  # a home's own store
LEASES = "leases"


def bench_home(writes: bool = True) -> Path:
    """Where everything is written: $BENCH_HOME, else the home that $BENCH_SITE names, else ./out; made if need be.

    Args:
        writes: False where it is only looked at, and nothing is made.

    Raises:
        BenchError: it is to be written to and cannot be, the site file is not one, or one in ./out that nobody named has another home.
    """
    named, told = os.environ.get("BENCH_HOME"), "BENCH_HOME"
    if not named and os.environ.get(sites.VARIABLE):
        path = sites.find(Path())
        named, told = sites.load(path).home, f"the home in {path}"
    home = Path(named or "out").expanduser().resolve()
    if not named and not os.environ.get(sites.VARIABLE) and (path := home / "site.toml").is_file():
        elsewhere = sites.load(path).home
        if elsewhere and Path(elsewhere).resolve() != home:
            raise BenchError(
                f"{path} names {elsewhere} as home, which counts where it is known which file to read: export {sites.VARIABLE}={path}"
            )
    if not writes:
        return home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise BenchError(
            f"{told} is {home}, which cannot be written to ({error.strerror}); set BENCH_HOME to a folder that can"
        ) from error
    return home


def features(home: Path) -> Path:
    """The folder of all stores of features: the one that the site file of $BENCH_HOME names, else the home's own.

    Another home than $BENCH_HOME has its own, for it is one where something is done again from the start.

    Raises:
        BenchError: the site file is not one.
        InfrastructureError: the folder that it names is not there, on this node at least.
    """
    shared = _shared(home)
    if shared is None:
        return home / FEATURES
    if not shared.is_dir():
        raise InfrastructureError(
            f"{sites.find(home)} names {shared} for features, and there is no such folder; make it, and where a group shares it, "
            f"writable for the group: mkdir -p {shared} && chmod g+rwxs {shared}"
        )
    return shared


def claims(home: Path, stage: str) -> Path:
    """The folder of the leases on tasks of a stage. Those on features lie beside them, so that homes that share these see each other's.

    Where the shared folder cannot be written to they lie in the home, for nothing is computed into it from there.

    Raises:
        BenchError: the site file is not one.
    """
    if stage == FEATURES and (shared := _shared(home)) is not None:
        beside = shared / LEASES
        if os.access(beside if beside.is_dir() else shared, os.W_OK):
            return beside
    return home / LEASES


def is_shared(home: Path) -> bool:
    """Whether a home's features lie in a folder that others use, too."""
    return _shared(home) is not None


def _shared(home: Path) -> Path | None:
    if home.resolve() != bench_home(writes=False) or not sites.is_there(home):
        return None
    named = sites.load(sites.find(home)).store
    return Path(named) if named and Path(named).resolve() != home / FEATURES else None


def data_root(root: str | None) -> Path | None:
    """Where a data set lies, whole; None where nothing was said. Raises BenchError where nothing is there."""
    if root is None:
        return None
    path = Path(root).expanduser().resolve()
    if not path.exists():
        raise BenchError(f"--root {root}: there is no such file or folder")
    return path
