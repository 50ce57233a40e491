"""Getting a model's files from the Hugging Face hub, on a machine with network: resumed, checked, and whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils._headers import build_hf_headers
from open_clip.constants import HF_CONFIG_NAME, HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from adapters import _weights
from bench.contracts import BenchError

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

    from adapters._cards import Card

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
MISLED = {("ViT-B-16-plus-240", "laion400m_e32")}  # open_clip 3.3.0 gives it the repository of laion400m_e31


@dataclass(frozen=True)
class Wanted:
    """One file of a repository: the first of these names that is there; optional where a model can do without."""

    repository: str
    names: tuple[str, ...]
    optional: bool = False


def fetch(name: str, card: Card | str) -> str:
    """Get everything that a machine without network needs of a model; where its weights now lie.

    What was got before is kept, what was broken off goes on where it stopped, and the weights come last: where they are, all is.

    Raises:
        BenchError: a model that ships with the project, no network, nothing of that name on the hub, or other bytes than the hub
            announces; then nothing is left that would be taken for weights.
    """
    if isinstance(card, str):
        raise BenchError(f"{name} ships with the project; there is nothing to fetch")
    return str(get(name, wanted(name, card), card.sha256))


def get(name: str, files: list[Wanted], pinned: str | None = None) -> Path:
    """The files, the weights last, into the model's folder; the path of the weights. Raises BenchError as `fetch`."""
    where = _weights.folder(name)
    where.mkdir(parents=True, exist_ok=True)
    weights = files[-1]
    strangers = [p.name for p in where.iterdir() if p.suffix in _weights.SUFFIXES and p.name not in weights.names]
    if strangers:
        raise BenchError(f"{where} already holds {strangers[0]}; remove it, so that one file of weights is left")
    for one in files[:-1]:
        _first(name, one, where)
    found = _first(name, weights, where, pinned or _weights.locked(name))
    assert found is not None
    path, sha256, source = found
    for other in {where / n for n in weights.names} - {path}:
        other.unlink(missing_ok=True)  # the same weights in an older format, fetched before
    _weights.write_lock(name, path, sha256, source)
    return path


def wanted(name: str, card: Card) -> list[Wanted]:
    """What a model needs, the weights last. Raises BenchError where they are not on the hub."""
    if card.library == "transformers":
        return [
            *(Wanted(card.tag, (file,)) for file in ("config.json", "preprocessor_config.json")),
            *(Wanted(card.tag, (file,), optional=True) for file in TOKENIZER),
            *(Wanted(card.tag, (file,), optional=True) for file in ("vocab.json", "merges.txt")),
            Wanted(card.tag, ("model.safetensors", "pytorch_model.bin")),
        ]
    return open_clip_files(name, card.architecture, card.tag)


