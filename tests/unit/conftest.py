import pytest
from fakes import write_video


@pytest.fixture
def root(tmp_path):
    """Six small videos, all different."""
    for i in range(6):
        write_video(tmp_path / "videos" / f"{i}.mp4", 6, first=3 * i)
    return tmp_path / "videos"
