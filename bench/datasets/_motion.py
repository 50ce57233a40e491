"""Procedural human motion: from clips to joints, for a whole batch of clips at once; and the speeds of joints.

Shapes: N clips, T times, C = 6 channels (left arm, right arm, left foot, right foot, pelvis, trunk), J = 15 joints.
Lengths are in body lengths; a person faces +z, their left is +x, up is +y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets._clips import Body, Clip, Move, mirror
from bench.datasets._figure import FloatArray, body_length
from bench.datasets._primitives import ARMS, LEGS, NEUTRAL_HAND, TRUNK

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MODES: tuple[str, ...] = ("hold", "once", "lower", "return", "cycle", "pulse", "circle")
_MODE = {name: code for code, name in enumerate(MODES)}
_CHANNELS = 6
_LEFT_ARM, _RIGHT_ARM, _LEFT_FOOT, _RIGHT_FOOT, _PELVIS, _TRUNK = range(_CHANNELS)


@dataclass
class _Tracks:
    """Numbers of a batch: each channel goes from `start` to `end`, plus a circle; all in limb lengths or radians."""

    start: FloatArray
    end: FloatArray
    circle_u: FloatArray
    circle_v: FloatArray
    neutral: FloatArray
    mode: NDArray[np.int64]
    cycles: FloatArray
    phase: FloatArray
    begin: FloatArray
    length: FloatArray
    ramp_in: FloatArray
    ramp_out: FloatArray
    pole: FloatArray
    upright: FloatArray
    bodies: dict[str, FloatArray] = field(default_factory=dict)


def _mirror_move(move: Move) -> Move:
    ((part, _),) = mirror(frozenset({(move.part, move.primitive)}))
    return Move(
        part=part, primitive=move.primitive, mode=move.mode, cycles=move.cycles, phase=move.phase, side=-move.side
    )


def _compile(clips: Sequence[Clip], rng: np.random.Generator) -> _Tracks:
    n = len(clips)

    def zeros(*shape: int) -> FloatArray:
        return np.zeros((n, *shape), dtype=np.float32)

    tracks = _Tracks(
        start=zeros(_CHANNELS, 3), end=zeros(_CHANNELS, 3), circle_u=zeros(_CHANNELS, 3),
        circle_v=zeros(_CHANNELS, 3), neutral=zeros(_CHANNELS, 3),
        mode=np.zeros((n, _CHANNELS), dtype=np.int64), cycles=zeros(_CHANNELS) + 1, phase=zeros(_CHANNELS),
        begin=zeros(_CHANNELS), length=zeros(_CHANNELS) + 1, ramp_in=zeros(_CHANNELS), ramp_out=zeros(_CHANNELS),
        pole=zeros(4, 3), upright=zeros(2) + 1,
    )  # fmt: skip
    tracks.neutral[:, :2] = NEUTRAL_HAND
    tracks.neutral[:, :2] += rng.normal(0, 0.05, (n, 2, 3))
    tracks.neutral[:, _TRUNK, 0] = [clip.body.lean for clip in clips]
    tracks.start[:] = tracks.neutral
    tracks.end[:] = tracks.neutral
    tracks.pole[:, :2] = (0.35, -0.7, -0.6)
    tracks.pole[:, 2:] = (0.15, 0.0, 1.0)
    names = [item.name for item in fields(Body)]
    table = np.array([[float(getattr(clip.body, name)) for name in names] for clip in clips], dtype=np.float32)
    tracks.bodies = dict(zip(names, table.T, strict=True))
    for i, clip in enumerate(clips):
        moves = [_mirror_move(move) for move in clip.moves] if clip.body.mirrored else clip.moves
        # The trunk comes last: what it does itself stands above what the legs make it do.
        for move in sorted(moves, key=lambda move: move.part == "trunk"):
            _write(tracks, i, clip, move, rng)
    return tracks


def _set(tracks: _Tracks, i: int, channel: int, clip: Clip, move: Move, start: ArrayLike, end: ArrayLike) -> None:
    tracks.start[i, channel] = start
    tracks.end[i, channel] = end
    tracks.mode[i, channel] = _MODE[move.mode]
    tracks.cycles[i, channel] = move.cycles * clip.body.tempo
    tracks.phase[i, channel] = move.phase


def _write(tracks: _Tracks, i: int, clip: Clip, move: Move, rng: np.random.Generator) -> None:
    begin, length = rng.uniform(0.02, 0.2), rng.uniform(0.4, 0.75)
    start: FloatArray
    end: FloatArray
    if move.part in ("left_arm", "right_arm"):
        channel = _LEFT_ARM if move.part == "left_arm" else _RIGHT_ARM
        arm = ARMS[move.primitive]
        start, end = np.asarray(arm.start), np.asarray(arm.end)
        if arm.crossed and channel == _RIGHT_ARM:
            start, end = np.asarray(arm.crossed[0]), np.asarray(arm.crossed[1])
        start, end = start + rng.normal(0, 0.05, 3), end + rng.normal(0, 0.05, 3)
        _set(tracks, i, channel, clip, move, end + clip.amplitude * (start - end), end)
        tracks.circle_u[i, channel] = np.multiply(arm.circle_u, clip.amplitude)
        tracks.circle_v[i, channel] = np.multiply(arm.circle_v, clip.amplitude)
        tracks.pole[i, channel] = np.add(arm.pole, rng.normal(0, 0.15, 3))
        tracks.upright[i, channel] = arm.upright
        channels = [channel]
        if move.mode in ("hold", "cycle", "pulse", "circle"):
            tracks.ramp_in[i, channel], tracks.ramp_out[i, channel] = clip.ramp_in, clip.ramp_out
    elif move.part == "trunk":
        trunk = TRUNK[move.primitive]
        end = np.multiply(trunk.angles, (1, move.side, move.side)) * clip.amplitude
        start = -end if trunk.both_sides and move.mode == "cycle" else tracks.neutral[i, _TRUNK]
        _set(tracks, i, _TRUNK, clip, move, start, end)
        channels = [_TRUNK]
    else:
        legs = LEGS[move.primitive]
        sides = (_LEFT_FOOT, _RIGHT_FOOT) if move.part != "right_leg" else (_RIGHT_FOOT, _LEFT_FOOT)
        for k, (channel, point) in enumerate(zip(sides, (legs.foot, legs.other_foot), strict=True)):
            _set(tracks, i, channel, clip, move, 0.0, np.multiply(point, clip.amplitude))
            tracks.phase[i, channel] += 0.5 * k * legs.in_turn
            tracks.circle_u[i, channel] = np.multiply(legs.circle_u, clip.amplitude)
            tracks.circle_v[i, channel] = np.multiply(legs.circle_v, clip.amplitude)
        tracks.pole[i, sides[0]] = legs.pole
        _set(tracks, i, _PELVIS, clip, move, 0.0, np.multiply(legs.pelvis, clip.amplitude))
        tracks.end[i, _TRUNK, 0] += legs.trunk * rng.uniform(0.5, 2.0)
        _set(tracks, i, _TRUNK, clip, move, tracks.neutral[i, _TRUNK], tracks.end[i, _TRUNK].copy())
        channels = [*sides, _PELVIS, _TRUNK]
        if legs.arm_swing:
            _swing_arms(tracks, i, clip, move)
    for channel in channels:
        tracks.begin[i, channel], tracks.length[i, channel] = begin, length


def _swing_arms(tracks: _Tracks, i: int, clip: Clip, move: Move) -> None:
    """Idle arms swing against the legs."""
    busy = {other.part for other in clip.moves}
    if clip.body.mirrored:
        busy = {part for part, _ in mirror(frozenset((part, "") for part in busy))}
    for channel, part, offset in ((_LEFT_ARM, "left_arm", 0.5), (_RIGHT_ARM, "right_arm", 0.0)):
        if part not in busy:
            tracks.mode[i, channel] = _MODE["circle"]
            tracks.cycles[i, channel] = move.cycles * clip.body.tempo
            tracks.phase[i, channel] = move.phase + offset
            tracks.circle_u[i, channel] = (0.0, 0.0, 0.3 * clip.amplitude)


def _smooth(x: FloatArray) -> FloatArray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _trajectories(tracks: _Tracks, times: FloatArray) -> FloatArray:
    """Channel values float32 `(N, C, T, 3)` at `times` `(N, T)` in [0, 1]."""
    t = times[:, None, :]
    cycle = tracks.cycles[..., None] * t + tracks.phase[..., None]
    angle = 2 * np.pi * cycle
    ramp = (t - tracks.begin[..., None]) / tracks.length[..., None]
    mode = tracks.mode[..., None]
    there = _smooth(ramp)
    progress = np.select(
        [mode == _MODE[name] for name in ("once", "lower", "return", "cycle", "pulse")],
        [
            there,
            1 - there,
            np.sin(np.pi * np.clip(ramp, 0, 1)) ** 2,
            0.5 - 0.5 * np.cos(angle),
            np.maximum(0, np.sin(angle)),
        ],
        default=1.0,
    )[..., None]
    value = tracks.start[:, :, None] + (tracks.end - tracks.start)[:, :, None] * progress
    circling = (mode == _MODE["circle"])[..., None]
    circle = (
        tracks.circle_u[:, :, None] * np.cos(angle)[..., None] + tracks.circle_v[:, :, None] * np.sin(angle)[..., None]
    )
    value = value + circling * circle
    rise = _smooth(t / np.maximum(tracks.ramp_in[..., None], 1e-6))
    fall = _smooth((1 - t) / np.maximum(tracks.ramp_out[..., None], 1e-6))
    rise = np.where(tracks.ramp_in[..., None] > 0, rise, 1)
    fall = np.where(tracks.ramp_out[..., None] > 0, fall, 1)
    neutral = tracks.neutral[:, :, None]
    out: FloatArray = (neutral + (rise * fall)[..., None] * (value - neutral)).astype(np.float32)
    return out


def _rotation(pitch: FloatArray, yaw: FloatArray, roll: FloatArray) -> FloatArray:
    """Rotation matrices `(..., 3, 3)`: roll to the left, then pitch forward, then yaw to the left, radians."""
    cp, sp, cy, sy, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    zero, one = np.zeros_like(cp), np.ones_like(cp)

    def stack(rows: list[list[FloatArray]]) -> FloatArray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    tilt = stack([[one, zero, zero], [zero, cp, -sp], [zero, sp, cp]])
    turn = stack([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    side = stack([[cr, sr, zero], [-sr, cr, zero], [zero, zero, one]])
    rotation: FloatArray = turn @ tilt @ side
    return rotation


def _bend(
    root: FloatArray, target: FloatArray, upper: FloatArray, lower: FloatArray, pole: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Two-bone inverse kinematics: middle and end joint `(..., 3)` for a limb that bends towards `pole`."""
    offset = target - root
    distance = np.linalg.norm(offset, axis=-1, keepdims=True)
    along = offset / np.maximum(distance, 1e-6)
    reach = np.clip(distance, np.abs(upper - lower) + 0.02, 0.995 * (upper + lower))
    a = (upper**2 - lower**2 + reach**2) / (2 * reach)
    height = np.sqrt(np.maximum(upper**2 - a**2, 0))
    across = pole - (pole * along).sum(-1, keepdims=True) * along
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    return root + a * along + height * across, root + reach * along


