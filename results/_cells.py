"""How a cell is written: its text, its footnotes, and its line in the CSV."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results._data import Board, Cell, Verdict

MISSING = "—"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
METRICS = ("top5", "mean_class_accuracy", "macro_f1", "nll", "ece")
_PER_RUN = ("num_test", "num_groups", "num_failed", "num_classes", "tuning_trials", "selection", "trainable")


def points(share: float, signed: bool = False) -> str:
    """A share as percent with one decimal, a difference with its sign; a dash for NaN."""
    if math.isnan(share):
        return MISSING
    return f"{100 * share:+.1f}".replace("-", "−") if signed else f"{100 * share:.1f}"


def p_text(value: float) -> str:
    """A p value with three decimals, small ones as "2 × 10⁻⁶"; a dash for NaN."""
    if math.isnan(value):
        return MISSING
    if value >= 0.001:
        return f"{value:.3f}"
    if value < 1e-99:
        return "< 10⁻⁹⁹"
    digit, power = f"{value:.0e}".split("e")
    return f"{digit} × 10{str(int(power)).translate(_SUPERSCRIPT)}"


def shown(cell: Cell | None) -> str:
    """Percent, half of the interval, number of runs where there are several, as "82.4 ± 2.6 (3)"; or what became of it."""
    if cell is None:
        return MISSING
    if cell.status != "complete":
        return cell.status
    half = "" if math.isnan(cell.half_width) else f" ± {100 * cell.half_width:.1f}"
    return points(cell.top1) + half + (f" ({len(cell.done)})" if len(cell.done) > 1 else "")


def no_interval(cell: Cell) -> list[str]:
    """Why a number has no interval, a text; none where it has one."""
    return [cell.interval.over] if cell.interval is not None and math.isnan(cell.half_width) else []


def cell_marks(cell: Cell, verdict: Verdict | None, told: Sequence[str] = ()) -> list[str]:
    """The texts of a cell's footnotes: problems, what else is `told`, a missing interval, a tie that cannot be tested."""
    texts = [*cell.problems, *told, *no_interval(cell)]
    if verdict is not None and math.isnan(verdict.p_value) and verdict.test != "best":
        texts.append(f"a tie with the best is {verdict.test}")
    if verdict is not None and verdict.caveat:
        texts.append(verdict.caveat)
    return texts


def selection(board: Board, cell: Cell) -> list[str]:
    """How a trained cell's settings were chosen, a text for each way."""
    ways = zip(board.values("selection")[cell.done], board.values("tuning_trials")[cell.done], strict=True)
    return [f"selection: {how or 'not recorded'}; tuning trials: {trials}" for how, trials in dict.fromkeys(ways)]


def record(board: Board, cell: Cell, verdict: Verdict | None = None) -> dict[str, Any]:
    """One line of a CSV: everything that the cell stands for, shares in [0, 1]."""
    line: dict[str, Any] = {**cell.key._asdict(), "shots": cell.key.shots or None, "shown_as": cell.name}
    facts = [cell] if len(cell.done) else []  # what a run found out, only a complete one knows
    for name in ("pretraining", "toy_scale", *_PER_RUN):
        line[name] = _one_or_all(board.distinct(name, facts or [cell], done=bool(facts)))
    line |= {"status": cell.status, "top1": cell.top1}
    if cell.interval is not None:
        line |= {"low": cell.interval.low, "high": cell.interval.high, "interval_over": cell.interval.over}
        line |= {"interval_num": cell.interval.num, "interval_mean": cell.interval.mean}
        groups = board.over_groups(cell)
        line |= {"low_over_groups": groups.low, "high_over_groups": groups.high, "num_runs": len(cell.done)}
        line |= {name: board.mean(name, cell) for name in (*METRICS, "seconds") if name in board.runs}
    if verdict is not None:
        line |= {"best_or_tied": verdict.bold, "p_against_best_holm": verdict.p_value, "test": verdict.test}
    for name in ("seed", "split"):
        line[name] = " ".join(map(str, dict.fromkeys(board.values(name)[cell.runs].tolist())))
    return line | {"problems": "; ".join(cell.problems), "run_ids": " ".join(board.run_ids(cell))}


def _one_or_all(values: Sequence[Any]) -> Any:
    """The value where there is one, otherwise all of them in words."""
    return values[0] if len(values) == 1 else " / ".join(map(str, values)) if values else None
