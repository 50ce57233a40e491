"""What tuning came to: each method's budget, its best configuration, and the accuracy of that on validation and on test videos."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.trials import OBJECTIVES
from results import _captions, _grid, _notes, _studies, _tables
from results._cells import MISSING, cell_marks, points, shown
from results._data import TOY_SCALE, Board, Cell, board, grouped
from results._keys import column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contracts import Artifact, ResultsView
    from bench.trials import Trial
    from results._studies import Shown

TITLE = "Tuning"
_HEADER = ("Data set", "Backbone", "Method", "Trials", "Best")
_NUMBERS = ("Validation, untuned", "Validation, best", "Test, best")


def render(results: ResultsView) -> Iterator[Artifact]:
    """`tuning` as Markdown, CSV, LaTeX and HTML."""
    yield from _tables.artifacts(table(results))


def text(results: ResultsView) -> str:
    """The same for a terminal."""
    return _tables.text(table(results))


def table(results: ResultsView) -> _tables.Table:
    """One row a study, and one more for each other trial on its Pareto front; without a study, one that says so."""
    studies = _studies.shown(results)
    if not studies:
        return _tables.empty("tuning", TITLE, (*_HEADER, *_NUMBERS), "There are no studies yet.")
    whole, feet, records = board(results), _tables.Footnotes(), list[dict[str, Any]]()
    on_test = {s.record.study_id: _on_test(whole, s) for s in studies}
    costs = tuple(dict.fromkeys(name for s in studies for name in s.record.objectives[1:]))
    blocks = []
    for part in grouped(studies, lambda s: (s.dataset, s.setting)).values():
        lines = [line for s in part for line in _lines(whole, s, on_test[s.record.study_id], costs, feet, records)]
        blocks.append(tuple(lines))
    cells = [cell for cell in on_test.values() if cell is not None]
    told = f" {_captions.of(whole, cells)}" if cells else ""
    return _tables.Table(
        name="tuning",
        title=TITLE,
        caption="Configurations chosen by top-1 on validation videos; the best then run on test videos, once a seed. Trials: the budget. "
        f"Untuned: the method as it stands, which is the first trial. {_grid.TOP1} Backbones: name (frames × views).{told}",
        header=(*_HEADER, *_NUMBERS, *(_head(name) for name in costs)),
        blocks=tuple(blocks),
        num_text=len(_HEADER),
        names=_HEADER.index("Method"),
        frame=pd.DataFrame(records),
        notes=tuple(_notes_of(whole, studies, cells)),
        footnotes=feet.listed(),
    )


def _head(objective: str) -> str:
    words = OBJECTIVES[objective].words
    return words[0].upper() + words[1:]


def _on_test(whole: Board, study: Shown) -> Cell | None:
    """The number that the best configuration of a study reached on test; None where it was not run there."""
    known = whole.values("study")
    return next((c for c in whole.cells if study.record.study_id in known[c.runs]), None)


def _lines(
    whole: Board,
    study: Shown,
    on_test: Cell | None,
    costs: Sequence[str],
    feet: _tables.Footnotes,
    records: list[dict[str, Any]],
) -> Iterator[tuple[_tables.Cell, ...]]:
    record = study.record
    protocol = protocol_name(*study.setting)
    first = [f"{study.dataset}, {protocol}", column_name(study.column), study.name]
    front: Sequence[Trial | None] = record.front or (None,)
    for trial in front:
        is_best = trial is front[0]
        budget = (
            _tables.Cell(_spent(study), marks=tuple(map(feet.mark, _problems(study)))) if is_best else _tables.Cell("")
        )
        head = [_tables.Cell(text if is_best else "") for text in first]
        yield (
            *head,
            budget,
            *_numbers(study, trial, on_test if is_best else None, is_best, feet),
            *_costs(study, trial, costs),
        )
        records.append(_record(whole, study, trial, on_test if is_best else None))


def _spent(study: Shown) -> str:
    ended = sum(trial.state != "open" for trial in study.record.trials)
    return str(study.record.budget) if ended == study.record.budget else f"{ended} of {study.record.budget}"


def _problems(study: Shown) -> Iterator[str]:
    """How many trials were cut short or have no result, and why the first has none."""
    states = Counter(trial.state for trial in study.record.trials)
    if states["pruned"]:
        yield f"{states['pruned']} pruned"
    if states["failed"]:
        reason = next(t.reason for t in study.record.trials if t.state == "failed")
        yield f"{states['failed']} failed, the first: {reason or 'no reason was recorded'}"
    if not study.record.finished:
        yield "still going on"


def _numbers(
    study: Shown, trial: Trial | None, on_test: Cell | None, is_best: bool, feet: _tables.Footnotes
) -> Iterator[_tables.Cell]:
    """Which trial, top-1 on validation before and after, and on test."""
    if trial is None:
        yield from (_tables.Cell(MISSING) for _ in range(4))
        return
    settings = ", ".join(f"{name} = {_studies.number(value)}" for name, value in trial.proposed.items())
    yield _tables.Cell(f"trial {trial.number + 1}", marks=(feet.mark(settings or "as it stands"),))
    standing = study.record.trials[0]
    yield _tables.Cell(
        (points(standing.scores[-1]) if standing.state == "complete" else standing.state) if is_best else ""
    )
    yield _tables.Cell(points(trial.scores[-1]))
    if on_test is not None:
        yield _tables.Cell(shown(on_test), marks=tuple(map(feet.mark, cell_marks(on_test, None))))
    else:
        yield _tables.Cell(
            MISSING if is_best else "", marks=(feet.mark("not run on test videos yet"),) if is_best else ()
        )


def _costs(study: Shown, trial: Trial | None, costs: Sequence[str]) -> Iterator[_tables.Cell]:
    values = dict(zip(study.record.objectives, trial.values, strict=True)) if trial else {}
    for name in costs:
        value = values.get(name)
        yield _tables.Cell(MISSING if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}")


def _record(whole: Board, study: Shown, trial: Trial | None, on_test: Cell | None) -> dict[str, Any]:
    """A line of the CSV."""
    record = study.record
    states = Counter(t.state for t in record.trials)
    line = {
        **study.facts,
        "tuning_trials": record.budget,
        **{f"num_{s}": states[s] for s in ("complete", "pruned", "failed")},
    }
    line |= {"sampler": record.told["sampler"]["name"], "objectives": " ".join(record.objectives)}
    line |= {"num_validation": record.told["num_validation"], "is_finished": record.finished}
    if record.trials and record.trials[0].state == "complete":
        line["validation_top1_untuned"] = record.trials[0].scores[-1]
    if trial is not None:
        line |= {"trial": trial.number + 1, "proposed": json.dumps(dict(trial.proposed), sort_keys=True)}
        line |= {"validation_top1": trial.scores[-1], "is_best": trial is record.best}
        line |= {f"objective_{name}": v for name, v in zip(record.objectives[1:], trial.values[1:], strict=True)}
    if on_test is not None:
        line |= {"status": on_test.status, "top1": on_test.top1, "num_runs": len(on_test.done)}
        if on_test.interval is not None:
            line |= {"low": on_test.interval.low, "high": on_test.interval.high, "interval_over": on_test.interval.over}
        line |= {"problems": "; ".join(on_test.problems), "run_ids": " ".join(whole.run_ids(on_test))}
    return line


def _notes_of(whole: Board, studies: Sequence[Shown], cells: Sequence[Cell]) -> Iterator[str]:
    yield (
        "Validation top-1 of the best is the highest of all trials on few videos, and flatters; the number on test, which no trial saw, "
        f"does not. Validation videos: {_span(s.record.told['num_validation'] for s in studies)}."
    )
    for part in grouped(studies, lambda s: (s.dataset, s.setting)).values():
        if len({(s.record.budget, s.record.told["batch"], s.record.objectives) for s in part}) > 1:
            place = f"{part[0].dataset}, {protocol_name(*part[0].setting)}"
            yield f"Budgets or objectives differ on {place}: its rows are no comparison; give all methods the same trials and objectives."
    if any(s.setting[0] == "base_to_novel" for s in studies):
        yield "Under base-to-novel, validation is on base classes alone."
    yield from dict.fromkeys(_how(s) for s in studies)
    if any(len(s.record.objectives) > 1 for s in studies):
        yield (
            "Further lines of a method: the other trials of its Pareto front, which none beats in one objective without being worse in "
            "another; they are not run on test."
        )
    toys = sorted({s.column[0] for s in studies if s.record.columns["toy_scale"]})
    if toys:
        yield f"{TOY_SCALE}. They are: {', '.join(toys)}."
    if cells:
        yield from _notes.intervals(cells)


def _how(study: Shown) -> str:
    """The sampler with every argument, and how trials are cut short."""
    told = study.record.told
    arguments = ", ".join(f"{name} {value}" for name, value in told["sampler"]["arguments"].items())
    how = f"Sampler: {told['sampler']['name']} of Optuna {told['optuna']} with seed {told['seed']}"
    how += f" ({arguments})" if arguments else ""
    how += f", {told['batch']} trials at a time."
    shares = [f"1/{d}" for d in told["divisors"][:-1]]
    if shares:
        how += (
            f" Pruned by successive halving: all trials of a batch are trained for {shares[0]} of their epochs, and 1 in {told['eta']} of "
            f"them goes on to {', '.join([*shares[1:], 'all'])}."
        )
    return how


def _span(values: Iterator[int] | Any) -> str:
    found = sorted(set(values))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
