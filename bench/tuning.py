"""Optuna on top of the runs: equal budgets, validation data only, and a study that can be rebuilt from its files at any time.

Every trial is an ordinary run on the validation view that the protocol drew; none sees the test view. Trials are asked for in fixed
batches and told in their order, with the same sampler and the same results always the same ones: so nothing is kept but the files of
`trials`, no Optuna storage is opened, and whoever comes next goes on where the last one was killed.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna

from bench import plugins, records, store, trials
from bench._files import write_atomic
from bench.contracts import BenchError, NotApplicable, config_fields, digest, make_config
from bench.planning import columns, lacking, load_adapter, resolve, resolved_from_dict, resolved_to_dict, views_of
from bench.specs import ResolvedRun, RunSpec, as_pairs
from bench.trials import OBJECTIVES, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of each study and trial, in a form of its own
ETA = 3  # of successive halving: one in ETA goes on, with ETA times the epochs
DIVISORS = (9, 3, 1)  # of the epochs, rung by rung
BATCH = 4  # trials that are asked for at once
PRUNED_BATCH = 9  # where most of them are short: one comes through
# Every argument, for Optuna changes its defaults, and seeded results with them. Those that are deprecated are left to the version,
# which is in a study's id. `group` lets a sampler learn of settings that exist only beside certain others.
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"n_startup_trials": 5, "n_ei_candidates": 24, "multivariate": True, "group": True, "constant_liar": True},
    "nsga2": {"population_size": 8, "mutation_prob": None, "crossover_prob": 0.9, "swapping_prob": 0.5},
    "random": {},
}


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


class Replay:
    """A study asked and told again from the beginning, as far as its runs are done; it goes on from there each time it is asked."""

    def __init__(self, study: Study, home: Path) -> None:
        self.study, self.home = study, home
        self.folder = trials.folder(home, study.study_id)
        self.method = plugins.find("methods", study.resolved.spec.method)
        directions = [OBJECTIVES[name].direction for name in study.objectives]
        self.optuna = optuna.create_study(directions=directions, sampler=_sampler(study))
        self.hardware = ""
        self._told = 0  # trials
        self._asked: list[tuple[optuna.Trial, Trial]] = []  # the batch that is waited for

    def open_runs(self) -> list[ResolvedRun]:
        """As `Study.open_runs`."""
        study = self.study
        while self._told < study.trials:
            if not self._asked:
                numbers = range(self._told, min(self._told + study.batch, study.trials))
                self._asked = [self._ask(number) for number in numbers]
            known = [trials.read_trial(self.folder, trial.number) or trial for _, trial in self._asked]
            ended, waiting = self._rungs(known)
            if waiting:
                return waiting
            for handle, trial in self._asked:
                self._tell(handle, ended[trial.number])
            self._told += len(self._asked)
            self._asked = []
        return []

    def _ask(self, number: int) -> tuple[optuna.Trial, Trial]:
        """The next proposal, and the trial as its file has it."""
        standing = _standing(self.method, dict(self.study.resolved.config)) if number == 0 else {}
        if standing:
            self.optuna.enqueue_trial(standing)
        handle = self.optuna.ask()
        # The method as it stands may lie outside of what it suggests, and is no less the first trial.
        proposed = self.method.suggest(handle) if number or standing else {}
        told = {
            name: json.loads(optuna.distributions.distribution_to_json(d)) for name, d in handle.distributions.items()
        }
        trial = Trial(
            number=number, proposed=_plain(proposed), params=_plain(handle.params), distributions=_plain(told)
        )
        known = trials.read_trial(self.folder, number)
        if known is None:
            trials.write_proposal(self.folder, trial)
            return handle, trial
        if (known.proposed, known.params) != (trial.proposed, trial.params):
            raise BenchError(
                f"trial {number} of {self.folder} is {dict(known.proposed)}, and this study proposes {dict(trial.proposed)}: what "
                f"{self.study.resolved.spec.method} suggests has changed, or a result; delete the folder and tune again"
            )
        return handle, known

    def _rungs(self, batch: Sequence[Trial]) -> tuple[dict[int, Trial], list[ResolvedRun]]:
        """The trials of a batch that ended, by number, and the runs that the next rung waits for."""
        ended: dict[int, Trial] = {}
        alive = list(batch)
        for rung, divisor in enumerate(self.study.divisors):
            reached: list[Trial] = []
            waiting: list[ResolvedRun] = []
            for trial in alive:
                outcome = self._outcome(trial, rung, divisor)
                if isinstance(outcome, ResolvedRun):
                    waiting.append(outcome)
                elif outcome.state == "failed":
                    ended[trial.number] = self._end(trial, outcome)
                elif divisor == 1:
                    ended[trial.number] = self._end(trial, replace(outcome, state="complete"))
                else:
                    reached.append(outcome)
            if waiting or divisor == 1:
                return ended, waiting
            ranked = sorted(reached, key=lambda t: (-t.scores[rung], t.number))
            keep = -(-len(ranked) // ETA)
            for trial in ranked[keep:]:
                known = next(t for t in batch if t.number == trial.number)
                ended[trial.number] = self._end(known, replace(trial, state="pruned"))
            alive = sorted(ranked[:keep], key=lambda t: t.number)
        return ended, []

    def _outcome(self, trial: Trial, rung: int, divisor: int) -> Trial | ResolvedRun:
        """The trial with what a rung brought, or the run that is to be done for it."""
        if trial.state != "open" and rung < len(trial.scores):
            values = trial.values if divisor == 1 else ()
            return replace(
                trial,
                state="open",
                runs=trial.runs[: rung + 1],
                scores=trial.scores[: rung + 1],
                values=values,
                reason="",
            )
        if trial.state == "failed":
            return trial
        if trial.state != "open":
            raise self._changed(trial, "to be trained on")
        trial = replace(trial, runs=trial.runs[:rung], scores=trial.scores[:rung])
        spec = self.study.spec(trial.proposed, divisor)
        try:
            make_config(self.method.Config, dict(spec.config), spec.method)
        except BenchError as error:  # settings that do not go together: the method's own word
            return replace(trial, state="failed", reason=str(error))
        resolved = resolve(spec, self.home)
        trial = replace(trial, runs=(*trial.runs, resolved.run_id))
        if store.is_complete(self.home, resolved.run_id):
            return self._scored(trial, resolved.run_id, divisor)
        if (failure := store.failure(self.home, resolved.run_id)) is not None:
            return replace(trial, state="failed", reason=failure["reason"])
        return resolved

    def _scored(self, trial: Trial, run_id: str, divisor: int) -> Trial:
        told = store.read_record(self.home, run_id)["columns"]
        score = records.scores(self.home, run_id)["top1"]
        measured = {"accuracy": score, "cost": told["fit_seconds"], "parameters": told["num_trainable"]}
        values = [measured[name] for name in self.study.objectives]
        for name, value in zip(self.study.objectives, values, strict=True):
            if value is None or not math.isfinite(value):
                return replace(
                    trial,
                    state="failed",
                    reason=f"its {OBJECTIVES[name].words} is {value}, which is no number to compare",
                )
        trial = replace(trial, scores=(*trial.scores, score), values=tuple(map(float, values)) if divisor == 1 else ())
        return replace(trial, hardware=told["hardware"]) if "cost" in self.study.objectives else trial

    def _end(self, known: Trial, trial: Trial) -> Trial:
        """The trial, written down unless it is; what is written never changes."""
        if known.state == "open":
            trials.write_end(self.folder, trial)
        elif trials.text(known) != trials.text(trial):
            raise self._changed(known, trial.state)
        if trial.hardware and self.hardware not in ("", trial.hardware):
            raise BenchError(
                f"seconds to fit were measured on {self.hardware} and on {trial.hardware}, which are no comparison; tune on one kind of "
                "machine, or for parameters in place of cost"
            )
        self.hardware = trial.hardware or self.hardware
        return trial

    def _changed(self, known: Trial, now: str) -> BenchError:
        return BenchError(
            f"trial {known.number} of {self.folder} ended {known.state}, and by the results of its batch it is {now}; delete the folder "
            "and tune again"
        )

    def _tell(self, handle: optuna.Trial, trial: Trial) -> None:
        if len(self.study.divisors) > 1:
            for rung, score in enumerate(trial.scores):
                handle.report(score, step=rung)
        if trial.state == "complete":
            self.optuna.tell(handle, list(trial.values))
        else:
            states = {"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}
            self.optuna.tell(handle, state=states[trial.state])


def _standing(method: ModuleType, config: Mapping[str, Any]) -> dict[str, Any]:
    """The method as it stands in the sampler's words; {} where that is not among what the method suggests."""
    trial = optuna.trial.FixedTrial(dict(config))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            proposed = method.suggest(trial)
        except (ValueError, TypeError, UserWarning):
            return {}
    same = all(config.get(name) == value for name, value in proposed.items())
    return dict(trial.params) if same else {}


def _sampler(study: Study) -> optuna.samplers.BaseSampler:
    kinds: Mapping[str, Callable[..., optuna.samplers.BaseSampler]] = {
        "tpe": optuna.samplers.TPESampler,
        "nsga2": optuna.samplers.NSGAIISampler,
        "random": optuna.samplers.RandomSampler,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kinds[study.sampler](seed=study.seed, **SAMPLERS[study.sampler])


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they come back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return found
