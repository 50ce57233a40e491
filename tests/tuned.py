"""Studies without a training: a method whose settings are of every kind, and runs whose score is a function of its settings."""

import os
from dataclasses import dataclass

import numpy as np
from fakes import plug_in
from made_runs import record

from baselines import linear_probe
from bench import store
from bench.columns import columns
from bench.contracts import BenchError
from bench.specs import RunSpec

NUM = 1000  # videos a run is scored on, so that scores are told apart


@dataclass(frozen=True, kw_only=True)
class Config:
    """A rate on a log scale, a kind, and a depth that one of the kinds alone has."""

    rate: float = 0.01
    kind: str = "flat"
    depth: int = 1
    epochs: int = 30

    def __post_init__(self):
        if self.kind == "odd" and self.rate > 0.1:
            raise BenchError("odd takes no rate above .1")


def suggest(trial):
    found = {
        "rate": trial.suggest_float("rate", 1e-4, 1.0, log=True),
        "kind": trial.suggest_categorical("kind", ["flat", "deep", "odd"]),
    }
    if found["kind"] == "deep":
        found["depth"] = trial.suggest_int("depth", 1, 8)
    return found


def score(config, divisor=1):
    """Best at a deep one of depth 5 and rate 1e-2; a short training tells less."""
    right = 0.5 - 0.1 * abs(np.log10(config["rate"]) + 2)
    if config["kind"] == "deep":
        right += 0.3 - 0.05 * abs(config["depth"] - 5)
    return round(max(0.0, right) / (1 + 0.1 * (divisor - 1)), 3)


def fit(config, adapter, train, val, classes, seed):
    """A real one, for where runs are really done: the rate is how weakly a probe is held back."""
    return linear_probe.fit(linear_probe.Config(c=config.rate), adapter, train, val, classes, seed)


def plug_in_method(monkeypatch, name="tunable", **changes):
    """Make the method known for one test."""
    facts = {
        "Config": Config,
        "NEEDS": frozenset({"train"}),
        "TRAINABLE": "head",
        "VERSION": 1,
        "suggest": suggest,
        "fit": fit,
    }
    return plug_in(
        monkeypatch, "methods", name, **{**facts, "describe": lambda config: f"{name}, {config.kind}", **changes}
    )


def spec(videos, method="tunable", **more):
    return RunSpec(
        dataset="folder",
        root=str(videos),
        backbone="fake",
        method=method,
        **{"protocol": "few_shot", "shots": 2, **more},
    )


def write_run(resolved, home, top1, status="complete", reason="", **facts):
    """The folder of a run as if it had been done, with this share of NUM videos right."""
    told = {
        **columns(resolved, home),
        "fit_seconds": 1.0,
        "num_trainable": 10,
        "hardware": "a CPU",
        "seconds": 1.0,
        **facts,
    }
    values = {**record(), "identity": resolved.identity(), "columns": {**told, "num_test": NUM}}
    if status != "complete":
        store.write_failure(home, resolved.run_id, values, reason, "no trace", status)
        return
    right = np.arange(NUM) < round(NUM * top1)
    labels = np.arange(NUM) % 3
    logits = np.eye(3, dtype=np.float32)[np.where(right, labels, (labels + 1) % 3)]
    ids = [f"v{i}" for i in range(NUM)]
    found = store.Predictions(logits, labels, ids, [f"s{i % 3}" for i in range(NUM)], ("clap", "run", "wave"), {})
    store.write(home, resolved.run_id, values, found, {"top1": float(right.mean())})


def launch(home, calls=None, **outcomes):
    """A stand-in for `bench.launch.launch`: scores by `score`, but `failed(config)` may give a reason, `facts(config)` columns."""

    def do(planned):
        if calls is not None:
            calls.append([(dict(r.config), r.spec.epoch_divisor) for r in planned])
        for resolved in planned:
            config, nothing = dict(resolved.config), lambda config: None
            if outcomes.get("lost", nothing)(config):
                continue
            if reason := outcomes.get("failed", nothing)(config):
                write_run(resolved, home, 0.0, "failed", reason)
            elif not store.is_complete(home, resolved.run_id):
                facts = outcomes.get("facts", lambda config: {})(config)
                write_run(resolved, home, score(config, resolved.spec.epoch_divisor), **facts)

    return do


def brought_to_end(studies, home, do):
    """Open runs of all studies together, until there is none."""
    while open_runs := [run for study in studies for run in study.open_runs(home)]:
        do(open_runs)


def forked(work):
    """Do some work in a copy of this process; returns its exit code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def waited(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
