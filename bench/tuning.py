"""Optuna on top of the runs: equal budgets, validation data only, and a study that can be rebuilt from its files at any time.

Every trial is an ordinary run on the validation view that the protocol drew; none sees the test view. Trials are asked for in fixed
batches and told in their order, with the same sampler and the same results always the same ones: so nothing is kept but the files of
`trials`, no Optuna storage is opened, and whoever comes next goes on where the last one was killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna

from bench import plugins, trials
from bench._files import write_atomic
from bench.ask_tell import ETA, SAMPLERS, Replay
from bench.columns import columns
from bench.contracts import BenchError, NotApplicable, config_fields, digest
from bench.planning import lacking, load_adapter, resolve, views_of
from bench.specs import ResolvedRun, RunSpec, as_pairs, resolved_from_dict, resolved_to_dict
from bench.trials import OBJECTIVES

DIVISORS = (9, 3, 1)  # of the epochs, rung by rung
BATCH = 4  # trials that are asked for at once
PRUNED_BATCH = 9  # where most of them are short: one comes through


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is tuned, and how: `trials` configurations, `batch` at a time, chosen by `sampler` from `seed` for `objectives`.

    `resolved` is the first trial: the method as it stands, on the validation view. `divisors` are the rungs of successive halving:
    each trial of a batch is trained for 1/9 of its epochs, the best third for 1/3, the best third of those for all; (1,) prunes none.
    """

    resolved: ResolvedRun
    trials: int
    batch: int
    seed: int
    sampler: str
    objectives: tuple[str, ...]
    divisors: tuple[int, ...]

    @cached_property
    def study_id(self) -> str:
        """12 hex characters over all of it, and Optuna's version: the same id proposes the same configurations."""
        told = self._told()
        return digest([self.resolved.identity(), {k: v for k, v in told.items() if k != "resolved"}], 12)

    @property
    def budget(self) -> tuple[Any, ...]:
        """What studies that are compared must have in common."""
        return self.trials, self.batch, self.sampler, self.objectives

    @classmethod
    def load(cls, home: Path, study_id: str) -> Study:
        """A study by its id.

        Raises:
            BenchError: there is none, its file was changed, or it is of another version of Optuna.
        """
        told = trials.read(home, study_id).told
        if told["optuna"] != optuna.__version__:
            raise BenchError(
                f"study {study_id} is of Optuna {told['optuna']}, which proposes other configurations than {optuna.__version__} does; "
                "use that version, or tune again"
            )
        study = cls(
            resolved=resolved_from_dict(told["resolved"]),
            sampler=told["sampler"]["name"],
            objectives=tuple(told["objectives"]),
            divisors=tuple(told["divisors"]),
            **{name: told[name] for name in ("trials", "batch", "seed")},
        )
        if study.study_id != study_id:
            raise BenchError(
                f"{trials.folder(home, study_id) / 'study.json'} is not what this version wrote; delete the folder and tune again"
            )
        return study

    def write(self, home: Path) -> None:
        """Put the study's file where `load` finds it."""
        path = trials.folder(home, self.study_id) / "study.json"
        if not path.is_file():
            told = self._told() | {"study_id": self.study_id, "columns": columns(self.resolved, home)}
            told["num_validation"] = len(views_of(self.resolved, home).val)
            write_atomic(path, json.dumps(told, indent=1))

    def open_runs(self, home: Path) -> list[ResolvedRun]:
        """Runs that have to be done before the study can go on; none once it is finished.

        Writes down what ended meanwhile. Any process may call it at any time: two at once write the same bytes.

        Raises:
            BenchError: a trial's file holds another proposal than this study makes, or costs were measured on different hardware.
        """
        return Replay(self, home).open_runs()

    def finished(self, home: Path) -> bool:
        """Whether the whole budget is spent."""
        return not self.open_runs(home)

    def final_runs(self, home: Path, seeds: Sequence[int]) -> list[ResolvedRun]:
        """The best configuration on test, once for each seed.

        All on the split that was tuned on: the test videos of another one may be among those that chose the configuration.

        Raises:
            BenchError: no trial has a result.
        """
        record = trials.read(home, self.study_id)
        if record.best is None:
            why = next((t.reason for t in record.trials if t.reason), "none was done")
            raise BenchError(
                f"study {self.study_id} of {self.resolved.spec.method} on {self.resolved.backbone} has no result: {why}"
            )
        test = {"evaluation": "test", "study": self.study_id, "study_trials": self.trials}
        return [resolve(replace(self.spec(record.best.proposed), seed=seed, **test), home) for seed in seeds]  # type: ignore[arg-type]

    def has_result(self, home: Path) -> bool:
        """Whether any trial is complete."""
        return trials.read(home, self.study_id).best is not None

    def on_test(self, home: Path, seeds: Sequence[int]) -> list[ResolvedRun]:
        """The method as it stands on test, once for each seed: what reads the same features as the final runs will."""
        return [resolve(replace(self.spec({}), seed=seed, evaluation="test"), home) for seed in seeds]

    def spec(self, proposed: Mapping[str, Any], divisor: int = 1) -> RunSpec:
        """A trial's run."""
        spec = self.resolved.spec
        return replace(spec, config=as_pairs({**dict(spec.config), **proposed}), epoch_divisor=divisor)

    def _told(self) -> dict[str, Any]:
        return {
            "schema": trials.SCHEMA,
            "resolved": resolved_to_dict(self.resolved),
            **{name: getattr(self, name) for name in ("trials", "batch", "seed")},
            "sampler": {"name": self.sampler, "arguments": dict(SAMPLERS[self.sampler])},
            "objectives": list(self.objectives),
            "divisors": list(self.divisors),
            "eta": ETA,
            "optuna": optuna.__version__,
        }


