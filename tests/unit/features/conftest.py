"""A folder of videos of which some cannot be decoded."""

import pytest


@pytest.fixture
def faulty(root):
    (root / "text.mp4").write_text("no video")
    (root / "empty_a.mp4").touch()
    (root / "empty_b.mp4").touch()
    return root
