"""The 15-joint stick figure and its renderer: one picture style for pre-training, toy videos and Kinect sequences.

Shapes: T frames, J = 15 joints, 3 = (x to the right of the picture, y up, z towards the viewer).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
ImageArray = NDArray[np.uint8]

JOINTS: tuple[str, ...] = (
    "head", "neck", "torso",
    "left_shoulder", "left_elbow", "left_hand",
    "right_shoulder", "right_elbow", "right_hand",
    "left_hip", "left_knee", "left_foot",
    "right_hip", "right_knee", "right_foot",
)  # fmt: skip
JOINT: dict[str, int] = {name: index for index, name in enumerate(JOINTS)}

# (joint, joint, limb): the limb decides the colour.
EDGES: tuple[tuple[int, int, str], ...] = (
    (0, 1, "head"), (1, 2, "trunk"), (2, 9, "trunk"), (2, 12, "trunk"),
    (1, 3, "trunk"), (3, 4, "left_arm"), (4, 5, "left_arm"),
    (1, 6, "trunk"), (6, 7, "right_arm"), (7, 8, "right_arm"),
    (9, 10, "left_leg"), (10, 11, "left_leg"), (12, 13, "right_leg"), (13, 14, "right_leg"),
)  # fmt: skip

# RGB; left and right differ in hue so that a mirrored pose is another picture.
COLOURS: dict[str, tuple[int, int, int]] = {
    "head": (235, 235, 235),
    "trunk": (190, 190, 200),
    "left_arm": (255, 70, 70),
    "right_arm": (70, 150, 255),
    "left_leg": (255, 200, 40),
    "right_leg": (60, 225, 110),
}

KINECT20_TO_15: tuple[int, ...] = (3, 2, 1, 4, 5, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18)

BODY_FRACTION = 0.66  # body length as a part of the frame's height: leaves room for arms overhead
FLOOR_FRACTION = 0.95  # where the floor line lies, from the top
_SHIFT = 4  # sub-pixel bits of OpenCV's line drawing
_DARKEST = 0.35
_EDGE_A = np.array([a for a, _, _ in EDGES])
_EDGE_B = np.array([b for _, b, _ in EDGES])
_EDGE_RGB = np.array([COLOURS[limb] for _, _, limb in EDGES], dtype=np.float32)


def body_length(joints: FloatArray) -> float:
    """Length of a straightened body, head to foot, in the unit of `joints`.

    Args:
        joints: float `(T, 15, 3)`.

    Returns:
        The sum of the bone lengths head-neck-torso-hips-knee-foot, each the median over frames and sides.
    """
    hips = (joints[:, 9] + joints[:, 12]) / 2

    def bone(a: FloatArray, b: FloatArray) -> float:
        return float(np.median(np.linalg.norm(a - b, axis=-1)))

    legs = sum(bone(joints[:, a], joints[:, b]) for a, b in ((9, 10), (10, 11), (12, 13), (13, 14)))
    spine = bone(joints[:, 0], joints[:, 1]) + bone(joints[:, 1], joints[:, 2]) + bone(joints[:, 2], hips)
    return spine + legs / 2


def to_figure(joints: FloatArray, axes: tuple[int, int, int], signs: tuple[int, int, int]) -> FloatArray:
    """Map a Kinect sequence to the 15 joints and the axes of the figure.

    Args:
        joints: float `(T, 20, 3)` (Kinect v1 order) or `(T, 15, 3)`, any unit.
        axes: which input axis becomes x (right), y (up), z (towards the viewer).
        signs: +1 or -1 for each of them.

    Returns:
        float32 `(T, 15, 3)`.

    Raises:
        ValueError: if the number of joints is neither 20 nor 15.
    """
    if joints.ndim != 3 or joints.shape[1] not in (15, 20) or joints.shape[2] != 3:
        raise ValueError(
            f"joints have shape {joints.shape}; expected (T, 20, 3) in Kinect v1 order "
            f"or (T, 15, 3) in the order {', '.join(JOINTS)}"
        )
    if joints.shape[1] == 20:
        joints = joints[:, list(KINECT20_TO_15)]
    mapped: FloatArray = (joints[..., list(axes)] * np.asarray(signs)).astype(np.float32)
    return mapped


def place(joints: FloatArray, size: int, length: float | None = None, floor: float | None = None) -> FloatArray:
    """Put a sequence into the picture: body-length scale, feet on the floor line, pelvis centred in each frame.

    Args:
        joints: float `(T, 15, 3)`.
        size: side of the square picture, pixels.
        length: body length in the unit of `joints`; measured where None.
        floor: height of the floor in the unit of `joints`; where None, the median over frames of the lowest joint.

    Returns:
        float32 `(T, 15, 3)`: column, row (pixels, row 0 on top) and depth in body lengths (larger is nearer).
    """
    scale = 1.0 / max(length if length is not None else body_length(joints), 1e-6)
    ground = float(np.median(joints[..., 1].min(axis=1))) if floor is None else floor
    pelvis = (joints[:, 9] + joints[:, 12]) / 2
    placed = np.empty(joints.shape, dtype=np.float32)
    placed[..., 0] = ((joints[..., 0] - pelvis[:, None, 0]) * scale * BODY_FRACTION + 0.5) * size
    placed[..., 1] = (FLOOR_FRACTION - (joints[..., 1] - ground) * scale * BODY_FRACTION) * size
    placed[..., 2] = (joints[..., 2] - pelvis[:, None, 2]) * scale
    return placed


def draw(placed: FloatArray, size: int, thickness: int = 3) -> ImageArray:
    """Draw placed joints, far limbs first, nearer limbs brighter.

    Args:
        placed: float `(T, 15, 3)` from `place`.
        size: side of the square picture, pixels.
        thickness: line width, pixels.

    Returns:
        uint8 RGB `(T, size, size, 3)` on black.
    """
    frames = np.zeros((len(placed), size, size, 3), dtype=np.uint8)
    depth = (placed[:, _EDGE_A, 2] + placed[:, _EDGE_B, 2]) / 2
    # Half a body length in front of or behind the pelvis spans the whole range of brightness.
    shade = np.clip(0.675 + 0.9 * depth, _DARKEST, 1.0)
    colours = (shade[..., None] * _EDGE_RGB).astype(int).tolist()
    order = np.argsort(depth, axis=1).tolist()
    # Far outside the picture OpenCV's fixed-point numbers would overflow; there nothing is visible anyway.
    pixels = np.clip(placed[..., :2], -4 * size, 5 * size)
    points = np.rint(pixels * (1 << _SHIFT)).astype(int).tolist()
    radius = int(0.042 * size * (1 << _SHIFT))
    for t, frame in enumerate(frames):
        dots, tints = points[t], colours[t]
        for e in order[t]:
            a, b, limb = EDGES[e]
            cv2.line(frame, dots[a], dots[b], tints[e], thickness, cv2.LINE_AA, _SHIFT)
            if limb == "head":
                cv2.circle(frame, dots[0], radius, tints[e], -1, cv2.LINE_AA, _SHIFT)
    return frames


def render(
    joints: FloatArray, *, size: int = 128, thickness: int = 3, length: float | None = None, floor: float | None = None
) -> ImageArray:
    """Render a joint sequence as stick-figure frames.

    Args:
        joints: float `(T, 15, 3)`, axes of the figure (see the module's first lines), any unit, all finite.
        size: side of the square picture, pixels.
        thickness: line width, pixels.
        length: body length in the unit of `joints`; measured where None.
        floor: height of the floor in the unit of `joints`; measured where None.

    Returns:
        uint8 RGB `(T, size, size, 3)`.

    Raises:
        ValueError: on a wrong shape, no frames, or joints that are not finite.
    """
    joints = np.asarray(joints, dtype=np.float32)
    if joints.ndim != 3 or joints.shape[1:] != (len(JOINTS), 3) or len(joints) == 0:
        raise ValueError(f"joints have shape {joints.shape}; expected (T >= 1, {len(JOINTS)}, 3)")
    if not np.isfinite(joints).all():
        bad = int((~np.isfinite(joints).all(axis=(1, 2))).sum())
        raise ValueError(f"{bad} of {len(joints)} frames hold NaN or infinite joints; drop those frames first")
    return draw(place(joints, size, length, floor), size, thickness)
