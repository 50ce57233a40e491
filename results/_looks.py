"""How a method looks: one colour, marker and dash, the same in every figure."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Any

import seaborn as sns

from results._data import grouped

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from results._data import Board, Cell

# Colour-blind-safe; without seaborn's grey, which is the grid's.
COLOURS = tuple(colour for i, colour in enumerate(sns.color_palette("colorblind")) if i != 7)
MARKERS = "osD^vPX*<"
DASHES = ((0, (4, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1.5, 1)), (0, (7, 2)))
# (method, text where nothing is learnt, control) -> place in the palette, for the methods that nearly every report has.
_HOMES = {
    ("coop", "", "none"): 0,
    ("knowledge_prompt", "", "none"): 1,
    ("linear_probe", "", "none"): 2,
    ("zero_shot", "class_names", "none"): 3,
    ("zero_shot", "templates", "none"): 4,
    ("zero_shot", "descriptions", "none"): 5,
    ("zero_shot", "descriptions", "shuffled"): 6,
    ("majority", "", "none"): 7,
}


def looks(whole: Board) -> dict[str, dict[str, Any]]:
    """What a row is called -> `color`, `marker` and `linestyle`, over all rows of the board, so that every figure agrees.

    A method of `_HOMES` keeps its place whatever else was run; of its variants the default one has it. Any other has a place
    that its name decides; where that is taken, the next free one: only a clash moves it. Nine colours are dealt out before
    one comes again, then with another marker and dash. Methods that learn are drawn solid, the others dashed.
    """
    named = grouped(whole.cells, lambda cell: cell.name)
    homes = {name: _home(whole, cells[0]) for name, cells in named.items()}
    ordered = sorted(named, key=lambda name: (homes[name] is None, not _is_default(whole, named[name]), name))
    places: dict[int, str] = {}
    for name in ordered:
        places.setdefault(_wanted(name, homes[name]), name)
    for name in ordered:
        start = _wanted(name, homes[name])
        if places[start] != name:
            places[_free(start, places)] = name
    return {name: _look(place, named[name][0].key.needs_train) for place, name in places.items()}


def of_methods(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Method -> how it looks where each has one row: as in every other figure, where it has a place in the palette of its own."""
    places: dict[int, str] = {}
    for method in sorted(set(methods), key=lambda method: (_HOMES.get((method, "", "none")) is None, method)):
        start = _wanted(method, _HOMES.get((method, "", "none")))
        places[_free(start, places)] = method
    return {method: _look(place, True) for place, method in places.items()}


def _wanted(name: str, home: int | None) -> int:
    return zlib.crc32(name.encode()) % len(COLOURS) if home is None else home


def _home(whole: Board, cell: Cell) -> int | None:
    source = "" if cell.key.needs_train else str(whole.values("text_source")[cell.runs[0]])
    return _HOMES.get((cell.key.method, source, cell.key.bank_control))


def _is_default(whole: Board, cells: Sequence[Cell]) -> bool:
    return any(
        str(told) == "True" for told in whole.distinct("is_default", cells, done=False)
    )  # older runs do not tell


def _free(start: int, taken: Container[int]) -> int:
    """The first place that is not taken, from `start` round the colours, then round them once more."""
    num = len(COLOURS)
    rounds = (num * lap + (start + step) % num for lap in itertools.count() for step in range(num))
    return next(place for place in rounds if place not in taken)


def _look(place: int, learns: bool) -> dict[str, Any]:
    lap, colour = divmod(place, len(COLOURS))
    solid = ("-", *DASHES)[lap // len(MARKERS) % (1 + len(DASHES))]
    return {
        "color": COLOURS[colour],
        "marker": MARKERS[(colour + lap) % len(MARKERS)],
        "linestyle": solid if learns else DASHES[(colour + lap) % len(DASHES)],
    }
