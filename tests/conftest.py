"""What every test gets: a place of its own to write to, fixed seeds, one thread a library, closed figures."""

import os
import random
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

# Before torch and numpy start their pools; what a test starts in another process inherits it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "agg"
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that reaches for the network fails at once

# A shell starts what goes into the background with SIGINT ignored, and every process of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "bench_home"))


@pytest.fixture(autouse=True)
def _seeds():
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)  # noqa: NPY002 - for libraries that still draw from the global generator
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that does not belong to the repository; tests that need it are skipped without it."""
    folder = Path(os.environ.get("BENCH_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set BENCH_SHARED_DATA to the folder that holds it")
    return folder


def _why_not(marker: str) -> str | None:
    """Why tests with this marker cannot run here; None where they can."""
    if marker == "weights" and not os.environ.get("BENCH_WEIGHTS"):
        return "needs real weights: set BENCH_WEIGHTS to the folder that holds them"
    # In CI a missing LaTeX or browser is a failure and no skip.
    if marker == "latex" and not (shutil.which("pdflatex") and shutil.which("pdftotext")) and not os.environ.get("CI"):
        return "needs pdflatex with booktabs and lmodern, and pdftotext"
    if marker == "browser" and not shutil.which("chromium") and not os.environ.get("CI"):
        return "needs chromium on PATH: apt-get install chromium"
    if marker == "mmaction2" and not (find_spec("mmaction") and find_spec("mmcv") and find_spec("mmengine")):
        return "needs the MMAction2 packages: make setup"
    if marker == "gpu":
        import torch

        if not torch.cuda.is_available():
            return "needs a GPU"
    return None


def pytest_collection_modifyitems(items):
    """Skip what this machine cannot run, and say why."""
    reasons = {}
    for item in items:
        for marker in ("weights", "gpu", "latex", "browser", "mmaction2"):
            if item.get_closest_marker(marker):
                if marker not in reasons:
                    reasons[marker] = _why_not(marker)
                if reasons[marker]:
                    item.add_marker(pytest.mark.skip(reason=reasons[marker]))


def pytest_addoption(parser):
    parser.addoption("--accept-golden", action="store_true", help="take today's numbers as the golden ones, on purpose")


@pytest.fixture(scope="session")
def toy_workspace(tmp_path_factory) -> Path:
    """A folder `data` in a home of this process's own; the toy set's videos in it are written once for all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toy-data"
    shared.mkdir(exist_ok=True)
    workspace: Path = tmp_path_factory.mktemp("toy") / "data"
    workspace.symlink_to(shared, target_is_directory=True)
    return workspace
