"""Everything in results/ rendered into $BENCH_HOME/report, and one page around it. Torch-free.

The folder is replaced whole (see `_swap`): whenever a rendering is killed, the report is the old one or the new one.
"""

from __future__ import annotations

import json
import platform
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import index, plugins, trials
from bench._files import write_atomic
from bench._folders import kind_of_damage
from bench._page import index_html
from bench._swap import replaced
from bench.contracts import Artifact, BenchError, digest
from bench.provenance import RENDERING, source_digest, versions
from bench.stored_results import Results

KINDS: Mapping[str, tuple[str, ...] | None] = {
    "tables": (".md", ".csv", ".tex", ".html"),
    "plots": (".png", ".pdf", ".svg"),
    "all": None,
}
STAMP, PAGE = ".rendered", "index.html"


@dataclass(frozen=True)
class Rendered:
    """A report: its folder, the names of its files but for the page, plug-in -> why it has none, and damaged run -> why.

    An error's reason is the last lines of a traceback: the error and where in the plug-in it was raised.
    """

    folder: Path
    files: tuple[str, ...]
    errors: Mapping[str, str]
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> Path:
        return self.folder / PAGE

    def damage(self) -> Iterator[str]:
        """A line about each kind of damage: how many runs have it, the first of them, what to do."""
        kinds: dict[str, list[str]] = {}
        for run_id, reason in self.damaged.items():
            kinds.setdefault(kind_of_damage(reason), []).append(run_id)
        for kind, runs in sorted(kinds.items()):
            told = ", ".join(runs[:MOST_TOLD]) + (f" and {len(runs) - MOST_TOLD} more" if len(runs) > MOST_TOLD else "")
            remedy = "python -m bench rescore writes it again"
            if not kind.startswith("scores.csv"):
                remedy = f"delete {'its folder' if len(runs) == 1 else 'their folders'} and start the same sweep again"
            num = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
            yield f"{num}: {kind} ({told}); {remedy}; python -m bench status names each"


MOST_TOLD = 3  # damaged runs of one kind


def write(home: Path, kind: str = "all") -> Rendered:
    """Render every plug-in's artifacts into a new report and put it in the place of the old one.

    A plug-in that raises has no files in the report but its reason on the page; the others are rendered.

    Args:
        kind: "all"; "tables" or "plots" renders those anew and takes the other files over from the report that is there.

    Raises:
        BenchError: an unknown kind, a run folder of another schema, or a disk that takes no symbolic links or nothing more.
    """
    if kind not in KINDS:
        raise BenchError(f"unknown kind {kind!r}; it is one of {', '.join(KINDS)}")
    stamp, report = _stamp(home), home / "report"  # before a run is read: one that ends meanwhile is not in this report
    results, suffixes = Results(home), KINDS[kind]
    artifacts, errors = _artifacts(results, suffixes)
    if suffixes is not None:
        artifacts = _with_old(artifacts, report, suffixes)
    with replaced(report) as new:
        _write_all(new.write, artifacts, errors)
        # What may be mended without a trace in the folders of runs is rendered again each time.
        damaged = _damaged(results)
        sure = not errors and not plugins.outside("results") and not damaged
        if kind == "all" and sure:
            new.write(STAMP, json.dumps({"of": stamp, "files": new.sizes}))
    return Rendered(report, tuple(a.name for a in artifacts), errors, damaged)


def _damaged(results: Results) -> dict[str, str]:
    runs = results.runs
    told = zip(runs["run_id"], runs["status"], runs["reason"], strict=True)
    return {run_id: reason for run_id, status, reason in told if status == "damaged"}


def write_into(home: Path, folder: Path) -> Rendered:
    """The same report into a plain folder, which holds nothing else; files there are replaced one by one."""
    artifacts, errors = _artifacts(Results(home))
    _write_all(lambda name, content: write_atomic(folder / name, content), artifacts, errors)
    return Rendered(folder, tuple(a.name for a in artifacts), errors)


def refresh(home: Path) -> Rendered:
    """The report of the runs as they are: rendered again unless it is up to date."""
    report = home / "report"
    files = _files_of(report, _stamp(home))
    if files is None:
        return write(home)
    return Rendered(report, tuple(sorted(name for name in files if name != PAGE)), {})


def _files_of(report: Path, stamp: str) -> dict[str, int] | None:
    """Name -> size of what was written into a report that has this stamp; None for another, or where a file is not as it was written."""
    try:
        told = json.loads((report / STAMP).read_text())
        files: dict[str, int] = told["files"]
        there = all((report / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return files if report.is_symlink() and told["of"] == stamp and PAGE in files and there else None


def text(home: Path, table: str, manifest: str) -> str:
    """A table (the name of its plug-in, which has a `text`) of one list of videos (a manifest's digest) as plain text."""
    shown: str = plugins.find("results", table).text(Results(home, manifest))
    return shown


def _artifacts(results: Results, suffixes: Collection[str] | None = None) -> tuple[list[Artifact], dict[str, str]]:
    """Every plug-in's artifacts, and plug-in -> what it raised; content is made of those with one of the suffixes, None: of all."""
    _ = results.runs  # a home that cannot be read is no plug-in's fault
    artifacts: list[Artifact] = []
    errors: dict[str, str] = {}
    makers: dict[str, str] = {PAGE: "the page"}
    for name in plugins.names("results"):
        try:
            made = list(plugins.find("results", name).render(results))
            twice = [a.name for i, a in enumerate(made) if a.name in makers or a.name in {b.name for b in made[:i]}]
            for artifact in made:
                if suffixes is None or Path(artifact.name).suffix in suffixes:
                    _ = artifact.content  # whatever that raises is the plug-in's too
            if twice:
                raise BenchError(
                    f"{', '.join(twice)}: files of {makers.get(twice[0], 'this plug-in')} already; rename them"
                )
        except Exception as error:  # a plug-in may fail in any way, and none may take the rest down with it
            errors[name] = _reason(error)
            continue
        artifacts += made
        makers |= {a.name: name for a in made}
    return artifacts, errors


def _reason(error: Exception) -> str:
    """The error, and the last place where it passed through a plug-in."""
    said = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, BenchError):
        return said
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if Path(f.filename).parent.name == "results"), frames[-1])
    return f"{said} ({Path(place.filename).name}, line {place.lineno})"


def _with_old(artifacts: list[Artifact], report: Path, suffixes: tuple[str, ...]) -> list[Artifact]:
    """The artifacts with these suffixes as they are, the others as the report that is there has them."""
    others = [s for some in KINDS.values() if some for s in some if s not in suffixes]
    old = {p.name: p.read_bytes() for p in report.glob("*") if p.suffix in others and p.name != PAGE}
    mixed = []
    for artifact in artifacts:
        if Path(artifact.name).suffix in suffixes:
            mixed.append(artifact)
        elif artifact.name in old:
            mixed.append(Artifact(artifact.name, old.pop(artifact.name), artifact.title))
    return mixed + [Artifact(name, old[name]) for name in sorted(old)]


def _write_all(write: Callable[[str, str | bytes], None], artifacts: list[Artifact], errors: Mapping[str, str]) -> None:
    for artifact in artifacts:
        write(artifact.name, artifact.content)
    write(PAGE, index_html(artifacts, errors))


def _stamp(home: Path) -> str:
    """A digest of which runs there are, when each was finished and scored, of the code and the libraries; opens no run's files."""
    runs = [[run_id, s.marker, s.files] for run_id, s in index.scan(home).items()]
    return digest([runs, trials.stamps(home), source_digest(), platform.python_version(), versions(RENDERING)])
