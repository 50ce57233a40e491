"""MMAction2 beside a current torch: in a process of its own, without libGL, on random weights."""

import ast
import subprocess
import sys
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.mmaction2

REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = """
import io, logging, os, random, signal, sys, warnings
import cv2
import numpy as np
import torch

torch.set_num_threads(1)
from bench.compat.mmaction2 import _STAND_INS, checkpoint_classes, import_mmaction


def process():
    return {
        "environment": dict(os.environ),
        "path": list(sys.path),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, list(logging.root.handlers), logging.raiseExceptions),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "hooks": (sys.excepthook, sys.displayhook),
        "generators": (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
        "torch": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.load),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "allowed": torch.serialization.get_safe_globals(),
        "opencv": cv2.getNumThreads(),
        "modules": {n: m for n, m in sys.modules.items() if n.startswith(("torch", "transformers", "numpy"))},
    }


before = process()
mmaction = import_mmaction()
after = process()
new = after["modules"].keys() - before["modules"].keys()
after["modules"] = {n: after["modules"].get(n) for n in before["modules"]}
changed = [what for what in before if before[what] != after[what]]
placeholders = [n for n in sys.modules if n.startswith("mm") and getattr(sys.modules[n], "__spec__", 1) is None]
left = sorted(set(_STAND_INS) & set(sys.modules)) + placeholders + [n for n in new if n.startswith("transformers")]
from mmengine._strategy.fsdp import FSDPStrategy

from bench.compat import mmaction2_training

sharding = "_Absent" not in repr(FSDPStrategy)
import transformers
assert import_mmaction() is mmaction
if os.path.exists("/proc/self/maps"):
    assert "libGL." not in open("/proc/self/maps").read(), "libGL was loaded"

from mmaction.registry import MODELS
from mmaction.utils import register_all_modules
from mmengine.config import Config

register_all_modules(init_default_scope=True)
configs = os.path.join(os.path.dirname(mmaction.__file__), ".mim/configs/_base_/models")
config = Config.fromfile(os.path.join(configs, "tsn_r50.py")).model
config.backbone.update(depth=18, pretrained=None)
config.cls_head.update(in_channels=512, num_classes=7)
model = MODELS.build(config).eval()
video_NTCHW = torch.randn(2, 3, 3, 32, 32)
with torch.inference_mode():
    frames, _ = model.extract_feat(video_NTCHW)
    logits = model.cls_head(frames, num_segs=3)

from mmengine.logging.history_buffer import HistoryBuffer

buffer = io.BytesIO()
torch.save({"message_hub": HistoryBuffer([1.0, 3.0], [1, 1]), "state_dict": model.state_dict()}, buffer)
buffer.seek(0)
with checkpoint_classes():
    mean = torch.load(buffer, weights_only=True)["message_hub"].mean()
buffer.seek(0)
try:
    torch.load(buffer, weights_only=True)
    outside = "loaded"
except Exception as error:
    outside = "refused"


class Evil:
    def __reduce__(self):
        return getattr, (dict, "fromkeys")


buffer = io.BytesIO()
torch.save(Evil(), buffer)
buffer.seek(0)
try:
    with checkpoint_classes():
        torch.load(buffer, weights_only=True)
    evil = "loaded"
except Exception as error:
    evil = "refused"
print({"frames": tuple(frames.shape), "logits": tuple(logits.shape), "mean": float(mean), "evil": evil, "outside": outside})
print({"changed": changed, "left": left, "sharding": sharding})
"""


@pytest.mark.slow
def test_a_recogniser_builds_runs_and_its_checkpoint_loads(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    seen, process = map(ast.literal_eval, done.stdout.strip().splitlines()[-2:])
    assert process == {"changed": [], "left": [], "sharding": True}, "what the import does to the process around it"
    assert seen == {"frames": (6, 512, 1, 1), "logits": (2, 7), "mean": 2.0, "evil": "refused", "outside": "refused"}


def test_only_the_headless_opencv_is_installed():
    found = sorted(d.name for d in distributions() if d.name.lower().replace("_", "-").startswith("opencv"))
    assert found == ["opencv-python-headless"]
    assert set(packages_distributions()["cv2"]) == {"opencv-python-headless"}


def test_nothing_of_opencv_asks_for_libgl():
    import cv2

    libraries = [*Path(cv2.__file__).parent.glob("*.so"), *Path(cv2.__file__).parent.parent.glob("opencv*.libs/*")]
    assert libraries
    assert [f.name for f in libraries if b"libGL.so" in f.read_bytes()] == []


def test_other_versions_are_refused_by_name(monkeypatch):
    from bench.compat import mmaction2
    from bench.contracts import BenchError

    monkeypatch.setitem(mmaction2.MADE_FOR, "mmcv-lite", "2.2.0")
    monkeypatch.setitem(mmaction2.MADE_FOR, "no-such-package", "1")
    with pytest.raises(
        BenchError, match=r"mmcv-lite 2\.2\.0 \(here: 2\.1\.0\), no-such-package 1 \(here: not installed\)"
    ):
        mmaction2._check_versions()
    mmaction2.import_mmaction.cache_clear()  # as for somebody who has not asked before, whatever others have imported
    with pytest.raises(BenchError, match=r"mmcv-lite 2\.2\.0"):
        mmaction2.import_mmaction()
    with pytest.raises(BenchError, match=r"mmcv-lite 2\.2\.0"), mmaction2.checkpoint_classes():
        pass
