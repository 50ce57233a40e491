"""run(spec) -> scores: views, features, fit, predict, score, write. The whole flow on one screen."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench import (
    checkpoints,
    extraction,
    failures,
    memory,
    metrics,
    plugins,
    protocols,
    records,
    stopping,
    store,
    training_log,
)
from bench._processes import cores
from bench.columns import columns
from bench.contracts import (
    TRAIN,
    Adapter,
    BackboneFacts,
    BenchError,
    Classes,
    LabelledFeatures,
    LabelledVideos,
    NotApplicable,
    Predictor,
    make_config,
)
from bench.cost import Meter
from bench.decoding import decode_workers
from bench.devices import one_thread
from bench.forward import device_of
from bench.frozen import parameter_hash
from bench.interpretation import interpret
from bench.places import bench_home
from bench.planning import classes as classes_of
from bench.planning import (
    feature_store,
    lacking,
    load_adapter,
    load_manifest,
    reads_frames,
    resolve,
)
from bench.prediction import predict
from bench.provenance import provenance
from bench.specs import ResolvedRun, RunSpec, to_dict
from bench.training import share
from bench.videos import VideoFiles

if TYPE_CHECKING:
    from bench.features import FeatureStore
    from bench.manifest import Manifest


def run(spec: RunSpec, home: Path | None = None) -> dict[str, float]:
    """Do one run unless it is done already, and return its scores (metric -> value in [0, 1], or nats for `nll`).

    Raises:
        BenchError: bad input, with what to do about it; NotApplicable where the method cannot run on this backbone.
    """
    home = home or bench_home()
    resolved = resolve(spec, home)
    if not store.is_complete(home, resolved.run_id):
        extraction.extract([resolved], home)
        execute(resolved, home)
    return records.scores(home, resolved.run_id)


def execute(resolved: ResolvedRun, home: Path) -> None:
    """One run from stored features to COMPLETE. A failure is raised; one of the method or its setting is recorded in the run's folder."""
    if store.is_complete(home, resolved.run_id):
        return
    started = time.perf_counter()
    known = columns(resolved, home)
    kept = home / "checkpoints" / resolved.run_id
    trained: list[training_log.Log] = []
    try:
        with one_thread(), checkpoints.keeping(kept, resolved.identity()), training_log.keeping(kept) as trained:
            predictions, facts, computed_with, interpretation = _fit_and_predict(resolved, home)
        scores = metrics.compute(predictions.logits, predictions.labels, predictions.parts or None)
    except Exception as error:
        if isinstance(error, stopping.Stopped) or failures.kind(error) == "infrastructure":
            raise  # no fault of the run: it is tried again, from its checkpoint
        checkpoints.forget(kept)
        status = "n/a" if isinstance(error, NotApplicable) else "failed"
        lost = {
            "spec": to_dict(resolved.spec),
            "identity": resolved.identity(),
            "columns": {**known, "seconds": time.perf_counter() - started},
            "training": [log.record() for log in trained],
            "provenance": provenance(),
        }
        store.write_failure(
            home, resolved.run_id, lost, f"{type(error).__name__}: {error}", traceback.format_exc(), status
        )
        raise
    record: dict[str, Any] = {
        "spec": to_dict(resolved.spec),
        "identity": resolved.identity(),
        "columns": {**known, **facts, "seconds": time.perf_counter() - started},
        "undecodable": dict(predictions.failed),
        "features": "" if reads_frames(resolved) else feature_store(resolved, home).folder.name,
        "forward": computed_with,
        "training": [log.record() for log in trained],
        "backbone": _told(load_adapter(resolved.spec.backbone).facts),
        "provenance": provenance(),
    }
    store.write(home, resolved.run_id, record, predictions, scores, interpretation)
    checkpoints.forget(kept)


def _told(facts: BackboneFacts) -> dict[str, Any]:
    """Which model it was, for whoever looks at the run's record."""
    names = (
        "name",
        "architecture",
        "weights",
        "weights_sha256",
        "transform",
        "tokenizer",
        "pretraining",
        "licence",
        "version",
    )
    return {name: getattr(facts, name) for name in names}


