"""Collecting statements: from a language model, from WordNet or from files, into a bank of proposed statements."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from bench.contracts import BenchError
from bench.knowledge._decisions import locked
from bench.knowledge.answers import Nonsense, fault, sentences
from bench.knowledge.asking import Model, Progress, Question, Raw, ask_all
from bench.knowledge.bank import Bank, Origin, clean, load, save
from bench.knowledge.gathering import Failure, Gathered, merged
from bench.knowledge.prompts import Prompt, filled, others

ABOUT = (
    "Collected by python -m bench knowledge collect: proposed statements as they came, which nobody has refined or reviewed; "
    "origins says from where, when and by which prompt."
)


def today() -> str:
    """The date in UTC, as origins state it."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def class_list(path: Path) -> tuple[str, ...]:
    """Class names of a text file, one a line. Raises BenchError where it cannot be read, is empty, or repeats one."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"--classes {path} cannot be read ({error})") from error
    names = [clean(line, f"--classes {path}, class {line[:40]!r}", 200) for line in lines]
    if not names:
        raise BenchError(f"--classes {path} names no class; write one a line")
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BenchError(f"--classes {path} names {', '.join(twice)} twice")
    return tuple(names)


def into(path: Path, dataset: str) -> Bank:
    """The bank to add to: the one at `path`, else an empty one. Raises BenchError where that is damaged or of another data set."""
    if not path.exists():
        return Bank(dataset, ABOUT, {}, {})
    bank = load(str(path))
    if bank.dataset != dataset:
        raise BenchError(f"{path} is a bank of {bank.dataset!r}, not of {dataset!r}; give another --out")
    return bank


def put(path: Path, dataset: str, classes: Sequence[str], gathered: Gathered) -> int:
    """Add what was gathered to what the bank holds by now, whole or not at all; how many statements are new.

    Raises:
        BenchError: the bank was damaged meanwhile, or cannot be written.
    """
    path = path.resolve()  # a link stays a link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror})") from error
    # A collection takes hours: what somebody reviewed in the meantime is read now, and nobody gets in between.
    with locked(path):
        bank, added = merged(into(path, dataset), classes, gathered)
        save(bank, path)
    return added


def ask_model(
    model: Model,
    prompts: Sequence[Prompt],
    classes: Sequence[str],
    dataset: str,
    raw: Path,
    *,
    number: int,
    samples: int = 1,
    again: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Gathered:
    """Every class, with every prompt, `samples` times; `number` sentences are asked for.

    Args:
        raw: the folder of the kept answers; what is there is not asked again.
        again: but what failed is.

    Raises:
        BenchError: the model cannot be had; the answers until then are kept.
    """
    values = {"dataset": dataset, "n": number}
    questions = {
        Question(c, p.kind, filled(p, {**values, "class": c, "others": others(c, classes)}), sample): p
        for c in classes
        for p in prompts
        for sample in range(samples)
    }
    answers = ask_all(list(questions), model, raw, lambda one: again and bool(useless(one)), progress)
    gathered, short = Gathered(), 0
    for one in answers:
        q = one.question
        asked = filled(questions[q], {**values, "class": "{class}", "others": "{others}"})
        try:
            texts = _useful(one)
        except Nonsense as nonsense:
            gathered.failures.append(Failure(q.class_name, q.kind, str(nonsense), one.path.name))
            continue
        reasons = [
            gathered.take(q.class_name, q.kind, text, f"{model.name} {q.kind}", _origin(one, model, asked), model=True)
            for text in texts
        ]
        short += sum(not r for r in reasons) < number
    if short:
        gathered.notes.append(f"{short} answers brought fewer than the {number} statements asked for")
    return gathered


def useless(raw: Raw) -> str:
    """Why an answer brings no statement; "" where it brings one."""
    try:
        _useful(raw)
    except Nonsense as nonsense:
        return str(nonsense)
    return ""


def _useful(raw: Raw) -> list[object]:
    """An answer's texts, of which one at least is a statement. Raises Nonsense where none is, and says why."""
    texts = sentences(raw.answer.text, raw.answer.finish)
    faults = [fault(text, raw.question.kind) for text in texts]
    if all(faults):
        raise Nonsense(", ".join(sorted(set(faults))))
    return texts


def _origin(raw: Raw, model: Model, asked: str) -> Origin:
    """Which model, how it was set, when and with which prompt."""
    named = "" if raw.answer.model == model.name else f" (which calls itself {raw.answer.model})"
    settings = ", ".join(f"{name} {value}" for name, value in model.settings.items())
    return Origin(f"the language model {model.name}{named}, {settings}, {raw.date}", asked)
