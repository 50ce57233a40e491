"""Optuna on top of the runs: equal budgets, validation data only, one file a trial from which a study can be told again.

No trial sees the test view: a trial is a fit on the training view, scored on the validation view that the protocol drew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from bench import plugins
from bench._files import write_atomic
from bench.contracts import BenchError, digest
from bench.planning import resolve
from bench.runner import extract, validation_score
from bench.specs import ResolvedRun, RunSpec, as_pairs


@dataclass(frozen=True)
class Study:
    """The outcome: the best configuration, its validation top-1 in [0, 1], and how many trials that took."""

    study_id: str
    best: dict[str, Any]
    best_score: float
    num_trials: int


def study_id(spec: RunSpec, resolved: ResolvedRun, trials: int, seed: int) -> str:
    """12 hex characters over what is tuned and how; the same id proposes the same configurations."""
    return digest([resolved.identity(), trials, seed, optuna.__version__, "tpe"], 12)


def tune(
    spec: RunSpec, home: Path, trials: int, seed: int = 1, done: Callable[[int], None] = lambda trial: None
) -> Study:
    """Tune a method's configuration by top-1 on the validation view.

    Trials that are on disk are told to the study again instead of being run again, in their order, so a study that was broken
    off goes on as if it had not been. The spec's own configuration is the first trial.

    Raises:
        BenchError: fewer than one trial, or a method with nothing to tune or no validation data under this protocol.
    """
    if trials < 1:
        raise BenchError(f"{trials} trials tune nothing; give 1 or more")
    method = plugins.find("methods", spec.method)
    resolved = resolve(spec, home)
    extract([resolved], home)
    folder = home / "studies" / study_id(spec, resolved, trials, seed) / "trials"
    study = optuna.create_study(direction="maximize", sampler=_sampler(seed))
    for number in range(trials):
        trial = study.ask()
        proposed = as_pairs(method.suggest(trial)) if number else ()  # trial 0 is the method as it stands
        if number and not proposed:
            raise BenchError(f"{spec.method} has nothing to tune: its suggest() proposes nothing")
        path = folder / f"{number}.json"
        score = _known(path, proposed)
        if score is None:
            score = validation_score(
                resolve(replace(spec, config=as_pairs({**dict(spec.config), **dict(proposed)})), home), home
            )
            write_atomic(
                path, json.dumps({"number": number, "proposed": dict(proposed), "validation_top1": score}, indent=1)
            )
        study.tell(trial, score)
        done(number)
    rows = [json.loads((folder / f"{n}.json").read_text()) for n in range(trials)]
    best = max(rows, key=lambda row: row["validation_top1"])  # the first of equals
    return Study(folder.parent.name, best["proposed"], best["validation_top1"], trials)


def _known(path: Path, proposed: tuple[tuple[str, Any], ...]) -> float | None:
    """The score of a trial on disk; None where there is none, an error where it is of another proposal."""
    if not path.is_file():
        return None
    row = json.loads(path.read_text())
    if as_pairs(row["proposed"]) != proposed:
        raise BenchError(
            f"{path} holds another proposal than this study makes; delete the folder {path.parent.parent} and tune again"
        )
    return float(row["validation_top1"])


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    # Written out: Optuna 5 changed the defaults of multivariate and constant_liar, and seeded results with them.
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=5, multivariate=True, group=False, constant_liar=False
    )
