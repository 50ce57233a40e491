"""What a procedural clip is: a body before a camera and a few moves, limb + motion primitive + how it is repeated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Body:
    """One person before one camera: proportions in body lengths, angles in radians, `tempo` a factor on all speeds."""

    thigh: float = 0.29
    shin: float = 0.265
    trunk: float = 0.28
    head: float = 0.14
    torso_at: float = 0.45
    shoulder: float = 0.11
    shoulder_drop: float = 0.03
    hip: float = 0.055
    upper_arm: float = 0.175
    forearm: float = 0.195
    stance: float = 0.02
    lean: float = 0.03
    yaw: float = 0.0
    pitch: float = 0.08
    tempo: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True, kw_only=True)
class Move:
    """One primitive of one part.

    `mode` is how it goes on in time: `hold`, `once` (there and stays), `lower` (back from it), `return` (there and
    back), `cycle` (to and fro), `pulse` (half of the time at rest: what limbs do in turn), `circle`.
    `cycles` counts repetitions a clip, `phase` is in cycles, `side` is +1 (left) or -1 for what the trunk does.
    """

    part: str
    primitive: str
    mode: str
    cycles: float = 2.0
    phase: float = 0.0
    side: int = 1


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A body, its moves, and what varies between repetitions: `amplitude` a factor, `jitter` in body lengths."""

    body: Body
    moves: tuple[Move, ...]
    amplitude: float = 1.0
    jitter: float = 0.0
    ramp_in: float = 0.0
    ramp_out: float = 0.0


Composition = frozenset[tuple[str, str]]


def composition(moves: Iterable[Move]) -> Composition:
    """The set of (part, primitive) of some moves: what is held out, whatever the timing."""
    return frozenset((move.part, move.primitive) for move in moves)


def mirror(parts: Composition) -> Composition:
    """The same composition with left and right exchanged."""
    swap = {"left_arm": "right_arm", "right_arm": "left_arm", "left_leg": "right_leg", "right_leg": "left_leg"}
    return frozenset((swap.get(part, part), primitive) for part, primitive in parts)


def contains(whole: Composition, part: Composition) -> bool:
    """Whether `whole` holds all of `part` or of its mirror image."""
    return part <= whole or mirror(part) <= whole


def sample_body(rng: np.random.Generator, spread: float = 1.0) -> Body:
    """A random person before a random camera.

    Args:
        rng: the source of randomness.
        spread: factor on the standard deviations of the proportions.
    """

    def normal(mean: float, sd: float) -> float:
        return float(mean + np.clip(rng.normal(), -2, 2) * sd * spread)

    return Body(
        thigh=normal(0.29, 0.017), shin=normal(0.265, 0.017), trunk=normal(0.28, 0.022), head=normal(0.14, 0.014),
        torso_at=float(rng.uniform(0.2, 0.75)), shoulder=normal(0.11, 0.012), shoulder_drop=normal(0.03, 0.012),
        hip=normal(0.052, 0.009), upper_arm=normal(0.17, 0.014), forearm=normal(0.19, 0.017),
        stance=abs(normal(0.0, 0.03)), lean=normal(0.03, 0.05),
        yaw=float(np.clip(rng.normal(), -2.2, 2.2) * 0.5 if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)),
        pitch=normal(0.06, 0.08), tempo=float(rng.uniform(0.75, 1.3)), mirrored=False,
    )  # fmt: skip
