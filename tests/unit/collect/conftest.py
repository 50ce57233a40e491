"""A server, the command that collects from it, and where that keeps what it got."""

import pytest
from commands import bench
from language_model import CLASSES, Server


@pytest.fixture
def server(monkeypatch):
    for name in ("OPENAI_API_KEY", "BENCH_LLM_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def collect(server, tmp_path, capsys, monkeypatch):
    """The command with three classes; exit code, stdout, stderr."""
    (tmp_path / "three.txt").write_text("\n".join(CLASSES) + "\n")

    def run(*words, source=("--endpoint", server.url, "--model", "m")):
        return bench(capsys, monkeypatch, "knowledge", "collect", "--classes", tmp_path / "three.txt", *source, *words)

    return run


@pytest.fixture
def knowledge(tmp_path):
    return tmp_path / "bench_home" / "knowledge"
