"""From runs to the numbers of a cell: which runs belong together, their mean, interval, problems, and paired tests."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.stats import ALPHA, Interval, PairedTest, holm, mcnemar_exact, over_groups, over_seeds, paired_over_groups

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from bench.contracts import ResultsView

TOY_SCALE = (
    "toy-scale backbones: for checking the path without a download; their numbers say nothing about the real models"
)
SETTING = ["protocol", "shots"]
ROW = [*SETTING, "needs_train", "method", "label", "bank", "bank_control"]
# Numbers of other frames, views or number formats are never put into one column.
COLUMN = ["backbone", "num_frames", "num_views", "precision"]
SOURCES = ("", "class_names", "templates", "descriptions")
PROTOCOLS = ("zero_shot", "few_shot", "cross_subject")
_TEXTS = ("dataset", "backbone", "protocol", "method", "label", "split", "text_source", "bank", "selection", "reason")


def load_runs(results: ResultsView) -> pd.DataFrame:
    """One row a run, complete or not, with a column a metric (`top1` always); in the order of the tables' rows."""
    scores = results.scores
    if scores.empty:
        return pd.DataFrame(columns=["run_id", "dataset", "status", "protocol", "text_source", "top1"])
    runs = scores.drop(columns=["metric", "value"]).drop_duplicates("run_id").set_index("run_id")
    runs = runs.assign(**{name: runs[name].fillna("") for name in _TEXTS})
    runs["bank_control"] = runs["bank_control"].fillna("none")
    runs["precision"] = (
        runs["precision"].fillna("float32") if "precision" in runs else "float32"
    )  # of runs before it was told
    runs["shots"] = runs["shots"].astype("Int64").fillna(0).astype(int)  # 0: the protocol knows no shots
    for name in ("needs_train", "toy_scale"):
        runs[name] = runs[name].astype(bool)
    wide = scores.dropna(subset=["metric"]).pivot_table(index="run_id", columns="metric", values="value", sort=False)
    runs = runs.join(wide.astype(float)).reset_index()
    runs["top1"] = runs["top1"] if "top1" in runs else math.nan
    records = runs.to_dict("records")
    return runs.iloc[sorted(range(len(runs)), key=lambda i: _order(records[i]))].reset_index(drop=True)


def _order(run: Mapping[Hashable, Any]) -> tuple[Hashable, ...]:
    """Sorting key: data set, protocol, shots, untrained before trained, by text source, shuffled before true, seed."""
    protocol, source = str(run["protocol"]), str(run["text_source"])
    return (
        run["dataset"],
        PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS),
        protocol,
        run["shots"],
        run["needs_train"],
        SOURCES.index(source) if source in SOURCES else len(SOURCES),
        run["bank_control"] == "none",
        run["label"],
        run["bank"],
        run["backbone"],
        run["seed"],
        run["run_id"],
    )


def protocol_name(protocol: str, shots: int) -> str:
    """A protocol in words: "few-shot, K = 4"; K only where the protocol has shots."""
    return protocol.replace("_", "-") + (f", K = {shots}" if shots else "")


def column_name(column: Sequence[object]) -> str:
    """A column's head: "clip-tiny (8 × 1)" for backbone (frames × views), and the number format where it is not float32."""
    backbone, frames, views, precision = column
    return f"{backbone} ({frames} × {views}{'' if precision == 'float32' else f', {precision}'})"


def row_names(runs: pd.DataFrame) -> dict[tuple[Hashable, ...], str]:
    """What each row (ROW values) is called: its label, with the bank where one label stands for several banks."""
    rows = [tuple(row) for row in runs[ROW].drop_duplicates().itertuples(index=False)]
    named = {row: dict(zip(ROW, row, strict=True)) for row in rows}
    uses = Counter((r["protocol"], r["shots"], r["label"]) for r in named.values())
    names: dict[tuple[Hashable, ...], str] = {}
    for row, r in named.items():
        told = [str(r["bank"]), "shuffled" if r["bank_control"] == "shuffled" else ""]
        extra = ", ".join(part for part in told if part) or str(r["method"])
        clash = uses[r["protocol"], r["shots"], r["label"]] > 1
        names[row] = f"{r['label']} ({extra})" if clash else str(r["label"])
    return names


@dataclass(frozen=True, eq=False)
class Summary:
    """What one cell says of its runs.

    `status` is "complete" where at least one run is, otherwise "failed", "n/a" or "mixed"; `top1` in [0, 1] is the mean
    over the complete runs; `problems` say what is not as it should be; `runs` are the complete ones.
    """

    status: str
    top1: float
    interval: Interval | None
    problems: tuple[str, ...]
    runs: pd.DataFrame


@dataclass(frozen=True)
class Verdict:
    """Whether a cell is bold, its Holm-corrected p against the best (NaN: is the best, or not testable), the test."""

    bold: bool
    p_value: float
    test: str


