"""MMAction2 1.2.0 beside a current torch, numpy and transformers, in one environment.

Its last release is from October 2023 and does not import as it is. Nothing of its code is changed; the versions are checked first,
and this is all that is done around it. While it is imported, and put back behind that:

- The wheel lacks `mmaction.models.localizers.drn`, a temporal localiser, which `mmaction.models` imports. A stand-in is there to be
  imported; building what it names is an error.
- So it is with four modules that no recogniser needs and that take seconds: a data set that brings NLTK and scikit-learn, and what
  shards models over GPUs. Whoever imports them afterwards gets the real ones.
- `transformers` cannot be imported, of which MMEngine wants one optimiser, if it is there.
- Warnings are not heard, and Python's global generator, which an import draws from, is where it was.

What stays, within MMAction2 and MMEngine alone:

- `mmaction.utils.dependency.WITH_MULTIMODAL` is False, MMAction2's own switch for a machine without transformers, so that placeholders
  are registered for `mmaction.models.multimodal` (VindLU), which imports names that transformers 5 no longer has.
- MMEngine's default scope is `mmaction`, as MMAction2's own tools set it, and its logger tells errors alone.

While a model is built or drawn:

- Its config asks for no weights from anywhere (`pretrained`, `init_cfg`, `clip_pretrained`), nor do its modules. Warnings are not heard.
- For a model of shapes alone, a mode of torch's gives constructors the numbers that they read off tensors.

While a checkpoint is read, inside `checkpoint_classes`:

- A checkpoint of MMEngine holds a `HistoryBuffer`, which `torch.load` refuses since torch 2.6. It is on the list of allowed classes,
  with what it is pickled with: numpy's constructors, and `getattr` cut down to its own methods.

What needs compiled operators (`mmcv.ops`: TIN, RoI heads) is not there, because the pure Python `mmcv-lite` is used. What is done
around its Runner and its pipelines stands in `mmaction2_schedule`, `mmaction2_training` and `mmaction2_data`.
"""

from __future__ import annotations

import functools
import importlib
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench.contracts import BenchError

if TYPE_CHECKING:
    from torch import nn

# The versions this module was made for; another one may need other stand-ins, or none.
MADE_FOR = {"mmaction2": "1.2.0", "mmcv-lite": "2.1.0", "mmengine": "0.10.7"}
NEEDS_OPERATORS = ("ResNetTIN",)  # asks for them when it runs, not when it is built


@functools.cache
def import_mmaction() -> ModuleType:
    """`mmaction`, with `mmaction.models` imported and its registries filled; the second call costs nothing.

    Raises:
        BenchError: it is not installed, or in a version that this module was not made for.
    """
    _check_versions()
    drawn = random.getstate()
    try:
        with warnings.catch_warnings(), _stand_ins(), _hidden("transformers"):
            warnings.simplefilter("ignore")  # of three dead packages; ours are not heard here
            mmaction = importlib.import_module("mmaction")
            importlib.import_module("mmaction.utils.dependency").WITH_MULTIMODAL = False  # type: ignore[attr-defined]
            importlib.import_module("mmaction.models")
            importlib.import_module("mmaction.utils").register_all_modules(init_default_scope=True)
            # MMEngine tells of every value that is drawn, on the terminal.
            importlib.import_module("mmengine.logging").MMLogger.get_current_instance().setLevel("ERROR")
    finally:
        random.setstate(drawn)
    return mmaction


def read_config(path: Path) -> Mapping[str, Any]:
    """A config of MMAction2's wheel, with what it is based on. The file is a program: never one from outside.

    Raises:
        BenchError: MMEngine is not installed, or in a version that this module was not made for.
    """
    _check_versions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmengine.config import Config

        return Config.fromfile(path)  # type: ignore[no-any-return]


