"""Who is best on which backbone: one table a data set, methods by protocol down, backbones across."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from results import _tables
from results._data import (
    COLUMN,
    ROW,
    SETTING,
    TOY_SCALE,
    Judge,
    Summary,
    Verdict,
    column_name,
    load_runs,
    protocol_name,
    row_names,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from bench.contracts import Artifact, ResultsView

    Key = tuple[Hashable, ...]

TITLE = "Leaderboard"
MISSING = "—"
TOY_NAMES = "near chance by construction: the names never occur in the pre-training captions"
_PER_RUN = ("num_test", "num_groups", "num_failed", "num_classes", "tuning_trials", "selection", "trainable")
_OTHER_METRICS = ("top5", "mean_class_accuracy", "macro_f1", "nll", "ece")


def render(results: ResultsView) -> Iterator[Artifact]:
    """`leaderboard-<data set>` as Markdown, CSV, LaTeX and HTML."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def text(results: ResultsView) -> str:
    """All leaderboards for a terminal."""
    return "\n".join(_tables.text(table) for table in tables(results))


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """One table a data set; without any run, one table that says so."""
    runs = load_runs(results)
    judge = Judge(results)
    for dataset, part in runs.groupby("dataset", sort=False):
        yield _Board(str(dataset), part, judge).table()
    if runs.empty:
        yield _tables.empty("leaderboard", TITLE, ("Protocol", "Method"), "There are no runs yet.")


