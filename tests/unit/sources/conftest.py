"""The command that collects from files and models of this machine, and where that keeps what it got."""

import pytest
from commands import bench
from language_model import CLASSES


@pytest.fixture
def collect(tmp_path, capsys, monkeypatch):
    """The command with three classes; exit code, stdout, stderr."""
    (tmp_path / "three.txt").write_text("\n".join(CLASSES) + "\n")
    return lambda *words: bench(
        capsys, monkeypatch, "knowledge", "collect", "--classes", tmp_path / "three.txt", *words
    )


@pytest.fixture
def knowledge(tmp_path):
    return tmp_path / "bench_home" / "knowledge"
