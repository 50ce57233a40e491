"""The vocabulary of movement: what an arm, the legs or the trunk can do, as numbers.

An arm's points are offsets of the hand from its own shoulder in arm lengths: x outwards (away from the body's middle),
y up, z forward. The body's middle lies near x = -.3, the chin near y = .25, the hips near y = -.7.
A foot's points are offsets from where it stands, in leg lengths, x outwards. Trunk angles are radians.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float, float]

NEUTRAL_HAND: Point = (0.12, -0.98, 0.08)
_DOWN_BACK: Point = (0.35, -0.7, -0.6)
_OUT: Point = (1.0, -0.3, -0.1)
_OUT_UP: Point = (1.0, 0.3, 0.1)
_NONE: Point = (0.0, 0.0, 0.0)

REACHING = ("hold", "once", "lower", "return", "cycle", "pulse")
MOVING = ("once", "lower", "return", "cycle", "pulse")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """`upright`: the offsets stay vertical whatever the trunk does; `crossed`: the right arm's own start and end."""

    end: Point
    start: Point = NEUTRAL_HAND
    modes: tuple[str, ...] = REACHING
    pole: Point = _DOWN_BACK
    upright: bool = False
    circle_u: Point = _NONE
    circle_v: Point = _NONE
    crossed: tuple[Point, Point] | None = None
    both_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Legs:
    """`foot` is the moving side's (or the left) one; `trunk` is the pitch that goes with it."""

    foot: Point = _NONE
    other_foot: Point = _NONE
    pelvis: Point = _NONE
    trunk: float = 0.0
    modes: tuple[str, ...] = REACHING[:-1]
    one_sided: bool = False
    in_turn: bool = False
    arm_swing: bool = False
    pole: Point = (0.15, 0.0, 1.0)
    circle_u: Point = _NONE
    circle_v: Point = _NONE


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """`angles`: pitch forward, yaw to the left, roll to the left; `both_sides`: a cycle goes to either side."""

    angles: Point
    both_sides: bool = False
    modes: tuple[str, ...] = REACHING[:-1]


ARMS: dict[str, Arm] = {
    "overhead": Arm(end=(0.02, 1.02, 0.06), pole=_OUT),
    "sideways": Arm(end=(1.02, 0.02, 0.08)),
    "sideways_low": Arm(end=(0.68, -0.76, 0.08)),
    "sideways_high": Arm(end=(0.7, 0.74, 0.08)),
    "front": Arm(end=(0.0, 0.02, 1.02)),
    "front_low": Arm(end=(0.0, -0.65, 0.78)),
    "front_high": Arm(end=(0.0, 0.7, 0.75)),
    "side_to_overhead": Arm(start=(0.92, -0.15, 0.06), end=(0.05, 1.02, 0.06), modes=("cycle", "return"), pole=_OUT),
    "arc_overhead": Arm(start=(0.3, -0.9, 0.06), end=(0.05, 1.02, 0.06), modes=("cycle",), pole=_OUT),
    "chest_to_front": Arm(
        start=(-0.1, -0.25, 0.28), end=(-0.1, 0.02, 0.95), modes=("once", "return", "cycle", "pulse")
    ),
    "front_to_ribs": Arm(
        start=(-0.05, -0.1, 0.93), end=(0.15, -0.42, 0.08), modes=("once", "return", "cycle", "pulse")
    ),
    "mouth": Arm(end=(-0.26, 0.3, 0.27)),
    "ear": Arm(end=(-0.12, 0.44, 0.1), pole=(0.6, -0.8, 0.2)),
    "forehead": Arm(end=(-0.18, 0.58, 0.2), pole=_OUT),
    "crown": Arm(end=(-0.25, 0.72, 0.04), pole=_OUT_UP),
    "chest": Arm(end=(-0.27, -0.22, 0.36), pole=(0.8, -0.6, 0.0)),
    "belly": Arm(end=(-0.25, -0.6, 0.32), pole=(0.8, -0.5, -0.3)),
    "hip": Arm(end=(0.0, -0.66, 0.05), pole=(1.0, 0.0, -0.2)),
    "shoulder": Arm(end=(0.02, -0.02, 0.3), pole=(0.15, -1.0, 0.2)),
    "curl": Arm(start=(0.08, -0.9, 0.25), end=(0.04, -0.05, 0.3), modes=("cycle", "pulse"), pole=(0.1, -1.0, -0.2)),
    "level": Arm(end=(-0.02, -0.5, 0.52), pole=(0.2, -0.8, -0.5)),
    "opposite_shoulder": Arm(end=(-0.56, -0.04, 0.25), pole=(0.4, -0.8, 0.4)),
    "behind_head": Arm(end=(-0.14, 0.42, -0.16), pole=_OUT_UP),
    "behind_back": Arm(end=(-0.22, -0.62, -0.3), pole=(1.0, 0.0, -0.6)),
    "backwards": Arm(end=(0.15, -0.8, -0.5)),
    "bent_up": Arm(end=(0.5, 0.42, 0.12), pole=(0.8, -0.6, 0.0)),
    "pendulum": Arm(start=(0.1, -0.85, -0.45), end=(0.05, -0.7, 0.65), modes=("cycle",), upright=True),
    "underarm": Arm(start=(0.15, -0.75, -0.55), end=(0.0, 0.15, 0.95), modes=("once", "return", "cycle"), upright=True),
    "overarm": Arm(start=(0.1, 0.5, -0.3), end=(-0.1, 0.0, 0.92), modes=("once", "return", "cycle"), pole=_OUT_UP),
    "downstroke": Arm(start=(0.0, 0.85, 0.3), end=(-0.1, -0.5, 0.75), modes=("cycle", "once", "return"), pole=_OUT),
    "sweep": Arm(start=(0.85, -0.05, 0.4), end=(-0.5, -0.1, 0.65), modes=("cycle", "once", "return")),
    "sway_high": Arm(start=(0.5, 0.74, 0.18), end=(-0.22, 0.82, 0.18), modes=("cycle",), pole=_OUT),
    "sway_face": Arm(start=(0.52, 0.3, 0.3), end=(-0.02, 0.34, 0.36), modes=("cycle",), pole=(0.5, -0.8, 0.0)),
    "stroke": Arm(start=(0.35, -0.2, 0.5), end=(-0.45, -0.12, 0.42), modes=("cycle",), pole=(0.9, -0.4, 0.0)),
    "beat": Arm(start=(0.05, -0.5, 0.6), end=(0.05, 0.3, 0.65), modes=("cycle", "pulse")),
    "ring_front": Arm(end=(0.0, -0.1, 0.72), modes=("circle",), circle_u=(0.4, 0, 0), circle_v=(0, 0.4, 0)),
    "ring_overhead": Arm(
        end=(-0.02, 0.78, 0.08), modes=("circle",), pole=_OUT, circle_u=(0.42, 0, 0), circle_v=(0, 0.05, 0.42)
    ),
    "wheel": Arm(end=(0.12, 0.0, 0.0), modes=("circle",), pole=_OUT, circle_u=(0, 0.95, 0), circle_v=(0, 0, 0.95)),
    "down": Arm(end=(-0.08, -1.0, 0.22), upright=True, pole=(0.4, -0.3, -0.8)),
    "meet": Arm(start=(0.3, -0.15, 0.58), end=(-0.29, -0.15, 0.55), modes=("cycle",), both_only=True),
    "meet_high": Arm(start=(0.55, 0.65, 0.15), end=(-0.29, 0.88, 0.1), modes=("cycle",), pole=_OUT, both_only=True),
    "joined_chest": Arm(end=(-0.29, -0.22, 0.4), pole=(0.9, -0.4, 0.0), both_only=True),
    "joined_overhead": Arm(end=(-0.29, 0.86, 0.06), pole=_OUT, both_only=True),
    "joined_low": Arm(end=(-0.29, -0.78, 0.3), both_only=True),
    "joined_swing": Arm(
        start=(0.35, -0.55, 0.5), end=(-0.85, -0.5, 0.4), crossed=((-0.85, -0.5, 0.4), (0.35, -0.55, 0.5)),
        modes=("cycle", "once", "return"), upright=True, both_only=True,
    ),
    "joined_swing_high": Arm(
        start=(0.3, 0.2, 0.5), end=(-0.75, 0.2, 0.45), crossed=((-0.75, 0.2, 0.45), (0.3, 0.2, 0.5)),
        modes=("cycle", "once", "return"), both_only=True,
    ),
    "crossed": Arm(end=(-0.5, -0.28, 0.3), pole=(0.6, -0.8, 0.2), both_only=True, modes=("hold", "once")),
}  # fmt: skip

