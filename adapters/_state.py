"""Opening files of weights: every key or nothing, and never code from outside."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.contracts import BenchError

State = dict[str, Tensor]


def load_strict(model: nn.Module, path: Path, convert: Callable[[State], State] | None = None) -> None:
    """Load a state dict from a local file, every key or nothing.

    Args:
        model: of the file's architecture; its weights are whole afterwards, or untouched where this raises.
        path: safetensors, or a pickle of tensors as torch.save writes it.
        convert: the library's own way from a released file's keys to the model's.

    Raises:
        BenchError: a damaged file, a pickle that holds more than tensors, a TorchScript archive, missing or unexpected keys,
            another shape.
    """
    state = read(path)
    fill(model, state if convert is None else convert(state), path)


def fill(model: nn.Module, state: State, path: Path) -> None:
    """Give a model these values, every key or nothing; `path` is where they are from. Raises BenchError as `load_strict`."""
    own = model.state_dict()
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unexpected:
        raise BenchError(
            f"{path} does not fit this architecture: {len(missing)} keys missing ({', '.join(missing[:3]) or 'none'}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:3]) or 'none'}); nothing is loaded in part"
        )
    wrong = [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        raise BenchError(
            f"{path}: {wrong[0]} is {tuple(state[wrong[0]].shape)}, this architecture has {tuple(own[wrong[0]].shape)}"
        )
    strange = [k for k, v in state.items() if v.is_floating_point() and not bool(torch.isfinite(v).all())]
    if strange:
        raise BenchError(f"{path}: {strange[0]} holds numbers that are not finite; get the file again")
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=True)


def read(path: Path, content: bytes | None = None) -> State:
    """The tensors of a weights file by key, on the CPU; nothing in it is run.

    Args:
        path: of the file.
        content: its bytes, where they were read already; the file is then not opened again.

    Raises:
        BenchError: as `load_strict`.
    """
    if _is_torchscript(path, path if content is None else io.BytesIO(content)):
        raise BenchError(
            f"{path} is a TorchScript archive (OpenAI's own .pt files are): it holds code beside its weights, and code from outside "
            f"is not run. Remove it and get the safetensors of the same weights from the Hugging Face repository of their tag: "
            f"`python -m bench fetch NAME` does that where there is network"
        )
    try:
        found: Any = _opened(path, content)
    except Exception as error:
        if asked := re.search(r"(?:GLOBAL|Trying to (?:call reduce for|instantiate) class:?)\s+(\S+)", str(error)):
            raise BenchError(
                f"{path} asks for {asked[1]} when it is opened, which no file of weights needs: it holds code or objects beside its "
                "tensors. It was refused, and nothing of it was run; get the file from somewhere else, or its state dict alone"
            ) from error
        raise BenchError(f"{path}: not readable as weights ({_looks(path, content)}); get the file again") from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise BenchError(f"{path}: not readable as weights (it is no table of tensors by name); get the file again")
    # What torch's parallel wrappers put in front of every key; open_clip takes it off too (factory.load_state_dict).
    wrapped = bool(found) and all(k.startswith("module.") for k in found)
    return {k.removeprefix("module.") if wrapped else k: v for k, v in found.items()}


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _looks(path: Path, content: bytes | None) -> str:
    """What a file that cannot be opened seems to be, in words: the libraries' own are of their insides."""
    if content is None:
        with path.open("rb") as file:
            content = file.read(1000)
    start = content[:1000].lstrip()
    if not start:
        return "it is empty"
    if start[:1] == b"<":
        return "it is a web page, most often what a server says in place of a file"
    if start.startswith(b"version https://git-lfs"):
        return "it is Git LFS's pointer to a file"
    if start.startswith(b"PK") or path.suffix == ".safetensors":
        return "it is cut off or damaged"
    return "it is cut off, damaged, or no file of weights"


def _opened(path: Path, content: bytes | None) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path) if content is None else safetensors.torch.load(content)
    return torch.load(path if content is None else io.BytesIO(content), map_location="cpu", weights_only=True)


def _is_torchscript(path: Path, file: Path | io.BytesIO) -> bool:
    """Whether a file is what torch.jit.save writes; as torch itself tells it."""
    if path.suffix == ".safetensors" or not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(entry.split("/", 1)[-1] == "constants.pkl" for entry in archive.namelist())
