"""Everything in results/ rendered into $BENCH_HOME/report, and one page around it. Torch-free."""

from __future__ import annotations

from pathlib import Path

from bench import plugins, store
from bench._files import write_atomic
from bench._page import index_html
from bench.contracts import Artifact, BenchError, digest
from bench.provenance import source_digest

KINDS = {"tables": (".md", ".csv", ".tex", ".html"), "plots": (".png", ".pdf", ".svg"), "all": None}
STAMP = ".rendered"


def write(home: Path, kind: str = "all") -> list[Path]:
    """Render every plug-in's artifacts of a kind; each file is replaced whole. Returns the files, the page last."""
    if kind not in KINDS:
        raise BenchError(f"unknown kind {kind!r}; it is one of {', '.join(KINDS)}")
    results, folder, suffixes = store.Results(home), home / "report", KINDS[kind]
    artifacts: list[Artifact] = []
    for name in plugins.names("results"):
        artifacts.extend(plugins.find("results", name).render(results))
    written = [folder / a.name for a in artifacts if suffixes is None or Path(a.name).suffix in suffixes]
    for artifact in artifacts:
        if folder / artifact.name in written:
            write_atomic(folder / artifact.name, artifact.content)
    page = folder / "index.html"
    write_atomic(page, index_html(artifacts))
    if kind == "all":
        for old in folder.iterdir():  # what an earlier rendering had and this one has not
            if old.is_file() and old not in (*written, page):
                old.unlink()
        write_atomic(folder / STAMP, _stamp(results))
    return [*written, page]


def refresh(home: Path) -> Path:
    """Render what is not up to date; the path of the page."""
    page, stamp = home / "report" / "index.html", home / "report" / STAMP
    if not (page.is_file() and stamp.is_file() and stamp.read_text() == _stamp(store.Results(home))):
        write(home)
    return page


def leaderboard(home: Path, manifest: str) -> str:
    """The leaderboard of one list of videos (a manifest's digest) as plain text."""
    text: str = plugins.find("results", "leaderboard").text(store.Results(home, manifest))
    return text


def _stamp(results: store.Results) -> str:
    return digest([results.scores.to_csv(index=False), source_digest()])
