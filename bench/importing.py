"""Predictions that another system made, as an ordinary run: same file, same metrics, same tests; marked as imported. Torch-free."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import answers, judging, metrics, protocols, rescoring, store
from bench.contracts import BenchError, digest
from bench.planning import Progress, build_manifest, silent
from bench.provenance import versions
from bench.specs import SCHEMA, RunSpec, to_dict

METHOD = "imported"  # what stands as the method of such a run, and marks it in tables
NAME = r"\w[\w +().:@-]{0,79}"


@dataclass(frozen=True)
class Source:
    """What an imported file is of: a system's name, what it ran on, its frames and views (0: not told), and what its scores are."""

    name: str
    backbone: str = "elsewhere"
    num_frames: int = 0
    num_views: int = 0
    kind: str = "ranking"

    def __post_init__(self) -> None:
        for what, value in (("--name", self.name), ("--backbone", self.backbone)):
            if not re.fullmatch(NAME, value) or ".." in value:
                raise BenchError(
                    f"{what} is {ascii(value)}; it begins with a letter or digit, goes on with those, spaces and _ + ( ) . : @ -, "
                    "has at most 80 of them, and is no path"
                )
        if self.num_frames < 0 or self.num_views < 0:
            raise BenchError(f"{self.num_frames} frames and {self.num_views} views; they are 0 (not told) or more")


@dataclass(frozen=True)
class Imported:
    """A run id, whether it was made now, and what is kept in its record of the file."""

    run_id: str
    new: bool
    report: Mapping[str, Any]


def spec_of(source: Source, **scope: Any) -> RunSpec:
    """The spec of such a run. Raises BenchError on a protocol that there is not, or shots that do not fit it."""
    return RunSpec(backbone=source.backbone, method=METHOD, config=(("name", source.name),), **scope)


def import_predictions(path: Path, source: Source, spec: RunSpec, home: Path, progress: Progress = silent) -> Imported:
    """Make a run of a file of predictions; the same file for the same scope is the same run, and is not written again.

    Raises:
        BenchError: a file, data set or split that does not do, with the place; nothing is written then.
    """
    content = answers.read(path)
    try:
        found = answers.parse(content, path.suffix.lower())
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    manifest = build_manifest(spec, home, progress)
    views = protocols.views(manifest, spec.protocol, spec.split, spec.seed, spec.shots)
    rows = manifest.rows.iloc[list(views.test)]
    number = {name: i for i, name in enumerate(manifest.class_names)}
    labels = np.array([number[label] for label in rows["label"]], dtype=np.int64)
    video_ids = rows["video_id"].tolist()
    try:
        judged = judging.judge(found, video_ids, labels, manifest.class_names, source.kind, views.base)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    identity = {
        "schema": SCHEMA,
        "imported": [source.name, hashlib.sha256(content).hexdigest(), source.kind, judging.VERSION],
        "dataset": spec.dataset,
        "manifest": manifest.digest,
        "backbone": source.backbone,
        "frames": [source.num_frames, source.num_views],
        "protocol": [spec.protocol, spec.shots, spec.split, spec.seed],
        "method": METHOD,
        "config": [["name", source.name]],
        "versions": [["protocol", protocols.VERSION]],
    }
    run_id = digest(identity, 12)
    right = judged.logits.argmax(axis=1) == labels
    report = {
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "scores_are": source.kind,
        **judged.report,
        "top1_answered": float(right[judged.answered].mean()),
        "top1_all": float(right.mean()),
        "not_applicable": dict(judged.not_scored),
    }
    if store.is_complete(home, run_id):
        return Imported(run_id, False, report)
    groups = rows["group"].tolist()
    parts = np.where(np.isin(labels, views.base), *metrics.PARTS).tolist() if views.base else ()
    predictions = store.Predictions(
        judged.logits, labels, video_ids, groups, manifest.class_names, {}, parts, judged.not_scored
    )
    columns = {
        "dataset": manifest.dataset + (f", at most {spec.limit} a class" if spec.limit else ""),
        "manifest": manifest.digest,
        "series": digest(identity),
        "versions": {"protocol": protocols.VERSION, METHOD: judging.VERSION},
        "backbone": source.backbone,
        "family": METHOD,
        "toy_scale": False,
        "pretraining": "not told (imported)",
        "method": METHOD,
        "label": f"{source.name} (imported)",
        "setting": digest([source.name, source.kind, spec.protocol, spec.shots]),
        "is_default": True,
        "needs_train": spec.protocol != "zero_shot",
        "protocol": spec.protocol,
        "shots": spec.shots,
        "split": spec.split,
        "seed": spec.seed,
        "text_source": "",
        "bank": "",
        "bank_control": "none",
        "num_frames": source.num_frames,
        "num_views": source.num_views,
        "precision": "float32",
        "trainable": METHOD,
        "evaluation": "test",
        "study": "",
        "tuning_trials": 0,
        "selection": "not told (imported)",
        "num_classes": len(manifest.class_names),
        "num_test": len(labels),
        "num_missing": len(judged.report["missing"]),
        "num_failed": 0,
        "num_groups": len(set(groups)),
        "num_pool": views.num_pool,
        "group_kind": manifest.group_kind,
        "probabilities": source.kind != "ranking",
    }
    record = {
        "spec": to_dict(spec),
        "identity": identity,
        "columns": columns,
        METHOD: report,
        "provenance": {"python": platform.python_version(), "versions": versions()},
    }
    store.write(home, run_id, record, predictions, rescoring.score(predictions))
    return Imported(run_id, True, report)
