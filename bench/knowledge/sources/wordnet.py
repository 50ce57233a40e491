"""WordNet: the glosses of a class name, or of its words where WordNet does not know the whole. Read from a folder, never downloaded.

Which sense is meant nobody knows: the most frequent ones are taken, so what comes out is for refinement and review.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.contracts import BenchError
from bench.knowledge.bank import Origin
from bench.knowledge.gathering import Gathered
from bench.knowledge.prompts import words

DEBIAN = Path("/usr/share/wordnet")
NEEDED = tuple(f"{what}.{pos}" for what in ("data", "index") for pos in ("adj", "adv", "noun", "verb"))
# WordNet's lexicographer files in the order of their numbers, wninput(5WN); Debian's package leaves the file `lexnames` out.
LEXNAMES = (
    *("adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute"),
    *("noun.body", "noun.cognition", "noun.communication", "noun.event", "noun.feeling", "noun.food", "noun.group"),
    *("noun.location", "noun.motive", "noun.object", "noun.person", "noun.phenomenon", "noun.plant"),
    *("noun.possession", "noun.process", "noun.quantity", "noun.relation", "noun.shape", "noun.state"),
    *("noun.substance", "noun.time", "verb.body", "verb.change", "verb.cognition", "verb.communication"),
    *("verb.competition", "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion"),
    *("verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather", "adj.ppl"),
)
KIND = {"noun.body": "body part", "noun.act": "motion", "noun.event": "motion"}
KIND |= {f"noun.{n}": "object" for n in ("animal", "artifact", "food", "object", "plant", "substance")}
SMALL = frozenset("a an and at by for from in into of off on onto or out over the to up with without".split())


def gather(classes: Sequence[str], folder: str, most: int, date: str) -> Gathered:
    """Up to `most` glosses a class name, or for each of its words.

    Args:
        folder: where WordNet's files lie, or "debian" for /usr/share/wordnet.

    Raises:
        BenchError: no WordNet there, or damaged files.
    """
    place = DEBIAN if folder == "debian" else Path(folder).expanduser().resolve()
    if missing := [name for name in NEEDED if not (place / name).is_file()]:
        how = "install Debian's package wordnet-base" if folder == "debian" else "give the folder that holds data.noun"
        raise BenchError(f"--wordnet {folder}: there is no {missing[0]} in {place}; {how}, it is never downloaded")
    gathered, opened = Gathered(), contextlib.ExitStack()
    try:
        reader = _reader(place, opened)
        origin = Origin(
            f"WordNet {reader.get_version() or ''} glosses of the most frequent senses, {date}".replace("  ", " ")
        )
        for c in classes:
            for kind, text in _glosses(reader, words(c), most):
                gathered.take(c, kind, text.strip(" ,;"), "WordNet", origin)
    except Exception as error:  # the reader raises whatever a damaged line makes it stumble over
        raise BenchError(
            f"--wordnet {folder}: {place} cannot be read as WordNet ({type(error).__name__}: {error})"
        ) from error
    finally:
        opened.close()
    return gathered


def _glosses(reader: Any, name: Sequence[str], most: int) -> Iterator[tuple[str, str]]:
    """Kind and text; of a name that is not known whole, the first word that can be a verb and the nouns beside it."""
    for whole in ("_".join(name), "-".join(name), "".join(name)):
        verbs, nouns = reader.synsets(whole, "v"), reader.synsets(whole, "n")
        if verbs or nouns:
            yield from (("motion", s.definition()) for s in verbs[:most])
            yield from ((KIND.get(s.lexname(), "appearance"), s.definition()) for s in nouns[:most])
            return

    def seen(word: str) -> list[Any]:
        """The nouns of a word in the singular ("hands" is custody first), what can be touched before the rest."""
        single = reader.synsets(word.removesuffix("s"), "n")
        nouns = single or reader.synsets(word, "n")
        return sorted(nouns, key=lambda s: KIND.get(s.lexname(), "motion") == "motion")

    moved = False
    for word in name:
        if word in SMALL or len(word) < 2:
            continue
        verbs, nouns = reader.synsets(word, "v"), seen(word)
        if verbs and not moved:
            moved = True
            yield from (("motion", s.definition()) for s in verbs[:most])
        else:
            yield from ((KIND.get(s.lexname(), "appearance"), f"{word}: {s.definition()}") for s in nouns[:most])


def _reader(place: Path, opened: contextlib.ExitStack) -> Any:
    """The reader of nltk, made to do with the files that Debian ships; `opened` closes what it opens."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def open(self, file: str) -> Any:
            if file == "lexnames":
                return io.StringIO("".join(f"{i} {name} 0\n" for i, name in enumerate(LEXNAMES)))
            return opened.enter_context(contextlib.closing(super().open(file)))

        def map_wn(self, version: str = "wordnet") -> None:
            """Only for other languages, and it would look for a second WordNet."""

    nltk.data.path.append(str(place))  # nltk reads nothing outside the folders that are named here
    opened.callback(nltk.data.path.remove, str(place))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions", category=UserWarning)
        return Reader(str(place), None)
