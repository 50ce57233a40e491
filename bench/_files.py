"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from bench.contracts import BenchError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash at any instruction, sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.encode() if isinstance(content, str) else content)


def write_whole(path: Path, content: bytes) -> None:
    """The same into a folder that is there. Raises OSError where it is not, or the disk does not take the file."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """A name of its own in the same folder, so that a rename onto `path` is atomic."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def bench_home(writes: bool = True) -> Path:
    """Where everything is written: $BENCH_HOME, else ./out; made if need be. `writes=False`: only looked at, nothing is made.

    Raises:
        BenchError: it is to be written to and cannot be.
    """
    home = Path(os.environ.get("BENCH_HOME") or "out").expanduser().resolve()
    if not writes:
        return home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise BenchError(
            f"BENCH_HOME is {home}, which cannot be written to ({error.strerror}); set BENCH_HOME to a folder that can"
        ) from error
    return home