LEGS: dict[str, Legs] = {
    "step": Legs(
        modes=("circle",), in_turn=True, arm_swing=True, circle_u=(0, 0, 0.24), circle_v=(0, 0.1, 0)
    ),
    "knees_in_turn": Legs(
        foot=(0, 0.45, 0.2), other_foot=(0, 0.45, 0.2), modes=("pulse",), in_turn=True, arm_swing=True
    ),
    "squat": Legs(pelvis=(0, -0.42, -0.12), trunk=0.42),
    "seat": Legs(pelvis=(0, -0.48, -0.42), trunk=0.12, modes=("hold", "once", "lower")),
    "lunge": Legs(foot=(0, 0, 0.5), other_foot=(0, 0, -0.3), pelvis=(0, -0.14, 0.1), one_sided=True),
    "spread": Legs(foot=(0.32, 0, 0), other_foot=(0.32, 0, 0), pelvis=(0, -0.05, 0)),
    "kick_front": Legs(foot=(0, 0.5, 0.8), trunk=-0.12, one_sided=True),
    "kick_side": Legs(foot=(0.62, 0.38, 0), one_sided=True),
    "leg_back": Legs(foot=(0, 0.36, -0.7), trunk=0.35, one_sided=True),
    "knee_up": Legs(foot=(0, 0.46, 0.22), one_sided=True),
    "foot_to_knee": Legs(foot=(-0.17, 0.42, 0.1), pole=(1.0, 0, 0.4), one_sided=True, modes=("hold", "once")),
    "hop": Legs(foot=(0, 0.17, 0), other_foot=(0, 0.17, 0), pelvis=(0, 0.17, 0), modes=("cycle",)),
    "kneel": Legs(
        foot=(0, 0.02, -0.45), other_foot=(0, 0, 0.35), pelvis=(0, -0.45, 0), one_sided=True,
        modes=("hold", "once", "lower"),
    ),
    "cross_behind": Legs(foot=(-0.34, 0, -0.3), pelvis=(0, -0.15, 0), one_sided=True, modes=("hold", "once", "return")),
}  # fmt: skip

TRUNK: dict[str, Trunk] = {
    "bend": Trunk(angles=(0.62, 0, 0)),
    "bend_deep": Trunk(angles=(1.45, 0, 0)),
    "lean_side": Trunk(angles=(0, 0, 0.5), both_sides=True),
    "lean_back": Trunk(angles=(-0.38, 0, 0)),
    "twist": Trunk(angles=(0, 0.8, 0), both_sides=True),
}
