"""Homes for submissions to a real Slurm; `make test-slurm` starts it."""

import subprocess

import pytest
from fakes import write_classes
from on_slurm import CLASSES, PER_SIDE, Home, site_package, slurm, until


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    return site_package(tmp_path_factory.mktemp("packages") / "site")


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("videos"), CLASSES, PER_SIDE)


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory):
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def made(tmp_path, package, videos, bytecode):
    """Makes homes of the same runs; the one that `undisturbed` computes in a process of its own."""

    def make(name="a", **options):
        (tmp_path / name).mkdir()
        return Home(tmp_path / name, package, videos, bytecode, **options)

    yield make
    subprocess.run(["scancel", "--me"], check=False)
    until(lambda: not slurm("squeue", "--me", "--noheader"))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, package, videos, bytecode):
    """Computes the same runs where nobody disturbs them, once for each kind of sweep."""
    known = {}

    def compute(runs="4,4,4,4"):
        if runs not in known:
            home = known[runs] = Home(tmp_path_factory.mktemp("undisturbed"), package, videos, bytecode, runs=runs)
            home.bench(*home.sweep, "--where", "local", "--workers", "2")
        return known[runs]

    return compute
