import pytest
from commands import bench
from fakes import write_video


@pytest.fixture
def command(capsys, monkeypatch):
    """A command in this process: its exit code, and what it wrote to stdout and stderr."""
    return lambda *words: bench(capsys, monkeypatch, *words)


@pytest.fixture
def root(tmp_path):
    """Six small videos, all different."""
    for i in range(6):
        write_video(tmp_path / "videos" / f"{i}.mp4", 6, first=3 * i)
    return tmp_path / "videos"