def new(
    spec: RunSpec,
    home: Path,
    trials: int,
    seed: int = 1,
    batch: int | None = None,
    prune: bool = False,
    sampler: str = "tpe",
    objectives: Sequence[str] = ("accuracy",),
    write: bool = True,
) -> Study:
    """A study of a method's configuration, written down unless not to `write`; the spec's own configuration is the first trial.

    Args:
        trials: the budget; the same for every method in a comparison.
        batch: trials that are asked for at once, in knowledge of all before them; None is 4, or 9 with pruning.
        prune: successive halving over the epochs, for a method whose Config has `epochs`; others are trained whole.

    Raises:
        BenchError: no trials, an unknown sampler or objective, pruning with several objectives, a method with nothing to tune, or a
            protocol without validation videos; NotApplicable where the method cannot run on this backbone.
    """
    batch = (PRUNED_BATCH if prune else BATCH) if batch is None else batch
    if trials < 1 or batch < 1:
        raise BenchError(f"{trials} trials, {batch} at a time, tune nothing; give 1 or more")
    if sampler not in SAMPLERS:
        raise BenchError(f"unknown sampler {sampler!r}; it is one of {', '.join(SAMPLERS)}")
    unknown = [name for name in objectives if name not in OBJECTIVES]
    if unknown or list(objectives[:1]) != ["accuracy"] or len(set(objectives)) < len(objectives):
        raise BenchError(
            f"the objectives are accuracy, alone or followed by {' or '.join(list(OBJECTIVES)[1:])}, not {','.join(objectives)!r}"
        )
    if prune and len(objectives) > 1:
        raise BenchError("pruning compares trials by one objective; leave out --prune, or tune for accuracy alone")
    method = plugins.find("methods", spec.method)
    if not suggests(method):
        raise BenchError(f"{spec.method} has nothing to tune: its suggest() proposes nothing")
    resolved = resolve(replace(spec, evaluation="validation"), home)
    if needed := lacking(method, load_adapter(spec.backbone)):
        raise NotApplicable(f"{spec.method} needs {', '.join(needed)}, which {spec.backbone} does not have")
    by_epochs = prune and "epochs" in config_fields(method.Config)
    study = Study(
        resolved=resolved,
        trials=trials,
        batch=batch,
        seed=seed,
        sampler=sampler,
        objectives=tuple(objectives),
        divisors=DIVISORS if by_epochs else (1,),
    )
    if write:
        study.write(home)
    return study


def suggests(method: ModuleType) -> bool:
    """Whether a method has anything to tune."""
    return bool(method.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()))


def check_budgets(studies: Sequence[Study]) -> None:
    """Raises BenchError where studies that are compared differ in budget."""
    if len({study.budget for study in studies}) > 1:
        raise BenchError(
            "studies of different budgets are no comparison; give each the same trials, batch, sampler and objectives"
        )
