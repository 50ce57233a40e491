"""A supplement to a paper: chosen runs with their predictions, the report, and the code that renders it from them, in one tar.

Equal runs and equal code give equal bytes. What tells who made it is taken out of the records (see `_private`); the report in the tar
is rendered from the records as they are in it, by the program that is in it.
"""

from __future__ import annotations

import ast
import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import IO

from bench import _private, plugins, store
from bench._files import temporary_beside
from bench._inside import ROOT
from bench.contracts import BenchError

RUN_FILES = {
    store.COMPLETE: ("run.json", "scores.csv", "predictions.npz", store.COMPLETE),
    store.FAILED: (store.FAILED,),
}
STARTS = ("bench.reporting", "bench.metrics")  # metrics, so that a reader can score the predictions anew
PACKAGES = ("bench", "results")

RENDER = '''\
"""Write the report again from runs/: python render.py [FOLDER]. FOLDER is report/ beside this file unless given."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "code"))

from bench import reporting  # noqa: E402 - from the folder named above


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "report"
    rendered = reporting.write_into(HERE, folder)
    for name, reason in rendered.errors.items():
        print(f"not rendered: {name}: {reason}", file=sys.stderr)
    print(f"{len(rendered.files)} files in {folder}; {rendered.page} shows all of them")
    sys.exit(bool(rendered.errors))


if __name__ == "__main__":
    main()
'''

README = """\
Supplement: {num} runs of {datasets}

report/            the tables and plots; index.html shows all of them on one page
runs/AB/ABCDEF.../ one folder a run: run.json (spec, identity, versions, machine, cost), predictions.npz (logits, labels, video ids,
                   groups, class names, videos that could not be decoded and why), scores.csv (metrics computed from the
                   predictions), COMPLETE (how many videos); of a run without a result FAILED.json with the reason
code/              the part of the benchmark that renders a report; it needs no GPU and no deep-learning library
requirements.txt   the versions of the libraries that rendered report/
render.py          writes report/ again from runs/:

    python -m pip install -r requirements.txt
    python render.py

With these versions the report is written byte for byte as it is here (made with Python {python}; pictures need the same fonts,
matplotlib brings them). A number of a table is found in its CSV; a run's id in there is the name of its folder under runs/.

For a review that is double-blind these were taken out of the records: host names, absolute paths (all but the last part, also in the
command, the spec, reasons and tracebacks), the folder of the data, logs, and the name of the user who exported. Run ids are the
original ones: they are hashes over settings and content, never over names of people, machines or folders.
"""


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
        BenchError: the file is there, nothing fits the choice, a run is damaged or is a link, or the report cannot be rendered.
    """
    if to.suffixes[-2:] != [".tar", ".gz"]:
        raise BenchError(f"--out {to}: its name must end in .tar.gz, for that is what is written")
    if (to.exists() or to.is_symlink()) and not force:
        raise BenchError(f"{to} is there already; --force writes over it")
    if not to.absolute().parent.is_dir():
        raise BenchError(f"--out {to}: there is no folder {to.absolute().parent}")
    if outside := plugins.outside("results"):
        raise BenchError(
            f"tables and plots of installed packages cannot go into an export: {', '.join(outside)}; uninstall those"
        )
    chosen, names = _chosen(home, run_ids, datasets)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=home) as scratch:
        base = Path(scratch) / "supplement"
        for run_id in chosen:
            _copy_run(home, run_id, base)
        libraries = _copy_code(base / "code")
        _write(base / "render.py", RENDER)
        _write(base / "requirements.txt", "".join(f"{name}=={number}\n" for name, number in libraries))
        python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        _write(base / "README.txt", README.format(num=len(chosen), datasets=", ".join(names), python=python))
        _render(base)
        num_files = _pack(base, to)
    return Exported(to, len(chosen), num_files, to.stat().st_size)


def _chosen(home: Path, run_ids: Sequence[str] | None, datasets: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The runs to be exported, and the names of their data sets."""
    runs = store.Results(home).runs
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
        known = sorted({_plain_name(str(name)) for name in runs["dataset"]})
        if unknown := sorted(set(datasets) - set(known)):
            raise BenchError(f"there are no runs on {', '.join(unknown)}; there are on {', '.join(known)}")
        runs = runs[[_plain_name(str(name)) in datasets for name in runs["dataset"]]]
    if not len(runs):
        raise BenchError(f"there is nothing to export: no finished runs under {home}")
    damaged = runs[runs["status"] == "damaged"]
    if len(damaged):
        told = "; ".join(f"{r} ({why})" for r, why in zip(damaged["run_id"], damaged["reason"], strict=True))
        raise BenchError(f"damaged runs cannot be exported: {told}")
    return sorted(runs["run_id"]), sorted({_plain_name(str(name)) for name in runs["dataset"]})


def _plain_name(dataset: str) -> str:
    """A data set's own name, without what tells several lists of its videos apart."""
    return dataset.split(" [rows ")[0].split(", at most ")[0]


def _copy_run(home: Path, run_id: str, base: Path) -> None:
    """The known files of a run folder, without what is private."""
    folder = store.run_folder(home, run_id)
    marker = store.COMPLETE if store.is_complete(home, run_id) else store.FAILED
    record = store.read_record(home, run_id)
    secrets = _private.secrets_of(home, record)
    for name in RUN_FILES[marker]:
        path = folder / name
        if folder.is_symlink() or path.is_symlink() or not path.is_file():
            raise BenchError(f"{path} is missing or a link; only files of the run itself are exported")
        content = path.read_bytes()
        if name.endswith(".json"):
            content = _private.without(content, secrets)
        elif name.endswith(".npz"):
            content = _private.without_in_predictions(content, secrets)
        _write(base / "runs" / run_id[:2] / run_id / name, content)


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


def _pack(base: Path, to: Path) -> int:
    """All files of a folder, but for the cache of runs, as a tar with one top folder of a fixed name; returns how many."""
    files = sorted(p for p in base.rglob("*") if p.is_file() and p.relative_to(base).parts[0] != "index")
    temporary = temporary_beside(to.absolute())
    try:
        with temporary.open("xb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped:
                _tar(files, base, zipped)
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(to)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return len(files)


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