class _Board:
    """One data set's table while it is put together."""

    def __init__(self, dataset: str, runs: pd.DataFrame, judge: Judge) -> None:
        self.dataset, self.runs, self.judge = dataset, runs, judge
        columns = runs[COLUMN].drop_duplicates().sort_values(COLUMN)
        self.columns: list[Key] = [tuple(c) for c in columns.itertuples(index=False)]
        self.names = row_names(runs)
        self.feet = _tables.Footnotes()
        self.records: list[dict[str, Any]] = []
        self.tests: list[str] = []

    def table(self) -> _tables.Table:
        """The finished table."""
        titles = [t for t in self.runs.get("dataset_title", pd.Series(dtype=str)).dropna().unique() if t]
        title = titles[0] if titles else self.dataset
        blocks = [self._chance(), *(self._block(part) for _, part in self.runs.groupby(SETTING, sort=False))]
        frame = pd.DataFrame(self.records)
        return _tables.Table(
            name=f"leaderboard-{_tables.slug(self.dataset)}",
            title=f"{TITLE}: {title}",
            caption=f"Top-1 accuracy in percent on {title}: mean ± half of its 95 % interval, (n) where it is the mean "
            "of n runs. Column heads: backbone (frames × views).",
            header=("Protocol", "Method", "Trained", *map(column_name, self.columns)),
            blocks=tuple(blocks),
            num_text=3,
            frame=frame,
            notes=tuple(self._notes(frame)),
            footnotes=self.feet.listed(),
        )

    def _chance(self) -> tuple[tuple[_tables.Cell, ...], ...]:
        cells = [_tables.Cell(text) for text in (MISSING, "chance (100 / C)", MISSING)]
        for column, part in self._by_column(self.runs).items():
            counts = sorted(part["num_classes"].dropna().astype(int).unique())
            cells.append(_tables.Cell(" / ".join(f"{100 / count:.1f}" for count in counts) or MISSING))
            chance = {"dataset": self.dataset, "label": "chance", **dict(zip(COLUMN, column, strict=True))}
            self.records += [{**chance, "num_classes": count, "top1": 1 / count} for count in counts]
        return (tuple(cells),)

    def _by_column(self, runs: pd.DataFrame) -> dict[Key, pd.DataFrame]:
        found = {tuple(c): part for c, part in runs.groupby(COLUMN, sort=False)}
        return {c: found.get(c, runs.iloc[:0]) for c in self.columns}

    def _block(self, runs: pd.DataFrame) -> tuple[tuple[_tables.Cell, ...], ...]:
        """The rows of one protocol and number of shots: within each column, they are what can be compared."""
        rows = {tuple(r): self._by_column(p) for r, p in runs.groupby(ROW, sort=False)}
        expected = {(r.seed, r.split) for r in runs[runs["needs_train"]].itertuples()}
        grid: dict[Key, dict[Key, Summary]] = {}
        verdicts: dict[Key, dict[Key, Verdict]] = {}
        for column in self.columns:
            grid[column] = {row: self.judge.summary(p[column]) for row, p in rows.items() if len(p[column])}
            verdicts[column] = self.judge.ties(grid[column])
        lines = []
        for row, parts in rows.items():
            whole = pd.concat(list(parts.values()))
            shared, own = self._row_marks(whole.iloc[0], parts)
            cells = [
                _tables.Cell(protocol_name(str(row[0]), int(whole["shots"].iloc[0]))),
                _tables.Cell(self.names[row], marks=tuple(self.feet.mark(text) for text in shared)),
                _tables.Cell("/".join(sorted(whole["trainable"].astype(str).unique()))),
            ]
            for column in self.columns:
                summary, verdict = grid[column].get(row), verdicts[column].get(row)
                told = own.get(column, [])
                if summary is not None and summary.status == "complete" and whole["needs_train"].iloc[0]:
                    told = told + _absent(expected - {(r.seed, r.split) for r in parts[column].itertuples()})
                cells.append(self._cell(summary, verdict, told))
                self._record(row, column, parts[column], summary, verdict)
            lines.append(tuple(cells))
        return tuple(lines)

    def _row_marks(self, first: pd.Series, parts: dict[Key, pd.DataFrame]) -> tuple[list[str], dict[Key, list[str]]]:
        """Footnotes of a whole row, and of single cells where the row's cells were selected in different ways."""
        names_only = first["protocol"] == "zero_shot" and first["text_source"] == "class_names"
        shared = [TOY_NAMES] if self.dataset.startswith("toy") and names_only else []
        if not first["needs_train"]:
            return shared, {}
        done = {c: part[part["status"] == "complete"] for c, part in parts.items()}
        own = {c: _selection(part) for c, part in done.items() if len(part)}
        if len({tuple(texts) for texts in own.values()}) == 1:
            return shared + next(iter(own.values())), {}
        return shared, own

    def _cell(self, summary: Summary | None, verdict: Verdict | None, told: list[str]) -> _tables.Cell:
        if summary is None:
            return _tables.Cell(MISSING)
        shown = summary.status
        told = [*summary.problems, *told]
        if summary.interval is not None:
            shown = f"{100 * summary.top1:.1f}"
            if math.isnan(summary.interval.half_width):
                told.append(summary.interval.over)
            else:
                shown += f" ± {100 * summary.interval.half_width:.1f}"
            shown += f" ({len(summary.runs)})" if len(summary.runs) > 1 else ""
        if verdict is not None:
            self.tests.append(verdict.test)
            if math.isnan(verdict.p_value) and verdict.test != "best":
                told.append(f"a tie with the best is {verdict.test}")
        bold = verdict is not None and verdict.bold
        return _tables.Cell(shown, bold, tuple(self.feet.mark(text) for text in told))

    def _record(
        self, row: Key, column: Key, every: pd.DataFrame, summary: Summary | None, verdict: Verdict | None
    ) -> None:
        """One line of the CSV: everything that the cell stands for, shares in [0, 1]."""
        record: dict[str, Any] = {
            "dataset": self.dataset,
            **dict(zip(ROW, row, strict=True)),
            "shown_as": self.names[row],
        }
        record |= dict(zip(COLUMN, column, strict=True))
        record["shots"] = record["shots"] or None
        if summary is None:
            self.records.append({**record, "status": "missing"})
            return
        known = summary.runs if len(summary.runs) else every  # what a run found out, only a complete one knows
        record |= {name: _one_or_all(known[name]) for name in ("pretraining", "toy_scale", *_PER_RUN)}
        record |= {"status": summary.status, "top1": summary.top1}
        if summary.interval is not None and verdict is not None:
            low, high = (summary.top1 + sign * summary.interval.half_width for sign in (-1, 1))
            record |= {"low": low, "high": high, "interval_over": summary.interval.over}
            record |= {"interval_num": summary.interval.num, "interval_mean": summary.interval.mean}
            record |= {"best_or_tied": verdict.bold, "p_against_best_holm": verdict.p_value, "test": verdict.test}
            record |= {name: summary.runs[name].mean() for name in _OTHER_METRICS if name in summary.runs}
            record |= {"num_runs": len(summary.runs), "seconds": summary.runs["seconds"].mean()}
        record |= {name: " ".join(map(str, every[name].unique())) for name in ("seed", "split")}
        record |= {"problems": "; ".join(summary.problems), "run_ids": " ".join(every["run_id"])}
        self.records.append(record)

    def _notes(self, frame: pd.DataFrame) -> Iterator[str]:
        toy = sorted(self.runs.loc[self.runs["toy_scale"], "backbone"].unique())
        if toy:
            yield f"{TOY_SCALE}. They are: {', '.join(toy)}."
        yield from _interval_notes(frame)
        if self.tests:
            kinds = sorted({test.split(",")[0] for test in self.tests} - {"best"})
            how = f"; tests: {'; '.join(kinds)}" if kinds else ""
            yield (
                "Bold: the best of one protocol in one column, and what is tied with it: a paired test finds no "
                f"difference at .05, Holm-corrected over the rows that the best is compared with{how}."
            )
        done = self.runs[self.runs["status"] == "complete"]
        groups = "/".join(sorted(self.runs["group_kind"].dropna().unique()))
        yield (
            f"Test videos a complete run: {_span(done['num_test'])}; groups ({groups}): {_span(done['num_groups'])}; "
            f"undecodable test videos, recorded and in no score: {_span(done['num_failed'])}."
        )
        if groups == "video":
            yield "No subjects or sources are known: clips of one source may stand on both sides, and numbers may be too high."
        if "num_leaked" in done and (leaked := int(done["num_leaked"].fillna(0).max())):
            yield f"Leak: up to {leaked} test videos of a run have the same content as one of its training or validation videos."
        known = self.runs[["backbone", "pretraining"]].drop_duplicates().itertuples(index=False)
        yield "Pre-training: " + "; ".join(f"{backbone}: {data}" for backbone, data in known) + "."


