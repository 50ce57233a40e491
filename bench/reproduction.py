"""What doing a stored run again came to, and how it is told. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.provenance import provenance


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
    is a hash of, and in what it is not. `metrics` are those of the stored predictions and of the new ones.

    `scores` is whose scores the stored scores.csv has: "of its predictions", "of the new predictions" alone, of "another metrics
    version", of neither ("differ"), "unreadable", or "" without a result; `scored` are those that differ, as stored and now.
    `folder` is the home in which the run was done again; None where it was removed.
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
    scores: str = ""
    scored: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def holds(self) -> bool:
        """Whether the stored result stands: the predictions, and the scores that are told of them."""
        found = ("identical", "within tolerance", "same failure")
        return self.status in found and self.scores not in ("differ", "unreadable")


def told(result: Reproduction, record: Mapping[str, Any], tolerance: float) -> list[str]:
    """The outcome in lines for people."""
    from bench import rescoring

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
        lines.append(
            f"  {name}: {_number(old)} -> {_number(new)}" + ("" if rescoring.same(old, new) else "  (differs)")
        )
    if result.scores:
        lines.append(f"scores.csv: {_SCORES[result.scores]}")
    lines += [f"  {name}: {_number(old)} there, {_number(new)} now" for name, (old, new) in result.scored.items()]
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


_SCORES = {
    "of its predictions": "what the stored predictions give",
    "of the new predictions": "what the run gives now, but NOT what its stored predictions give",
    "another metrics version": "made by another version of the metrics; python -m bench rescore makes it anew",
    "differ": "NOT what the stored predictions give, nor what the run gives now",
    "unreadable": "cannot be read; python -m bench rescore makes it anew",
}


def _is_equal(result: Reproduction) -> bool:
    return result.status in ("identical", "same failure")


def _line(difference: Difference) -> str:
    return f"{difference.what}: {difference.then} -> {difference.now}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"
