"""How figures look, and how they become files: one paper column wide, colour-blind-safe, the same bytes each time.

Figures are made without pyplot: nothing is global, no display is asked for, and nothing stays open.
"""

from __future__ import annotations

import functools
import io
import textwrap
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.contracts import Artifact
from results._tables import escape_markdown, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

WIDTH_IN = 3.3  # one column of a two-column paper
MARKERS = "osD^vPX*"
DASHES = ((0, (4, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1.5, 1)), (0, (7, 2)))
NOTE_SIZE = 5.2  # points
_NAME_WIDTH = 36  # characters; two columns of a legend hold 62
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it looks the same everywhere
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.pad": 1.5,
    "ytick.major.pad": 1.5,
    "axes.labelpad": 2,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "text.parse_math": False,  # a name with dollar signs is a name
    "pdf.fonttype": 42,  # camera-ready PDFs must not hold Type 3 fonts
    "svg.hashsalt": "kpbench",  # otherwise ids are drawn anew each time
}


@contextmanager
def style() -> Iterator[None]:
    """Everything of a figure, saving too, happens inside; what the user's matplotlibrc says does not count."""
    with matplotlib.style.context(["default", sns.axes_style("whitegrid"), _STYLE]):
        yield


def colours(num: int) -> list[tuple[float, float, float]]:
    """Colour-blind-safe colours; from the tenth they repeat, and markers and dashes tell them apart."""
    palette = [tuple(c) for i, c in enumerate(sns.color_palette("colorblind")) if i != 7]  # 7 is the grid's grey
    return [palette[i % len(palette)] for i in range(num)]


def looks(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and dash of each label; the same labels, in whatever order, give the same looks in every figure."""
    ordered = sorted(set(labels))
    palette = colours(len(ordered))
    dashes = ("-", *DASHES)
    return {
        label: {
            "color": palette[i],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": dashes[i // len(MARKERS) % len(dashes)],
        }
        for i, label in enumerate(ordered)
    }


def panels(num: int, panel_height_in: float, extra_in: float) -> tuple[Figure, list[Axes]]:
    """A figure of one column's width with `num` panels sharing axes, two a line; `extra_in` is for legend and note."""
    across = min(num, 2)
    down = -(-num // across)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03)
    figure = Figure(figsize=(WIDTH_IN, down * panel_height_in + extra_in), layout=layout)
    axes = list(np.ravel(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)))
    for ax in axes[num:]:
        ax.remove()
    for ax in axes[max(0, num - across) : num]:
        ax.tick_params(labelbottom=True)  # the last panel of each column, also where a removed one stood below
    return figure, axes[:num]


def stacked(num: int, panel_height_in: float, extra_in: float) -> tuple[Figure, list[Axes]]:
    """A figure of one column's width with `num` panels below each other, each with its own axes."""
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03)
    figure = Figure(figsize=(WIDTH_IN, num * panel_height_in + extra_in), layout=layout)
    return figure, list(np.ravel(figure.subplots(num, 1, squeeze=False)))


def name(text: str, width: int = _NAME_WIDTH) -> str:
    """A name for a legend, an axis or a title: printable, wrapped, and never taken for a hidden label."""
    text = "\n".join(textwrap.wrap(_drawable(plain(text)), width)) or "(no name)"
    return f" {text}" if text.startswith("_") else text


def _drawable(text: str) -> str:
    """What the font has no picture of is told by its number, as in LaTeX."""
    return "".join(char if ord(char) in _glyphs() else f"(U+{ord(char):04X})" for char in text)


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(_STYLE["font.family"])).get_charmap())


def short(text: str) -> str:
    """A reason cut to what fits under a figure; the leaderboard has the whole of it."""
    return textwrap.shorten(plain(text), 80, placeholder=" …") if len(text) > 80 else plain(text).rstrip(".")


def cut(text: str, width: int) -> str:
    """A class's name cut to what fits beside an axis, printable."""
    text = plain(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """A legend above the panels, in two columns where the names are short enough."""
    ncols = _legend_columns([str(handle.get_label()) for handle in handles])
    figure.legend(handles=handles, loc="outside upper center", ncols=ncols, handlelength=2.4, columnspacing=1.0)


def legend_height_in(handles: list[Line2D]) -> float:
    """Room in inches that the legend takes."""
    names = [str(handle.get_label()) for handle in handles]
    return 0.1 + 0.12 * (sum(name.count("\n") + 1 for name in names) // _legend_columns(names) + 1)


def note_height_in(text: str) -> float:
    """Room in inches that the small print takes."""
    return 0.1 + 0.09 * len(_wrap_note(text))


def _legend_columns(names: list[str]) -> int:
    half = -(-len(names) // 2)
    longest = [
        max((len(line) for n in part for line in n.split("\n")), default=0) for part in (names[:half], names[half:])
    ]
    return 2 if sum(longest) <= 62 else 1


def note(figure: Figure, text: str) -> None:
    """Small print under everything else."""
    figure.supxlabel("\n".join(_wrap_note(text)), fontsize=NOTE_SIZE, x=0.01, ha="left", color="0.25")


def _wrap_note(text: str) -> list[str]:
    return fitted(text, 92, NOTE_SIZE, WIDTH_IN - 0.08).split("\n")


def fitted(text: str, characters: int, size: float, inches: float) -> str:
    """A text as `name` wraps it at a number of characters, or at fewer where they are wide; `size` in points."""
    wrapped = name(text, characters)
    while characters > 1 and (width := width_in(wrapped, size)) > inches:
        characters = max(1, min(characters - 1, int(characters * inches / width)))
        wrapped = name(text, characters)
    return wrapped


def width_in(text: str, size: float) -> float:
    """How many inches a text of `size` points takes."""
    figure = Figure(figsize=(0.1, 0.1), dpi=300)
    renderer = FigureCanvasAgg(figure).get_renderer()
    return figure.text(0, 0, text, fontsize=size).get_window_extent(renderer).width / figure.dpi


def nothing(title: str, bare: Sequence[str], why: str, any_runs: bool) -> str:
    """Markdown that says for which data sets nothing is drawn; "" where something is drawn for all."""
    if not bare and any_runs:
        return ""
    text = f"{why}: {', '.join(map(plain, bare))}" if bare else "there are no runs yet"
    return f"## {title}\n\nNothing to draw: {escape_markdown(text)}.\n"


def artifacts(draw: Callable[[], Figure], file_name: str, title: str) -> Iterator[Artifact]:
    """The figure as PNG (300 dpi), PDF and SVG, without dates or versions inside; drawn, in our style, once one is asked for."""
    saved = functools.cache(lambda: _saved(draw))
    for form in _METADATA:
        yield Artifact(f"{file_name}.{form}", functools.partial(lambda form: saved()[form], form), title)


_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def _saved(draw: Callable[[], Figure]) -> dict[str, bytes]:
    """Form -> file of a figure."""
    found = {}
    with style():
        figure = draw()
        for form, facts in _METADATA.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=300, metadata=facts)
            figure.set_layout_engine("none")  # everything has found its place: most of the time goes into that
            found[form] = buffer.getvalue()
    return found
