"""A table of all runs, kept in one file so that the folders need not be read again; it can be rebuilt from them at any time.

The file is a cache: what is absent, cut off, spoilt or of another format is read from the folders again. It is replaced whole by one
rename, so two processes that refresh it at once leave the table of one of them, and whoever comes next mends what that one lacks.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench._files import clear, write_atomic
from bench._folders import Lists, Stamp, read, stamp
from bench._processes import cores
from bench._table import Index, merged, of_rows
from bench.contracts import BenchError
from bench.specs import SCHEMA

FORMAT = 2  # of the file; raise it when its columns or what is read from a folder changes
MAGIC = f"kpbench index {FORMAT}.{SCHEMA}\n".encode()
MANY = 2000  # folders that are worth processes of their own


def path(home: Path) -> Path:
    """Where the index of a home lies."""
    return home / "index" / "runs.index"


def refresh(home: Path) -> Index:
    """The index of a home as its folders are now: only runs that are new or changed are read, and it is written only if any is.

    Where it cannot be written to, nothing is; the answer is the same.

    Raises:
        BenchError: a run folder of another schema, or in the wrong place.
    """
    old = load(home)
    now = scan(home)
    if old is None:
        index = _read(home, list(now))
    else:
        keep = [now.get(run_id) == was for run_id, was in _stamps(old.runs)]
        if all(keep) and len(keep) == len(now):
            return old
        kept = Index(old.runs.filter(pa.array(keep)), old.lists)
        same = set(kept.runs["run_id"].to_pylist())
        index = merged([kept, _read(home, [run_id for run_id in now if run_id not in same])])
        if index.runs.equals(old.runs):
            return index
    if old is not None or index.runs.num_rows:
        try:
            write_atomic(path(home), pack(index))
        except OSError:
            pass  # a home that can only be read, or a full disk: the index is a convenience
    return index


def rebuild(home: Path) -> int:
    """Read every folder and write the index anew, whatever it said. Returns the number of runs.

    Raises:
        BenchError: a run folder of another schema, or an index that cannot be written.
    """
    index = _read(home, list(scan(home)))
    try:
        write_atomic(path(home), pack(index))
    except OSError as error:
        raise BenchError(f"{path(home)} cannot be written ({error.strerror}); make {home} writable") from error
    clear(path(home).parent, ".runs.index.*.tmp")
    return int(index.runs.num_rows)


def scan(home: Path) -> dict[str, Stamp]:
    """Stamps of all finished runs, by run id, in its order.

    Raises:
        BenchError: a finished run lies where no run of its id is looked for.
    """
    found = {}
    for shelf in _names(home / "runs", "[0-9a-f]{2}"):
        for run_id in _names(home / "runs" / shelf, "[0-9a-f]{12}"):
            if known := stamp(f"{home}/runs/{shelf}/{run_id}"):
                if run_id[:2] != shelf:
                    raise BenchError(
                        f"{home}/runs/{shelf}/{run_id} is a run in the wrong place, where nothing finds it; "
                        f"move it to {home}/runs/{run_id[:2]}/{run_id}, or delete it if one is there"
                    )
                found[run_id] = known
    return found


def _names(folder: Path, pattern: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if re.fullmatch(pattern, e.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamps(runs: pa.Table) -> Iterable[tuple[str, Stamp | None]]:
    """Run id and stamp of each row; of a damaged run None, so that it is always read again: somebody may have mended it."""
    columns = [runs[n].to_pylist() for n in ("run_id", "marker", "files", "status")]
    for run_id, marker, files, status in zip(*columns, strict=True):
        yield run_id, None if status == "damaged" else Stamp(marker, files)


# --- reading folders -------------------------------------------------------------------------------------------------


def _read(home: Path, run_ids: Sequence[str]) -> Index:
    """The index of these runs from their folders; on all cores where they are many."""
    num = cores()
    if len(run_ids) < MANY or num == 1:
        return read_here(home, run_ids)
    # Programs of their own, not forks or multiprocessing: these would hang beside torch's threads, or run a user's script again.
    program = "import sys; sys.path[:] = sys.argv[2].split('\\n'); from bench import index; index.serve(sys.argv[1])"
    command = [sys.executable, "-c", program, str(home), "\n".join(sys.path)]
    shares = [run_ids[i * len(run_ids) // num : (i + 1) * len(run_ids) // num] for i in range(num)]
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(command)) for _ in shares]
        for worker, share in zip(workers, shares, strict=True):
            assert worker.stdin is not None
            with suppress(BrokenPipeError):  # it died: its share is read here
                worker.stdin.write("\n".join(share).encode())
                worker.stdin.close()
        parts = []
        for worker, share in zip(workers, shares, strict=True):
            assert worker.stdout is not None
            answer = unpack(worker.stdout.read())
            parts.append(read_here(home, share) if answer is None else answer)
    return merged(parts)


@contextmanager
def _worker(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that does not outlive its use, with pipes to and from it."""
    with (
        suppress(BrokenPipeError),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker,
    ):
        try:
            yield worker
        finally:
            worker.kill()


def serve(home: str) -> None:
    """A worker's whole life: run ids from stdin, their index to stdout."""
    sys.stdout.buffer.write(pack(read_here(Path(home), sys.stdin.read().split("\n"))))


def read_here(home: Path, run_ids: Iterable[str]) -> Index:
    """The index of these runs from their folders, in this process."""
    lists = Lists()
    rows = [row for run_id in run_ids if (row := read(home, run_id, lists)) is not None]
    return of_rows(rows, lists)


# --- the file --------------------------------------------------------------------------------------------------------


def load(home: Path) -> Index | None:
    """The index as it was written; None where it is absent, damaged or of another format."""
    try:
        return unpack(path(home).read_bytes())
    except OSError:
        return None


def pack(index: Index) -> bytes:
    """The content of the file: two Parquet tables behind their sha256, which covers what Parquet's own checksums leave out."""
    runs, lists = _parquet(index.runs), _parquet(index.lists)
    body = len(runs).to_bytes(8, "little") + runs + lists
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> Index | None:
    """What `pack` made; None for anything else."""
    start = len(MAGIC) + 32
    body = memoryview(content)[start:]
    if content[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        return None
    cut = 8 + int.from_bytes(body[:8], "little")
    runs, lists = (pq.read_table(pa.BufferReader(pa.py_buffer(part))) for part in (body[8:cut], body[cut:]))
    return Index(runs.combine_chunks(), lists.combine_chunks())


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
