import json

import pytest
from commands import CLASSES, PER_SIDE, PLUG_IN, VIDEOS, Place, bench
from fakes import plug_in_adapter, write_classes

from bench.plugins import ROOT


@pytest.fixture
def command(capsys, monkeypatch):
    """A command in this process: its exit code, and what it wrote to stdout and stderr."""
    return lambda *words: bench(capsys, monkeypatch, *words)


@pytest.fixture
def home(tmp_path):
    """What BENCH_HOME is set to."""
    return tmp_path / "bench_home"


@pytest.fixture
def adapter(monkeypatch):
    """A fake backbone that is known by its name for one test."""
    return plug_in_adapter(monkeypatch)


@pytest.fixture
def tunable(adapter, monkeypatch):
    """A method whose trials need no training, known on the fake backbone for one test."""
    from tuned import plug_in_method

    return plug_in_method(monkeypatch)


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """A folder for PYTHONPATH that holds an installed package with an adapter."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "kpbench_fake").mkdir()
    (folder / "kpbench_fake" / "__init__.py").write_text(PLUG_IN)
    (folder / "kpbench_fake" / "fakes.py").write_text((ROOT / "tests" / "fakes.py").read_text())
    about = folder / "kpbench_fake-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kpbench-fake\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[kpbench.adapters]\nfake = kpbench_fake\n")
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("videos"), CLASSES, PER_SIDE)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, package, videos):
    place = Place(tmp_path_factory.mktemp("undisturbed"), package, videos)
    place.finish()
    assert len(place.complete) == 3 and len(place.encoded) == len(set(place.encoded)) == VIDEOS
    return place


@pytest.fixture
def bank(tmp_path):
    """Writes a bank of the classes, with a word of its own in each statement; returns its path."""
    path = tmp_path / "bank.json"

    def write(text="goes"):
        rows = {
            c: [{"text": f"{c} {text} {n}", "kind": "motion", "origin": "me", "status": "accepted"} for n in "ab"]
            for c in CLASSES
        }
        path.write_text(
            json.dumps({"schema": 2, "dataset": "mine", "about": "", "origins": {"me": {"by": "me"}}, "classes": rows})
        )
        return str(path)

    return write