def _selection(runs: pd.DataFrame) -> list[str]:
    """How a trained cell's settings were chosen, a text for each way."""
    ways = runs[["selection", "tuning_trials"]].drop_duplicates().itertuples(index=False)
    return [f"selection: {selection or 'not recorded'}; tuning trials: {trials}" for selection, trials in ways]


def _absent(missing: set[tuple[Any, Any]]) -> list[str]:
    if not missing:
        return []
    return ["no run for " + ", ".join(f"seed {seed} on split {split}" for seed, split in sorted(missing, key=str))]


def _interval_notes(frame: pd.DataFrame) -> Iterator[str]:
    """Which interval stands in which rows."""
    if "interval_over" not in frame:
        return
    done = frame.dropna(subset=["interval_over"])
    settings = [protocol_name(p, int(k or 0)) for p, k in zip(done["protocol"], done["shots"].fillna(0), strict=True)]
    done = done.assign(setting=settings)
    everyone = {setting: set(rows["shown_as"]) for setting, rows in done.groupby("setting")}
    for over, part in done.groupby("interval_over", sort=False):
        where = []
        for setting, rows in part.groupby("setting", sort=False):
            names = list(dict.fromkeys(rows["shown_as"]))
            where.append(f"{setting}" if set(names) == everyone[setting] else f"{setting} ({' / '.join(names)})")
        yield f"± over {over}. In: {'; '.join(where)}."
    gap = (done["interval_mean"] - done["top1"]).abs().max()
    if gap > 0.0005:
        yield (
            "Groups differ in size: ± belongs to the mean of group means, which is up to "
            f"{100 * gap:.1f} points from the accuracy over videos that is shown."
        )


def _one_or_all(values: pd.Series) -> Any:
    """The value where there is one, otherwise all of them in words."""
    distinct = list(values.dropna().unique())
    return distinct[0] if len(distinct) == 1 else " / ".join(map(str, distinct))


def _span(values: pd.Series) -> str:
    numbers = values.dropna().astype(int)
    if numbers.empty:
        return "not recorded"
    return str(numbers.min()) if numbers.min() == numbers.max() else f"{numbers.min()} to {numbers.max()}"
