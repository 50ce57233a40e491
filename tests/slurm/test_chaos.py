"""Whoever is killed, whenever: every run exactly once, with the bytes of a sweep that nobody disturbed."""

import itertools

import numpy as np
import pytest
from chaos import Chaos
from fakes import write_video
from on_slurm import CLASSES, Home

TRAIN, TEST, EPOCHS = 8, 112, 12  # videos of a class; steps of a run
SLOW = {"SLOW_STAGES": "1", "SLOW_DECODE": "0.01", "SLOW_ENCODE": "0.02", "SLOW_STEP": "0.05", "SLOW_PREDICT": "0.1"}


@pytest.fixture(scope="module")
def many_videos(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("many"), np.random.default_rng(1)
    for name, (side, num) in itertools.product(CLASSES, (("train", TRAIN), ("test", TEST))):
        for n in range(num):
            colour = tuple(rng.integers(0, 256, 3).tolist())
            write_video(root / side / name / f"{side}_{name}_{n}.mp4", 5, first=n % 50, colour=colour)
    return root


@pytest.mark.parametrize(
    ("runs", "kills"),
    [
        pytest.param(40, 15, marks=pytest.mark.slurm),
        pytest.param(320, 105, marks=pytest.mark.slurm_full),
    ],
)
def test_chaos(tmp_path, package, many_videos, bytecode, capsys, runs, kills):
    numbers = ",".join([str(EPOCHS)] * runs)
    for name in ("calm", "disturbed"):
        (tmp_path / name).mkdir()
    calm = Home(tmp_path / "calm", package, many_videos, bytecode, runs=numbers, pause=0)
    calm.bench(*calm.sweep, "--where", "local", "--workers", "2")
    home = Home(tmp_path / "disturbed", package, many_videos, bytecode, runs=numbers, pause=0, **SLOW)
    home.site(max_jobs=8)
    home.submit()
    chaos = Chaos(home, kills, seed=1)
    seconds = chaos.run()
    found, expected = home.predictions, calm.predictions
    lost = len(set(expected) - set(found))
    different = sum(found[run] != expected[run] for run in found)
    steps, videos = chaos.log.done["step"], chaos.log.done["encode"]
    all_steps, all_videos = len(calm.steps()), calm.encoded()
    with capsys.disabled():
        print(
            f"\nchaos: {runs} runs on 4 nodes, {seconds:.0f} s; killed {sum(chaos.killed[s] for s in set(chaos.left))} workers ("
            f"{', '.join(f'{s} {n}' for s, n in sorted(chaos.killed.items()))}), resumed {chaos.resumes} times; "
            f"runs lost {lost}, rewritten after COMPLETE {len(chaos.rewritten)}, with other predictions {different}; "
            f"done twice: {100 * (steps / all_steps - 1):.1f} % of {all_steps} steps, "
            f"{100 * (videos / all_videos - 1):.1f} % of {all_videos} videos"
        )
    assert len(expected) == runs and (lost, len(chaos.rewritten), different) == (0, 0, 0)
    assert sum(chaos.killed[stage] for stage in set(chaos.left)) >= kills, chaos.killed
    assert chaos.killed["slurmd killed"] == chaos.killed["node killed"] == 1
    assert home.is_whole(calm)
    assert set(chaos.first_seen) == set(found)
