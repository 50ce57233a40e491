"""Run folders written by hand into a home: no backbone, no video, no torch."""

import numpy as np

from bench import metrics, store
from bench.contracts import digest

CLASSES = ("clap", "run", "wave")


def predictions(seed=0, num=12, **changes):
    """Random logits of `num` videos in three groups; the labels take turns."""
    rng = np.random.default_rng(seed)
    values = {
        "logits": rng.normal(size=(num, len(CLASSES))).astype(np.float32),
        "labels": np.arange(num) % len(CLASSES),
        "video_ids": [f"v{i}" for i in range(num)],
        "groups": [f"s{i % 3}" for i in range(num)],
        "class_names": CLASSES,
        "failed": {},
    }
    return store.Predictions(**{**values, **changes})


def record(method="zero_shot", seed=1, **changes):
    """What run.json holds beside the schema and the id; `changes` replace whole entries."""
    spec = {"dataset": "toy", "backbone": "tiny-clip", "method": method, "seed": seed, "root": None}
    columns = {
        **{"dataset": "toy", "manifest": "m1", "series": digest([method, seed]), "versions": {"method": 1}},
        **{"backbone": "tiny-clip", "family": "CLIP", "toy_scale": True, "pretraining": "sticks", "method": method},
        **{
            "label": method.replace("_", "-"),
            "needs_train": False,
            "protocol": "zero_shot",
            "shots": None,
            "split": "1",
        },
        **{"seed": seed, "text_source": "class_names", "bank": "", "bank_control": "none", "num_frames": 8},
        **{"num_views": 1, "precision": "float32", "trainable": "none", "tuning_trials": 0, "selection": "none needed"},
        **{"num_classes": 3, "num_test": 12, "num_failed": 0, "num_groups": 3, "group_kind": "subject", "seconds": 1.5},
        **{"num_failed_train": 0, "num_train": 0, "num_leaked": 0},
    }
    return {
        "spec": spec,
        "identity": {"method": method, "config": [["text", "class_names"]]},
        "columns": columns,
        "undecodable": {},
        "forward": [{"batch": 16, "device": "cpu", "videos": 12}],
        "provenance": {
            "git": "abc",
            "host": "node17",
            "command": ["/opt/bench/__main__.py", "run", "--root", "all clips"],
            "versions": {"numpy": "2.2"},
        },
        **changes,
    }


def complete(home, run_id, seed=0, scores=None, found=None, **changes):
    """A complete run, in the place of what lay there; its scores are those of its predictions unless given."""
    store.remove(home, run_id)  # nothing else replaces a complete run
    found = found or predictions(seed)
    scores = scores if scores is not None else metrics.compute(found.logits, found.labels)
    store.write(home, run_id, record(seed=seed, **changes), found, scores)
    return run_id


def failed(home, run_id, reason="ValueError: [bold]odd[/bold]", trace="Traceback: line 1\nValueError: odd", **changes):
    store.write_failure(home, run_id, record(method="coop", **changes), reason, trace)
    return run_id


def files(folder):
    """Relative name -> bytes of everything under a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
