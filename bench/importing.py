"""Predictions that another system made, as an ordinary run: same file, same metrics, same tests; marked as imported. Torch-free."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import answers, judging, metrics, protocols, rescoring, store
from bench.contracts import BenchError, digest
from bench.planning import Progress, build_manifest, silent
from bench.provenance import versions
from bench.specs import SCHEMA, RunSpec, to_dict
from bench.stored_results import Results

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
    """A run id, whether it was made now, what is kept in its record of the file, and the runs whose place it took."""

    run_id: str
    new: bool
    report: Mapping[str, Any]
    replaced: tuple[str, ...] = ()


def spec_of(source: Source, **scope: Any) -> RunSpec:
    """The spec of such a run. Raises BenchError on a protocol that there is not, or shots that do not fit it."""
    return RunSpec(backbone=source.backbone, method=METHOD, config=(("name", source.name),), **scope)


def import_predictions(
    path: Path, source: Source, spec: RunSpec, home: Path, progress: Progress = silent, replace: bool = False
) -> Imported:
    """Make a run of a file of predictions; the same file for the same scope is the same run, and is not written again.

    Args:
        replace: take the place of the predictions that were imported for the same name, scope, split and seed before.

    Raises:
        BenchError: a file, data set or split that does not do, with the place, or predictions that would stand in one cell of a
            table with others that contradict them; nothing is written then.
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
    groups = rows["group"].tolist()
    parts = np.where(np.isin(labels, views.base), *metrics.PARTS).tolist() if views.base else ()
    predictions = store.Predictions(
        judged.logits, labels, video_ids, groups, manifest.class_names, {}, parts, judged.not_scored
    )
    columns = {
        "dataset": manifest.dataset + (f", at most {spec.limit} a class" if spec.limit else ""),
        "manifest": manifest.digest,
        # What an import of an older judging.VERSION shares with its successor.
        "series": digest(
            [
                source.name,
                source.kind,
                report["sha256"],
                {k: identity[k] for k in identity if k not in ("imported", "versions")},
            ]
        ),
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
    there = _cell(home, columns)
    others = _others(there, run_id, columns)
    _room(others, there, source, columns, replace)
    new = not store.is_complete(home, run_id)
    record = {
        "spec": to_dict(spec),
        "identity": identity,
        "columns": columns,
        METHOD: report,
        "provenance": {"python": platform.python_version(), "versions": versions()},
    }
    if new:
        store.write(home, run_id, record, predictions, rescoring.score(predictions))
    replaced: list[str] = []
    while others:  # only now: of a kill in between both are left, and the same command removes them
        for other in others:
            store.remove(home, other["run_id"])
            replaced.append(other["run_id"])
        others = _others(_cell(home, columns), run_id, columns)  # older versions show once the newest is gone
    return Imported(run_id, new, report, tuple(replaced))


# What the imported runs of one cell of a table share.
_CELL = ("manifest", "label", "protocol", "backbone", "num_frames", "num_views")


def _cell(home: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The imported runs of the cell that a run is of, by split and seed."""
    runs = Results(home, columns["manifest"]).runs
    if runs.empty:
        return []
    runs = runs[(runs["method"] == METHOD) & (runs["status"] == "complete")]
    found = []
    for run in runs.to_dict("records"):
        shots = None if pd.isna(run["shots"]) else int(run["shots"])
        # A list of videos that is not the only one under its name is called by both there.
        named = str(run["dataset"]).split(" [rows ")[0]
        if (named, shots) == (columns["dataset"], columns["shots"]) and all(run[n] == columns[n] for n in _CELL):
            found.append({str(name): value for name, value in run.items()})
    return sorted(found, key=lambda run: (str(run["split"]), run["seed"]))


def _others(cell: Sequence[Mapping[str, Any]], run_id: str, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs of its cell that cannot be of one number with a run; `again` are those of its own split and seed."""
    found = []
    for run in cell:
        again = (run["split"], run["seed"]) == (columns["split"], columns["seed"])
        same = columns["series"] == run["series"] or run["run_id"] == run_id  # the tables show the newest of a series
        if not same and (again or run["setting"] != columns["setting"]):
            found.append({**run, "again": again})
    return found


def _room(
    others: Sequence[Mapping[str, Any]],
    cell: Sequence[Mapping[str, Any]],
    source: Source,
    columns: Mapping[str, Any],
    replace: bool,
) -> None:
    """Raises BenchError where a run would make its cell of the tables one without a number."""
    kept = [run for run in others if not (replace and run["again"])]
    if not kept:
        return
    ids = ", ".join(str(run["run_id"]) for run in kept)
    where = f"{columns['protocol']}" + (f", K = {columns['shots']}" if columns["shots"] else "")
    if alike := [run for run in kept if run["again"]]:
        top1 = ", ".join(f"{100 * run['top1']:.2f}" for run in alike)
        free = 1 + max(run["seed"] for run in cell if run["split"] == columns["split"])
        raise BenchError(
            f"{source.name!r} has predictions for {columns['dataset']}, {where}, split {columns['split']}, seed {columns['seed']} "
            f"already (run {ids}, top-1 {top1}), and this file has others; nothing was written. If it is a correction, --replace puts "
            f"it in their place; if it is another run of the same system, --seed {free} keeps both, and tables show "
            "their mean; if it is another system, give it another --name"
        )
    raise BenchError(
        f"{source.name!r} has predictions for {columns['dataset']}, {where} already whose scores were taken for something else than "
        f"--scores {source.kind} (run {ids}), so tables could show no one number; nothing was written. Import all files of a system "
        "with the same --scores, or give this one another --name"
    )
