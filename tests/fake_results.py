"""Results made up in memory: runs whose videos are right as asked for, without a home on disk."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.contracts import digest


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
        self.rows, self._tested, self._told, self._frame = [], {}, {}, None

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


FEW = {"protocol": "few_shot", "shots": 4, "needs_train": True, "trainable": "prompt", "selection": "last step"}
COOP = {**FEW, "method": "coop", "label": "CoOp", "text_source": ""}
KNOWING = {"text_source": "descriptions", "bank": "toy", "label": "descriptions"}
