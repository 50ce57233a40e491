"""Homes filled with made-up runs, in the very format that `bench.store.write` writes, fast enough for a hundred thousand of them.

    fill(home, datasets=2, backbones=3, methods=5, seeds=3, num_videos=60, num_groups=12)

writes `datasets x backbones x (1 + (methods - 1) x len(shots) x seeds)` runs: the first method is zero-shot and has one seed, the others
are few-shot. Some methods are better than others by a little, groups differ, and all is drawn from `random_state`: the same call is the
same bytes. `failed`, `not_applicable` and `missing` are shares of the runs that have failed, cannot run, or are not there at all.
`nasty` gives names that break whoever does not escape them to data sets, methods, classes and groups.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench import metrics
from bench.contracts import digest
from bench.specs import SCHEMA
from bench.store import COMPLETE, FAILED, Predictions, run_folder

NASTY = [
    "<script>alert(1)</script>",
    "100%_&",
    r"put_on\textbf",
    "a|b",
    "two\nlines",
    "*b* _i_ `c` $x^2$",
    "--",
    "Ünï ☃",
]
TRACE = "Traceback (most recent call last): ..."


@dataclass(frozen=True)
class Run:
    """One made-up run: `predictions` None where it did not end well, and then `reason` says why."""

    run_id: str
    record: dict
    predictions: Predictions | None
    scores: dict
    status: str = "complete"
    reason: str = ""


def fill(home, **choices):
    """Write the runs of `made(**choices)` into a home; returns their ids in the order in which they were made."""
    written = []
    for run in made(**choices):
        put(home, run)
        written.append(run.run_id)
    return written


def quick_scores(logits, labels):
    """Top-1 and the loss without scikit-learn, which takes longer than all the rest of a run."""
    right = logits.argmax(axis=1) == labels
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    nll = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    per_class = [right[labels == c].mean() for c in np.unique(labels)]
    return {"top1": float(right.mean()), "mean_class_accuracy": float(np.mean(per_class)), "nll": float(nll.mean())}


def made(
    datasets: int = 1,
    backbones: int = 2,
    methods: int = 3,
    seeds: int = 3,
    num_videos: int = 60,
    num_groups: int = 12,
    num_classes: int = 6,
    shots: tuple = (4,),
    failed: float = 0.0,
    not_applicable: float = 0.0,
    missing: float = 0.0,
    nasty: bool = False,
    scores: Callable = metrics.compute,
    random_state: int = 0,
    only: int | None = None,
):
    """The runs one by one; nothing is written. `scores(logits, labels)` gives a run's metrics; `only` is the one data set to make."""
    for d in range(datasets) if only is None else (only,):
        draw = np.random.default_rng([random_state, d])
        dataset = f"{NASTY[d % len(NASTY)]} {d}" if nasty else f"set-{d}"
        names = [NASTY[c % len(NASTY)] + str(c) if nasty else f"class {c}" for c in range(num_classes)]
        labels = np.arange(num_videos) % num_classes
        groups = [f"{NASTY[g % len(NASTY)] if nasty else 's'}{g}" for g in range(num_groups)]
        of_video = np.sort(draw.integers(0, num_groups, num_videos))
        videos = {
            "video_ids": [f"{dataset if nasty else f'set-{d}'}/v{i:05}.mp4" for i in range(num_videos)],
            "groups": [groups[g] for g in of_video],
            "class_names": names,
        }
        hard = draw.normal(0, 0.5, num_groups)[of_video] + draw.normal(0, 1, num_videos)
        for b in range(backbones):
            for m in range(methods):
                for k in shots if m else (None,):
                    for seed in range(1, seeds + 1) if m else (1,):
                        rng = np.random.default_rng([random_state, d, b, m, k or 0, seed])
                        fate = rng.random()
                        strength = 1.5 + 0.2 * b + 0.1 * m + 0.02 * (k or 0) + rng.normal(0, 0.1) + hard
                        logits = rng.standard_normal((num_videos, num_classes), dtype=np.float32)
                        logits[np.arange(num_videos), labels] += strength.astype(np.float32)
                        if fate < missing:
                            continue
                        end = "complete"
                        if fate < missing + failed:
                            end = "failed"
                        elif fate < missing + failed + not_applicable:
                            end = "n/a"
                        facts = (dataset, d, b, m, k, seed, nasty, num_videos, num_groups, num_classes, random_state)
                        yield _run(end, logits, labels, videos, scores, rng, *facts)


