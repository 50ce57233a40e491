"""Runs without a result: visible, recorded with their reason, and tried again."""

import pytest
import torch
from fakes import FakeAdapter, plug_in, plug_in_adapter
from folder_runs import few_shot, method_of, spec_of

import bench as kpbench
from bench import planning
from bench.contracts import NotApplicable


@pytest.fixture
def sweep(monkeypatch):
    """Make these specs a sweep of their own."""
    return lambda *specs: plug_in(monkeypatch, "sweeps", "mine", runs=lambda choice: iter(specs))


RUN_MINE = "run --where debug --sweep mine --dataset folder --backbones fake".split()


def broken(monkeypatch, error):
    def fit(config, adapter, train, val, classes, seed):
        raise error

    return method_of(monkeypatch, "broken", fit)


def test_a_method_that_raises_is_a_visible_failure_and_the_others_are_done(
    home, adapter, videos, monkeypatch, sweep, command
):
    sweep(
        few_shot(videos, broken(monkeypatch, RuntimeError("no luck"))),
        spec_of(videos),
        few_shot(videos, "linear_probe"),
    )
    code, out, err = command(*RUN_MINE, "--root", videos)
    assert code == 1
    assert "RuntimeError: no luck" in err and "1 runs have no result" in err and "show RUN_ID" in err
    assert "runs: 2 done now" in out
    assert "zero-shot, class names" in out and "linear probe" in out, "the leaderboard of this data set is printed"
    scores = kpbench.results()
    failed = scores[scores["status"] == "failed"]
    assert failed["method"].tolist() == ["broken"] and failed["metric"].isna().all()
    assert set(scores["method"][scores["status"] == "complete"]) == {"zero_shot", "linear_probe"}
    run_id = failed["run_id"].item()
    assert run_id in err

    code, out, err = command("status")
    assert code == 1 and run_id in err and "no luck" in err
    code, out, err = command("show", run_id)
    assert code == 0 and "Traceback" in out and "no luck" in out
    table = (home / "report" / f"backbones-{videos.name}.md").read_text()
    assert "failed" in table and "no luck" in table


def test_a_failed_run_is_tried_again_by_the_same_command(home, adapter, videos, monkeypatch, sweep, command):
    luck = []

    def fit(config, adapter, train, val, classes, seed):
        if not luck:
            raise RuntimeError("no luck")
        return lambda features, classes: torch.zeros(len(features), len(classes))

    sweep(few_shot(videos, method_of(monkeypatch, "unsteady", fit)))
    assert command(*RUN_MINE, "--root", videos)[0] == 1
    before = kpbench.results()["run_id"].tolist()
    luck.append("now")
    assert command(*RUN_MINE, "--root", videos)[0] == 0
    assert set(kpbench.results()["run_id"]) == set(before)
    assert kpbench.results()["status"].unique().tolist() == ["complete"]
    assert command("status")[0] == 0


def test_from_python_a_failure_is_raised_and_recorded(home, adapter, videos, monkeypatch):
    with pytest.raises(RuntimeError, match="no luck"):
        kpbench.run(few_shot(videos, broken(monkeypatch, RuntimeError("no luck"))))
    assert kpbench.results()["reason"].tolist() == ["RuntimeError: no luck"]


ANSWERS = {
    "a missing row": lambda features, classes: torch.zeros(len(features) - 1, len(classes)),
    "transposed": lambda features, classes: torch.zeros(len(classes), len(features)),
    "float64": lambda features, classes: torch.zeros(len(features), len(classes)).double(),
    "NaN": lambda features, classes: torch.full((len(features), len(classes)), torch.nan),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_logits_that_are_none_are_a_failure_and_no_score(answer, home, adapter, videos, monkeypatch):
    method = method_of(monkeypatch, "odd", lambda *a: ANSWERS[answer])
    with pytest.raises((AssertionError, ValueError)):
        kpbench.run(few_shot(videos, method))
    assert kpbench.results()["status"].tolist() == ["failed"]


@pytest.mark.parametrize("amount", [1.0, 1e-6])
def test_a_method_that_touches_the_backbone_is_a_failure(amount, home, adapter, videos, monkeypatch):
    def fit(config, adapter, train, val, classes, seed):
        adapter.module.positions.add_(amount)
        return lambda features, classes: torch.zeros(len(features), len(classes))

    with pytest.raises(AssertionError, match="careless changed parameters of the frozen backbone fake"):
        kpbench.run(few_shot(videos, method_of(monkeypatch, "careless", fit)))
    assert kpbench.results()["status"].tolist() == ["failed"]


# --- not applicable ----------------------------------------------------------------------------------------------


def test_a_method_that_cannot_run_on_a_backbone_shows_n_a_and_why(home, videos, monkeypatch, sweep, command):
    plug_in_adapter(monkeypatch, FakeAdapter(capabilities=frozenset()))
    sweep(spec_of(videos), few_shot(videos, "coop", 1), few_shot(videos, "linear_probe"))
    code, out, err = command(*RUN_MINE, "--root", videos)
    assert code == 0, err
    assert "zero_shot needs text, which fake does not have" in out and "coop needs prompts, text" in out
    by_method = kpbench.results().drop_duplicates("run_id").set_index("method")["status"].to_dict()
    assert by_method == {"zero_shot": "n/a", "coop": "n/a", "linear_probe": "complete"}
    table = (home / "report" / f"backbones-{videos.name}.md").read_text()
    assert "n/a" in table and "which fake does not have" in table
    specs = (spec_of(videos), few_shot(videos, "coop", 1))
    assert planning.needs([planning.resolve(one, home) for one in specs], home) == [], "nothing is encoded for these"
    code, out, _ = command("status")
    assert code == 0


def test_a_method_that_learns_cannot_run_under_a_protocol_without_training(home, adapter, videos):
    with pytest.raises(
        NotApplicable, match="linear_probe learns from training videos, and the protocol zero_shot gives none"
    ):
        kpbench.run(spec_of(videos, "linear_probe"))
    assert kpbench.results()["status"].tolist() == ["n/a"]
