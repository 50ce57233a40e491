"""From a model's answer to statements: JSON, numbered or bulleted lines; refusals, nonsense and what is no sentence are told apart."""

from __future__ import annotations

import json
import re
from typing import Any

from bench.contracts import BenchError
from bench.knowledge.bank import clean

LONGEST = 20_000  # characters of an answer; a list of sentences is far shorter
FEWEST_WORDS, MOST_WORDS, MOST_KEYWORDS = 3, 40, 6

_REFUSES = re.compile(
    r"^\W*(?:i['’]?m (?:very |really )?sorry|i am (?:very |really )?sorry|sorry\b|(?:i|we) (?:can(?:no|['’]?)t|can not|am unable|won['’]t|"
    r"will not|am not able|(?:must )?apologi[sz]e|do(?:n['’]t| not))|(?:my )?apologies\b|i['’]m (?:unable|not able)|"
    r"as an? (?:ai|(?:large )?language model|assistant)\b|it(?:['’]s| is) (?:not possible|impossible) for me\b|unfortunately,? i\b)",
    re.IGNORECASE,
)
# What a model says to whoever asked, around its sentences.
_CHATS = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|okay|ok)\b[,.!:]|(?:please )?note that\b|feel free\b|i hope\b|let me know\b|"
    r"(?:here|below) (?:are|is) .*\b(?:sentences?|statements?|descriptions?|list|keywords?)\b|"
    r"if you (?:need|want|would like)\b|the user (?:wants|asks)\b)",
    re.IGNORECASE,
)
_MARK = re.compile(r"^\s*(?:[-*+•–—]|\(?\d{1,3}[.):]|\(?[a-zA-Z]\))\s+")
# Of models that think aloud. Servers leave the first mark out where the chat template wrote it, and a cut answer has no last one.
_THOUGHT = re.compile(r"\A.*</think(?:ing)?>|\A\s*<think(?:ing)?>.*\Z", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)
_QUOTES = "\"'“”‘’`*_, \t"


class Nonsense(ValueError):  # noqa: N818 - an answer that is of no use; not an error of the program
    """An answer without statements; says why."""


def sentences(answer: str, finish: str) -> list[object]:
    """What an answer lists, one text each, not yet checked. `finish` is why the model stopped: "length" cuts the answer.

    Raises:
        Nonsense: nothing, a refusal, far too long, a broken list.
    """
    if finish in ("refusal", "content_filter"):
        raise Nonsense("refuses to answer")
    if len(answer) > LONGEST:
        raise Nonsense(f"the answer has {len(answer)} characters; a list has at most {LONGEST}")
    text = _THOUGHT.sub("", answer).strip()
    if not text:
        raise Nonsense(
            "no answer" + (": cut off before its first word; give more --max-tokens" if finish == "length" else "")
        )
    found = _listed(text)
    if found is not None:
        if not found:
            raise Nonsense("an empty list")
        return found
    if _REFUSES.match(text):
        raise Nonsense("refuses to answer")
    if text[0] in "[{" or "```" in text:
        raise Nonsense("no whole JSON list" + (": cut off" if finish == "length" else ""))
    return list(_lines(text, cut=finish == "length"))


def _listed(text: str) -> list[object] | None:
    """The JSON list in a text: all of it, in a code fence, or between the first [ and the last ]; None where there is none."""
    fence = _FENCE.search(text)
    start, end = text.find("["), text.rfind("]")
    for part in (text, fence[1] if fence else "", text[start : end + 1] if 0 <= start < end else ""):
        try:
            value = json.loads(
                part, strict=False
            )  # a line break in a string is refused later, as that statement's fault
        except (ValueError, RecursionError):
            continue
        if (found := _of(value)) is not None:
            return found
    return None


def _of(value: Any) -> list[object] | None:
    """The texts in a list, or in an object that holds one list; each may be an object around one text."""
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list)]
        value = lists[0] if len(lists) == 1 else None
    if not isinstance(value, list):
        return None
    return [next(iter(v.values())) if isinstance(v, dict) and len(v) == 1 else v for v in value]


def _lines(text: str, cut: bool) -> list[str]:
    """Marked lines where any is marked, else all lines but an opening that ends in a colon; one paragraph by its sentences."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if _MARK.match(line)]
    if not marked:
        lines = [line for line in lines if not line.rstrip().endswith(":")]
        marked = split_sentences(lines[0]) if len(lines) == 1 else lines
    if cut:
        marked = marked[:-1]
    if not marked:
        raise Nonsense("no sentence" + (": cut off" if cut else ""))
    return [_MARK.sub("", line).strip(_QUOTES) for line in marked]


def split_sentences(text: str) -> list[str]:
    """A paragraph cut behind each . ! ? that a capital letter follows."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z\"“])", text.strip())


def fault(text: object, kind: str, model: bool = True) -> str:
    """Why a text is no statement of a bank; "" where it is one. What models write is also held to being a sentence."""
    try:
        kept = clean(text, "")
    except BenchError as error:
        reason = str(error)
        known = {"not a string": "no text", "control character": "a control character", "HTML": "HTML"}
        for part, told in known.items():
            if part in reason:
                return told
        return "too long" if str(text).strip() else "empty"
    if not model:
        return ""
    spoken = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", kept)
    fewest, most = (1, MOST_KEYWORDS) if kind == "keyword" else (FEWEST_WORDS, MOST_WORDS)
    if len(spoken) < fewest or sum(map(len, spoken)) < 0.6 * len(re.sub(r"\s", "", kept)):
        return "no sentence"
    if len(spoken) > most:
        return f"more than {most} words"
    if len(spoken) >= 6 and len({w.casefold() for w in spoken}) < len(spoken) / 2:
        return "repeats itself"
    if _CHATS.match(kept):
        return "speaks to whoever asked"
    return "refuses to answer" if _REFUSES.match(kept) else ""