def _run(
    end,
    logits,
    labels,
    videos,
    scores,
    rng,
    dataset,
    d,
    b,
    m,
    shots,
    seed,
    nasty,
    num_videos,
    num_groups,
    num_classes,
    state,
):
    method = "zero_shot" if m == 0 else f"method_{m}"
    label = "zero-shot, class names" if m == 0 else f"{NASTY[m % len(NASTY)] if nasty else 'Method'} {m}"
    protocol = "few_shot" if m else "zero_shot"
    manifest, series = digest(["manifest", d, state]), digest([d, b, m, shots, seed, state])
    config = [["c", 0.316], ["num", m]]
    versions = {"dataset": 1, "method": 1, "protocol": 1}
    spec = {"dataset": "folder", "backbone": f"backbone-{b}", "method": method, "protocol": protocol, "shots": shots}
    identity = {**spec, "schema": SCHEMA, "manifest": manifest, "config": config, "seed": seed, "state": state}
    run_id = digest(identity, 12)
    known = {
        **{"dataset": dataset, "manifest": manifest, "series": series, "versions": {**versions, "adapter": 1}},
        **{"backbone": f"backbone-{b}", "family": f"family-{b % 3}", "toy_scale": False, "pretraining": "web pairs"},
        **{"method": method, "label": label, "needs_train": bool(m), "protocol": protocol, "shots": shots},
        **{"split": "1", "seed": seed, "text_source": "" if m else "class_names", "bank": "", "bank_control": "none"},
        **{"num_frames": 8, "num_views": 1, "precision": "float32", "trainable": "prompt" if m else "none"},
        **{"tuning_trials": 0, "selection": "", "num_classes": num_classes, "num_test": 0, "num_failed": 0},
        **{"num_groups": 0, "group_kind": "subject"},
    }
    if end != "complete":
        reason = "RuntimeError: out of\nmemory" if end == "failed" else "NotApplicable: no text side"
        record = {"spec": {**spec, "seed": seed}, "columns": {**known, "seconds": 1.0}}
        return Run(run_id, record, None, {}, end, reason)
    facts = {
        **{"selection": "last step" if m else "none needed", "num_test": num_videos, "num_failed": 0},
        **{"num_failed_train": 0, "num_groups": len(set(videos["groups"])), "num_train": (shots or 0) * num_classes},
        **{"num_leaked": 0, "num_trainable": 512 * m, "num_parameters": 10_000_000 * (b + 1), "gflops": 17.5 * (b + 1)},
        **{"feature_ms": 20.0 + b, "fit_seconds": float(rng.uniform(1, 9)) if m else 0.0, "predict_ms": 0.1 + 0.01 * m},
        **{
            "peak_memory_mb": 900.0 + b,
            "start_memory_mb": 880.0,
            "hardware": "2 cores of x86_64",
            "num_pool": 3 * num_videos,
        },
    }
    record = {
        "spec": {**spec, "seed": seed},
        "identity": identity,
        "columns": {**known, **facts, "seconds": float(rng.uniform(1, 9))},
        "undecodable": {},
        "forward": [{"batch": 16, "compile": False, "device": "cpu", "precision": "float32", "videos": num_videos}],
        "backbone": {"name": f"backbone-{b}", "architecture": "made up", "weights": "drawn", "version": 1},
        "provenance": {"git": "0" * 40, "python": "3.11.7", "versions": {"torch": "2.15.0", "numpy": "2.4.6"}},
    }
    predictions = Predictions(logits, labels, **videos, failed={})
    return Run(run_id, record, predictions, scores(logits, labels))


def put(home, run):
    """What `store.write` and `store.write_failure` leave on disk, without their syncing and reading back."""
    folder = run_folder(home, run.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "run_id": run.run_id, **run.record}
    if run.predictions is None:
        content |= {"status": run.status, "reason": run.reason, "traceback": TRACE}
        (folder / FAILED).write_bytes(json.dumps(content, indent=1).encode())
        return
    p, buffer = run.predictions, io.BytesIO()
    texts = {"video_ids": p.video_ids, "groups": p.groups, "class_names": p.class_names}
    texts |= {"failed_ids": list(p.failed), "failed_reasons": list(p.failed.values()), "parts": p.parts}
    arrays = {name: np.array(values, dtype=np.str_) for name, values in texts.items()}
    np.savez(buffer, logits=p.logits.astype(np.float32), labels=p.labels.astype(np.int64), **arrays)
    (folder / "predictions.npz").write_bytes(buffer.getvalue())
    rows = "".join(f"{m},{v!r},{len(p.labels)},{metrics.VERSION}\n" for m, v in run.scores.items())
    (folder / "scores.csv").write_bytes(f"metric,value,num_videos,metrics_version\n{rows}".encode())
    (folder / "run.json").write_bytes(json.dumps(content, indent=1, allow_nan=False).encode())
    (folder / COMPLETE).write_bytes(f"{len(p.labels)} videos\n".encode())