def dataset(recipe: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """The data set of a config's stage ("train", "val" or "test"), the first where several are shown in turn; {} where it has none."""
    found = (recipe.get(f"{stage}_dataloader") or {}).get("dataset") or {}
    return found["datasets"][0] if "datasets" in found else found


def steps(recipe: Mapping[str, Any], stage: str) -> list[dict[str, Any]]:
    """The steps of a stage's pipeline, from its data set where that has its own; none where the config has none."""
    return [dict(step) for step in dataset(recipe, stage).get("pipeline") or recipe.get(f"{stage}_pipeline") or ()]


def build(path: Path, num_classes: int | None = None, values: bool = True, num_frames: int | None = None) -> nn.Module:
    """The recogniser of a config, in training mode, with the values that its constructors draw; no weights are looked for.

    Args:
        path: of the config.
        num_classes: in place of the config's own, also in auxiliary heads.
        values: False for a model of shapes alone, on torch's meta device, which takes no memory.
        num_frames: a view, in place of the config's own, for models that are built for a number of them.

    Raises:
        BenchError: it needs a package that is not here (mmpretrain, mmcls), or compiled operators.
    """
    import_mmaction()
    import torch
    from mmaction.registry import MODELS

    model = _without_weights(read_config(path)["model"], num_classes)
    if model["backbone"]["type"] in NEEDS_OPERATORS:
        raise BenchError(
            f"{path.stem} cannot be built here: {model['backbone']['type']} needs mmcv's compiled operators, and mmcv-lite has none"
        )
    if num_frames is not None:
        model = _with_frames(model, num_frames)
    with ExitStack() as stack:
        if not values:
            # It mixes training videos, has no parameters, and its distributions look at values.
            model["data_preprocessor"].pop("blending", None)
            stack.enter_context(torch.device("meta"))
            stack.enter_context(_numbers_for_constructors())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of arguments that torchvision has renamed since
        try:
            return MODELS.build(model)  # type: ignore[no-any-return]
        except (ImportError, KeyError) as error:
            raise BenchError(
                f"{path.stem} cannot be built here: {str(error).strip(chr(34)).splitlines()[0]} "
                "(recognisers that need mmpretrain, mmcls or mmcv's compiled operators are left out)"
            ) from error


def draw(model: Any) -> None:
    """Draw a built recogniser's values as MMAction2 does for training from scratch, from torch's global generator.

    What its constructors drew are torch's own defaults, with which some recognisers do not learn.
    """
    for module in model.modules():
        # Each would load 2-D or CLIP weights from somewhere, which `build` left out of the config.
        for switch, off in (("pretrained2d", False), ("clip_pretrained", False), ("pretrained_type", None)):
            if hasattr(module, switch):
                setattr(module, switch, off)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torchvision's and timm's backbones keep what their constructors drew
        model.init_weights()


def _without_weights(value: Any, num_classes: int | None) -> Any:
    """A model's config with nothing in it that asks for weights from somewhere, and another number of classes."""
    if isinstance(value, (list, tuple)):
        return type(value)(_without_weights(v, num_classes) for v in value)
    if not isinstance(value, Mapping):
        return value
    kept = {k: _without_weights(v, num_classes) for k, v in value.items() if not _asks_for_weights(k, v)}
    if num_classes is not None and "num_classes" in kept:
        kept["num_classes"] = num_classes
    if "pretrained" in value:
        # timm and torchvision take a switch, MMAction2's own backbones a place or None.
        foreign = str(value.get("type", "")).startswith(("timm.", "torchvision."))
        kept["pretrained"] = False if foreign else None
    if value.get("type") == "UniFormerV2":
        kept["clip_pretrained"] = False  # its default is True
    return kept


def _with_frames(value: Any, num_frames: int) -> Any:
    """A model's config for another number of frames, by the names under which MMAction2's models take it."""
    if isinstance(value, (list, tuple)):
        return type(value)(_with_frames(v, num_frames) for v in value)
    if not isinstance(value, Mapping):
        return value
    names = ("num_segments", "num_frames", "t_size", "temporal_size")
    return {
        k: num_frames if k in names and isinstance(v, int) else _with_frames(v, num_frames) for k, v in value.items()
    }


def _asks_for_weights(key: str, value: Any) -> bool:
    return key == "init_cfg" and isinstance(value, Mapping) and value.get("type") == "Pretrained"


def _numbers_for_constructors() -> AbstractContextManager[Any]:
    """On torch's meta device, gives constructors the numbers that they read off tensors, which have none there.

    Transformers read their rates of dropped paths off `torch.linspace`: it stays on the CPU. MMEngine notes the means of parameters
    to tell later which were drawn again: they are 0.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class OnCpu(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if func is torch.linspace:
                kwargs["device"] = "cpu"
            if func is torch.Tensor.cpu and args[0].is_meta:
                return torch.zeros(args[0].shape, device="cpu")
            return func(*args, **kwargs)

    return OnCpu()


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
    """Stands where a class is missing from MMAction2's wheel, or is left out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise BenchError(
            "the localiser DRN, Charades-STA and what shards models are not there; the recognisers do not need them"
        )


_STAND_INS = {  # module -> what is asked of it
    "mmaction.models.localizers.drn.drn": "DRN",
    "mmaction.datasets.charades_sta_dataset": "CharadesSTADataset",
    "mmengine.optim.optimizer.zero_optimizer": "ZeroRedundancyOptimizer",
    "mmengine.model.wrappers.fully_sharded_distributed": "MMFullyShardedDataParallel",
    "mmengine._strategy.fsdp": "FSDPStrategy",
}


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Within the block these modules hold a placeholder, unless they were imported already."""
    put = {
        name: ModuleType(name) for name in ("mmaction.models.localizers.drn", *_STAND_INS) if name not in sys.modules
    }
    for name, module in put.items():
        module.__path__ = []
        if name in _STAND_INS:
            setattr(module, _STAND_INS[name], _Absent)
    sys.modules.update(put)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Within the block the package cannot be imported, unless it was already."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]


def checkpoint_classes() -> AbstractContextManager[Any]:
    """Inside this block `torch.load(weights_only=True)` also takes what MMEngine's checkpoints hold beside tensors, and no more.

    That is everything allowed: `HistoryBuffer`, `ndarray`, `dtype` and the dtypes of numbers and truth values, numpy's constructor of
    arrays, and of `getattr` four methods of `HistoryBuffer`.
    """
    _check_versions()
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
    return torch.serialization.safe_globals(
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
