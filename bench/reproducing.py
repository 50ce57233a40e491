"""A stored run done again here and now, in a home of its own, and held against what is stored: is it the same number, and if not, why?"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import places, plugins, records, store
from bench._swap import LOCK, hold, is_held, locked
from bench.columns import columns
from bench.contracts import BenchError
from bench.planning import Progress, resolve, silent
from bench.provenance import provenance
from bench.reproduction import Difference, Logits, Reproduction
from bench.specs import ResolvedRun, RunSpec, from_dict

TOLERANCE = 1e-5  # of the largest absolute logit; float32 sums in another order differ by about 1e-6
SHARED = "data"  # what is downloaded or made once; whatever is computed from it, features too, is computed anew
SAME_SCORE = 1e-9  # relative; one set of predictions scored on another CPU differs by less


def reproduce(
    home: Path,
    run_id: str,
    root: str | None = None,
    tolerance: float = TOLERANCE,
    progress: Progress = silent,
    keep: bool = False,
) -> Reproduction:
    """Do the run of a record again in a fresh home of its own, and compare.

    Args:
        root: where the data set lies here; None is where it lay then.
        tolerance: of the logits, as a share of the largest absolute one that is stored.
        keep: leave that home, a folder under `home`; otherwise it is removed, unless the stored result does not hold.

    Raises:
        BenchError: no such run or one that cannot be done again, both before anything heavy is loaded; its data or weights are not here.
    """
    if not 0 <= tolerance < math.inf:
        raise BenchError(f"the tolerance is {tolerance}; it is a share of the largest logit, 0 or more")
    record = {**store.read_record(home, run_id), "run_id": run_id}
    before = store.read_predictions(home, run_id) if store.is_complete(home, run_id) else None
    spec = _spec(record, store.run_folder(home, run_id))
    if root is not None:
        spec = dataclasses.replace(spec, root=root)
    _at_hand(spec)
    stays = False
    scratch, lock = _fresh(home, run_id)
    try:
        result = _again(home, record, before, resolve(spec, scratch, progress), scratch, tolerance)
        stays = keep or not result.holds
        return dataclasses.replace(result, folder=scratch if stays else None)
    finally:
        if not stays:
            shutil.rmtree(scratch, ignore_errors=True)  # the link in it is removed, not what it leads to
        (scratch / LOCK).unlink(missing_ok=True)  # what has none is there to be looked at
        os.close(lock)


def _again(
    home: Path,
    record: Mapping[str, Any],
    before: store.Predictions | None,
    resolved: ResolvedRun,
    scratch: Path,
    tolerance: float,
) -> Reproduction:
    from bench import (  # they bring torch, which nobody waits for before there is something to run
        extraction,
        rescoring,
        runner,
    )

    run_id, reason = record["run_id"], ""
    try:
        extraction.extract([resolved], scratch)
        runner.execute(resolved, scratch)
    except Exception as error:  # a method may fail in any way, and that is what we want to know
        reason = f"{type(error).__name__}: {error}"
    identity = _identity(record, resolved, scratch)
    now = _around_now(scratch, resolved)
    around = _differences(_around(record), now)
    result = Reproduction(run_id, resolved.run_id, "", identity, around)
    if before is None or reason:
        was = str(record.get("reason", "")) if before is None else "a result"
        places = {str(place): "$BENCH_HOME" for place in (scratch, home)}
        places |= {str(place): "ROOT" for place in (record["spec"].get("root"), resolved.spec.root) if place}
        same = before is None and _placeless(was, places) == _placeless(reason, places) and resolved.run_id == run_id
        status = "same failure" if same else "other outcome"
        return dataclasses.replace(result, status=status, reasons=(was, reason or "a result"))
    after = store.read_predictions(scratch, resolved.run_id)
    logits, why_not = compare(before, after)
    old, new = rescoring.score(before), records.scores(scratch, resolved.run_id)
    moved = {m: (old.get(m), new.get(m)) for m in dict.fromkeys([*old, *new])}
    whose, scored = _stored_scores(home, run_id, old, new)
    result = dataclasses.replace(result, metrics=moved, scores=whose, scored=scored)
    if resolved.run_id != run_id:
        status = "another run"
    elif logits is None or logits.relative > tolerance:
        status = "differs"
    else:
        status = "identical" if logits.identical else "within tolerance"
    return dataclasses.replace(result, status=status, logits=logits, why_not=why_not)


def _spec(record: Mapping[str, Any], folder: Path) -> RunSpec:
    """What was asked for. Raises BenchError where the record does not tell it."""
    if "imported" in record:
        raise BenchError(
            f"the run in {folder} was imported from the file {record['imported'].get('file')}, so there is nothing to do again; "
            "python -m bench rescore scores its predictions anew"
        )
    for part in ("spec", "columns"):
        if part not in record:
            raise BenchError(
                f"the record in {folder} has no {part}, so the run cannot be done again; start its sweep again"
            )
    return from_dict(record["spec"])


def _at_hand(spec: RunSpec) -> None:
    """Names that nobody knows any more, videos and weights that are missing are found out before anything heavy is loaded."""
    facts = plugins.find("datasets", spec.dataset).DATASET
    try:
        places.data_root(spec.root)
    except BenchError as error:
        raise BenchError(f"{error}; say where the data set {facts.name} lies here with --root FOLDER") from error
    family = plugins.find("adapters", spec.backbone)
    if hasattr(family, "at_hand"):
        family.at_hand(spec.backbone)
    if spec.method not in plugins.names("methods"):  # importing one brings torch
        raise plugins.unknown("method", spec.method, plugins.names("methods"))


def _placeless(reason: str, places: Mapping[str, str]) -> str:
    """A reason with other words for places, the longest first: where a run lay is no part of why it failed."""
    for place in sorted(places, key=len, reverse=True):
        reason = reason.replace(place, places[place])
    return reason


def _stored_scores(
    home: Path, run_id: str, old: Mapping[str, float], new: Mapping[str, float]
) -> tuple[str, dict[str, tuple[float | None, float | None]]]:
    """Whose scores are in the run's scores.csv, and those that differ from the `new` ones where they are nobody's."""
    from bench import metrics, rescoring

    try:
        stored, version, _ = records.scored(home, run_id)
    except BenchError:
        return "unreadable", {}

    def unlike(scores: Mapping[str, float]) -> dict[str, tuple[float | None, float | None]]:
        pairs = {m: (stored.get(m), scores.get(m)) for m in dict.fromkeys([*stored, *scores])}
        return {m: pair for m, pair in pairs.items() if not rescoring.same(*pair, SAME_SCORE)}

    if not unlike(old):
        return "of its predictions", {}
    if not unlike(new):
        return "of the new predictions", {}
    return "differ" if version == metrics.VERSION else "another metrics version", unlike(new)


def compare(before: store.Predictions, after: store.Predictions) -> tuple[Logits | None, str]:
    """Logits held against each other on the same videos; None, and why, where they are not of the same videos and classes."""
    for what in ("video_ids", "class_names", "labels"):
        a, b = list(getattr(before, what)), list(getattr(after, what))
        if a != b:
            other = len(set(map(str, a)) ^ set(map(str, b)))
            return (
                None,
                f"the {what.replace('_', ' ')} differ: {len(a)} then, {len(b)} now, {other} only in one of them",
            )
    old, new = before.logits, after.logits
    if old.shape != new.shape:
        return None, f"the logits are {old.shape} then, {new.shape} now"
    finite = np.isfinite(old)
    if not np.array_equal(np.where(finite, 0, old), np.where(np.isfinite(new), 0, new), equal_nan=True):
        return None, "other logits are infinite or NaN; -inf are the classes outside of a video's label space"
    apart = float(np.abs(old[finite].astype(float) - new[finite]).max(initial=0.0))
    largest = float(np.abs(old[finite]).max(initial=0.0))
    relative = 0.0 if apart == 0 else apart / largest if largest else math.inf
    others = int((old.argmax(axis=1) != new.argmax(axis=1)).sum())
    return Logits(old.tobytes() == new.tobytes(), relative, others, len(old)), ""


def _fresh(home: Path, run_id: str) -> tuple[Path, int]:
    """A home that nobody else uses, empty but for a link to the data that is shared, and the lock on it, to be closed.

    What killed processes left goes first; what living ones use stays, and what was left to be looked at.
    """
    with locked(home / "reproduce"):
        for left in home.glob("reproduce-*"):
            if (left / LOCK).is_file() and not left.is_symlink() and not is_held(left / LOCK):
                shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"reproduce-{run_id}-", dir=home))
        lock = hold(scratch / LOCK)
    if (home / SHARED).is_dir():
        (scratch / SHARED).symlink_to(home / SHARED, target_is_directory=True)
    return scratch, lock


def _identity(record: Mapping[str, Any], resolved: ResolvedRun, scratch: Path) -> tuple[Difference, ...]:
    """Which parts of what the id is a hash of are other ones now, the lists of pairs among them name by name."""
    then, now = dict(record.get("identity") or {}), _plain(resolved.identity())
    if not then:  # a run without a result keeps only what the tables need
        known = ("manifest", "versions", "backbone", "num_frames")
        now = columns(resolved, scratch)
        return _differences({k: record["columns"].get(k) for k in known}, {k: now.get(k) for k in known})
    for part in ("config", "versions"):
        for side in (then, now):
            side |= {f"{part}: {name}": value for name, value in side.pop(part, [])}
    return tuple(Difference(_WORDS.get(d.what, d.what), d.then, d.now) for d in _differences(then, now))


_WORDS = {
    "manifest": "rows of the data set",
    "adapter": "backbone (weights, transform, text side, version)",
    "bank": "knowledge bank (digest, control)",
    "protocol": "protocol (name, shots, split, seed)",
    "frames": "frames (number, sampling, decoder)",
}


def _plain(value: Any) -> Any:
    """As it reads when it comes back from JSON."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _around(record: Mapping[str, Any]) -> dict[str, Any]:
    """What may change a number within one identity: code, libraries, machine."""
    came = dict(record.get("provenance") or {})
    libraries = {f"library {name}": version for name, version in (came.pop("versions", None) or {}).items()}
    forward = [{k: v for k, v in how.items() if k != "videos"} for how in record.get("forward", [])]
    backbone = {f"backbone's {k}": v for k, v in (record.get("backbone") or {}).items()}
    hardware = {"hardware": record["columns"].get("hardware")}
    came.pop("command", None)
    return {**came, **libraries, **backbone, **hardware, "features computed with": forward}


def _around_now(scratch: Path, resolved: ResolvedRun) -> dict[str, Any]:
    """The same of the run that was just done; of one that failed, what is known without it."""
    if store.is_complete(scratch, resolved.run_id):
        return _around(store.read_record(scratch, resolved.run_id))
    return _around({"provenance": _plain(provenance()), "columns": {}})


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What both know and tell differently; what one of them does not know is no difference."""
    known = [k for k in then if k in now and then[k] not in (None, []) and now[k] not in (None, [])]
    return tuple(Difference(k, then[k], now[k]) for k in known if _plain(then[k]) != _plain(now[k]))
