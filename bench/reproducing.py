"""A stored run done again here and now, in a home of its own, and held against what is stored: is it the same number, and if not, why?"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import records, rescoring, runner, store
from bench.contracts import BenchError
from bench.planning import Progress, columns, resolve, silent
from bench.provenance import provenance
from bench.specs import ResolvedRun, from_dict

TOLERANCE = 1e-5  # of the largest absolute logit; float32 sums in another order differ by about 1e-6
SHARED = ("data", "weights")  # what is downloaded or made once; everything that is computed from it is computed anew


@dataclass(frozen=True)
class Difference:
    """A fact that was one thing then and is another now."""

    what: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Logits:
    """How far the logits are apart: equal bit for bit, the largest difference as a share of the largest logit, other top-1 answers."""

    identical: bool
    relative: float
    num_other_answers: int
    num_videos: int


@dataclass(frozen=True)
class Reproduction:
    """What doing a run again came to.

    `status` is "identical", "within tolerance", "differs" (same run, other numbers), "another run" (what is here and now has another
    id), or for a run without a result "same failure" and "other outcome". `identity` and `around` are the differences in what the id
    is a hash of, and in what it is not.
    """

    run_id: str
    new_id: str
    status: str
    identity: tuple[Difference, ...]
    around: tuple[Difference, ...]
    logits: Logits | None = None
    why_not: str = ""
    metrics: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    reasons: tuple[str, str] = ("", "")

    @property
    def holds(self) -> bool:
        """Whether the stored result stands."""
        return self.status in ("identical", "within tolerance", "same failure")


def scratch_folder(home: Path, run_id: str) -> Path:
    """The home in which a run is done again."""
    return home / "reproduce" / run_id


def reproduce(
    home: Path, run_id: str, root: str | None = None, tolerance: float = TOLERANCE, progress: Progress = silent
) -> Reproduction:
    """Do the run of a record again in a fresh home, which stays there, and compare.

    Args:
        root: where the data set lies here; None is where it lay then.
        tolerance: of the logits, as a share of the largest absolute one that is stored.

    Raises:
        BenchError: no such run, its predictions are damaged, or its data or weights are not here.
    """
    if not 0 <= tolerance < math.inf:
        raise BenchError(f"the tolerance is {tolerance}; it is a share of the largest logit, 0 or more")
    record = store.read_record(home, run_id)
    before = store.read_predictions(home, run_id) if store.is_complete(home, run_id) else None
    spec = from_dict(record["spec"])
    if root is not None:
        spec = dataclasses.replace(spec, root=root)
    scratch = _fresh(home, run_id)
    resolved = resolve(spec, scratch, progress)
    reason = ""
    try:
        runner.extract([resolved], scratch)
        runner.execute(resolved, scratch)
    except Exception as error:  # a method may fail in any way, and that is what we want to know
        reason = f"{type(error).__name__}: {error}"
    identity = _identity(record, resolved, scratch)
    now = _around_now(scratch, resolved)
    around = _differences(_around(record), now)
    result = Reproduction(run_id, resolved.run_id, "", identity, around)
    if before is None or reason:
        was = str(record.get("reason", "")) if before is None else "a result"
        same = before is None and was == reason and resolved.run_id == run_id
        status = "same failure" if same else "other outcome"
        return dataclasses.replace(result, status=status, reasons=(was, reason or "a result"))
    after = store.read_predictions(scratch, resolved.run_id)
    logits, why_not = compare(before, after)
    old, new = rescoring.score(before), records.scores(scratch, resolved.run_id)
    moved = {m: (old.get(m), new.get(m)) for m in dict.fromkeys([*old, *new])}
    if resolved.run_id != run_id:
        status = "another run"
    elif logits is None or logits.relative > tolerance:
        status = "differs"
    else:
        status = "identical" if logits.identical else "within tolerance"
    return dataclasses.replace(result, status=status, logits=logits, why_not=why_not, metrics=moved)


def clean_up(home: Path, run_id: str) -> None:
    """Remove the home in which a run was done again; links in it are removed, not what they lead to."""
    shutil.rmtree(scratch_folder(home, run_id), ignore_errors=True)
    parent = scratch_folder(home, run_id).parent
    if parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()


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
    finite = np.isfinite(old)
    if old.shape != new.shape or not np.array_equal(finite, np.isfinite(new)):
        return None, "the label spaces of the videos differ"
    apart = float(np.abs(old[finite].astype(float) - new[finite]).max(initial=0.0))
    largest = float(np.abs(old[finite]).max(initial=0.0))
    relative = 0.0 if apart == 0 else apart / largest if largest else math.inf
    others = int((old.argmax(axis=1) != new.argmax(axis=1)).sum())
    return Logits(old.tobytes() == new.tobytes(), relative, others, len(old)), ""


def _fresh(home: Path, run_id: str) -> Path:
    """An empty home, but for links to what is shared."""
    scratch = scratch_folder(home, run_id)
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True)
    for name in SHARED:
        (home / name).mkdir(exist_ok=True)
        (scratch / name).symlink_to(home / name, target_is_directory=True)
    return scratch


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


def told(result: Reproduction, record: Mapping[str, Any], tolerance: float) -> list[str]:
    """The outcome in lines for people."""
    lines = [f"run {result.run_id}: {_VERDICTS[result.status].format(tolerance=tolerance)}"]
    if result.new_id != result.run_id:
        lines.append(f"run id: now {result.new_id}, for these differ:")
        lines += [f"  {_line(d)}" for d in result.identity] or ["  nothing that the stored record tells"]
    if result.reasons != ("", ""):
        lines += [f"then: {result.reasons[0]}", f"now:  {result.reasons[1]}"]
    if result.why_not:
        lines.append(f"predictions: cannot be compared: {result.why_not}")
    if result.logits is not None:
        same = (
            "equal bit for bit"
            if result.logits.identical
            else f"apart by up to {result.logits.relative:.2g} of the largest logit"
        )
        lines.append(
            f"predictions: {same}; {result.logits.num_other_answers} of {result.logits.num_videos} top-1 answers differ"
        )
    for name, (old, new) in result.metrics.items():
        lines.append(f"  {name}: {_number(old)} -> {_number(new)}" + ("" if old == new else "  (differs)"))
    if result.around:
        lines.append(
            "other than then, and a possible reason:" if not _is_equal(result) else "other than then, without effect:"
        )
        lines += [f"  {_line(d)}" for d in result.around]
    elif not _is_equal(result):
        lines.append("libraries, machine, GPU and commit are what they were then, as far as the record tells")
    if (record.get("provenance") or {}).get("git_dirty"):
        lines.append("  the code had changes that were not committed then, so the commit does not tell all of it")
    if provenance()["git_dirty"]:
        lines.append("  the code has changes that are not committed now")
    return lines


_VERDICTS = {
    "identical": "reproduced, bit for bit",
    "within tolerance": "reproduced within the tolerance of {tolerance:g} of the largest logit",
    "differs": "NOT reproduced: the same run gives other numbers, further apart than {tolerance:g} of the largest logit",
    "another run": "NOT reproduced: the same spec is another run here and now",
    "same failure": "it fails again, for the same reason",
    "other outcome": "NOT reproduced: another outcome",
}


def _is_equal(result: Reproduction) -> bool:
    return result.status in ("identical", "same failure")


def _line(difference: Difference) -> str:
    return f"{difference.what}: {difference.then} -> {difference.now}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"