def open_clip_files(name: str, architecture: str, tag: str) -> list[Wanted]:
    """What open_clip itself would get for a pretrained tag, the weights last. Raises BenchError as `wanted`."""
    import open_clip

    cfg = open_clip.get_pretrained_cfg(architecture, tag)
    repository, file = os.path.split(cfg.get("hf_hub") or "")
    if not repository:
        raise BenchError(
            f"open_clip's weights {architecture} / {tag} of {name} are not on the Hugging Face hub; get "
            f"{cfg.get('url') or 'them'} by hand and put the file into {_weights.folder(name)}"
        )
    if (architecture, tag) in MISLED:
        raise BenchError(
            f"open_clip's registry leads {architecture} / {tag} to {repository}, which is another tag's; get it by hand"
        )
    if open_clip.get_model_config(architecture)["text_cfg"].get("hf_model_name"):
        raise BenchError(f"{name} has a text tower of transformers, which is not supported here, so it is not fetched")
    default = (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    safe = (f"{Path(file).stem}.safetensors",) if file.endswith((".bin", ".pth")) else ()
    files = [Wanted(repository, (HF_CONFIG_NAME,), optional=True)]
    if tokenizer := open_clip.get_model_config(architecture)["text_cfg"].get("hf_tokenizer_name"):
        files += [Wanted(tokenizer, (one,)) for one in TOKENIZER]
        files.append(Wanted(tokenizer, ("special_tokens_map.json",), optional=True))
    return [*files, Wanted(repository, (*safe, file) if file else default)]


def _first(name: str, one: Wanted, where: Path, expected: str | None = None) -> tuple[Path, str, str] | None:
    """The first of the names that the repository has, as a whole file -> path, sha256, where it came from."""
    for file in one.names:
        try:
            return _file(name, one.repository, file, where, expected)
        except EntryNotFoundError:
            continue
        except BenchError:
            raise
        except RepositoryNotFoundError as error:
            raise BenchError(
                f"{name}: {constants.ENDPOINT} knows no repository {one.repository}, or it is not open to everybody"
            ) from error
        except OfflineModeIsEnabled as error:
            raise BenchError(
                f"{name} could not be fetched: HF_HUB_OFFLINE is set; unset it where there is network"
            ) from error
        except Exception as error:  # the kinds of errors of a network are many, and of more than one library
            raise BenchError(
                f"{one.repository}/{file} of {name} could not be fetched ({type(error).__name__}: {str(error).splitlines()[0]}); "
                f"is there network here? The same command goes on from where it stopped; or copy the files into {_weights.folder(name)}"
            ) from error
    if one.optional:
        return None
    raise BenchError(f"{name}: the repository {one.repository} has no {' and no '.join(one.names)}")


def _file(name: str, repository: str, file: str, where: Path, expected: str | None) -> tuple[Path, str, str]:
    headers = {**build_hf_headers(library_name="kpbench"), "accept-encoding": "identity"}
    meta = get_hf_file_metadata(hf_hub_url(repository, file), headers=headers)
    announced, target = _announced(repository, file, meta), where / file
    if expected is not None and len(announced) != 64:
        raise BenchError(
            f"{repository}/{file} comes without a sha256, and {name} is locked to {expected}, so it cannot be compared before it is "
            f"taken; remove the entry of {name} from {_weights.lock_file()} to fetch it all the same"
        )
    if expected is not None and announced != expected:
        raise BenchError(
            f"{repository}/{file} is {announced} on the hub now, but {name} is {expected} here: other weights give other "
            f"numbers. If that is on purpose, remove the entry of {name} from {_weights.lock_file()} and {target}, then fetch again"
        )
    if not (target.is_file() and _hash(target, announced) == announced):
        _download(repository, file, where, meta, announced, headers)
    sha256 = announced if len(announced) == 64 else _hash(target, "0" * 64)
    return target, sha256, f"{repository}/{file}@{meta.commit_hash}"


def _announced(repository: str, file: str, meta: HfFileMetadata) -> str:
    """The hash that the hub gives of a file: sha256 of large files, git's sha1 of small ones."""
    etag = meta.etag or ""
    if not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", etag) or meta.size is None:
        raise BenchError(
            f"{constants.ENDPOINT} announces no hash or size of {repository}/{file} (ETag {etag!r}), so it could not be checked; "
            f"is HF_ENDPOINT a mirror? Take the hub itself"
        )
    return etag


def _download(
    repository: str, file: str, where: Path, meta: HfFileMetadata, announced: str, headers: dict[str, str]
) -> None:
    part = where / f".{file}.{announced[:16]}.part"  # a name of its own for each content, so that no two are joined
    for stale in where.glob(f".{file}.*.part"):
        if stale != part:
            stale.unlink()
    with part.open("ab") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BenchError(f"{part} is being written by another fetch; wait for it") from error
        size = meta.size or 0
        if f.tell() > size:
            f.truncate(0)
        have = f.seek(0, os.SEEK_END)
        if (free := shutil.disk_usage(where).free) < size - have:
            raise BenchError(f"{file} needs {(size - have) / 1e9:.1f} GB more, {where} has {free / 1e9:.1f} GB free")
        url = hf_hub_url(repository, file, revision=meta.commit_hash)
        http_get(url, f, resume_size=have, headers=headers, expected_size=size, displayed_filename=file)
        f.flush()
        os.fsync(f.fileno())
        found = _hash(part, announced)
        if found != announced:
            part.unlink()
            raise BenchError(
                f"{repository}/{file} arrived with the hash {found}, the hub announces {announced}; it was thrown away, fetch it again"
            )
        part.replace(where / file)


def _hash(path: Path, like: str) -> str:
    """sha256, or git's sha1, whichever `like` is."""
    with path.open("rb") as f:
        if len(like) == 64:
            return hashlib.file_digest(f, "sha256").hexdigest()
        start = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        return hashlib.file_digest(f, lambda: start).hexdigest()
