"""The stick figure and its renderer."""

from __future__ import annotations

import numpy as np
import pytest

from bench.datasets._clips import Body, Clip, Move
from bench.datasets._figure import (
    BODY_FRACTION,
    COLOURS,
    EDGES,
    FLOOR_FRACTION,
    JOINT,
    JOINTS,
    body_length,
    place,
    render,
    to_figure,
)
from bench.datasets._motion import pose


def standing(frames: int = 3, **body: float) -> np.ndarray:
    clip = Clip(body=Body(pitch=0.0, lean=0.0, **body), moves=())
    return pose([clip], np.linspace(0, 1, frames)[None], np.random.default_rng(0))[0]


def test_edges_join_all_joints_once() -> None:
    assert len(JOINTS) == 15 and len(EDGES) == 14
    reached = {0}
    for a, b, limb in EDGES:
        assert limb in COLOURS
        assert a in reached and b not in reached
        reached.add(b)
    assert reached == set(range(15))


def test_render_gives_uint8_frames_with_a_figure_in_them() -> None:
    frames = render(standing(), size=64)
    assert frames.shape == (3, 64, 64, 3) and frames.dtype == np.uint8
    lit = (frames.max(axis=-1) > 0).mean(axis=(1, 2))
    assert (lit > 0.02).all() and (lit < 0.3).all()


@pytest.mark.parametrize("factor", [0.01, 1.0, 170.0])
def test_the_unit_of_length_does_not_matter(factor: float) -> None:
    joints = standing()
    np.testing.assert_allclose(place(joints * factor, 100), place(joints, 100), atol=1e-2)


@pytest.mark.parametrize("shift", [(3.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, -4.0)])
def test_where_the_person_is_does_not_matter(shift: tuple[float, float, float]) -> None:
    joints = standing()
    np.testing.assert_array_equal(render(joints + np.float32(shift)), render(joints))


def test_feet_are_on_the_floor_and_the_pelvis_in_the_middle() -> None:
    placed = place(standing(), 200)
    assert placed[..., 1].max() == pytest.approx(FLOOR_FRACTION * 200, abs=0.5)
    np.testing.assert_allclose((placed[:, 9, 0] + placed[:, 12, 0]) / 2, 100, atol=1e-3)
    height = placed[..., 1].max() - placed[:, 0, 1].min()
    assert height == pytest.approx(BODY_FRACTION * 200, rel=0.05)


def test_body_length_ignores_how_the_body_is_bent() -> None:
    seat = Clip(body=Body(), moves=(Move(part="legs", primitive="seat", mode="hold"),))
    seated = pose([seat], np.zeros((1, 4)), np.random.default_rng(0))[0]
    assert body_length(seated) == pytest.approx(body_length(standing()), rel=0.02)


@pytest.mark.parametrize(("limb", "middle", "end"), [("left_arm", 4, 5), ("right_arm", 7, 8), ("left_leg", 10, 11)])
def test_each_limb_has_its_own_colour_where_it_is(limb: str, middle: int, end: int) -> None:
    joints = standing(1)
    column, row = (place(joints, 256)[0, [middle, end], :2].mean(axis=0)).round().astype(int)
    pixel = render(joints, size=256)[0, row, column].astype(float)
    colour = np.array(COLOURS[limb], dtype=float)
    np.testing.assert_allclose(pixel / pixel.max(), colour / colour.max(), atol=0.02)


def test_nearer_limbs_are_brighter_and_drawn_over_far_ones() -> None:
    joints = np.repeat(standing(1), 2, axis=0)
    arm = [JOINT["left_elbow"], JOINT["left_hand"]]
    joints[0, arm, 2] += 0.3
    joints[1, arm, 2] -= 0.3
    frames = render(joints).astype(int)
    red = frames[..., 0] - frames[..., 1]  # the left arm's hue; the legs are yellow and green
    assert red[0].max() > red[1].max() + 30


def test_lines_move_by_less_than_a_pixel() -> None:
    pictures = set()
    for step in range(4):
        joints = standing(1)
        joints[:, 5, 0] += step * 0.25 / (BODY_FRACTION * 128)  # a quarter of a pixel each
        pictures.add(render(joints, size=128, length=1.0, floor=0.0).tobytes())
    assert len(pictures) == 4


@pytest.mark.parametrize("joints_in", [15, 20])
def test_kinect_sequences_are_mapped_and_turned(joints_in: int) -> None:
    joints = np.arange(2 * joints_in * 3, dtype=np.float32).reshape(2, joints_in, 3)
    figure = to_figure(joints, (0, 1, 2), (-1, 1, -1))
    assert figure.shape == (2, 15, 3) and figure.dtype == np.float32
    head = 3 if joints_in == 20 else 0
    np.testing.assert_array_equal(figure[:, 0], joints[:, head] * [-1, 1, -1])


@pytest.mark.parametrize("shape", [(2, 14, 3), (2, 15, 2), (15, 3)])
def test_other_skeletons_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        to_figure(np.zeros(shape, dtype=np.float32), (0, 1, 2), (1, 1, 1))
    with pytest.raises(ValueError, match="shape"):
        render(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_joints_that_are_not_finite_are_refused(bad: float) -> None:
    joints = standing()
    joints[1, 4, 0] = bad
    with pytest.raises(ValueError, match="1 of 3 frames"):
        render(joints)


def test_joints_far_outside_the_picture_do_no_harm() -> None:
    joints = standing()
    joints[:, 5, 0] = 1e6
    assert render(joints).shape == (3, 128, 128, 3)
