"""The named actions of the toy set, as compositions of motion primitives.

Pre-training never shows one of these compositions, mirrored or with something added: a name means nothing to a tiny
backbone, so that a description of the action has something true to add.
"""

from __future__ import annotations

from bench.datasets._clips import Composition, Move, composition, contains


def _both_arms(primitive: str, mode: str, cycles: float = 2.0, apart: float = 0.0) -> tuple[Move, Move]:
    return (
        Move(part="left_arm", primitive=primitive, mode=mode, cycles=cycles),
        Move(part="right_arm", primitive=primitive, mode=mode, cycles=cycles, phase=apart),
    )


ACTIONS: dict[str, tuple[Move, ...]] = {
    "archery": (
        Move(part="left_arm", primitive="sideways", mode="hold"),
        Move(part="right_arm", primitive="ear", mode="hold"),
    ),
    "ballet": (
        *_both_arms("joined_overhead", "hold"),
        Move(part="left_leg", primitive="leg_back", mode="hold"),
    ),
    "barbell snatch": (
        *_both_arms("overhead", "return"),
        Move(part="legs", primitive="squat", mode="return"),
    ),
    "bowling": (
        Move(part="right_arm", primitive="underarm", mode="once"),
        Move(part="left_leg", primitive="lunge", mode="once"),
        Move(part="trunk", primitive="bend", mode="once"),
    ),
    "boxing": (
        *_both_arms("chest_to_front", "pulse", 2.5, apart=0.5),
        Move(part="left_leg", primitive="lunge", mode="hold"),
    ),
    "golf": (
        *_both_arms("joined_swing", "cycle", 1.0),
        Move(part="trunk", primitive="bend", mode="hold"),
    ),
    "hula hoop": (
        *_both_arms("sideways_high", "hold"),
        Move(part="trunk", primitive="lean_side", mode="cycle", cycles=3.0),
    ),
    "jumping jack": (
        *_both_arms("arc_overhead", "cycle", 3.0),
        Move(part="legs", primitive="spread", mode="cycle", cycles=3.0),
    ),
    "karate": (
        *_both_arms("shoulder", "hold"),
        Move(part="right_leg", primitive="kick_front", mode="return"),
    ),
    "parade": (
        Move(part="right_arm", primitive="forehead", mode="hold"),
        Move(part="legs", primitive="knees_in_turn", mode="pulse", cycles=3.0),
    ),
    "rodeo": (
        Move(part="right_arm", primitive="ring_overhead", mode="circle", cycles=3.0),
        Move(part="legs", primitive="squat", mode="hold"),
    ),
    "rowing": (
        *_both_arms("front_to_ribs", "cycle", 2.0),
        Move(part="legs", primitive="seat", mode="hold"),
    ),
    "violin": (
        Move(part="left_arm", primitive="shoulder", mode="hold"),
        Move(part="right_arm", primitive="stroke", mode="cycle", cycles=3.0),
    ),
    "yoga": (
        *_both_arms("joined_chest", "hold"),
        Move(part="left_leg", primitive="foot_to_knee", mode="hold"),
    ),
}

HELD_OUT: dict[str, Composition] = {name: composition(moves) for name, moves in ACTIONS.items()}


def held_out(moves: tuple[Move, ...]) -> str | None:
    """The name of the action whose composition these moves contain (mirrored too), or None."""
    whole = composition(moves)
    return next((name for name, part in HELD_OUT.items() if contains(whole, part)), None)