def pose(clips: Sequence[Clip], times: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Joint positions of a batch of clips.

    Args:
        clips: N clips.
        times: float `(N, T)`, in [0, 1] of the clip's duration.
        rng: draws what varies between repetitions, and the jitter.

    Returns:
        float32 `(N, T, 15, 3)` in body lengths, turned to the camera of each clip's body; the floor is at height 0
        before the camera's pitch.

    Raises:
        KeyError: on a part or primitive that does not exist.
    """
    tracks = _compile(clips, rng)
    track = _trajectories(tracks, np.asarray(times, dtype=np.float32))
    n, t = times.shape
    body = {name: value[:, None, None] for name, value in tracks.bodies.items()}  # (N, 1, 1)
    leg, arm = body["thigh"] + body["shin"], body["upper_arm"] + body["forearm"]
    joints = np.zeros((n, t, 15, 3), dtype=np.float32)
    pelvis = track[:, _PELVIS] * leg
    pelvis[..., 1] += 0.99 * leg[..., 0]
    pitch, yaw, roll = (track[:, _TRUNK, :, k] for k in range(3))
    # Bending at the hips pushes the pelvis back, or the body would fall over.
    pelvis[..., 2] -= 0.25 * np.maximum(np.sin(pitch), 0) * body["trunk"][..., 0]
    whole, level = _rotation(pitch, yaw, roll), _rotation(np.zeros_like(pitch), yaw, np.zeros_like(roll))

    zero = np.zeros((n, t), dtype=np.float32)

    def turned(rotation: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        out: FloatArray = (rotation @ np.stack([x, y, z], -1)[..., None])[..., 0]
        return out

    trunk, head, torso = body["trunk"][..., 0], body["head"][..., 0], body["torso_at"][..., 0]
    neck = pelvis + turned(whole, zero, zero + trunk, zero)
    joints[:, :, 1], joints[:, :, 2] = neck, pelvis + torso[..., None] * (neck - pelvis)
    joints[:, :, 0] = neck + turned(whole, zero, zero + head, zero + 0.15 * head)
    for k, side in ((0, 1.0), (1, -1.0)):
        flip = np.array([side, 1, 1], dtype=np.float32)
        shoulder = neck + turned(
            whole, zero + side * body["shoulder"][..., 0], zero - body["shoulder_drop"][..., 0], zero
        )
        frame = np.where(tracks.upright[:, k, None, None, None] > 0.5, level, whole)
        hand = shoulder + (frame @ (track[:, k] * flip * arm)[..., None])[..., 0]
        pole = (frame @ np.broadcast_to((tracks.pole[:, k] * flip)[:, None, :, None], (n, t, 3, 1)))[..., 0]
        elbow, palm = _bend(shoulder, hand, body["upper_arm"], body["forearm"], pole)
        hip = pelvis + np.stack([zero + side * body["hip"][..., 0], zero - 0.02, zero], -1)
        foot = track[:, 2 + k] * flip * leg
        foot[..., 0] += side * (body["hip"] + body["stance"])[..., 0]
        foot[..., 1] = np.maximum(foot[..., 1], 0)
        knee, sole = _bend(hip, foot, body["thigh"], body["shin"], (tracks.pole[:, 2 + k] * flip)[:, None])
        for offset, value in enumerate((shoulder, elbow, palm)):
            joints[:, :, 3 + 3 * k + offset] = value
        for offset, value in enumerate((hip, knee, sole)):
            joints[:, :, 9 + 3 * k + offset] = value
    camera = _rotation(tracks.bodies["pitch"], np.zeros(n), np.zeros(n)) @ _rotation(
        np.zeros(n), tracks.bodies["yaw"], np.zeros(n)
    )
    seen: FloatArray = joints @ np.swapaxes(camera, -1, -2)[:, None]
    jitter = np.array([clip.jitter for clip in clips], dtype=np.float32)[:, None, None, None]
    # A Kinect is off in two ways: by a steady amount a joint, and from frame to frame.
    noise = rng.normal(size=(n, 1, 15, 3)) + rng.normal(size=joints.shape)
    return (seen + jitter * noise).astype(np.float32)


LIMBS: dict[str, tuple[int, ...]] = {
    "head": (0,),
    "trunk": (1, 2),
    "left_arm": (4, 5),
    "right_arm": (7, 8),
    "left_leg": (10, 11),
    "right_leg": (13, 14),
}
SPEED_COLUMNS: tuple[str, ...] = tuple(f"speed_{limb}" for limb in LIMBS)


def joint_speeds(joints: FloatArray, fps: float) -> dict[str, float]:
    """Mean speed of each limb, in body lengths per second, against the pelvis.

    Args:
        joints: float `(T, 15, 3)`, any unit.
        fps: frames per second.

    Returns:
        `speed_<limb>` -> mean over the limb's joints and over frames; 0 where there is one frame only.

    Raises:
        ValueError: if fps is not positive or a joint is not finite.
    """
    if not fps > 0 or not np.isfinite(joints).all():
        raise ValueError(f"joint speeds need fps > 0 and finite joints; fps is {fps}")
    if len(joints) < 2:
        return dict.fromkeys(SPEED_COLUMNS, 0.0)
    pelvis = (joints[:, 9] + joints[:, 12]) / 2
    steps = np.linalg.norm(np.diff(joints - pelvis[:, None], axis=0), axis=-1)
    scale = fps / max(body_length(joints), 1e-6)
    return {f"speed_{limb}": float(steps[:, list(index)].mean() * scale) for limb, index in LIMBS.items()}