def _fit_and_predict(
    resolved: ResolvedRun, home: Path
) -> tuple[store.Predictions, dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]:
    """Predictions, what the tables show beside them, how the features were computed, and what the method tells of itself."""
    spec = resolved.spec
    manifest = load_manifest(home, resolved.manifest)
    views = protocols.views(manifest, spec.protocol, spec.split, spec.seed, spec.shots)
    adapter, method = load_adapter(spec.backbone), plugins.find("methods", spec.method)
    if adapter.facts.identity != resolved.adapter:
        raise BenchError(f"{spec.backbone} is not what it was when this run was planned; start the command again")
    if needed := lacking(method, adapter):  # no features were computed for it
        raise NotApplicable(f"{spec.method} needs {', '.join(needed)}, which {spec.backbone} does not have")
    source = _source(resolved, home)
    classes = classes_of(resolved, manifest)
    learnt = classes.select(views.base) if views.base else classes
    # A trial is scored on what it may learn to tell apart, on the validation view; it knows no test videos and no novel classes.
    is_trial = spec.evaluation == "validation"
    scored, shown, base = (views.val, learnt, ()) if is_trial else (views.test, classes, views.base)
    before = parameter_hash(adapter.module)
    train, failed_train = _view(source, manifest, views.train, learnt.names)
    val, failed_val = _view(source, manifest, views.val, learnt.names)
    try:
        with Meter(device_of(adapter)) as meter, memory.watching() as fitted:
            predictor = fit(method, resolved, adapter, train, val, learnt)
            meter.lap("fit")
            # Only now are the test features opened: nothing before this line could have seen them.
            test, kept, failed = source.load(manifest, scored)
            labels = _labels(manifest, kept, shown.names)
            meter.lap("load")
            logits, parts = predict(predictor, test, labels, shown, base)
            meter.lap("predict")
            ids = manifest.rows["video_id"].iloc[kept].tolist()
            tells = not (is_trial or base)
            interpretation = interpret(predictor, adapter, test, ids, labels, logits, classes) if tells else None
    finally:
        changed = parameter_hash(adapter.module) != before
        if changed:
            extraction.forget_encoder()
            load_adapter.cache_clear()  # the next run in this process gets the backbone as it is on disk
    if changed:
        raise AssertionError(f"{spec.method} changed parameters of the frozen backbone {spec.backbone}")
    rows = manifest.rows
    predictions = store.Predictions(
        logits=logits,
        labels=labels,
        video_ids=ids,
        groups=rows["group"].iloc[kept].tolist(),
        class_names=shown.names,
        failed={rows["video_id"].iloc[p]: reason for p, reason in failed.items()},
        parts=parts,
    )
    others = views.train if is_trial else (*views.train, *views.val)
    used = [*others, *scored]
    facts = {
        "selection": views.selection if method.TRAINABLE != "none" else "none needed",
        "num_test": len(kept),
        "num_failed": len(failed),
        "num_failed_train": failed_train + failed_val,
        "num_groups": int(rows["group"].iloc[kept].nunique()),
        "num_train": len(train) if train is not None else 0,
        "num_pool": views.num_pool,
        "num_leaked": int(rows["stamp"].iloc[kept].isin(rows["stamp"].iloc[list(others)]).sum()),
        "num_parameters": getattr(predictor, "num_parameters", adapter.facts.num_parameters),
        "num_trainable": 0 if method.TRAINABLE == "none" else getattr(predictor, "num_trainable", None),
        "feature_ms": source.ms_a_video(manifest, used),
        "micro_batch": fitted.micro_batch,
        "fit_seconds": meter.seconds["fit"],
        "predict_ms": 1000 * meter.seconds["predict"] / len(kept),
        "peak_memory_mb": meter.peak_mb,
        "start_memory_mb": meter.start_mb,
        "hardware": meter.hardware,
    }
    return predictions, facts, source.computed_with(manifest, used), interpretation


def _source(resolved: ResolvedRun, home: Path) -> FeatureStore | VideoFiles:
    """Where a run's views come from: all that differs for a method that reads frames."""
    if not reads_frames(resolved):
        return feature_store(resolved, home)
    device = device_of(load_adapter(resolved.spec.backbone))
    return VideoFiles(max(1, decode_workers(device.type, cores())), home / "videos")


def fit(
    method: ModuleType,
    resolved: ResolvedRun,
    adapter: Adapter,
    train: LabelledFeatures | LabelledVideos | None,
    val: LabelledFeatures | LabelledVideos | None,
    classes: Classes,
) -> Predictor:
    """Fit a method, where the protocol gives what it learns from.

    Raises:
        NotApplicable: the protocol has no training view.
    """
    spec = resolved.spec
    if TRAIN in method.NEEDS and train is None:
        raise NotApplicable(f"{spec.method} learns from training videos, and the protocol {spec.protocol} gives none")
    config = make_config(method.Config, dict(resolved.config), spec.method)
    with share(spec.epoch_divisor):
        return method.fit(config, adapter, train, val, classes, spec.seed)  # type: ignore[no-any-return]


def _view(
    source: FeatureStore | VideoFiles, manifest: Manifest, positions: Sequence[int], class_names: Sequence[str]
) -> tuple[LabelledFeatures | LabelledVideos | None, int]:
    """A labelled view and the number of its videos that could not be decoded; None for an empty view."""
    if not positions:
        return None, 0
    found, kept, failed = source.load(manifest, positions)
    numeric = {n: torch.tensor(manifest.rows[f"num:{n}"].to_numpy(copy=True)[kept]) for n in manifest.numeric}
    return found.labelled(torch.from_numpy(_labels(manifest, kept, class_names)), numeric), len(failed)


def _labels(manifest: Manifest, positions: Sequence[int], class_names: Sequence[str]) -> np.ndarray:
    number = {c: i for i, c in enumerate(class_names)}
    return np.array([number[label] for label in manifest.rows["label"].iloc[list(positions)]], dtype=np.int64)
