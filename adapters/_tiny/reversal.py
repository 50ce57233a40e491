"""Clips and the same clips backwards: what only a backbone that sees the order of frames can tell apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.datasets._clips import Clip, Move
from bench.datasets._primitives import ARMS, LEGS, TRUNK

if TYPE_CHECKING:
    from adapters._tiny.compositions import Sampler

_TURNED = {"once": "lower", "lower": "once", "hold": "hold"}


def backwards(clip: Clip) -> Clip:
    """The clip with every one-way move the other way round. Raises KeyError where a move has no other way round."""
    return replace(clip, moves=tuple(replace(move, mode=_TURNED[move.mode]) for move in clip.moves))


def one_way(sampler: Sampler) -> Clip:
    """A clip whose moves go one way, there or back, or are held; at least one goes."""
    while True:
        clip = sampler.clip()
        mode = "once" if sampler.rng.random() < 0.5 else "lower"
        moves = tuple(_one_way(move, mode) for move in clip.moves)
        kept = tuple(move for move in moves if move is not None)
        if len(kept) == len(moves) and any(move.mode == mode for move in kept):
            return replace(clip, moves=kept, ramp_in=0.0, ramp_out=0.0)


def _one_way(move: Move, mode: str) -> Move | None:
    table = LEGS if "leg" in move.part else ARMS if "arm" in move.part else TRUNK
    modes = table[move.primitive].modes
    if {"once", "lower"} <= set(modes):
        return replace(move, mode=mode)
    return replace(move, mode="hold") if "hold" in modes else None


@dataclass(frozen=True)
class Pair:
    """Two named actions, each the other backwards: the moves of the first, and hand-written statements of both."""

    names: tuple[str, str]
    moves: tuple[Move, ...]
    statements: tuple[tuple[str, ...], tuple[str, ...]]


def _arms(primitive: str) -> tuple[Move, Move]:
    left = Move(part="left_arm", primitive=primitive, mode="once")
    return left, replace(left, part="right_arm")


# Written by hand for this project, before the backbone was trained; no sentence was changed after a test.
PAIRS: tuple[Pair, ...] = (
    Pair(
        ("sit down", "stand up"),
        (Move(part="legs", primitive="seat", mode="once"),),
        (
            ("the hips go down and back onto a seat", "the knees bend until the body is seated", "a tall body ends on a chair"),
            ("the hips come up from a seat", "the knees straighten until the body is upright", "a seated body ends tall on its feet"),
        ),
    ),
    Pair(
        ("crouch", "rise from a crouch"),
        (Move(part="legs", primitive="squat", mode="once"),),
        (
            ("both knees bend and the hips sink low", "the body goes down with bent knees and stays there"),
            ("the bent knees straighten and the hips come up", "the body comes up from low until the legs are straight"),
        ),
    ),
    Pair(
        ("kneel", "get up from one knee"),
        (Move(part="left_leg", primitive="kneel", mode="once"),),
        (
            ("one knee goes down to the floor", "the body sinks until a knee rests on the ground"),
            ("the knee leaves the floor and the body gets up", "the body rises from one knee to full height"),
        ),
    ),
    Pair(
        ("bow", "straighten up"),
        (Move(part="trunk", primitive="bend_deep", mode="once"),),
        (
            ("the upper body tilts far forward and down", "the back bends until the head is low"),
            ("the upper body comes up from a forward tilt", "the bent back straightens until the head is high"),
        ),
    ),
    Pair(
        ("raise the arms", "lower the arms"),
        _arms("overhead"),
        (
            ("both hands rise above the head and stay there", "the arms lift from the sides up over the head"),
            ("both hands are up above the head and then come down", "the arms sink from overhead to the sides"),
        ),
    ),
    Pair(
        ("open the arms", "close the arms"),
        _arms("sideways"),
        (
            ("both arms lift out to the sides and stay there", "the hands go outward up to shoulder height"),
            ("both arms are held out to the sides and then come down", "the hands sink from shoulder height to the hips"),
        ),
    ),
    Pair(
        ("stretch the arms forward", "take the arms back"),
        _arms("front"),
        (
            ("both arms lift straight ahead and stay there", "the hands go forward up to the level of the shoulders"),
            ("both arms are held straight ahead and then come down", "the hands sink from in front of the shoulders to the hips"),
        ),
    ),
)  # fmt: skip
