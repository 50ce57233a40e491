"""MMAction2 1.2.0 beside a current torch, numpy and transformers, in one environment.

Its last release is from October 2023 and does not import as it is. Three things stand in the way; all are put right
here, before the first import, and nothing of its code is changed:

- The wheel lacks `mmaction.models.localizers.drn`, a temporal localiser, which `mmaction.models` imports. A stand-in
  takes its place; the name is there, building it is an error.
- `mmaction.models.multimodal` (VindLU) imports names that transformers 5 no longer has. MMAction2's own switch for a
  machine without transformers is turned, so that its placeholders are registered.
- A checkpoint of MMEngine holds a `HistoryBuffer`, which `torch.load` refuses since torch 2.6. It is put on torch's
  list of safe globals, with what it is pickled with: numpy's constructors, and `getattr` cut down to its own methods.

What needs compiled operators (`mmcv.ops`: TIN, RoI heads) is not there, because the pure Python `mmcv-lite` is used.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from bench.contracts import BenchError

# The versions this module was made for; another one may need other stand-ins, or none.
MADE_FOR = {"mmaction2": "1.2.0", "mmcv-lite": "2.1.0", "mmengine": "0.10.7"}


def import_mmaction() -> ModuleType:
    """`mmaction`, with `mmaction.models` imported and its registries filled; the second call costs nothing.

    Raises:
        BenchError: it is not installed, or in a version that this module was not made for.
    """
    if "mmaction.models" in sys.modules:
        return sys.modules["mmaction"]
    _check_versions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of three dead packages; ours are not heard here
        mmaction = importlib.import_module("mmaction")
        importlib.import_module("mmaction.utils.dependency").WITH_MULTIMODAL = False  # type: ignore[attr-defined]
        _stand_in_for_drn()
        importlib.import_module("mmaction.models")
    _allow_checkpoints()
    return mmaction


def _check_versions() -> None:
    wrong = []
    for package, wanted in MADE_FOR.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "not installed"
        if found != wanted:
            wrong.append(f"{package} {wanted} (here: {found})")
    if wrong:
        raise BenchError(f"MMAction2 backbones and methods need {', '.join(wrong)}; run make setup")


class _Absent:
    """Stands where a class is missing from MMAction2's wheel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise BenchError("MMAction2's wheel lacks the localiser DRN; the recognisers do not need it")


def _stand_in_for_drn() -> None:
    name = "mmaction.models.localizers.drn"
    package, module = ModuleType(name), ModuleType(f"{name}.drn")
    package.__path__ = []
    package.drn = module  # type: ignore[attr-defined]
    module.DRN = _Absent  # type: ignore[attr-defined]
    sys.modules.setdefault(package.__name__, package)
    sys.modules.setdefault(module.__name__, module)


def _allow_checkpoints() -> None:
    import numpy as np
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer

    def statistic(owner: Any, name: str) -> Any:
        # The real getattr would let a checkpoint reach anything.
        if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
            raise BenchError(f"a checkpoint asks for {name!r} of {owner!r}, which no checkpoint of MMEngine does")
        return getattr(HistoryBuffer, name)

    reconstruct: Any = np.ndarray(0).__reduce__()[0]
    dtypes = {type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "u1", "?")}
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            *dtypes,
            # NumPy 2 moved its constructor; a checkpoint names the place of its day.
            (reconstruct, "numpy._core.multiarray._reconstruct"),
            (reconstruct, "numpy.core.multiarray._reconstruct"),
            (statistic, "builtins.getattr"),
            (statistic, "__builtin__.getattr"),
        ]
    )
