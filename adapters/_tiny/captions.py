"""Captions for procedural clips: limb + geometric motion + repetition and speed; never the name of an action."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from adapters._tiny.phrases import ARM_PHRASES, IDLE, LEG_PHRASES, LEGS_BACK, TRUNK_BACK, TRUNK_PHRASES

if TYPE_CHECKING:
    import numpy as np

    from bench.datasets._clips import Clip, Move

_SINGULAR = {"[s]": "s", "[es]": "es", "[is]": "is", "[has]": "has"}
_PLURAL = {"[s]": "", "[es]": "", "[is]": "are", "[has]": "have"}
_REPEATED = ("again and again", "repeatedly", "over and over", "several times", "many times", "to and fro")
_SLOW = ("slowly", "at a calm pace", "gently")
_FAST = ("quickly", "at a fast pace", "rapidly")
_OPENINGS = ("a person: ", "the person moves: ", "a figure, ", "in this video ", "a video of a person, ", "someone, ")
_PEOPLE = ("the person", "a person", "someone", "the figure", "one person")
_BACK = ("comes down again", "returns to the side", "is lowered back to the hip", "goes back down")


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _conjugate(text: str, plural: bool) -> str:
    for mark, ending in (_PLURAL if plural else _SINGULAR).items():
        text = text.replace(mark, ending)
    return text


def _timing(rng: np.random.Generator, move: Move) -> str:
    if move.mode in ("cycle", "pulse", "circle") and rng.random() < 0.3:
        return " " + _pick(rng, _REPEATED)
    if move.mode in ("cycle", "circle", "pulse", "return") and rng.random() < 0.15:
        return " " + _pick(rng, _SLOW if move.cycles < 1.5 else _FAST if move.cycles > 2.5 else ("steadily",))
    if move.mode == "hold" and rng.random() < 0.15:
        return " " + _pick(rng, ("all the time", "without moving", "for a while", "and keeps still"))
    if move.mode in ("once", "return") and rng.random() < 0.12:
        return " " + _pick(rng, ("once", "one time", "a single time"))
    return ""


def _arm_clause(rng: np.random.Generator, move: Move, both: Move | None) -> str:
    phrases = ARM_PHRASES[move.primitive]
    noun = _pick(rng, ("hand", "arm", "hand", "arm", "forearm", "wrist"))
    if both is not None:
        subject = _pick(rng, ("both {}s", "the two {}s", "the {}s", "both {}s", "left and right {}", "two {}s")).format(
            noun
        )
    else:
        side = move.part.removesuffix("_arm")
        subject = _pick(
            rng,
            (f"the {side} {noun}", f"one {noun}", f"a {noun}", f"one {noun}", f"the {side} {noun}", f"a single {noun}"),
        )
    plural = both is not None
    if move.mode == "lower":
        held = _conjugate(_pick(rng, phrases.stays), plural)
        return f"{subject} {held} and then {'come down' if plural else 'comes down'} again"
    if rng.random() < 0.28:
        clause = f"{_pick(rng, _PEOPLE)} {_pick(rng, phrases.does).format(x=subject)}"
    elif move.mode == "hold" and rng.random() < 0.85:
        clause = f"{subject} {_conjugate(_pick(rng, phrases.stays), plural)}"
    else:
        clause = f"{subject} {_conjugate(_pick(rng, phrases.moves), plural)}"
    if move.mode == "return" and not plural and rng.random() < 0.25:
        clause += f" and {_pick(rng, _BACK)}"
    if both is not None and (both.phase - move.phase) % 1 > 0.25 and rng.random() < 0.75:
        clause += _pick(
            rng, (" in turn", " one after the other", " in alternation", ", left and right by turns", " alternately")
        )
    elif both is not None and rng.random() < 0.15:
        clause += _pick(rng, (" together", " at the same time", " both alike"))
    return clause


def _body_clause(rng: np.random.Generator, move: Move) -> str:
    trunk = move.part == "trunk"
    phrases = (TRUNK_PHRASES if trunk else LEG_PHRASES)[move.primitive]
    if move.mode == "lower":
        return _pick(rng, TRUNK_BACK if trunk else LEGS_BACK.get(move.primitive, ("the body comes upright again",)))
    if rng.random() < 0.28:
        clause = f"{_pick(rng, _PEOPLE)} {_pick(rng, phrases.does)}"
    elif move.mode == "hold" and phrases.stays and rng.random() < 0.85:
        clause = _pick(rng, phrases.stays)
    else:
        clause = _pick(rng, phrases.moves)
    if move.part in ("left_leg", "right_leg") and rng.random() < 0.3:
        clause = re.sub(r"\b(one|a) (leg|foot|knee)\b", rf"the {move.part.removesuffix('_leg')} \2", clause, count=1)
    return clause


def clauses(moves: Iterable[Move], rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """One clause for each thing that moves, and clauses about what is idle.

    Args:
        moves: the moves of a clip.
        rng: chooses among synonyms.

    Returns:
        Clauses about the moves (both arms doing the same are one clause), clauses about idle parts.
    """
    moves = list(moves)
    by_part = {move.part: move for move in moves}
    left, right = by_part.get("left_arm"), by_part.get("right_arm")
    active: list[str] = []
    if left and right and left.primitive == right.primitive:
        active.append(_arm_clause(rng, left, right) + _timing(rng, left))
    else:
        active += [_arm_clause(rng, move, None) + _timing(rng, move) for move in (left, right) if move]
    active += [_body_clause(rng, move) + _timing(rng, move) for move in moves if not move.part.endswith("_arm")]
    idle: list[str] = []
    if not left and not right:
        idle.append(_pick(rng, IDLE["arms"]))
    elif not left or not right:
        idle.append(_pick(rng, IDLE["arm"]))
    if not {"legs", "left_leg", "right_leg"} & by_part.keys():
        idle.append(_pick(rng, IDLE["legs"]))
    if "trunk" not in by_part:
        idle.append(_pick(rng, IDLE["trunk"]))
    return active, idle


def caption(clip: Clip, rng: np.random.Generator) -> str:
    """A caption of a clip: clauses in random order, a part of them dropped, sometimes with an opening.

    Args:
        clip: what is seen; a mirrored body is described as it is seen.
        rng: chooses synonyms, order, and what is dropped.
    """
    active, idle = clauses(clip.moves, rng)
    kept = [clause for clause in active if rng.random() > 0.2] or [active[int(rng.integers(len(active)))]]
    if rng.random() < 0.25:  # knowledge comes as single statements, so single clauses are learnt too
        kept = [kept[int(rng.integers(len(kept)))]]
    kept += [clause for clause in idle if rng.random() < 0.2]
    kept = [kept[i] for i in rng.permutation(len(kept))]
    text = kept[0]
    for clause in kept[1:]:
        text += _pick(rng, (", ", " and ", " while ", ", ", "; ", ". ")) + clause
    if rng.random() < 0.12:
        text = _pick(rng, _OPENINGS) + text
    return text + ("." if rng.random() < 0.5 else "")


def words(text: str) -> list[str]:
    """Lower-case words of a text."""
    return re.findall(r"[a-z]+", text.lower())


def shared_ngrams(bank: Mapping[str, Iterable[str]], captions: Iterable[str], n: int = 5) -> tuple[int, int, list[str]]:
    """How much of a knowledge bank stands word for word in captions.

    Args:
        bank: class name -> statements.
        captions: a large sample of captions.
        n: length of the word runs.

    Returns:
        How many distinct n-grams of the bank occur in the captions, how many it has, and the shared ones, sorted.
    """

    def grams(text: str) -> set[str]:
        tokens = words(text)
        return {" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}

    in_bank = set().union(*(grams(text) for texts in bank.values() for text in texts))
    shared: set[str] = set()
    for text in captions:
        shared |= grams(text) & in_bank
    return len(shared), len(in_bank), sorted(shared)
