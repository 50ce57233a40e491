"""A study asked and told again from its files: which trials come next, which of a batch go on, and what became of each."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import optuna

from bench import plugins, records, store, trials
from bench.contracts import BenchError, make_config
from bench.planning import resolve
from bench.specs import ResolvedRun
from bench.trials import OBJECTIVES, Trial

if TYPE_CHECKING:
    from bench.tuning import Study

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of each study and trial, in a form of its own
ETA = 3  # of successive halving: one in ETA goes on, with ETA times the epochs
# Every argument, for Optuna changes its defaults, and seeded results with them. Those that are deprecated are left to the version,
# which is in a study's id. `group` lets a sampler learn of settings that exist only beside certain others.
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"n_startup_trials": 5, "n_ei_candidates": 24, "multivariate": True, "group": True, "constant_liar": True},
    "nsga2": {"population_size": 8, "mutation_prob": None, "crossover_prob": 0.9, "swapping_prob": 0.5},
    "random": {},
}


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
