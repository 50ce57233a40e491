"""Questions to a language model, a few at a time; every answer is kept as a file at once, so that nothing is asked twice."""

from __future__ import annotations

import datetime
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench._files import write_atomic
from bench.contracts import BenchError, digest

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Answer:
    """What a model said: the text, why it stopped ("stop", "length", "refusal", ...), the name it gave itself, where it runs."""

    text: str
    finish: str
    model: str
    place: str = ""


class Model(Protocol):
    """A language model. `settings` are what else can change an answer; `workers` questions may be asked at a time."""

    name: str
    settings: Mapping[str, Any]
    workers: int

    def ask(self, prompt: str, sample: int, about: str) -> Answer:
        """An answer; `about` says in errors whose question it is. Raises BenchError where the model cannot be had."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Question:
    """One prompt about a class, and the how manieth time it is asked."""

    class_name: str
    kind: str
    text: str
    sample: int


@dataclass(frozen=True)
class Raw:
    """A kept answer: its question, its file, the date (UTC), and what was answered."""

    question: Question
    path: Path
    date: str
    answer: Answer


def path_of(question: Question, model: Model, folder: Path) -> Path:
    """The file of an answer: one for each class, kind, prompt, model with its settings, and sample."""
    q = question
    key = digest([model.name, dict(model.settings), q.class_name, q.kind, q.text, q.sample])
    shown = re.sub(r"[^a-z0-9]+", "-", f"{q.class_name[:40]} {q.kind}".lower()).strip("-")
    return folder / f"{shown}-{key}.json"


def ask_all(
    questions: Sequence[Question],
    model: Model,
    folder: Path,
    again: Callable[[Raw], bool],
    progress: Progress,
) -> list[Raw]:
    """The answers in the order of the questions; only those without a kept answer, or for which `again` holds, are asked.

    Raises:
        BenchError: the model cannot be had, or a kept answer cannot be read. What was answered until then is kept.
    """
    kept = {q: read(q, model, folder) for q in questions}
    left = [q for q, raw in kept.items() if raw is None or again(raw)]
    what, done = f"asking {model.name[:40]}", len(kept) - len(left)
    progress(what, done, len(kept))
    pool, stopped = ThreadPoolExecutor(max_workers=model.workers), threading.Event()

    def job(question: Question) -> Raw | None:
        """None once another question has failed: a worker is faster than the thread that would cancel it."""
        if stopped.is_set():
            return None
        try:
            return _ask(question, model, folder)
        except BaseException:
            stopped.set()
            raise

    try:
        futures = {pool.submit(job, q): q for q in left}
        waiting = set(futures)
        while waiting:
            ended, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
            for future in ended:
                kept[futures[future]] = future.result()
            done += len(ended)
            progress(what, done, len(kept))
    except BenchError:
        pool.shutdown(cancel_futures=True)  # waits for the answers on their way, which are kept
        raise
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return [raw for raw in kept.values() if raw is not None]


def _ask(question: Question, model: Model, folder: Path) -> Raw:
    q = question
    answer = model.ask(q.text, q.sample, f"the class {q.class_name!r} ({q.kind})")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = path_of(q, model, folder)
    record = {
        "class": q.class_name,
        "kind": q.kind,
        "sample": q.sample,
        "model": model.name,
        "settings": dict(model.settings),
        "prompt": q.text,
        "date": date,
        "place": answer.place,
        "answered_by": answer.model,
        "finish": answer.finish,
        "answer": answer.text,
    }
    try:
        write_atomic(path, json.dumps(record, indent=1) + "\n")  # ASCII: an answer may hold half a character
    except OSError as error:
        raise BenchError(
            f"the answer about the class {q.class_name!r} cannot be kept at {path} ({error.strerror})"
        ) from error
    return Raw(q, path, date, answer)


def read(question: Question, model: Model, folder: Path) -> Raw | None:
    """The kept answer to a question; None where there is none. Raises BenchError where its file is damaged."""
    path = path_of(question, model, folder)
    try:
        r = json.loads(path.read_text(encoding="utf-8"))
        said = [r["date"], *(r[name] for name in ("answer", "finish", "answered_by", "place"))]
        if not all(isinstance(text, str) for text in said):
            raise ValueError("not all of date, answer, finish, answered_by, place are texts")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BenchError(
            f"the kept answer {path} cannot be read ({error}); delete it, and it is asked again"
        ) from error
    return Raw(question, path, said[0], Answer(*said[1:]))
