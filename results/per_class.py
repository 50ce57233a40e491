"""How many videos of each class each method finds: classes down, methods across, one table a data set and backbone."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from results import _captions, _notes, _tables
from results._cells import points
from results._data import Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView

TITLE = "Per class"
MOST = 8  # methods of one setting that a page has room for
_HEADER = ("Class",)


def render(results: ResultsView) -> Iterator[Artifact]:
    """`per-class-<data set>--<backbone>-<frames>-<views>-<precision>` as Markdown, CSV, LaTeX and HTML."""
    for table in tables(results):
        yield from _tables.artifacts(table)


def tables(results: ResultsView) -> Iterator[_tables.Table]:
    """One table a data set and backbone column with a complete run; where there is none, one that says so."""
    whole = board(results)
    plain = [cell for cell in whole.cells if cell.key.protocol != "base_to_novel"]  # told apart among other classes
    places = grouped(plain, lambda cell: (cell.key.dataset, cell.key.column))
    for (dataset, column), cells in places.items():
        name = f"per-class-{_tables.slug(dataset)}--{_tables.slug('-'.join(map(str, column)))}"
        done = [cell for cell in cells if cell.status == "complete"]
        if done:
            yield _table(whole, name, cells, done)
        else:
            where = f"{dataset} with {column_name(column)}"
            yield _tables.empty(name, f"{TITLE}: {where}", _HEADER, f"No run on {where} is complete.")
    if not places:
        why = "All runs are base-to-novel." if whole.cells else "There are no runs yet."
        yield _tables.empty("per-class", TITLE, _HEADER, why)


def _table(whole: Board, name: str, cells: Sequence[Cell], done: Sequence[Cell]) -> _tables.Table:
    shown, left_out = _chosen(whole, done)
    title, column = _notes.dataset_title(whole, cells), column_name(shown[0].key.column)
    found = [_by_class(whole, cell) for cell in shown]
    classes = list(dict.fromkeys(label for recalls, _ in found for label in recalls))
    videos = {label: max(counts[label] for _, counts in found) for label in classes}
    feet = _tables.Footnotes()
    means = [_tables.Cell("mean over classes"), _tables.Cell(str(sum(videos.values())))]
    for cell, (recalls, _) in zip(shown, found, strict=True):
        marks = tuple(feet.mark(text) for text in cell.problems)
        means.append(_tables.Cell(points(float(np.mean(list(recalls.values())))), marks=marks))
    rows = [
        (
            *map(_tables.Cell, (label, str(videos[label]))),
            *(_tables.Cell(points(recalls.get(label, math.nan))) for recalls, _ in found),
        )
        for label in classes
    ]
    records = [_record(whole, cell, label, found[i]) for i, cell in enumerate(shown) for label in classes]
    settings = " and ".join(dict.fromkeys(protocol_name(*cell.key.setting) for cell in shown))
    return _tables.Table(
        name=name,
        title=f"{TITLE}: {title}, {column}",
        caption=f"Recall in percent, class by class, on {title} with {column} (frames × views): {settings}. Each is the "
        "share of a class's test videos that were told right, over all complete runs of a method. "
        f"{_captions.of(whole, shown, intervals=())}",
        header=("Class", "Videos", *(f"{cell.name}, {protocol_name(*cell.key.setting)}" for cell in shown)),
        blocks=((tuple(means),), tuple(rows)),
        num_text=1,
        frame=pd.DataFrame(records),
        notes=tuple(_notes_of(whole, cells, shown, left_out)),
        footnotes=feet.listed(),
    )


def _chosen(whole: Board, done: Sequence[Cell]) -> tuple[list[Cell], int]:
    """Zero-shot with descriptions, then the best of the setting with most shots in the order of rows; how many are left out."""
    told = [
        cell
        for cell in done
        if cell.key.protocol == "zero_shot"
        and cell.key.bank_control == "none"
        and whole.distinct("text_source", [cell]) == ["descriptions"]
    ]
    setting = max((cell.key.setting for cell in done), key=lambda setting: (setting[1], setting[0] != "zero_shot"))
    rest = [cell for cell in done if cell.key.setting == setting and cell not in told]
    best = sorted(rest, key=lambda cell: -cell.top1)[:MOST]
    return told[:MOST] + [cell for cell in rest if cell in best], len(rest) - len(best) + len(told[MOST:])


def _by_class(whole: Board, cell: Cell) -> tuple[dict[str, float], Counter[str]]:
    """Recall in [0, 1] of each class that occurs, over all complete runs; its number of different test videos."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    lists: dict[str, dict[str, Counter[str]]] = {}
    for run_id, split in zip(whole.run_ids(cell, done=True), whole.values("split")[cell.done].tolist(), strict=True):
        videos, correct = whole.results.tested(run_id)
        labels, num = np.asarray(videos.labels), len(videos.class_names)
        hits = np.bincount(labels, weights=np.asarray(correct, dtype=float), minlength=num).tolist()
        known = lists.setdefault(split, {})
        if videos.digest not in known:
            counts = np.bincount(labels, minlength=num).tolist()
            known[videos.digest] = Counter(dict(zip(videos.class_names, counts, strict=True)))
        right.update(dict(zip(videos.class_names, hits, strict=True)))
        total.update(known[videos.digest])
    counted: Counter[str] = Counter()
    for of_split in lists.values():
        most: Counter[str] = Counter()
        for counts_of_list in of_split.values():
            most |= counts_of_list
        counted.update(most)
    return {label: right[label] / num for label, num in total.items() if num}, counted


def _record(whole: Board, cell: Cell, label: str, found: tuple[dict[str, float], Counter[str]]) -> dict[str, Any]:
    """A line of the CSV: the recall of one class by one method, in [0, 1]."""
    recalls, counts = found
    told = {"class": label, "num_videos": counts[label], "recall": recalls.get(label, math.nan)}
    line = {**cell.key._asdict(), "shots": cell.key.shots or None, "shown_as": cell.name, **told}
    return line | {"num_runs": len(cell.done), "run_ids": " ".join(whole.run_ids(cell, done=True))}


def _notes_of(whole: Board, cells: Sequence[Cell], shown: Sequence[Cell], left_out: int) -> Iterator[str]:
    yield from _notes.toy_scale(whole, shown)
    yield (
        "Shown: zero-shot with descriptions, where there is such a run, and of the setting with the most training videos "
        f"a class (trained before zero-shot) the best {MOST} methods by top-1; left out for room: {left_out}."
    )
    yield "Videos: test videos of a class, summed over the splits."
    yield "No interval and no test: a class has few videos, often of few groups; small differences mean nothing here."
    settings = {cell.key.setting for cell in shown}
    for cell in cells:
        if cell.status != "complete" and cell.key.setting in settings:
            yield f"No numbers of {cell.name}, {protocol_name(*cell.key.setting)}: {'; '.join(cell.problems)}."
    yield f"Complete runs: {'; '.join(f'{cell.name}: {len(cell.done)}' for cell in shown)}."
    yield from _notes.videos(whole, shown)
    yield from _notes.beware(whole, shown)
    yield _notes.pretraining(whole, shown)
