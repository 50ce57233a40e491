"""Checkpoints of MMAction2: the names that mean one, getting it, checking it before it is opened, opening it safely."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters import _weights
from bench import recognizers
from bench._files import temporary_beside
from bench.contracts import BenchError
from bench.plugins import HASH

if TYPE_CHECKING:
    from adapters._state import State

TIMEOUT_S = 60  # without a byte from the other side


@dataclass(frozen=True)
class Source:
    """What an open name means: a config of MMAction2's wheel, and the place of its checkpoint, "" for random weights.

    `address` is a file or a URL; `sha256` is what the user says that it has, or "".
    """

    config: str
    address: str
    sha256: str

    @property
    def is_url(self) -> bool:
        return self.address.startswith(("https://", "http://"))

    @property
    def file(self) -> str:
        """The checkpoint's name, without where it lies."""
        return self.address.partition("?")[0].rpartition("/")[2]

    @property
    def name(self) -> str:
        """The backbone's name in tables and folders; what the file's name repeats of the config's is left out."""
        told = Path(self.file).stem.removeprefix(self.config).lstrip("_-")
        return _weights.safe(f"{self.config}--{told}" if told else self.config)

    @property
    def lock_name(self) -> str:
        """What its weights are locked under: two files of one name are two models."""
        return f"mmaction2:{self.config}@{self.address}"


def parse(name: str) -> Source:
    """`mmaction2:CONFIG[@FILE[#sha256=HEX] | @URL#sha256=HEX]` -> what is meant.

    Raises:
        BenchError: an unknown config (with the nearest), no such file, a URL without a hash, something that is no sha256.
    """
    config, at, place = name.partition(":")[2].partition("@")
    recognizers.path_of(config)
    address, marked, sha256 = place.partition(HASH)
    source = Source(config, address, sha256.lower())
    if marked and not re.fullmatch("[0-9a-f]{64}", source.sha256):
        raise BenchError(f"{name}: {sha256!r} is no sha256; write the 64 hex digits that sha256sum prints")
    if source.is_url:
        if not marked:
            raise BenchError(
                f"{name}: a checkpoint from the network is compared with a hash before it is opened; ask whom you trust for its sha256 "
                f"and write {name}{HASH}HEX"
            )
    elif at:
        source = Source(config, str(Path(address).expanduser()), source.sha256)
        if not Path(source.address).is_file():
            raise BenchError(
                f"{name}: there is no file {address or 'after the @'}; write mmaction2:CONFIG@FILE, or mmaction2:CONFIG for random weights"
            )
    return source


def locate(source: Source) -> Path:
    """Where the checkpoint lies. Raises BenchError with what to download and where to put it."""
    if not source.is_url:
        return Path(source.address)
    path = _weights.folder(source.name) / source.file
    if not path.is_file():
        raise BenchError(
            f"the checkpoint of {source.config} is not on this machine: run `python -m bench fetch "
            f"{source.lock_name}{HASH}{source.sha256}` where there is network, or download {source.address} and put it at {path}"
        )
    return path


def fetch(source: Source) -> Path:
    """Download a checkpoint to where `locate` looks: whole and with the hash that was asked for, or not there.

    Raises:
        BenchError: there is no URL, no network, or another file came.
    """
    from adapters._state import sha256

    if not source.is_url:
        raise BenchError(f"{source.address or source.config} is no URL; there is nothing to fetch")
    path = _weights.folder(source.name) / source.file
    if path.is_file():
        with suppress(BenchError):  # another file lies there, or a part of this one: it is replaced
            check(source, sha256(path))
            return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(path)
    try:
        with urllib.request.urlopen(source.address, timeout=TIMEOUT_S) as answer, part.open("wb") as f:
            shutil.copyfileobj(answer, f)
        check(source, sha256(part))
        part.replace(path)
    except (OSError, urllib.error.URLError) as error:
        raise BenchError(
            f"{source.address} could not be downloaded ({error}); is there network here? Or download it elsewhere and put it at {path}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def check(source: Source, found: str) -> None:
    """Hold a file's hex sha256 against the one that the user gave and the one in its name. Raises BenchError where it differs.

    MMAction2 ends the names of its files with the date and the first 8 digits of their sha256.
    """
    published = re.search(r"_\d{8}-([0-9a-f]{8})\.pth$", source.file)
    wanted = [(source.sha256, "was asked for")]
    wanted += [(published[1], "is what its name says that it begins with")] if published else []
    for expected, words in wanted:
        if not found.startswith(expected):
            raise BenchError(
                f"{source.file} has sha256 {found}, but {expected} {words}: it is cut off or another file, and was not opened; get it again"
            )


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint by key, on the CPU, and the file that they were read from."""

    state: State
    seen: _weights.Seen


def read(source: Source) -> Checkpoint:
    """Read a checkpoint once, hold it against every hash that is known, the lock of what was loaded before among them, then open it.

    Raises:
        BenchError: not at hand, another hash than it should have, a damaged file, one that holds more than tensors and MMEngine's
            records, of which nothing is run.
    """
    from adapters._state import read as read_state
    from bench.compat.mmaction2 import checkpoint_classes

    data, seen = _weights.content(locate(source))
    check(source, seen.sha256)
    _weights.expect(source.lock_name, seen)
    with checkpoint_classes():
        return Checkpoint(read_state(seen.path, data), seen)
