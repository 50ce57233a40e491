import dataclasses

import made_runs
import pytest

from bench import sites
from bench.cli import cluster
from bench.forecast import forecast
from bench.specs import ResolvedRun, RunSpec
from bench.work import Work

RUN = "0123456789ab"


def run(backbone="tiny-clip", method="coop", shots=4):
    spec = RunSpec(dataset="toy", backbone=backbone, method=method, protocol="few_shot", shots=shots)
    known = {"manifest": "m", "adapter": "a", "num_frames": 8, "bank": None, "config": (), "versions": ()}
    return ResolvedRun(spec=spec, backbone=backbone, **known)


def done(home, number, seconds, feature_ms=100.0, **told):
    columns = {**made_runs.record()["columns"], "backbone": "tiny-clip", "method": "coop", "shots": 4}
    made_runs.complete(
        home, f"{number:012x}", columns={**columns, "seconds": seconds, "feature_ms": feature_ms, **told}
    )


def test_runs_are_held_against_their_like(tmp_path):
    done(tmp_path, 1, 60.0)
    done(tmp_path, 2, 120.0)
    done(tmp_path, 3, 3600.0, shots=16)
    done(tmp_path, 4, 7200.0, backbone="tiny-xclip", feature_ms=300.0)
    told = forecast([run(), run(), run(shots=16)], {"tiny-clip": 36_000, "tiny-xclip": 12_000}, tmp_path)
    assert told.runs_h == pytest.approx((90 + 90 + 3600) / 3600)
    assert told.features_h == pytest.approx((36_000 * 0.1 + 12_000 * 0.3) / 3600)
    assert (told.unknown_videos, told.unknown_runs) == (0, 0)


def test_another_backbone_s_pace_is_better_than_none_and_none_is_said(tmp_path):
    done(tmp_path, 1, 60.0)
    told = forecast([run("tiny-siglip"), run(method="knowledge_prompt")], {"tiny-siglip": 10}, tmp_path)
    assert told.runs_h == pytest.approx(60 / 3600) and (told.unknown_videos, told.unknown_runs) == (10, 1)
    assert forecast([run()], {"tiny-clip": 5}, tmp_path / "empty").unknown_runs == 1


@pytest.mark.parametrize(
    ("site", "features", "runs"),
    [
        (None, "1.00 hours of one worker", "2.00 hours of one worker"),
        ("cpus = 3\n[runs]\ncpus = 5", "3.00 core-hours", "10.00 core-hours"),
        ('[features]\ncpus = 8\ngres = "gpu:a100:2"', "2.00 GPU-hours", "4.00 core-hours"),
    ],
)
def test_hours_are_called_what_they_are(tmp_path, capsys, monkeypatch, site, features, runs):
    monkeypatch.setattr(cluster.shutil, "which", lambda name: None)
    done(tmp_path, 1, 7200.0)
    found = None
    if site:
        (tmp_path / "site.toml").write_text(site)
        found = sites.load(tmp_path / "site.toml")
    videos = {"run": {"backbone": "tiny-clip"}, "positions": range(36_000)}
    cluster.show_plan(Work({"features": [videos], "runs": [{"lease": "x"}]}, 0, 1.5), [run()], tmp_path, found)
    said, warned = capsys.readouterr()
    assert ("there is no sbatch here" in warned) == bool(site)
    assert f"36000 videos to encode (1.5 MB): {features}; 1 runs: {runs}, at the pace of earlier runs here" in said
    assert ("features  1 jobs of 240 min" in said) == bool(site)


def test_a_training_of_the_whole_backbone_is_held_against_its_own_config(tmp_path):
    config = {"epochs": 2, "resolution": 64}
    told = {"method": "mmaction2_recognizer", "shots": 1, "backbone": "tsm"}
    made_runs.complete(
        tmp_path,
        RUN,
        identity={"config": list(config.items())},
        columns={**made_runs.record()["columns"], **told, "seconds": 36.0},
    )
    short, long = (
        dataclasses.replace(run("tsm", "mmaction2_recognizer", 1), config=(("epochs", n), ("resolution", 64)))
        for n in (2, 100)
    )
    found = forecast([short, long], {}, tmp_path)
    assert found.runs_h == pytest.approx(0.01) and found.unknown_runs == 1
