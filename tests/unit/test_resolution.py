"""The packages that are imported are this repository's, wherever Python starts and whatever else is on its path."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bench._inside import PACKAGES, check_packages, package_folder
from bench.contracts import BenchError

REPOSITORY = Path(__file__).resolve().parents[2]


def run_elsewhere(tmp_path: Path, *path: Path, program: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(p) for p in path)}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_is_ours(name):
    assert package_folder(name) == REPOSITORY / name


def test_start_up_accepts_this_repository():
    check_packages()


def test_started_elsewhere_and_without_importing_a_plug_in(tmp_path):
    program = (
        "import sys; from bench._inside import check_packages; check_packages();"
        "print([m for m in ('adapters', 'baselines', 'sweeps', 'results', 'torch') if m in sys.modules])"
    )
    done = run_elsewhere(tmp_path, REPOSITORY, program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("form", ["package", "module"])
def test_a_decoy_that_comes_first_is_named(tmp_path, form):
    decoys = tmp_path / "site-packages"
    decoy = decoys / ("adapters/__init__.py" if form == "package" else "adapters.py")
    decoy.parent.mkdir(parents=True)
    decoy.write_text("raise SystemExit('the decoy was imported')")
    program = "from bench._inside import check_packages; check_packages()"
    done = run_elsewhere(tmp_path, decoys, REPOSITORY, program=program)
    assert done.returncode == 1
    assert "BenchError" in done.stderr
    place = decoys / "adapters" if form == "package" else decoy
    assert f"'adapters' is {place}, not {REPOSITORY / 'adapters'}" in done.stderr
    assert "'sweeps' is" not in done.stderr


def test_a_decoy_in_the_folder_where_python_starts(tmp_path):
    (tmp_path / "results.py").write_text("")
    done = run_elsewhere(tmp_path, REPOSITORY, program="import bench._inside as i; i.check_packages()")
    assert done.returncode == 1
    assert f"'results' is {tmp_path / 'results.py'}" in done.stderr


def test_a_decoy_that_is_already_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "sweeps", types.ModuleType("sweeps"))
    with pytest.raises(BenchError, match="'sweeps' is not found"):
        check_packages()
