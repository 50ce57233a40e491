import pytest
from commands import CLASSES, PER_SIDE, PLUG_IN, VIDEOS, Place
from fakes import write_classes

from bench.plugins import ROOT


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
