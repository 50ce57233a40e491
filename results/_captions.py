"""What every caption states of the numbers under it: protocol, frames and views, seeds and splits, intervals, tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from results._data import grouped
from results._keys import protocol_name
from results._notes import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.stats import Interval
    from results._data import Board, Cell

MOST = 12  # seeds or splits that are told one by one


def of(
    board: Board, cells: Sequence[Cell], tests: Iterable[str] = (), intervals: Iterable[Interval | None] | None = None
) -> str:
    """Sentences for the end of a caption; `tests` in words, `intervals` are the cells' own unless given."""
    found = [cell.interval for cell in cells] if intervals is None else list(intervals)
    told = [f"Protocol: {_protocols(cells)}", f"frames × views: {_frames(cells)}", _replicates(board, cells)]
    return f"{'; '.join(told)}; {_intervals(found)}; {_tests(tests)}."


def _protocols(cells: Sequence[Cell]) -> str:
    shots = grouped(cells, lambda cell: cell.key.protocol)
    named = []
    for protocol, part in shots.items():
        numbers = sorted({cell.key.shots for cell in part} - {0})
        named.append(protocol_name(protocol, 0) + (f" (K = {', '.join(map(str, numbers))})" if numbers else ""))
    return " / ".join(named)


def _frames(cells: Sequence[Cell]) -> str:
    found = sorted({(cell.key.num_frames, cell.key.num_views) for cell in cells})
    return ", ".join(f"{frames or '?'} × {views or '?'}" for frames, views in found)


def _replicates(board: Board, cells: Sequence[Cell]) -> str:
    done = [cell for cell in cells if len(cell.done)]
    if not done:
        return "no complete run"
    told = []
    for name, some in (("seed", [cell for cell in done if not cell.key.is_control]), ("split", done)):
        if values := board.distinct(name, some):
            told.append(f"{name}{'s' * (len(values) > 1)} {_listed(values)}")
    controls = ""
    for what, draw, some in (
        ("shuffled descriptions", "shuffle", [cell for cell in done if cell.key.bank_control == "shuffled"]),
        ("drawn statements", "draw", [cell for cell in done if cell.key.bank_control != "shuffled"]),
    ):
        if nums := sorted(len(board.distinct("seed", [cell])) for cell in some if cell.key.is_control):
            controls += f"; rows of {what}: {span(nums)} {draw}{'s' * (nums[-1] > 1)}"
    return ", ".join(told) + controls


def _listed(values: Sequence[Any]) -> str:
    if len(values) > 3 and all(isinstance(v, int) for v in values) and values[-1] - values[0] == len(values) - 1:
        return f"{values[0]} to {values[-1]}"
    if len(values) > MOST:
        return f"{values[0]} to {values[-1]} ({len(values)} of them)"
    return ", ".join(map(str, values))


def _intervals(intervals: Sequence[Interval | None]) -> str:
    """Over how many of what: "95 % intervals over 4 subjects, 2 to 3 seeds"."""
    nums: dict[str, set[int]] = {}
    for interval in intervals:
        if interval is not None and "no interval" not in interval.over:
            num, _, what = interval.over.split(":")[0].partition(" ")
            nums.setdefault(what, set()).add(int(num))
    if not nums:
        return "no intervals"
    parts = [
        f"{min(some)} to {max(some)} {what}" if len(some) > 1 else f"{min(some)} {what}" for what, some in nums.items()
    ]
    return f"95 % intervals over {', '.join(parts)}"


def _tests(tests: Iterable[str]) -> str:
    """The kinds of tests without their numbers: "tests: paired t over subjects, Holm-corrected"."""
    kinds = {re.split("[,:]", test)[0] for test in tests} - {"best", ""}
    kinds = {re.sub(r"\d+ ", "", kind) for kind in kinds if not kind.startswith(("not testable", "no difference"))}
    return f"tests: {', '.join(sorted(kinds))}, Holm-corrected" if kinds else "no tests"