class Judge:
    """Summaries and tests for one view of the results; reads each run's predictions once."""

    def __init__(self, results: ResultsView) -> None:
        self._results = results
        self._units: dict[tuple[str, ...], pd.DataFrame] = {}

    def summary(self, runs: pd.DataFrame) -> Summary:
        """The runs of one cell: same data set, protocol, shots, method, bank, backbone, frames and views."""
        done = runs[runs["status"] == "complete"]
        problems = _unfinished(runs)
        if done.empty:
            status = "failed" if (runs["status"] == "failed").any() else "n/a"
            return Summary(status, math.nan, None, tuple(problems), done)
        if done.duplicated(["seed", "split"]).any():
            ids = ", ".join(done["run_id"])
            problems.append(f"runs with other settings or versions lie under one name and seed, so no number: {ids}")
            return Summary("mixed", math.nan, None, tuple(problems), done.iloc[:0])
        return Summary("complete", float(done["top1"].mean()), self.interval(done), tuple(problems), done)

    def interval(self, runs: pd.DataFrame) -> Interval:
        """Over seeds where several drew something anew for the same test videos, otherwise over the test groups.

        Splits share test groups, so their numbers are not independent draws: replicates on several splits are pooled,
        and the interval is over groups.
        """
        first = runs.iloc[0]
        shuffled = first["bank_control"] == "shuffled"
        if len(runs) > 1 and len(set(runs["split"])) == 1 and (first["needs_train"] or shuffled):
            if not first["needs_train"]:
                other = "other shuffles of the descriptions"
            elif first["shots"]:
                other = "other draws of shots and initialisation"
            else:
                other = "other initialisations"
            return over_seeds(list(runs["top1"]), other)
        units = self.units(runs)
        return over_groups(units["correct"], units["group"], str(first["group_kind"]))

    def units(self, runs: pd.DataFrame) -> pd.DataFrame:
        """One row a split and test video: its `group`, and `correct`, the mean in [0, 1] over the runs."""
        key = tuple(runs["run_id"])
        if key not in self._units:
            parts = [self._results.predictions(str(r)).assign(split=s) for r, s in zip(key, runs["split"], strict=True)]
            units = pd.concat(parts).astype({"correct": float}).groupby(["split", "video_id"], sort=False)
            self._units[key] = units.agg(group=("group", "first"), correct=("correct", "mean"))
        return self._units[key]

    def compare(self, a: pd.DataFrame, b: pd.DataFrame) -> PairedTest:
        """Paired test of two cells on the videos of both; exact McNemar for single runs on independent videos."""
        both = self.units(a).join(self.units(b)["correct"].rename("correct_b"), how="inner")
        if both.empty:
            return PairedTest(math.nan, math.nan, math.nan, math.nan, 0, "not testable: no video in common")
        kind = str(a.iloc[0]["group_kind"])
        if kind == "video" and len(a) == len(b) == 1:
            test = mcnemar_exact(both["correct"], both["correct_b"])
        else:
            test = paired_over_groups(both["correct"], both["correct_b"], both["group"], kind)
        num = max(len(self.units(a)), len(self.units(b)))
        return (
            test if len(both) == num else replace(test, test=f"{test.test}, on the {len(both)} of {num} videos of both")
        )

    def ties(self, cells: Mapping[tuple[Hashable, ...], Summary]) -> dict[tuple[Hashable, ...], Verdict]:
        """Which of some comparable cells are best or tied with the best; cells without a number are left out.

        Tied means that the difference from the best is not significant at .05 after Holm's correction over these cells.
        A cell that cannot be tested counts as tied only where its number is the same.
        """
        done = {key: cell for key, cell in cells.items() if cell.status == "complete"}
        if not done:
            return {}
        best = max(done, key=lambda key: done[key].top1)
        tests = {key: self.compare(done[best].runs, cell.runs) for key, cell in done.items() if key != best}
        verdicts = {best: Verdict(True, math.nan, "best")}
        for (key, test), p in zip(tests.items(), holm([test.p_value for test in tests.values()]), strict=True):
            bold = done[key].top1 == done[best].top1 if math.isnan(p) else p >= ALPHA
            verdicts[key] = Verdict(bold, p, test.test)
        return verdicts


def _unfinished(runs: pd.DataFrame) -> list[str]:
    """A text such as "failed (seed 1, seed 3): why" for each reason among the runs that are not complete."""
    several = len(set(runs["split"])) > 1
    found = []
    for (status, reason), part in runs[runs["status"] != "complete"].groupby(["status", "reason"], sort=False):
        seeds = [f"seed {r.seed} on split {r.split}" if several else f"seed {r.seed}" for r in part.itertuples()]
        place = "" if len(part) == len(runs) else f" ({', '.join(seeds)})"
        found.append(f"{status}{place}: {reason or 'no reason was recorded'}")
    return found
