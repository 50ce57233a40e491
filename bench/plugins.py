"""Names to plug-ins: a file in a folder, or an entry point of an installed package. The only dynamic import."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.contracts import BenchError

HASH = "#sha256="  # between a file of an open name and the hash that it should have
ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "adapters": "adapters",
    "methods": "baselines",
    "datasets": "bench.datasets",
    "sweeps": "sweeps",
    "results": "results",
}
REQUIRED = {
    "adapters": ("MODELS", "VERSION", "load"),
    "methods": ("Config", "NEEDS", "TRAINABLE", "VERSION", "fit", "suggest", "describe"),
    "datasets": ("DATASET", "manifest"),
    "sweeps": ("runs",),
    "results": ("TITLE", "render"),
}


def files(kind: str) -> dict[str, str]:
    """Plug-in file name -> what to import: "package.module" in the repository, or an entry point's value. Imports nothing.

    Raises:
        BenchError: an unknown kind, or two plug-ins of one name.
    """
    if kind not in FOLDERS:
        raise BenchError(f"unknown kind {kind!r}; the kinds are {', '.join(FOLDERS)}")
    package = FOLDERS[kind]
    folder = ROOT.joinpath(*package.split("."))
    found = {f.stem: f"{package}.{f.stem}" for f in sorted(folder.glob("*.py")) if not f.stem.startswith("_")}
    for point in _entry_points(kind):
        if point.name in found:
            raise BenchError(
                f"two plug-ins of the kind {kind} are called {point.name!r}: {found[point.name]} and {point.value} "
                f"(entry point of {point.dist.name if point.dist else 'an installed package'}); rename or uninstall one"
            )
        found[point.name] = point.value
    return found


def outside(kind: str) -> tuple[str, ...]:
    """The plug-ins of a kind that come from installed packages, not from this repository."""
    return tuple(point.name for point in _entry_points(kind))


def outside_packages() -> list[Path]:
    """The folders (or files) of the installed packages that plug-ins come from; imports none of them."""
    tops = {point.module.partition(".")[0] for kind in FOLDERS for point in _entry_points(kind)}
    found: list[Path] = []
    for top in sorted(tops):
        with suppress(ImportError, ValueError):  # `find` tells what is wrong with it
            if spec := importlib.util.find_spec(top):  # a package that has no __init__.py may lie in several folders
                found += map(Path, spec.submodule_search_locations or filter(None, [spec.origin]))
    return found


def names(kind: str) -> tuple[str, ...]:
    """The names a user can give: for adapters the models of every family, otherwise the files themselves."""
    if kind == "adapters":
        return tuple(_model_files())
    return tuple(sorted(files(kind)))


def find(kind: str, name: str) -> ModuleType:
    """The plug-in module behind a name (for adapters: the family file that holds the model).

    An adapter's name may also be open, `file:what`: then that file, which must define OPEN, makes of `what` a model.

    Raises:
        BenchError: no such name (with the nearest ones), or a file that does not define what its kind asks for.
    """
    if kind == "adapters" and ":" in name:
        return _open_adapter(name)
    table = _model_files() if kind == "adapters" else files(kind)
    if name not in table:
        raise unknown(kind.removesuffix("s"), name, table)
    return _import(kind, table[name])


def open_adapters() -> dict[str, str]:
    """Adapter files that take open names -> how such a name is written, with an example."""
    found = {stem: _import("adapters", target) for stem, target in files("adapters").items()}
    return {stem: str(module.OPEN) for stem, module in found.items() if hasattr(module, "OPEN")}


def _open_adapter(name: str) -> ModuleType:
    scheme, rest = name.split(":", 1)
    known = open_adapters()
    if scheme not in known:
        raise unknown("kind of backbone", f"{scheme}:", [f"{stem}:" for stem in known])
    if not rest:
        raise BenchError(f"{name!r} names no model; write {known[scheme]}")
    return _import("adapters", files("adapters")[scheme])


def absolute(name: str) -> str:
    """An open name with the paths in it made absolute, so that it means the same in every worker; other names as they are."""
    scheme, colon, _ = name.partition(":")
    return scheme + colon + "@".join(_absolute(part) for part in _parts(name))


def paths(name: str) -> list[Path]:
    """The files and folders that an open name points to."""
    return [path for part in _parts(name) if (path := _there(part.partition(HASH)[0]))]


def _absolute(part: str) -> str:
    """A path, with the hash that may stand behind it, made absolute; anything else as it is."""
    place, mark, sha256 = part.partition(HASH)
    path = _there(place)
    return f"{path}{mark}{sha256}" if path else part


def _parts(name: str) -> list[str]:
    """What stands behind the scheme: one path, which may hold an @, or WHAT@FILE, or WHAT@FILE#sha256=HEX."""
    rest = name.partition(":")[2]
    return [rest] if _there(rest) else rest.split("@", 1)


def _there(part: str) -> Path | None:
    """An absolute path, where there is a file or folder of that name."""
    path = Path(part).expanduser()
    return path.resolve() if part and path.exists() else None


def unknown(what: str, name: str, known: Iterable[str], how: str = "python -m bench list") -> BenchError:
    """The error for a name that nobody knows: with near misses and `how`, the way to the whole list."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:20])}"
    return BenchError(f"unknown {what} {name!r}; {hint} (all: {how})")


def _model_files() -> dict[str, str]:
    table: dict[str, str] = {}
    for target in files("adapters").values():
        for model in _import("adapters", target).MODELS:
            if model in table:
                raise BenchError(
                    f"two adapters offer a model called {model!r}: {table[model]} and {target}; rename one"
                )
            table[model] = target
    return table


def _import(kind: str, target: str) -> ModuleType:
    try:
        module: Any = importlib.import_module(target)
    except Exception as error:  # a plug-in may fail in any way, and none may take the rest down with a traceback
        raise BenchError(
            f"the plug-in {target} of the kind {kind} cannot be imported ({type(error).__name__}: {error}); mend or remove it"
        ) from error
    missing = [a for a in REQUIRED[kind] if not hasattr(module, a)]
    if missing:
        raise BenchError(
            f"{target} is no plug-in of the kind {kind}: it does not define {', '.join(missing)} (see CONTRIBUTING.md)"
        )
    return module  # type: ignore[no-any-return]


def _entry_points(kind: str) -> tuple[EntryPoint, ...]:
    return _looked_up(kind, tuple(sys.path), entry_points)


@functools.lru_cache(maxsize=64)
def _looked_up(kind: str, path: tuple[str, ...], look: Callable[..., Iterable[EntryPoint]]) -> tuple[EntryPoint, ...]:
    """Looking reads a file of every installed package, and each run asks a dozen times; the `path` is what `look` searches."""
    return tuple(look(group=f"kpbench.{kind}"))
