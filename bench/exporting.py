"""A supplement to a paper: chosen runs with their predictions, the report, and the code that renders it from them, in one tar.

Equal runs and equal code give equal bytes. What tells who made it is taken out of the records (see `_private`); the report in the tar
is rendered from the records as they are in it, by the program that is in it.
"""

from __future__ import annotations

import ast
import glob
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import IO

from bench import _private, _supplement, plugins, store
from bench._files import temporary_beside
from bench._inside import ROOT
from bench._swap import LOCK, hold, is_held, locked
from bench.contracts import BenchError
from bench.specs import list_name
from bench.stored_results import Results

RUN_FILES = {
    store.COMPLETE: ("run.json", "scores.csv", "predictions.npz", store.COMPLETE),
    store.FAILED: (store.FAILED,),
}
STARTS = ("bench.reporting", "bench.metrics")  # metrics, so that a reader can score the predictions anew
PACKAGES = ("bench", "results")


@dataclass(frozen=True)
class Exported:
    """The file, how many runs and files are in it, and its size in bytes."""

    path: Path
    num_runs: int
    num_files: int
    size: int


def export(
    home: Path,
    to: Path,
    run_ids: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    force: bool = False,
) -> Exported:
    """Write the tar, whole or not at all.

    Args:
        run_ids: whole ids; None is every run that the tables show.
        datasets: only runs on these.
        force: write over a file that is there.

    Raises:
        BenchError: the file is there or cannot be written, nothing fits the choice, a run is damaged or is a link, the report cannot
            be rendered, or something private is still in what would go out.
    """
    try:
        return _export(home, to, run_ids, datasets, force)
    except OSError as error:
        raise BenchError(
            f"the export to {to} was given up: {error}; mend that, or name another file with --out, and export again"
        ) from error


def _export(
    home: Path, to: Path, run_ids: Sequence[str] | None, datasets: Sequence[str] | None, force: bool
) -> Exported:
    if to.suffixes[-2:] != [".tar", ".gz"]:
        raise BenchError(f"--out {to}: its name must end in .tar.gz, for that is what is written")
    if (to.exists() or to.is_symlink()) and not force:
        raise BenchError(f"{to} is there already; --force writes over it")
    if not to.absolute().parent.is_dir():
        raise BenchError(f"--out {to}: there is no folder {to.absolute().parent}")
    with tempfile.TemporaryFile(dir=to.absolute().parent):
        pass  # a folder that cannot be written to is told before the work, not after it
    if outside := plugins.outside("results"):
        raise BenchError(
            f"tables and plots of installed packages cannot go into an export: {', '.join(outside)}; uninstall those"
        )
    chosen, names = _chosen(home, run_ids, datasets)
    files = {run_id: _files(home, run_id) for run_id in chosen}
    with _scratch(home) as base:
        libraries = _copy_code(base / "code")
        ordinary = _private.ordinary_words(path.read_text() for path in sorted(base.rglob("*.py")))
        secrets = _private.secrets_of(home, (store.read_record(home, run_id) for run_id in chosen), ordinary)
        aliases = _private.aliases(_names(home, chosen), secrets)
        for run_id in chosen:
            for path in files[run_id]:
                _write(base / path.relative_to(home), _blinded(path, secrets, aliases))
        _write(base / "render.py", _supplement.RENDER)
        _write(base / "requirements.txt", "".join(f"{name}=={number}\n" for name, number in libraries))
        told = [_private.scrubbed(name, secrets) for name in names]
        _write(base / "README.txt", _supplement.readme(len(chosen), told, aliases))
        _render(base)
        written = sorted(p for p in base.rglob("*") if p.is_file() and p.relative_to(base).parts[0] != "index")
        for path in written:
            _check(path, base, secrets)
        _pack(written, base, to)
    return Exported(to, len(chosen), len(written), to.stat().st_size)


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A folder in the home while the block lasts; what killed exports left there goes first, that of living ones stays."""
    with locked(home / "export"):
        for left in home.glob(".export-*"):
            if left.is_dir() and not left.is_symlink() and not is_held(left / LOCK):
                shutil.rmtree(left)
        new = Path(tempfile.mkdtemp(prefix=".export-", dir=home))
        lock = hold(new / LOCK)
    try:
        yield new / "supplement"
    finally:
        shutil.rmtree(new, ignore_errors=True)
        os.close(lock)


def _chosen(home: Path, run_ids: Sequence[str] | None, datasets: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The runs to be exported, and the names of their data sets."""
    runs = Results(home).runs
    if run_ids is not None:
        for run_id in run_ids:
            store.read_record(home, run_id)
        superseded = set(run_ids) - set(runs["run_id"])
        if superseded:
            raise BenchError(
                f"{', '.join(sorted(superseded))}: superseded by runs of a newer version, which no table shows; export those"
            )
        runs = runs[runs["run_id"].isin(run_ids)]
    if datasets is not None and len(runs):
        known = sorted({list_name(str(name)) for name in runs["dataset"]})
        if unknown := sorted(set(datasets) - set(known)):
            raise BenchError(f"there are no runs on {', '.join(unknown)}; there are on {', '.join(known)}")
        runs = runs[[list_name(str(name)) in datasets for name in runs["dataset"]]]
    if not len(runs):
        raise BenchError(f"there is nothing to export: no finished runs under {home}")
    damaged = runs[runs["status"] == "damaged"]
    if len(damaged):
        told = "; ".join(f"{r} ({why})" for r, why in zip(damaged["run_id"], damaged["reason"], strict=True))
        raise BenchError(f"damaged runs cannot be exported: {told}")
    return sorted(runs["run_id"]), sorted({list_name(str(name)) for name in runs["dataset"]})


