"""A folder as transformers saves a model, read without network: config, weights with every key or none, preprocessing, tokenizer."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging

from adapters import _weights
from adapters._state import State, read
from adapters._transformers import FrameTransform
from bench.contracts import BenchError, digest

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_NO_MATTER = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")
_ANY_SIZE = ("dinov2", "dinov2_with_registers")  # fit their positions to the size of a frame
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",), ("tokenizer.model",))
TOKENIZER_FILES = (
    *(name for names in _TOKENIZERS for name in names),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
# What a processor must say itself: the library's default for a class has changed between versions.
_STATED = ("image_mean", "image_std", "size")


def config_of(folder: Path) -> Any:
    """The model's configuration. Raises BenchError where config.json is missing or no configuration of the library."""
    return _read(folder, CONFIG, lambda: transformers.AutoConfig.from_pretrained(folder, **_LOCAL))


def digest_of(folder: Path) -> str:
    """8 hex characters over everything in config.json that can change a feature and that the weights' own hash does not tell."""
    said = json.loads((folder / CONFIG).read_text())
    return digest({k: v for k, v in said.items() if k not in _NO_MATTER}, 8)


def weights_of(folder: Path) -> list[Path]:
    """The files of weights that the library would read: one, or the shards that its index names.

    Raises:
        BenchError: none, or an index that names a file that is not there.
    """
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise BenchError(f"{folder} holds no weights: there is neither {', '.join(WEIGHTS[:-1])} nor {WEIGHTS[-1]}")
    if found.suffix != ".json":
        return [found]
    try:
        names = sorted(set(json.loads(found.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BenchError(f"{found} cannot be read as an index of weights ({error!r}); get the file again") from error
    missing = [name for name in names if not (folder / name).is_file() or Path(name).name != name]
    if missing or not names:
        raise BenchError(
            f"{found} names {missing[0] if missing else 'no file'}, and {folder} does not hold it; get the whole folder"
        )
    return [folder / name for name in names]


def load(
    name: str, config: Any, architecture: str, files: Sequence[Path], pinned: str | None = None
) -> tuple[Any, str]:
    """A model with the weights of `files`, and their hex sha256, of several that of their hashes.

    Args:
        name: what the weights are locked under.
        pinned: the hash of the one file, where somebody published it.

    Raises:
        BenchError: as `build`, or before a file is opened that is not the one that was published, or first loaded as `name`.
    """
    with contextlib.ExitStack() as stack:
        names = [path.name for path in files]
        hashes = [stack.enter_context(_weights.verified(name, path, pinned, names)) for path in files]
        model = build(config, architecture, files)
    return model, hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def build(config: Any, architecture: str, files: Sequence[Path]) -> Any:
    """A model of one of the library's own classes with the weights of `files`, every key or nothing.

    Raises:
        BenchError: a class that the library does not have, a damaged file, missing or unexpected keys, another shape, numbers
            that are not finite.
    """
    model_class: Any = getattr(transformers, architecture, None)
    if not (isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)):
        raise BenchError(
            f"transformers {transformers.__version__} has no model class {architecture!r}, which {CONFIG} asks for"
        )
    state: State = {}
    for path in files:
        state |= read(path)
    where = files[0] if len(files) == 1 else files[0].parent
    try:
        # From tensors and not from the folder: so nothing is fetched, and the library still renames the keys of older files.
        with _quiet():
            loaded: Any = model_class.from_pretrained(
                None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:
        raise BenchError(f"{where} does not fit {architecture} ({type(error).__name__}: {error})") from error
    model, info = loaded
    missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    if missing or unexpected or info["error_msgs"]:
        raise BenchError(
            f"{where} does not fit {architecture}: {len(missing)} keys missing ({', '.join(missing[:3]) or 'none'}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:3]) or 'none'}); nothing is loaded in part"
        )
    strange = [name for name, value in model.named_parameters() if not bool(torch.isfinite(value).all())]
    if strange:
        raise BenchError(f"{where}: {strange[0]} holds numbers that are not finite; get the file again")
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bar and its table of keys: what it found is an error here, in words."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def transform_of(folder: Path, config: Any) -> FrameTransform:
    """The folder's own preprocessing, by the image processor that the library takes for it.

    Raises:
        BenchError: preprocessor_config.json is missing, unreadable, leaves open what the library's versions fill in differently, or
            makes frames of another size than the model takes.
    """
    said, _ = _read(folder, PREPROCESSOR, lambda: ImageProcessingMixin.get_image_processor_dict(folder, **_LOCAL))
    absent = [key for key in _STATED if key not in said]
    if absent:
        raise BenchError(
            f"{folder / PREPROCESSOR} does not say {', '.join(absent)}; a default would be a guess, so add it"
        )
    load = lambda: transformers.AutoImageProcessor.from_pretrained(folder, **_LOCAL)  # noqa: E731
    transform = FrameTransform.of(_read(folder, PREPROCESSOR, load))
    made = tuple(transform(np.zeros((1, 48, 64, 3), np.uint8)).shape[-2:])
    size = getattr(config, "vision_config", config).image_size
    taken = (size, size) if isinstance(size, int) else tuple(size)
    if made != taken and config.model_type not in _ANY_SIZE:
        raise BenchError(
            f"{folder / PREPROCESSOR} makes frames of {made[0]}x{made[1]}, but the model of {CONFIG} takes {taken[0]}x{taken[1]}"
        )
    return transform


@dataclass(frozen=True)
class FolderTokenizer:
    """The tokenizer of a folder as the text towers take it: ids without special tokens, and what is put around them."""

    inner: Any
    start: int | None
    end: int
    pad: int

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text, add_special_tokens=False))


def tokenizer_of(folder: Path, config: Any) -> FolderTokenizer:
    """The folder's own tokenizer. A start token stands in front where the library puts one there.

    Raises:
        BenchError: its files are missing or unreadable, it ends texts otherwise than the model pools them, or it lacks a padding token.
    """
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        # The library would make a tokenizer without a vocabulary.
        raise BenchError(
            f"{folder} holds no tokenizer: there is neither {', nor '.join(' with '.join(n) for n in _TOKENIZERS)}"
        )
    inner = _read(folder, "tokenizer.json", lambda: transformers.AutoTokenizer.from_pretrained(folder, **_LOCAL))
    whole, bare = inner.encode("a"), inner.encode("a", add_special_tokens=False)
    end, pad = inner.eos_token_id, inner.pad_token_id
    if end is None or pad is None or whole[len(whole) - 1 - len(bare) :] != [*bare, end]:
        raise BenchError(
            f"{folder}: its tokenizer puts no end-of-text token behind a text, or names no padding token; it cannot be used"
        )
    head = whole[: len(whole) - 1 - len(bare)]
    if len(head) > 1:
        raise BenchError(
            f"{folder}: its tokenizer puts {len(head)} tokens in front of a text; at most one is understood"
        )
    pooled = _pooled_id(config)
    if pooled is not None and pooled != end:
        raise BenchError(
            f"{folder}: its tokenizer ends texts with id {end}, but its model pools at id {pooled} (eos_token_id in {CONFIG}); "
            f"they are not of one model"
        )
    return FolderTokenizer(inner, head[0] if head else None, int(end), int(pad))


def _pooled_id(config: Any) -> int | None:
    """The id that the library pools a text at; None for SigLIP, which pools at the last position."""
    if config.model_type == "siglip":
        return None
    text = config.text_config
    # As modeling_clip.py: 2 stands for the highest id, which is what older files say; X-CLIP knows no other rule.
    legacy = config.model_type == "xclip" or text.eos_token_id == 2
    return int(text.vocab_size) - 1 if legacy else int(text.eos_token_id)


def _read(folder: Path, name: str, load: Any) -> Any:
    """What the library reads from a folder, its many errors as one that names the file."""
    try:
        return load()
    except Exception as error:
        what = "cannot be read" if (folder / name).exists() else "is missing"
        raise BenchError(f"{folder / name} {what} ({type(error).__name__}: {str(error).splitlines()[0]})") from error
