"""What there is to do: the tasks that bring runs and studies to their end, wherever they will be done."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import store
from bench.contracts import digest
from bench.features import SHARD_ROWS, row_keys
from bench.jobs import STUDY
from bench.planning import feature_store, load_adapter, load_manifest, needs
from bench.specs import resolved_to_dict

if TYPE_CHECKING:
    from bench.specs import ResolvedRun
    from bench.tuning import Study

SHARDS_A_GPU_TASK = 64


@dataclass(frozen=True)
class Work:
    """What a submission has to do: the tasks of each stage, rows of features that are stored already, MB (10^6 bytes) of the others."""

    stages: dict[str, list[dict[str, Any]]]
    stored: int
    megabytes: float

    @property
    def num_videos(self) -> int:
        """Videos whose features are still to be computed."""
        return sum(len(task["positions"]) for task in self.stages["features"])


def work_of(todo: Sequence[ResolvedRun], home: Path, shards: int = 1, device: str | None = None) -> Work:
    """The tasks that bring these runs to COMPLETE; a task of features is so many shards.

    Args:
        device: where the work will be done, "cpu" or "cuda", where that is not this machine.
    """
    stored, megabytes, features = 0, 0.0, []
    for need in needs(todo, home):
        manifest, found = load_manifest(home, need.resolved.manifest), feature_store(need.resolved, home, device)
        missing = found.missing(manifest, need.positions)
        stored += len(need.positions) - len(missing)
        adapter, keys = load_adapter(need.resolved.spec.backbone), row_keys(manifest)
        megabytes += found.estimate_mb(adapter, need.resolved.num_frames, len(missing))
        # Cut where the rows are, not where they are missing: two submissions at once then claim the same pieces.
        absent, rows = set(missing), SHARD_ROWS * shards
        for start in range(0, len(need.positions), rows):
            block = need.positions[start : start + rows]
            if part := [p for p in block if p in absent]:
                lease = f"features-{digest([found.folder.name, [keys[p] for p in block]], 16)}"
                features.append({"lease": lease, "run": resolved_to_dict(need.resolved), "positions": part})
    # More shots take longer; starting them first keeps the last worker from running alone.
    longest_first = sorted(todo, key=lambda r: -(r.spec.shots or 0))
    runs = [{"lease": r.run_id, "run": resolved_to_dict(r)} for r in longest_first]
    return Work({"features": features, "runs": runs}, stored, megabytes)


def work_of_studies(
    studies: Sequence[Study],
    seeds: Sequence[int],
    home: Path,
    workers: int,
    shards: int = 1,
    device: str | None = None,
) -> Work:
    """The tasks that bring studies to their end, and the best configuration of each on test, once for each seed.

    Each study is as many tasks as workers can be at it, and any worker asks for its next trials by itself.

    Args:
        workers: how many there will be for all of them.
        shards: as in `work_of`, and so is `device`.
    """
    features = work_of([run for s in studies for run in (s.resolved, *s.on_test(home, seeds))], home, shards, device)
    shares = min(studies[0].batch, -(-workers // len(studies)))
    own = secrets.token_hex(
        4
    )  # another submission's workers may be at the same study: they share its trials, not its tasks
    tasks = [
        {"lease": f"{STUDY}{s.study_id}-{share}-{own}", "study": s.study_id, "seeds": list(seeds)}
        for share in range(shares)
        for s in studies
    ]
    return Work({"features": features.stages["features"], "runs": tasks}, features.stored, features.megabytes)


def is_open(study: Study, seeds: Sequence[int], home: Path) -> bool:
    """Whether anything is left of a study: a trial, or its best configuration on test with one of the seeds; a failure is an end."""
    if not study.finished(home):
        return True
    runs = study.final_runs(home, seeds) if study.has_result(home) else []
    return any(not store.is_complete(home, r.run_id) and store.failure(home, r.run_id) is None for r in runs)
