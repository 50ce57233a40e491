"""A study as files: what is tuned and how, and what came of each trial. No torch and no Optuna: whoever looks need not wait for them.

`studies/<id>/study.json` says what is tuned, with which budget, by which sampler with which arguments; `proposals/<n>.json` what trial
n is, `trials/<n>.json` what became of it, written once it ended, and `finals/<seed>.json` which run is the best one on test. All of it
follows from the study's file and the folders of its runs, so whoever writes a file, and however often, writes the same bytes; each is
replaced by one rename.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench import _folders
from bench._files import write_atomic
from bench.contracts import BenchError

SCHEMA = 1  # of a study's files
STATES = ("open", "complete", "pruned", "failed")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Something that is measured of a trial: whether more of it is better, as Optuna spells it, and what tables call it."""

    direction: Literal["maximize", "minimize"]
    words: str


# The first is always asked for. `cost` is wall time, so all trials of a study have to be measured on one kind of hardware.
OBJECTIVES: Mapping[str, Objective] = {
    "accuracy": Objective(direction="maximize", words="validation top-1"),
    "cost": Objective(direction="minimize", words="seconds to fit"),
    "parameters": Objective(direction="minimize", words="numbers learnt"),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial. `proposed` are fields of the method's config, `params` the same as the sampler names them, with their `distributions`.

    `state` is one of STATES. `scores` are validation top-1 in [0, 1], one for each of the study's `divisors` that was reached, and
    `runs` the ids of the runs that were scored, and of the one that failed. `values` are the objectives of a complete trial; `reason`
    says why a trial failed; `hardware` is what its cost was measured on, "" where cost is no objective.
    """

    number: int
    proposed: Mapping[str, Any]
    params: Mapping[str, Any]
    distributions: Mapping[str, Any]
    state: str = "open"
    runs: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    reason: str = ""
    hardware: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A study as its files tell it. `told` is study.json; `columns` are those of a run of the method as it stands before tuning.

    `trials` are those that were proposed so far, in their order, of a budget of `budget`.
    """

    study_id: str
    told: Mapping[str, Any]
    trials: tuple[Trial, ...]

    @property
    def columns(self) -> Mapping[str, Any]:
        return self.told["columns"]  # type: ignore[no-any-return]

    @property
    def budget(self) -> int:
        return int(self.told["trials"])

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.told["objectives"])

    @property
    def finished(self) -> bool:
        """Whether every trial of the budget ended."""
        return len(self.trials) == self.budget and all(t.state != "open" for t in self.trials)

    @property
    def front(self) -> tuple[Trial, ...]:
        """The complete trials that no other one beats in one objective without being worse in another, the most accurate first.

        With one objective it is the best trial, of equals the first.
        """
        done = [t for t in self.trials if t.state == "complete"]
        losses = {t.number: self._losses(t) for t in done}
        kept: list[Trial] = []
        for trial in sorted(done, key=lambda t: (losses[t.number], t.number)):
            mine = losses[trial.number]
            if not any(all(a <= b for a, b in zip(losses[k.number], mine, strict=True)) for k in kept):
                kept.append(trial)
        return tuple(kept)

    @property
    def best(self) -> Trial | None:
        """The most accurate complete trial, of equals the one with the least of the other objectives, then the first; None without any."""
        return next(iter(self.front), None)

    def _losses(self, trial: Trial) -> tuple[float, ...]:
        signs = (-1 if OBJECTIVES[name].direction == "maximize" else 1 for name in self.objectives)
        return tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))


def called(record: Record, dataset: str) -> Record:
    """A study whose data set goes by another name."""
    return replace(record, told={**record.told, "columns": {**record.columns, "dataset": dataset}})


def folder(home: Path, study_id: str) -> Path:
    """Where a study lives. Raises BenchError for what is no study's id."""
    if not re.fullmatch(r"[0-9a-f]{12}", study_id):
        raise BenchError(
            f"{study_id!r} is no id of a study; it is 12 hexadecimal characters, the name of a folder in studies/"
        )
    return home / "studies" / study_id


def study_ids(home: Path) -> list[str]:
    """Ids of all studies of a home."""
    return sorted(
        p.parent.name
        for p in (home / "studies").glob("[0-9a-f]*/study.json")
        if re.fullmatch(r"[0-9a-f]{12}", p.parent.name)
    )


