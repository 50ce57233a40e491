"""What a language model is asked: one prompt a kind of statement, ours or the user's own file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contracts import BenchError
from bench.knowledge.bank import KINDS, clean

PLACEHOLDERS = ("class", "dataset", "n", "others", "kind")
MOST_OTHERS = 30  # names of other classes in one prompt; with 400 they would be most of its tokens
LONGEST = 20_000  # characters of a prompt file

_FRAME = """\
You help to recognise human actions in short videos. The action is "{class}", one class of the data set "{dataset}". \
Some of its other classes are: {others}.

Write {n} short sentences about what a camera sees while a person does "{class}". FOCUS Prefer what tells this action \
from the other classes.

Rules for every sentence:
- 8 to 16 words, present tense, plain English, a whole sentence;
- only what is visible in the pictures: no purposes, feelings, sounds, definitions or history;
- neither the name of this class nor of another one;
- no two sentences about the same thing.

Answer with a JSON list of {n} strings and nothing else."""
_FOCUS = {
    "appearance": "Describe what a single frame shows: the posture, where hands and feet are, objects held or touched, the surroundings.",
    "motion": "Describe how the body moves: which limbs move, in which direction, how fast, in which order, whether it repeats.",
    "body part": "Describe one part of the body in each sentence: where it is, how it is bent or turned, what it touches.",
    "object": "Describe one object in each sentence that is held, touched or stands near: its shape, and where it is on the body.",
}
_KEYWORDS = """\
The action "{class}" is one class of the data set "{dataset}"; some of the others are: {others}. Name {n} things that are visible \
in a video of it and of few others: objects, body parts, postures, places. One to three words each, not the name of the class. \
Answer with a JSON list of {n} strings and nothing else."""
DEFAULTS = {kind: _FRAME.replace("FOCUS", focus) for kind, focus in _FOCUS.items()} | {"keyword": _KEYWORDS}


@dataclass(frozen=True)
class Prompt:
    """What is asked to get statements of one kind; `text` holds placeholders."""

    kind: str
    text: str


def prompts(kinds: Sequence[str], files: Sequence[str] = ()) -> tuple[Prompt, ...]:
    """The prompt of each kind.

    Args:
        files: "FILE" for all kinds, or "KIND=FILE" for one.

    Raises:
        BenchError: an unknown kind, a file that cannot be read or lacks {class}, an unknown placeholder.
    """
    if unknown := [k for k in kinds if k not in KINDS]:
        raise BenchError(f"{unknown[0]!r} is no kind of statement; the kinds are {', '.join(KINDS)}")
    texts = {kind: DEFAULTS[kind] for kind in kinds}
    for given in files:
        kind, sign, path = given.partition("=")
        if sign and kind in KINDS:
            if kind not in kinds:
                raise BenchError(f"--prompt {given}: {kind} is not asked for; add it to --kinds")
            texts[kind] = _read(Path(path))
        else:
            texts = dict.fromkeys(texts, _read(Path(given)))
    return tuple(Prompt(kind, text) for kind, text in texts.items())


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"the prompt {path} cannot be read ({error})") from error
    clean(re.sub(r"[\n\t]", " ", text), f"the prompt {path}", LONGEST)
    if foreign := [name for name in re.findall(r"\{(\w+)\}", text) if name not in PLACEHOLDERS]:
        raise BenchError(
            f"the prompt {path} has the placeholder {{{foreign[0]}}}; there are {', '.join(f'{{{p}}}' for p in PLACEHOLDERS)}"
        )
    if "{class}" not in text:
        raise BenchError(f"the prompt {path} does not hold {{class}}: every class would be asked the same")
    return text


def filled(prompt: Prompt, values: Mapping[str, object]) -> str:
    """The text with the placeholders that `values` names; other braces, as in an example of JSON, stay."""
    values = {"kind": prompt.kind, **values}
    return re.sub(
        r"\{(" + "|".join(PLACEHOLDERS) + r")\}", lambda found: str(values.get(found[1], found[0])), prompt.text
    )


def others(name: str, names: Sequence[str]) -> str:
    """The other classes, those that share a word with this one first, at most MOST_OTHERS."""
    own = set(words(name))
    ranked = sorted((n for n in names if n != name), key=lambda n: -len(own & set(words(n))))
    return ", ".join(ranked[:MOST_OTHERS]) or "none"


def words(name: str) -> list[str]:
    """A class name's words in lower case: "ApplyEyeMakeup", "apply_eye makeup" -> apply, eye, makeup."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[^\W_]+", apart.casefold())
