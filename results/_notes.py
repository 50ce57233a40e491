"""The small print under a table: what the numbers are over, what was tested, on how many videos, and what to beware of."""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

from results import _costs
from results._data import TOY_SCALE, grouped
from results._keys import ASKED, SUPERVISED, column_name, protocol_name
from results._tables import BOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from bench.stats import Interval
    from results._data import Board, Cell, Verdict

MOST_TOLD = 9  # rows or columns that a note names one by one


def of(
    board: Board, cells: Sequence[Cell], verdicts: Iterable[Verdict] = (), within: str = "one protocol in one column"
) -> Iterator[str]:
    """All notes of a table of top-1 accuracies; its bold marks rest on `verdicts`, each found `within` what is comparable."""
    yield from toy_scale(board, cells)
    yield from intervals(cells)
    tests = [verdict.test for verdict in verdicts]
    yield from bold(tests, within)
    yield from scope(tests, [cell.interval for cell in cells if cell.interval])
    yield from videos(board, cells)
    yield from beware(board, cells)
    yield pretraining(board, cells)


def dataset_title(board: Board, cells: Sequence[Cell]) -> str:
    """The data set's title where a run tells one, otherwise its name."""
    return str(
        next((title for title in board.distinct("dataset_title", cells, done=False) if title), cells[0].key.dataset)
    )


def toy_scale(board: Board, cells: Sequence[Cell]) -> Iterator[str]:
    """Names the backbones whose numbers say nothing about real models."""
    toy = board.values("toy_scale")
    names = sorted({cell.key.backbone for cell in cells if toy[cell.runs[0]]})
    if names:
        yield f"{TOY_SCALE}. They are: {', '.join(names)}."


def intervals(cells: Sequence[Cell]) -> Iterator[str]:
    """Which interval stands in which rows; why some numbers have none is told by their footnotes."""
    done = [cell for cell in cells if cell.interval is not None]
    everyone = grouped(done, _setting)
    for over, part in grouped((cell for cell in done if not math.isnan(cell.half_width)), _over).items():
        where = []
        for setting, of_setting in grouped(part, _setting).items():
            told = _told_apart(of_setting, everyone[setting])
            where.append(protocol_name(*setting) + (f" ({told})" if told else ""))
        yield f"± over {over}. In: {'; '.join(where)}."
    yield from too_wide(cell.interval for cell in done if cell.interval)
    gap = max((abs(cell.interval.mean - cell.top1) for cell in done if cell.interval), default=0.0)
    if gap > 0.0005:
        yield (
            "Groups (or splits, where ± is over those) differ in size: ± belongs to their plain mean, which is up to "
            f"{100 * gap:.1f} points from the mean over videos and runs that is shown."
        )


def too_wide(found: Iterable[Interval]) -> Iterator[str]:
    """Which of the intervals say next to nothing, and why some leave the range of what they are of."""
    some = [interval for interval in found if not math.isnan(interval.low)]
    if pairs := sorted({interval.over.partition(":")[0] for interval in some if interval.num == 2}):
        yield (
            f"± over {' or '.join(pairs)} is too wide to say anything: two values leave one degree of freedom, and ± is "
            "12.7 standard errors."
        )
    if any(interval.low < 0 or interval.high > 1 for interval in some):
        yield "± may reach below 0 or above 100: a t interval knows no bounds, and none is cut off."


def _over(cell: Cell) -> str:
    return cell.interval.over if cell.interval else ""


def _told_apart(part: Sequence[Cell], every: Sequence[Cell]) -> str:
    """By what these cells are told from the others of their setting: methods, data sets, backbones; "" where they are all."""
    if len(part) == len(every):
        return ""
    ways: list[Callable[[Cell], str]] = [
        lambda cell: cell.name,
        lambda cell: cell.key.dataset,
        lambda cell: column_name(cell.key.column),
    ]
    for num in range(1, len(ways) + 1):
        for chosen in combinations(ways, num):
            mine = {tuple(way(cell) for way in chosen) for cell in part}
            if len(mine) <= MOST_TOLD and len(part) == sum(
                tuple(way(cell) for way in chosen) in mine for cell in every
            ):
                return " / ".join(" on ".join(names) for names in sorted(mine))
    return f"{len(part)} of {len(every)} numbers; the CSV's column interval_over has which"


def bold(tests: Collection[str], within: str) -> Iterator[str]:
    """What bold means, and by which tests."""
    if not tests:
        return
    kinds = sorted({test.split(",")[0] for test in tests} - {"best"})
    how = f"; tests: {'; '.join(kinds)}" if kinds else ""
    yield (
        f"{BOLD}the best of {within}, and what is tied with it: a paired test finds no "
        f"difference at .05, Holm-corrected over all comparisons of this table{how}."
    )


