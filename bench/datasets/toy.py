"""The embedded toy set: 14 named stick-figure actions by 10 subjects, in real video files, the same for everyone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.contracts import BenchError, DataRequest, DatasetFacts
from bench.datasets._actions import ACTIONS
from bench.datasets._clips import Body, Clip, Move, sample_body
from bench.datasets._figure import render
from bench.datasets._motion import SPEED_COLUMNS, joint_speeds, pose
from bench.datasets._rendered import Rendered, ensure
from bench.manifest import Manifest, build

VERSION = 1
SEED = 20260
SUBJECTS = tuple(f"s{number:02d}" for number in range(1, 11))
TRAIN_SUBJECTS = ("s01", "s03", "s05", "s07", "s09")
LEFT_HANDED = ("s04", "s07")  # one on either side of the split
REPETITIONS = 6
FPS = 20
SIZE = 128

DATASET = DatasetFacts(
    name="toy",
    summary=f"{len(ACTIONS)} procedural stick-figure actions, {len(SUBJECTS)} subjects; written on first use",
    licence="Apache-2.0 (made by this project)",
    needs_root=False,
    templates=("{}", "a video of a person doing {}.", "a stick figure doing {}."),
    bank="toy",
    version=VERSION,
)


def _subjects() -> dict[str, Body]:
    """Each subject's proportions, tempo and camera (turned by up to about 55 degrees to either side)."""
    rng = np.random.default_rng(SEED)
    yaws = rng.permutation(np.linspace(-0.95, 0.95, len(SUBJECTS)))
    tempos = rng.permutation(np.linspace(0.75, 1.3, len(SUBJECTS)))
    return {
        subject: replace(
            sample_body(rng),
            yaw=float(yaw),
            pitch=float(rng.uniform(0.0, 0.2)),
            tempo=float(tempo),
            mirrored=subject in LEFT_HANDED,
        )
        for subject, yaw, tempo in zip(SUBJECTS, yaws, tempos, strict=True)
    }


def _vary(moves: tuple[Move, ...], rng: np.random.Generator) -> tuple[Move, ...]:
    """Another tempo and starting point for what is repeated; limbs that go together stay together."""
    tempo, shift = float(rng.uniform(0.8, 1.25)), float(rng.uniform())
    return tuple(
        replace(
            move,
            cycles=move.cycles * tempo,
            phase=move.phase + (shift if move.mode in ("cycle", "pulse", "circle") else 0.0),
        )
        for move in moves
    )


def _videos() -> Iterator[Rendered]:
    bodies = _subjects()
    for number, (name, moves) in enumerate(ACTIONS.items()):
        for subject, body in bodies.items():
            for repetition in range(REPETITIONS):
                rng = np.random.default_rng([SEED, number, SUBJECTS.index(subject), repetition])
                ramp = rng.random() < 0.4
                clip = Clip(
                    body=replace(body, yaw=body.yaw + float(rng.normal(0, 0.06))),
                    moves=_vary(moves, rng),
                    amplitude=float(rng.uniform(0.85, 1.08)),
                    jitter=0.003,
                    ramp_in=float(rng.uniform(0.05, 0.15)) if ramp else 0.0,
                    ramp_out=float(rng.uniform(0.05, 0.15)) if ramp else 0.0,
                )
                count = int(rng.integers(34, 46))
                joints = pose([clip], np.linspace(0, 1, count, dtype=np.float32)[None], rng)[0]
                yield Rendered(
                    video_id=f"{name.replace(' ', '_')}_{subject}_r{repetition + 1}",
                    label=name,
                    group=subject,
                    frames=render(joints, size=SIZE),
                    numeric=joint_speeds(joints, FPS),
                )


def manifest(request: DataRequest) -> Manifest:
    """Write the videos to `<workspace>/toy-v1` where they are not there yet, and list them.

    Raises:
        BenchError: if a root or an option is given: this set makes its own files.
    """
    if request.root is not None:
        raise BenchError(f"toy writes its own videos and reads nothing from disk; leave out root={str(request.root)!r}")
    if request.options:
        raise BenchError(f"toy takes no options, not {', '.join(request.options)}")
    folder = request.workspace / f"toy-v{VERSION}"
    rows = ensure(folder, FPS, _videos, len(ACTIONS) * len(SUBJECTS) * REPETITIONS, request.progress)
    return build(
        "toy",
        rows[["video_id", "path", "label", "group"]],
        tuple(ACTIONS),
        folder,
        splits={"1": ["train" if subject in TRAIN_SUBJECTS else "test" for subject in rows["group"]]},
        numeric={name: rows[name].tolist() for name in SPEED_COLUMNS},
        group_kind="subject",
    )
