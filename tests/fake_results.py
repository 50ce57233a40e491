"""Results made up in memory: runs whose videos are right as asked for, without a home on disk."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.contracts import digest
from bench.trials import Record, Trial


@dataclass(frozen=True)
class FakeVideos:
    """What `Results.tested` says of a list of videos."""

    digest: str
    ids: tuple
    groups: tuple
    labels: np.ndarray
    class_names: tuple
    parts: tuple = ()


class FakeResults:
    """Runs whose videos are right as asked for: `right` is a share for each of the groups."""

    def __init__(self):
        self.rows, self._tested, self._told, self._frame, self.studies = [], {}, {}, None, ()

    def add(
        self,
        right=(0.5, 0.5, 0.5),
        status="complete",
        reason="",
        per_group=10,
        group_names=None,
        metrics=None,
        novel=None,
        told=None,
        **facts,
    ):
        """One run; `facts` replace its columns, `metrics` are added to its scores. The right videos come first in each group.

        With `novel`, a share for each group too, `right` is that of base videos, and as many novel videos follow. `told` is what
        the run tells of itself.
        """
        run_id = f"{len(self.rows):012x}"
        shares = [*right, *(novel or ())]
        total = per_group * len(shares)
        base = {
            **{"dataset": "toy", "manifest": "m", "backbone": "clip-tiny", "family": "clip", "toy_scale": True},
            **{"method": "zero_shot", "label": "zero-shot, class names", "needs_train": False, "trainable": "none"},
            **{"protocol": "zero_shot", "shots": pd.NA, "split": "test", "seed": 1, "text_source": "class_names"},
            **{"bank": "", "bank_control": "none", "num_frames": 8, "num_views": 1, "precision": "float32"},
            **{"tuning_trials": 0, "selection": "", "num_classes": 10, "num_test": total, "num_failed": 0},
            **{"num_groups": len(right), "seconds": 1.0, "group_kind": "subject", "pretraining": "sticks"},
            **{"config": "{}", "metrics_version": 1, "versions": {}, "series": run_id, "num_pool": None},
            **facts,
            **{"run_id": run_id, "status": status, "reason": reason},
        }
        self._frame = None
        if status != "complete":
            self.rows.append(base)
            return run_id
        correct = np.concatenate([np.arange(per_group) < round(share * per_group) for share in shares])
        names = group_names or [f"s{i}" for i in range(len(right))]
        groups = tuple(np.repeat(names * (2 if novel else 1), per_group).tolist())
        ids = tuple(f"{group}-{i}" for i, group in enumerate(groups))
        num_classes = int(base["num_classes"])
        labels = np.arange(total) % num_classes
        parts = ()
        if novel:
            half, num_base = num_classes // 2, per_group * len(right)
            parts = ("base",) * num_base + ("novel",) * (total - num_base)
            labels = np.where(np.arange(total) < num_base, labels % half, half + labels % (num_classes - half))
            of = {"base_top1": float(correct[:num_base].mean()), "novel_top1": float(correct[num_base:].mean())}
            of["harmonic_mean"] = 2 * of["base_top1"] * of["novel_top1"] / (sum(of.values()) or 1)
            metrics = {**of, **(metrics or {})}
        classes = tuple(f"class {i}" for i in range(num_classes))
        key = digest([ids, groups, labels.tolist(), classes])
        self._told[run_id] = told
        self._tested[run_id] = (FakeVideos(key, ids, groups, labels, classes, parts), correct)
        self.rows.append({**base, "top1": float(correct.mean()), "nll": 1.0, **(metrics or {})})
        return run_id

    def add_study(self, trials, divisors=(1,), objectives=("accuracy",), budget=None, seed=1, **facts):
        """A study whose trials are (proposed, scores, costs or a reason why it failed); None is one that is open. Returns its id.

        A trial with fewer scores than `divisors` was pruned. `facts` replace columns of a run of the method as it stands.
        """
        study_id = digest([len(self.studies), seed], 12)
        columns = {
            **{
                "dataset": "toy",
                "manifest": "m",
                "backbone": "clip-tiny",
                "toy_scale": True,
                "num_frames": 8,
                "num_views": 1,
            },
            **{
                "precision": "float32",
                "protocol": "few_shot",
                "shots": 4,
                "method": "coop",
                "label": "CoOp, 16 tokens",
                **facts,
            },
        }
        told = {
            **{
                "columns": columns,
                "trials": budget or len(trials),
                "batch": 4,
                "seed": seed,
                "num_validation": 40,
                "eta": 3,
            },
            **{"objectives": list(objectives), "divisors": list(divisors), "optuna": "5.0.0"},
            "sampler": {"name": "tpe", "arguments": {"n_startup_trials": 5, "multivariate": True}},
        }
        found = tuple(_trial(n, one, divisors) for n, one in enumerate(trials))
        self.studies = (*self.studies, Record(study_id=study_id, told=told, trials=found))
        return study_id

    @property
    def runs(self):
        if self._frame is None:
            frame = pd.DataFrame(self.rows)
            self._frame = frame.astype({"shots": "Int64"}) if self.rows else frame
        return self._frame

    @property
    def metrics(self):
        return tuple(name for name in ("top1", "nll", "ece") if self.rows and name in self.runs)

    @property
    def scores(self):
        facts = [name for name in self.runs if name not in self.metrics]
        return self.runs.melt(id_vars=facts, var_name="metric", value_name="value").dropna(subset=["value"])

    def tested(self, run_id):
        return self._tested[run_id]

    def predictions(self, run_id):
        videos, correct = self._tested[run_id]
        predicted = np.where(correct, videos.labels, (videos.labels + 1) % len(videos.class_names))
        columns = {"video_id": videos.ids, "group": videos.groups, "label": videos.labels, "predicted": predicted}
        return pd.DataFrame(columns).assign(correct=correct)

    def interpretation(self, run_id):
        return self._told[run_id]

    def logits(self, run_id):
        """The predicted class stands out by 2 nats."""
        predicted = self.predictions(run_id)["predicted"].to_numpy()
        return 2.0 * np.eye(len(self._tested[run_id][0].class_names), dtype=np.float32)[predicted]


def _trial(number, told, divisors):
    proposed, scores, more = told
    kinds = {
        float: {"low": 1e-4, "high": 1e3, "log": True, "step": None},
        int: {"low": 0, "high": 64, "log": False, "step": 1},
    }
    names = {float: "FloatDistribution", int: "IntDistribution", str: "CategoricalDistribution"}
    distributions = {
        name: {"name": names[type(v)], "attributes": kinds.get(type(v), {"choices": ["random", "phrase", "knowledge"]})}
        for name, v in proposed.items()
    }
    shared = {"number": number, "proposed": proposed, "params": proposed, "distributions": distributions}
    if scores is None:
        return Trial(**shared)
    if isinstance(more, str):
        return Trial(**shared, state="failed", scores=tuple(scores), reason=more)
    if len(scores) < len(divisors):
        return Trial(**shared, state="pruned", scores=tuple(scores))
    return Trial(**shared, state="complete", scores=tuple(scores), values=(scores[-1], *more))


FEW = {"protocol": "few_shot", "shots": 4, "needs_train": True, "trainable": "prompt", "selection": "last step"}
COOP = {**FEW, "method": "coop", "label": "CoOp", "text_source": ""}
KNOWING = {"text_source": "descriptions", "bank": "toy", "label": "descriptions"}

KNOWLEDGE = {**COOP, "method": "knowledge_prompt", "label": "knowledge prompt"}
SHUFFLED = {**KNOWING, "bank_control": "shuffled", "label": "descriptions (shuffled)"}


def paper():
    """Every kind of figure on two data sets and two backbones, whose costs differ."""
    results = FakeResults()
    for dataset in ("toy", "other"):
        for i, backbone in enumerate(("clip", "siglip")):
            on = {"dataset": dataset, "backbone": backbone, "gflops": 4.0 + i}
            results.add((0.2, 0.3, 0.2), **on)
            results.add((0.6, 0.5, 0.7), **{**on, **KNOWING})
            results.add((0.1, 0.1, 0.2), **{**on, **SHUFFLED})
            for seed, shots in itertools.product((1, 2), (1, 4)):
                more = {**on, "seed": seed, "shots": shots}
                results.add((0.4 + 0.1 * seed, 0.5, 0.6), **{**COOP, **more, "num_trainable": 512})
                results.add((0.7, 0.8, 0.6 + 0.1 * seed), **{**KNOWLEDGE, **more, "num_trainable": 1024})
    return results
