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
import pyarrow.compute as pc
import pyarrow.ipc as ipc

from bench._files import clear, write_atomic
from bench._folders import Lists, Stamp, read, stamp
from bench._processes import cores
from bench._table import Index, merged, of_rows
from bench.contracts import BenchError
from bench.specs import SCHEMA

FORMAT = 3  # of the file; raise it when its columns or what is read from a folder changes
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
        known = _stamps(old.runs)
        if known == now:
            return old
        same = {run_id for run_id, was in known.items() if was is not None and now.get(run_id) == was}
        kept = Index(old.runs.filter(pc.is_in(old.runs["run_id"], pa.array(sorted(same), pa.string()))), old.lists)
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
    fits = re.compile(pattern).fullmatch
    try:
        return sorted(filter(fits, os.listdir(folder)))  # noqa: PTH208 - names alone, of a hundred thousand
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamps(runs: pa.Table) -> dict[str, tuple[str, str] | None]:
    """Run id -> what is equal to its stamp; of a damaged run None, so that it is always read again: somebody may have mended it."""
    run_ids, markers, files, status = (runs[n].to_pylist() for n in ("run_id", "marker", "files", "status"))
    known: dict[str, tuple[str, str] | None] = dict(zip(run_ids, zip(markers, files, strict=True), strict=True))
    if "damaged" in status:
        known |= {run_id: None for run_id, how in zip(run_ids, status, strict=True) if how == "damaged"}
    return known


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
    """The content of the file: two tables of Arrow's file format behind their sha256, for that format has no checksums."""
    runs, lists = _packed(index.runs), _packed(index.lists)
    body = len(runs).to_bytes(8, "little") + runs + lists
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> Index | None:
    """What `pack` made; None for anything else."""
    start = len(MAGIC) + 32
    body = memoryview(content)[start:]
    if content[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        return None
    cut = 8 + int.from_bytes(body[:8], "little")
    runs, lists = (ipc.open_file(pa.BufferReader(pa.py_buffer(part))).read_all() for part in (body[8:cut], body[cut:]))
    return Index(runs.combine_chunks(), lists.combine_chunks())


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
