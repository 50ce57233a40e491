"""Procedural motion: primitives do what they are called, bodies keep their bones, speeds are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.datasets._clips import Body, Clip, Move, composition, contains, mirror, sample_body
from bench.datasets._figure import JOINT
from bench.datasets._motion import SPEED_COLUMNS, joint_speeds, pose
from bench.datasets._primitives import ARMS, LEGS, TRUNK

FRONT = Body(yaw=0.0, pitch=0.0, lean=0.0)
TIMES = np.linspace(0, 1, 41)[None]


def posed(*moves: Move, body: Body = FRONT, seed: int = 0, **clip: float) -> np.ndarray:
    return pose([Clip(body=body, moves=moves, **clip)], TIMES, np.random.default_rng(seed))[0]


def right(primitive: str, mode: str = "hold") -> Move:
    return Move(part="right_arm", primitive=primitive, mode=mode)


def legs(primitive: str, mode: str = "hold") -> Move:
    part = "left_leg" if LEGS[primitive].one_sided else "legs"
    return Move(part=part, primitive=primitive, mode=mode)


ALL_MOVES = (
    [Move(part="left_arm", primitive=name, mode=mode) for name, arm in ARMS.items() for mode in arm.modes]
    + [legs(name, mode) for name, item in LEGS.items() for mode in item.modes]
    + [Move(part="trunk", primitive=name, mode=mode) for name, item in TRUNK.items() for mode in item.modes]
)


@pytest.mark.parametrize("move", ALL_MOVES, ids=lambda move: f"{move.part}-{move.primitive}-{move.mode}")
def test_bones_keep_their_length_whatever_moves(move: Move) -> None:
    joints = posed(move)
    assert joints.shape == (41, 15, 3) and joints.dtype == np.float32 and np.isfinite(joints).all()
    for a, b, length in ((3, 4, 0.175), (4, 5, 0.195), (6, 7, 0.175), (9, 10, 0.29), (10, 11, 0.265), (13, 14, 0.265)):
        np.testing.assert_allclose(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1), length, atol=1e-3)


def at(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[:, JOINT[name]]


def test_overhead_is_above_the_head() -> None:
    joints = posed(right("overhead"))
    assert (at(joints, "right_hand")[:, 1] > at(joints, "head")[:, 1]).all()
    assert (at(joints, "left_hand")[:, 1] < at(joints, "left_hip")[:, 1]).all()


def test_sideways_goes_to_the_own_side() -> None:
    assert (at(posed(right("sideways")), "right_hand")[:, 0] < -0.3).all()


@pytest.mark.parametrize("name", ["mouth", "ear", "forehead", "crown"])
def test_a_hand_at_the_head_is_near_the_head(name: str) -> None:
    joints = posed(right(name))
    assert (np.linalg.norm(at(joints, "right_hand") - at(joints, "head"), axis=-1) < 0.17).all()


def test_hands_that_meet_meet() -> None:
    moves = [Move(part=part, primitive="meet", mode="cycle", cycles=2) for part in ("left_arm", "right_arm")]
    distance = np.linalg.norm(at(posed(*moves), "left_hand") - at(posed(*moves), "right_hand"), axis=-1)
    assert distance.min() < 0.08 and distance.max() > 0.3


def test_a_seat_is_lower_than_standing_and_squats_keep_the_feet_down() -> None:
    standing, seated, low = posed(), posed(legs("seat")), posed(legs("squat"))
    for joints in (seated, low):
        assert (at(joints, "left_hip")[:, 1] < at(standing, "left_hip")[:, 1] - 0.15).all()
        assert (at(joints, "left_foot")[:, 1] < 0.05).all()


def test_bending_brings_the_head_down_and_forward() -> None:
    bent = posed(Move(part="trunk", primitive="bend_deep", mode="hold"))
    assert (at(bent, "head")[:, 1] < at(posed(), "neck")[:, 1] - 0.2).all()
    assert (at(bent, "head")[:, 2] > at(bent, "left_hip")[:, 2] + 0.2).all()


def test_legs_step_in_turn() -> None:
    joints = posed(Move(part="legs", primitive="step", mode="circle", cycles=2))
    ahead = at(joints, "left_foot")[:, 2] - at(joints, "right_foot")[:, 2]
    assert ahead.max() > 0.1 and ahead.min() < -0.1


@pytest.mark.parametrize(
    ("mode", "first", "last"), [("once", "low", "high"), ("lower", "high", "low"), ("return", "low", "low")]
)
def test_modes_begin_and_end_where_they_say(mode: str, first: str, last: str) -> None:
    height = at(posed(right("overhead", mode)), "right_hand")[:, 1] - at(posed(), "neck")[:, 1]
    assert (height[0] > 0) == (first == "high") and (height[-1] > 0) == (last == "high")
    assert height.max() > 0.2


def test_a_mirrored_body_moves_the_other_side() -> None:
    plain = posed(right("overhead"))
    mirrored = posed(right("overhead"), body=replace(FRONT, mirrored=True))
    assert at(mirrored, "left_hand")[0, 1] > at(mirrored, "head")[0, 1]
    assert at(plain, "left_hand")[0, 1] < at(plain, "left_hip")[0, 1]


def test_yaw_turns_the_person() -> None:
    joints = posed(right("front"), body=replace(FRONT, yaw=np.pi / 2))
    # Turned by a quarter to the left: what was in front is now on the picture's right.
    assert (at(joints, "right_hand")[:, 0] > 0.25).all()


def test_the_same_seed_gives_the_same_motion_and_another_does_not() -> None:
    move = right("wheel", "circle")
    np.testing.assert_array_equal(posed(move, seed=1, jitter=0.01), posed(move, seed=1, jitter=0.01))
    assert (posed(move, seed=1) != posed(move, seed=2)).any()


def test_clips_of_a_batch_do_not_depend_on_their_neighbours_shape() -> None:
    clips = [Clip(body=FRONT, moves=(right("overhead"),)), Clip(body=FRONT, moves=(legs("squat"),))]
    joints = pose(clips, np.repeat(TIMES, 2, axis=0), np.random.default_rng(0))
    assert joints[0, 0, JOINT["right_hand"], 1] > joints[0, 0, 0, 1]
    assert joints[1, 0, JOINT["left_hip"], 1] < joints[0, 0, JOINT["left_hip"], 1] - 0.1


@pytest.mark.parametrize("move", [Move(part="left_arm", primitive="squat", mode="hold"), right("no such thing")])
def test_unknown_primitives_are_refused(move: Move) -> None:
    with pytest.raises(KeyError):
        posed(move)


def test_compositions_ignore_timing_and_know_their_mirror_image() -> None:
    a = composition([right("ear"), legs("squat")])
    assert a == composition([legs("squat", "return"), right("ear", "once")])
    assert mirror(mirror(a)) == a != mirror(a)
    assert contains(a, mirror(composition([right("ear")])))
    assert not contains(composition([right("ear")]), a)


def test_bodies_differ_and_are_possible() -> None:
    bodies = [sample_body(np.random.default_rng(seed)) for seed in range(50)]
    assert len(set(bodies)) == 50
    for body in bodies:
        assert 0.2 < body.thigh < 0.35 and 0.1 < body.forearm < 0.26 and 0.7 <= body.tempo <= 1.35


def test_speeds_are_body_lengths_a_second() -> None:
    joints = np.repeat(posed()[:1], 11, axis=0)
    length = 0.29 + 0.265 + 0.28 + 0.14
    joints[:, 8, 2] += np.arange(11) * 0.1  # the right hand alone, 1 unit a second at 10 frames a second
    speeds = joint_speeds(joints, fps=10)
    assert set(speeds) == set(SPEED_COLUMNS)
    assert speeds["speed_right_arm"] == pytest.approx(0.5 / length, rel=0.06)  # elbow and hand: half of them moves
    assert speeds["speed_left_arm"] == pytest.approx(0, abs=1e-6)
    assert joint_speeds(joints * 1.7, fps=10)["speed_right_arm"] == pytest.approx(speeds["speed_right_arm"], rel=1e-4)
    assert joint_speeds(joints, fps=20)["speed_right_arm"] == pytest.approx(2 * speeds["speed_right_arm"], rel=1e-4)


def test_walking_across_the_room_is_no_limb_speed() -> None:
    joints = np.repeat(posed()[:1], 5, axis=0) + np.arange(5, dtype=np.float32)[:, None, None]
    assert max(joint_speeds(joints, fps=10).values()) == pytest.approx(0, abs=1e-5)


def test_one_frame_has_no_speed_and_nan_is_refused() -> None:
    joints = posed()[:1]
    assert set(joint_speeds(joints, fps=10).values()) == {0.0}
    with pytest.raises(ValueError, match="finite"):
        joint_speeds(joints * np.nan, fps=10)
    with pytest.raises(ValueError, match="fps"):
        joint_speeds(joints, fps=0)