def _files(home: Path, run_id: str) -> list[Path]:
    """The known files of a run folder. Raises BenchError where one is missing or a link."""
    folder = store.run_folder(home, run_id)
    names = RUN_FILES[store.COMPLETE if store.is_complete(home, run_id) else store.FAILED]
    for path in (folder / name for name in names):
        if folder.is_symlink() or path.is_symlink() or not path.is_file():
            raise BenchError(f"{path} is missing or a link; only files of the run itself are exported")
    told = folder / store.INTERPRETATION
    return [folder / name for name in names] + ([told] if told.is_file() and not told.is_symlink() else [])


def _names(home: Path, run_ids: Sequence[str]) -> dict[str, set[str]]:
    """What the videos, groups and classes of these runs are called. Raises BenchError where predictions are damaged."""
    names: dict[str, set[str]] = {kind: set() for kind in _private.KINDS}
    for run_id in run_ids:
        if store.is_complete(home, run_id):
            found = store.read_predictions(home, run_id)
            names["video"] |= {*found.video_ids, *found.failed}
            names["group"] |= set(found.groups)
            names["class"] |= set(found.class_names)
    return names


def _blinded(path: Path, secrets: _private.Secrets, aliases: Mapping[str, Mapping[str, str]]) -> bytes:
    """The content of a run's file, without what is private."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(_private.without(json.loads(content), secrets, aliases), indent=1).encode()
    if path.suffix == ".npz":
        return _private.without_in_predictions(content, secrets, aliases)
    return content


def _check(path: Path, base: Path, secrets: _private.Secrets) -> None:
    """Raises BenchError where a file that would go out tells what is known to be private."""
    name = path.relative_to(base)
    found = _private.leak(name.as_posix(), path.read_bytes(), secrets)
    if found is not None:
        place = ROOT.joinpath(*name.parts[1:]) if name.parts[0] == "code" else "the runs that it is made from"
        raise BenchError(
            f"the export was given up: {name} tells {found!r}, the name of a user, a host or a folder. Take it out of {place}, "
            "or export without those runs (export RUN_ID ...)"
        )


def _copy_code(folder: Path) -> list[tuple[str, str]]:
    """Copy every module of ours that a report needs; the libraries that those import, (name, version) in order."""
    todo = [*STARTS, *sorted(plugins.files("results").values())]
    copied: dict[str, Path] = {}
    imported: set[str] = set()
    while todo:
        name = todo.pop()
        if name in copied or (path := _source(name)) is None:
            continue
        copied[name] = path
        parents = [name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1)]
        found = list(_imports(path, lazy=name.startswith("results")))
        imported |= {module.split(".")[0] for module in found}
        todo += [*parents, *(module for module in found if module.split(".")[0] in PACKAGES)]
    for path in copied.values():
        _write(folder / path.relative_to(ROOT), path.read_bytes())
    for path in sorted(p for part in ("_templates", "published") for p in (ROOT / "results" / part).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            _write(folder / path.relative_to(ROOT), path.read_bytes())
    _write(folder / "LICENSE", (ROOT / "LICENSE").read_bytes())
    brought = packages_distributions()
    names = {d for module in imported - set(sys.stdlib_module_names) - set(PACKAGES) for d in brought.get(module, [])}
    return sorted((name, version(name)) for name in names)


def _source(module: str) -> Path | None:
    """The file of a module of ours; None for a name in a module."""
    base = ROOT.joinpath(*module.split("."))
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)


def _imports(path: Path, lazy: bool) -> Iterator[str]:
    """Absolute names that a file imports when it is imported; `lazy` ones, inside functions, too. What may be a module is named."""
    todo: list[ast.AST] = list(ast.parse(path.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)


def _render(base: Path) -> None:
    """The report, by the program that goes into the tar, with nothing of this repository on its path."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(base / "render.py")], cwd=base, capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(
            f"the report cannot be rendered from the exported files:\n{(done.stderr or done.stdout).strip()}"
        )


def _pack(files: Sequence[Path], base: Path, to: Path) -> None:
    """A tar with one top folder of a fixed name, in one step; what killed exports left beside it goes first."""
    for left in to.absolute().parent.glob(f".{glob.escape(to.name)}.*.tmp"):
        if left.is_file() and not left.is_symlink() and not is_held(left):
            left.unlink()
    temporary = temporary_beside(to.absolute())
    try:
        with temporary.open("xb") as raw:
            lock = hold(temporary)
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped:
                _tar(files, base, zipped)
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(to)
        os.close(lock)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _tar(files: Sequence[Path], base: Path, to: IO[bytes] | gzip.GzipFile) -> None:
    with tarfile.open(fileobj=to, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in files:
            entry = tarfile.TarInfo(f"{base.name}/{path.relative_to(base).as_posix()}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