def read(home: Path, study_id: str) -> Record:
    """A study as it is now.

    Raises:
        BenchError: there is none of this id, or a file of it is damaged or of another schema.
    """
    place = folder(home, study_id)
    if not (place / "study.json").is_file():
        known = ", ".join(study_ids(home)) or "none"
        raise BenchError(f"there is no study {study_id} under {home}; there are: {known}")
    told = _json(place / "study.json")
    if told.get("schema") != SCHEMA:
        raise BenchError(
            f"{place} is a study of schema {told.get('schema')}, this version reads schema {SCHEMA}; tune again elsewhere"
        )
    found = [trial for n in range(int(told["trials"])) if (trial := read_trial(place, n)) is not None]
    return Record(study_id=study_id, told=told, trials=tuple(found))


def read_trial(place: Path, number: int) -> Trial | None:
    """A trial by the folder of its study: how it ended, else what was proposed; None where neither is known.

    Raises:
        BenchError: its file is damaged.
    """
    for path in (place / "trials" / f"{number}.json", place / "proposals" / f"{number}.json"):
        if path.is_file():
            values = _json(path)
            try:
                lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
                return Trial(**lists)
            except TypeError as error:
                raise BenchError(f"{path} is no trial of this version ({error}); {_mend(path)}") from error
    return None


def write_proposal(place: Path, trial: Trial) -> None:
    """Say what a trial is, unless that is said already."""
    path = place / "proposals" / f"{trial.number}.json"
    if not path.is_file():
        write_atomic(path, text(trial))


def write_end(place: Path, trial: Trial) -> None:
    """Say how a trial ended."""
    write_atomic(place / "trials" / f"{trial.number}.json", text(trial))


def write_final(place: Path, seed: int, run_id: str) -> None:
    """Say which run is the study's best configuration on test with a seed, unless that is said already."""
    path, told = place / "finals" / f"{seed}.json", json.dumps({"run": run_id})
    if not path.is_file() or path.read_text() != told:
        write_atomic(path, told)


def final_runs(home: Path, study_id: str) -> dict[int, str]:
    """Seed -> run of a study's best configuration on test, as far as it is known which runs these are.

    Raises:
        BenchError: a file of them is damaged.
    """
    found = folder(home, study_id).glob("finals/[0-9]*.json")
    return {int(path.stem): str(_json(path).get("run", "")) for path in found}


def is_done(home: Path, study_id: str, seeds: Sequence[int]) -> bool:
    """Whether nothing is left of a study, as far as files tell: all trials ended, and so did the best one's runs on test with these seeds.

    Raises:
        BenchError: as `read`.
    """
    told = folder(home, study_id) / "study.json"
    if told.is_file() and num_ended(home, study_id) < _json(told).get("trials", 0):
        return False  # most often, and without a look at each trial
    record = read(home, study_id)
    runs = final_runs(home, study_id)
    ended = (seed in runs and _folders.stamp(home / "runs" / runs[seed][:2] / runs[seed]) for seed in seeds)
    return record.finished and (record.best is None or all(ended))


def num_ended(home: Path, study_id: str) -> int:
    """How many trials of a study have ended, as far as that is written down."""
    return sum(1 for _ in (folder(home, study_id) / "trials").glob("[0-9]*.json"))


def text(trial: Trial) -> str:
    """A trial as its file holds it; equal trials have equal texts."""
    return json.dumps(asdict(trial), indent=1, sort_keys=True, allow_nan=False)


def stamps(home: Path) -> list[Sequence[Any]]:
    """What changes when a study changes: name, time (ns) and size of each of its files."""
    paths = [p for study_id in study_ids(home) for p in sorted(folder(home, study_id).rglob("*.json"))]
    return [[str(p.relative_to(home)), p.stat().st_mtime_ns, p.stat().st_size] for p in paths]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no record")
    except ValueError as error:
        raise BenchError(f"{path} is damaged ({error}); {_mend(path)}") from error
    return found


def _mend(path: Path) -> str:
    return f"delete {path} and start the same tuning again: it is written anew from the runs"
