"""The continuous channel: an embedding of each statement, through a small MLP, added to every context vector in front of it.

After GaVA-CLIP's KAPT head, which takes a 768-d sentence embedding through 768-128-512. Shape legend: P statements, E embedding
size, W text width.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines._knowledge.initial import drawn
from bench.contracts import Adapter, BenchError, digest
from bench.forward import device_of

HIDDEN = 128
TEXTS = 64  # sentences a pass
FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "1_Pooling/config.json")
MODULES = (
    "Transformer",
    "Pooling",
    "Normalize",
)  # of a folder of Sentence Transformers; others have weights that are not read
UNSET = 10**6  # a tokenizer without a limit of its own says 10^30


class Projector(nn.Module):
    """E -> 128 -> W, ReLU between. The last layer starts at 0, so that the method starts as if the channel were not there.

    `dead` is how the earlier code was released: no biases and both layers 0. Then the gradient of each layer is a product with the
    other one, and neither ever leaves 0.
    """

    def __init__(self, size: int, width: int, generator: torch.Generator, dead: bool = False) -> None:
        super().__init__()
        self.first = drawn(lambda: nn.Linear(size, HIDDEN, bias=not dead), generator)
        self.last = drawn(lambda: nn.Linear(HIDDEN, width, bias=not dead), generator)
        nn.init.zeros_(self.last.weight)
        if dead:
            nn.init.zeros_(self.first.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        """`(P, E)` -> `(P, W)`."""
        return self.last(self.first(embedding).relu())


def embedder(adapter: Adapter, encoder: str) -> Callable[[Sequence[str]], Tensor]:
    """What embeds statements, as float32 `(P, E)` of length 1: the backbone's own text tower, or the encoder at FOLDER@DIGEST.

    Raises:
        BenchError: no such folder, another digest, or no encoder that can be loaded without running code of its own.
    """
    if not encoder:
        return lambda texts: F.normalize(adapter.encode_text(texts), dim=-1)
    folder, _, pinned = encoder.rpartition("@")
    path = Path(folder or encoder).expanduser()
    if not path.is_dir():
        raise BenchError(f"sentence_encoder: there is no folder {path}")
    found = encoder_digest(path)
    if pinned != found or not folder:
        raise BenchError(f"sentence_encoder: what lies in {path} has the digest {found}; write {path}@{found}")
    return functools.partial(_embed, *_load(path, found), device_of(adapter))


def encoder_digest(folder: Path) -> str:
    """16 hex characters over the contents of an encoder's files: it stands in a run's config, so it tells one encoder from another."""
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise BenchError(
            f"sentence_encoder: {folder} holds no .safetensors; other weights can run code and are not read"
        )
    return digest([[p.relative_to(folder).as_posix(), _sha256(p)] for p in files])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=2)
def _load(folder: Path, _: str) -> tuple[Any, Any, str, int]:
    """Tokenizer, frozen model, how it pools, and the tokens that it takes; `_` is the digest, so that changed files are read again."""
    import transformers
    from safetensors import SafetensorError

    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        model, came = transformers.AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **local
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BenchError(f"sentence_encoder: transformers cannot load {folder}: {why}") from error
    # The library draws what is not there at random. Only a pooler may be missing: no state that is read here comes from it.
    if missing := sorted(key for key in came["missing_keys"] if not key.startswith("pooler.")):
        raise BenchError(
            f"sentence_encoder: the .safetensors of {folder} lack {len(missing)} weights of its {model.config.model_type}: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; get the whole file again"
        )
    how = _pooling(folder)
    if model.config.is_encoder_decoder or tokenizer.pad_token is None:
        raise BenchError(
            f"sentence_encoder: {folder} holds a {model.config.model_type} with a decoder or without a padding token; take an encoder"
        )
    limit = tokenizer.model_max_length
    if limit > UNSET:  # two less than there are positions, because RoBERTa's begin behind its padding
        limit = getattr(model.config, "max_position_embeddings", UNSET) - 2
    return tokenizer, model.float().eval().requires_grad_(False), how, limit


def _pooling(folder: Path) -> str:
    """How a folder of Sentence Transformers says that it pools; the mean where it does not say."""
    listed, path = folder / "modules.json", folder / "1_Pooling" / "config.json"
    kinds = [str(m["type"]).rpartition(".")[2] for m in _json(listed, list)] if listed.is_file() else []
    if other := sorted(set(kinds) - set(MODULES)):
        raise BenchError(f"sentence_encoder: {listed} has {', '.join(other)}; only {', '.join(MODULES)} can be had")
    if not path.is_file():
        if "Pooling" in kinds:
            raise BenchError(
                f"sentence_encoder: {listed} has a Pooling, but {path} is not there to say which; copy it too"
            )
        return "mean"
    said = [name for name, on in _json(path, dict).items() if name.startswith("pooling_mode_") and on is True]
    if said == ["pooling_mode_mean_tokens"]:
        return "mean"
    if said == ["pooling_mode_cls_token"]:
        return "first"
    raise BenchError(
        f"sentence_encoder: {path} pools by {', '.join(said) or 'nothing'}; the mean or the first token can be had"
    )


def _json(path: Path, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """What a file holds. Raises BenchError where that is not JSON of this kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"sentence_encoder: {path} is not readable as JSON: {error}") from error
    modules = found if isinstance(found, list) else []
    if not isinstance(found, kind) or not all(isinstance(m, dict) and "type" in m for m in modules):
        raise BenchError(f"sentence_encoder: {path} is not written as Sentence Transformers writes it")
    return found


def _embed(tokenizer: Any, model: Any, how: str, limit: int, device: torch.device, texts: Sequence[str]) -> Tensor:
    parts = []
    model.to(device)
    with torch.no_grad():
        for start in range(0, len(texts), TEXTS):
            given = tokenizer(
                list(texts[start : start + TEXTS]), padding=True, truncation=True, max_length=limit, return_tensors="pt"
            ).to(device)
            states, seen = model(**given).last_hidden_state, given["attention_mask"][..., None]
            parts.append(states[:, 0] if how == "first" else (states * seen).sum(1) / seen.sum(1))
    return F.normalize(torch.cat(parts), dim=-1)
