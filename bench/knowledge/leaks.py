"""Does a statement say the name of a class? Names are read as data sets write them, words by their stems.

`ApplyEyeMakeup`, `draw_sword`, `Cook.Cleandishes` and `put on a hat/cap` are split into words; "(from watch)" behind a name is no part of
it, "(headache)" is another name of the class. Words are compared by their stems (Porter's English stemmer, `nltk`, which needs no data),
irregular forms by a table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from nltk.stem import SnowballStemmer

# Words that say nothing of an action by themselves. Particles (up, down, off) do: without them "stand up" would be "stand".
FUNCTION_WORDS = frozenset(
    "a an the of to in on at by for with from into onto over and or as is are be being it its his her their one's own something "
    "somebody someone anything other another each s".split()
)
# A remark in brackets that begins so tells a circumstance; any other is one more name of the class.
_CIRCUMSTANCES = frozenset("from with without in on at by of to for into while when using not".split())
# What the stemmer does not know. Forms that are mostly other words (left, saw, felt, found, rose, ground, wound) are left out.
_IRREGULAR = """\
beat beaten; bend bent; bite bitten; blow blew blown; break broke broken; bring brought; build built; buy bought; catch caught;
child children; choose chose chosen; creep crept; deal dealt; dig dug; do did done does; draw drew drawn; drink drank drunk; drive drove
driven; eat ate eaten; fall fell fallen; fight fought; fling flung; fly flew flown flies; foot feet; freeze froze frozen; get got gotten;
give gave given; go went gone goes; grow grew grown; hang hung; hear heard; hide hid hidden; hold held; keep kept; kneel knelt; knife
knives; know knew known; lead led; lean leant; leap leapt; lie lying; light lit; lose lost; make made; man men; meet met; mouse mice; pay
paid; ride rode ridden; ring rang rung; run ran; say said; sell sold; send sent; shake shook shaken; shoot shot; sing sang sung; sink sank
sunk; sit sat; ski skied; sleep slept; slide slid; sling slung; speak spoke spoken; spend spent; spin spun; spring sprang sprung; stand
stood; steal stole stolen; stick stuck; sting stung; stride strode stridden; strike struck stricken; swear swore sworn; sweep swept; swim
swam swum; swing swung; take took taken; teach taught; tear tore torn; tell told; think thought; throw threw thrown; tie tying; tooth
teeth; wake woke woken; wear wore worn; weave wove woven; weep wept; win won; woman women; write wrote written"""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BRACKETS = re.compile(r"[(\[{]([^)\]}]*)[)\]}]?")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation; hyphens, dots, slashes and underscores part words, CamelCase does not."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").casefold()))


def spoken(name: str) -> str:
    """A class's name as words, for a template: `ApplyEyeMakeup` -> "apply eye makeup"."""
    return " ".join(words(_CAMEL.sub(" ", name))) or name


@dataclass(frozen=True)
class Name:
    """One way to name a class, as it is told to people; the stems of its content words; and that of all its words as one."""

    told: str
    stems: frozenset[str]
    joined: str


@dataclass(frozen=True)
class Readings:
    """How a class may be named: by its own statements, where every part of "nod head/bow" counts as a name, and by those of others,
    where "put on a hat/cap" is "put on a hat" or "put on a cap", since "cap" alone names many things.
    """

    own: tuple[Name, ...]
    whole: tuple[Name, ...]


@lru_cache(maxsize=4096)
def readings(name: str) -> Readings:
    """The names that a class's name holds."""
    own: list[str] = []
    whole: list[str] = []
    remarks = [remark.strip() for remark in _BRACKETS.findall(name)]
    others = [r for r in remarks if r and words(r)[:1] and words(r)[0] not in _CIRCUMSTANCES]
    for part in (_BRACKETS.sub(" ", name), *others):
        sides = [side.strip() for side in part.split("/") if words(side)]
        own += sides
        whole += _whole(sides)
    return Readings(_names(own or [name]), _names(whole or [name]))


def _whole(sides: Sequence[str]) -> list[str]:
    """Sides of slashes as whole names: a last word alone stands for the last word in front of the slash."""
    made = list(sides)
    for i in range(1, len(sides)):
        front = sides[i - 1].split()
        if len(front) > 1 and len(sides[i].split()) == 1:
            made[i] = " ".join([*front[:-1], sides[i]])
    return made


def _names(texts: Sequence[str]) -> tuple[Name, ...]:
    made = {}
    for text in texts:
        all_words = words(_CAMEL.sub(" ", text))
        content = [w for w in all_words if w not in FUNCTION_WORDS] or list(all_words)
        if content:
            made[frozenset(map(stem, content))] = Name(
                " ".join(all_words), frozenset(map(stem, content)), stem("".join(all_words))
            )
    return tuple(made.values())


def leak(text: str, own: str, others: Sequence[str]) -> tuple[str, str] | None:
    """The class whose name a statement says, and the name in words; the own class is looked for first; None where there is none.

    A name of one content word is said by any inflection of it, a longer one by all its content words anywhere in the statement; a
    name is also said by its words written as one, and a word by its parts ("push-up" says `pushup`).
    """
    said = _said(text)
    for name, found in (
        (own, readings(own).own),
        *((other, readings(other).whole) for other in others if other != own),
    ):
        for one in found:
            if one.stems <= said or one.joined in said:
                return name, one.told
    return None


def _said(text: str) -> frozenset[str]:
    """The stems of a text's words, and of two or three neighbouring words written as one."""
    found = words(text)
    return frozenset(stem("".join(found[i : i + n])) for n in (1, 2, 3) for i in range(len(found) - n + 1))


@cache
def _table() -> Mapping[str, str]:
    rows = [row.split() for row in _IRREGULAR.split(";")]
    return {form: row[0] for row in rows for form in row[1:]}


@cache
def _stemmer() -> SnowballStemmer:
    return SnowballStemmer("english")


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """What the inflections of an English word share; a word of another language mostly stays as it is."""
    return str(_stemmer().stem(_table().get(word, word)))