def scope(tests: Iterable[str], found: Iterable[Interval]) -> Iterator[str]:
    """What tests over groups of videos leave out that intervals over seeds, shuffles or draws have, where a table has both."""
    over = {match[1] for test in tests if (match := re.search(r"(?:over|any of) \d+ (\w+s)\b", test))}
    repeated = {interval.over.split(":")[0].split()[1] for interval in found if not math.isnan(interval.low)}
    groups, runs = " or ".join(sorted(over)), " or ".join(sorted(repeated & {"seeds", "shuffles", "draws"}))
    if groups and runs:
        yield (
            f"The tests over {groups} are paired, on the mean of the runs that were made: they leave out the variance over "
            f"{runs}. ± over {runs} has that variance, and leaves out that over {groups}. The two answer different questions "
            "and need not agree."
        )


def videos(board: Board, cells: Sequence[Cell]) -> Iterator[str]:
    """How many videos and groups the numbers rest on, and how many videos could not be decoded."""
    groups = "/".join(map(str, board.distinct("group_kind", cells, done=False)))
    yield (
        f"Test videos a complete run: {span(board.distinct('num_test', cells))}; groups ({groups}): "
        f"{span(board.distinct('num_groups', cells))}; undecodable test videos, recorded and in no score: "
        f"{span(board.distinct('num_failed', cells))}."
    )


def beware(board: Board, cells: Sequence[Cell]) -> Iterator[str]:
    """Other frames or views, leaks, unknown groups, and runs that were scored by other versions of the metrics."""
    yield from inputs(board, cells)
    if any(cell.key.needs_train for cell in cells):
        yield from map(str, board.distinct("beware", cells, done=False))
    if board.distinct("group_kind", cells, done=False) == ["video"]:
        yield "No subjects or sources are known: clips of one source may stand on both sides, and numbers may be too high."
    yield from imported(board, cells)
    yield from supervised(board, cells)
    if leaked := int(max(board.distinct("num_leaked", cells), default=0)):
        yield f"Leak: up to {leaked} test videos of a run have the same content as one of its training or validation videos."
    scored = board.distinct("metrics_version", cells)
    if len(scored) > 1:
        said = " and ".join(str(int(version)) for version in scored)
        yield f"Runs here were scored by versions {said} of the metrics; python -m bench rescore makes them one."


def imported(board: Board, cells: Sequence[Cell]) -> Iterator[str]:
    """Which rows are predictions of other systems, and how many of their test videos have none."""
    if names := sorted({cell.name for cell in cells if cell.key.method == "imported"}):
        missing = int(max(board.distinct("num_missing", cells), default=0))
        told = f"; up to {missing} test videos of a run have no answer and count as wrong" if missing else ""
        yield f"Imported, not run here: {', '.join(names)}{told}."


def supervised(board: Board, cells: Sequence[Cell]) -> Iterator[str]:
    """Which rows are of what others trained on the data set itself, and so stand where what was trained here on all of it does."""
    asked = board.values(ASKED)
    if moved := [cell for cell in cells if asked[cell.runs[0]] not in (None, cell.key.protocol)]:
        names = sorted({f"{cell.name} on {cell.key.backbone}" for cell in moved})
        more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
        yield (
            f"Trained by others on the data set's own training videos, and only tested here (zero-shot runs), so they stand under "
            f"{protocol_name(SUPERVISED, 0)}: {', '.join(names[:MOST_TOLD])}{more}."
        )


def inputs(board: Board, cells: Sequence[Cell]) -> Iterator[str]:
    """Where not all rows saw as much of a video: what each saw, and that no test is across it."""
    seen: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        seen.setdefault((cell.key.num_frames, cell.key.num_views), []).append(cell)
    if len(seen) < 2:
        return
    told = []
    for (frames, views), part in sorted(seen.items()):
        names = sorted({cell.key.backbone for cell in part})
        more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
        costs = [value for cell in part if not math.isnan(value := _costs.mean(board, "gflops_video", cell))]
        cost = f", {_range(costs)} GFLOPs a video" if costs else ""
        told.append(f"{frames or '?'} × {views or '?'} ({', '.join(names[:MOST_TOLD])}{more}{cost})")
    yield (
        f"Not all rows saw as much of a video (frames × views): {'; '.join(told)}. A view is a forward pass whose scores are averaged "
        "with those of the others: more of them cost as many times more and mostly raise accuracy, so such rows differ in more than the "
        "method; no test here is across them."
    )


def _range(values: Sequence[float]) -> str:
    least, most = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def pretraining(board: Board, cells: Sequence[Cell]) -> str:
    """What each backbone was trained on before."""
    known = {(cell.key.backbone, board.values("pretraining")[cell.runs[0]]) for cell in cells}
    return "Pre-training: " + "; ".join(f"{backbone}: {data}" for backbone, data in sorted(known, key=str)) + "."


def span(values: Sequence[Any]) -> str:
    """From sorted values "220" or "36 to 220"."""
    if not values:
        return "not recorded"
    least, most = int(values[0]), int(values[-1])
    return str(least) if least == most else f"{least} to {most}"


def _setting(cell: Cell) -> tuple[str, int]:
    return cell.key.setting
