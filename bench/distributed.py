"""One piece of work in several processes of this machine that compute together through torch.distributed, one a GPU: they end together.

The process that starts them computes nothing meanwhile. It watches: when one of them dies the others are killed, when it dies itself
they leave, and a request to stop is passed on. Signals that a terminal or Slurm sends to all processes at once are its alone to answer.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from bench import stopping
from bench._processes import leave_with_parent
from bench.failures import InfrastructureError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

TCPStore: Any = distributed.TCPStore  # type: ignore[attr-defined]
LOOK_S = 0.1  # between looks at a request to stop
ANSWER_S = 3.0  # after the first error, for what the others say: who waits for a process that is gone says so, too
HERE = "127.0.0.1"


def rank() -> int:
    """Which of the processes that compute together this is; 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """How many processes compute together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def agreed(*answers: bool) -> list[bool]:
    """What the first process answers; all of them must ask."""
    if world() == 1:
        return list(answers)
    told = torch.tensor(answers, device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.broadcast(told, 0)
    return [bool(answer) for answer in told.tolist()]


def gathered(own: Any) -> list[Any]:
    """What each process gives, in their order; all of them must give."""
    if world() == 1:
        return [own]
    found: list[Any] = [None] * world()
    distributed.all_gather_object(found, own)
    return found


def run(work: Callable[[torch.device], Any], num: int, kind: str) -> Any:
    """`work(device)` in `num` new processes; what that of the first one returns.

    Args:
        work: picklable, and what it returns. Each process has the GPU of its number, or on the CPU one thread.
        kind: "cuda" or "cpu".

    Raises:
        InfrastructureError: one of them died, or they lost each other.
        Stopped: this process was asked to stop, and so were they.
        Exception: what the work raised in one of them.
    """
    spawn = get_context("spawn")  # a fork of a process that uses a GPU cannot use it
    store = _store()
    members: list[tuple[SpawnProcess, connection.Connection]] = []
    try:
        for number in range(num):
            here, there = spawn.Pipe()
            process = spawn.Process(target=_member, args=(there, work, number, num, kind, store.port))
            process.start()
            there.close()
            members.append((process, here))
        return _answer(members)
    finally:
        for process, _ in members:
            process.kill()
        for process, here in members:
            process.join()
            here.close()


def _store() -> Any:
    """Where the processes find each other, at a port that is free; heard on this machine alone, where torch's own would listen to all."""
    listening = socket.create_server((HERE, 0))
    port = listening.getsockname()[1]
    return TCPStore(HERE, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())


def _answer(members: Sequence[tuple[SpawnProcess, connection.Connection]]) -> Any:
    """What the first process returns when all have ended well."""
    answers: dict[int, Any] = {}
    errors: list[BaseException] = []
    dead: list[int] = []
    asked, until = False, float("inf")
    while len(answers) + len(dead) < len(members) and time.monotonic() < until:
        if stopping.requested() and not asked:
            asked = True
            for _, here in members:
                with suppress(OSError):  # it has just gone
                    here.send(stopping.requested())
        open_ones = [n for n in range(len(members)) if n not in answers and n not in dead]
        connection.wait([members[n][1] for n in open_ones], LOOK_S)
        for n in open_ones:
            process, here = members[n]
            if not here.poll():
                continue
            try:
                told = here.recv()
            except (EOFError, OSError):
                process.join(ANSWER_S)
                dead.append(n)
                continue
            answers[n] = told
            if isinstance(told, _Error):
                errors.append(told.error)
        # Who stops leaves nobody waiting for him: the first one may still write what is kept of all.
        if (dead or not all(isinstance(e, stopping.Stopped) for e in errors)) and until == float("inf"):
            until = time.monotonic() + ANSWER_S
    if (errors or dead) and (reason := stopping.requested()):
        raise stopping.Stopped(reason)  # a signal to all of them ends what decodes for them, too
    if dead:
        codes = ", ".join(str(members[n][0].exitcode) for n in dead)
        raise InfrastructureError(
            f"{len(dead)} of {len(members)} processes that train together died (exit code {codes}), most often because memory ran out; "
            "it goes on from its last checkpoint"
        )
    if errors:
        raise next((e for e in errors if not _is_of_connection(e)), None) or InfrastructureError(
            f"{len(members)} processes that train together lost each other: {errors[0]}"
        )
    return answers[0]


class _Error:
    """What work raised in another process, where it was raised among its notes."""

    def __init__(self, error: BaseException) -> None:
        error.add_note("".join(traceback.format_exception(error)))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            plain = RuntimeError(f"{type(error).__name__}: {error}")
            plain.__notes__ = error.__notes__
            error = plain
        self.error = error


def _is_of_connection(error: BaseException) -> bool:
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and ("gloo" in str(error).lower() or "Connection" in str(error))
    )


def _member(
    there: connection.Connection, work: Callable[[torch.device], Any], number: int, num: int, kind: str, port: int
) -> None:
    leave_with_parent()
    for signum in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR2", signal.SIGTERM)):
        signal.signal(signum, signal.SIG_IGN)
    threading.Thread(target=_listen, args=(there,), daemon=True).start()
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a host's name may lead nowhere
    torch.set_num_threads(1)
    device = torch.device(kind, number) if kind == "cuda" else torch.device(kind)
    told: Any
    try:
        if kind == "cuda":
            torch.cuda.set_device(device)
        store = TCPStore(HERE, port, is_master=False)
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo", store=store, rank=number, world_size=num)
        told = work(device)
        distributed.barrier()  # the first one's answer is that of all
    except BaseException as error:
        told = _Error(error)
    there.send(told)
    sys.stdout.flush()
    # Not in good order: what waits for the others in an exit handler would wait for ever.
    os._exit(0)


def _listen(there: connection.Connection) -> None:
    """A request to stop, from the process that started this one."""
    with suppress(EOFError, OSError):
        stopping.request(there.recv())
