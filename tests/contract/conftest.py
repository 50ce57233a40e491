"""What tests of MMAction2's recognisers share: small pictures, and a checkpoint as MMEngine's Runner leaves it."""

import pytest


@pytest.fixture
def small_pictures(monkeypatch):
    import small_recognizers

    small_recognizers.shrink(monkeypatch)


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """A checkpoint with its records beside the weights, and the model that it is of; nobody changes either."""
    import small_recognizers

    path = tmp_path_factory.mktemp("released") / "mine.pth"
    return path, small_recognizers.release(path)
