"""How figures look, and how they become files: one paper column wide, colour-blind-safe, the same bytes each time.

Figures are made without pyplot: nothing is global, no display is asked for, and nothing stays open.
"""

from __future__ import annotations

import functools
import io
import textwrap
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from bench.contracts import Artifact
from results._tables import escape_markdown, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes

WIDTH_IN = 3.3  # one column of a two-column paper
SMALL = 6  # points: the smallest that a column's width is read at
TITLE_SIZE = 7
_DPI = 300
_LINE_IN = 0.112  # from one line of a title or a label to the next
_NAME_WIDTH = 36  # characters
_HANDLE_IN = 0.31  # beside a name in a legend, with its share of the gaps
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it looks the same everywhere
    "font.size": 7,
    "axes.titlesize": TITLE_SIZE,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.pad": 1.5,
    "ytick.major.pad": 1.5,
    "axes.labelpad": 2,
    "legend.fontsize": SMALL,
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


def panels(
    titles: Sequence[str],
    panel_height_in: float,
    extra_in: float,
    left_in: float = 0.4,
    across: int = 2,
    sharex: Literal["all", "col"] = "all",
    sharey: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A figure of one column's width with a panel for each title ("" for none), `across` a line at most.

    `extra_in` is for legend and note, `left_in` what stands to the left of the panels; a title is wrapped to its panel.
    """
    num, across = len(titles), min(len(titles), across)
    down = -(-num // across)
    room = (WIDTH_IN - left_in) / across - 0.08
    wrapped = [fitted(title, _NAME_WIDTH, TITLE_SIZE, room) if title else "" for title in titles]
    lines = [max(t.count("\n") for t in wrapped[i : i + across]) for i in range(0, num, across)]
    height = down * panel_height_in + sum(lines) * _LINE_IN + extra_in
    figure = Figure(figsize=(WIDTH_IN, height), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03))
    axes = list(np.ravel(figure.subplots(down, across, sharex=sharex, sharey=sharey, squeeze=False)))
    for ax in axes[num:]:
        ax.remove()
    for ax in axes[max(0, num - across) : num]:
        ax.tick_params(labelbottom=True)  # the last panel of each column, also where a removed one stood below
    for ax, title in zip(axes, wrapped, strict=False):
        ax.set_title(title)
    return figure, axes[:num]


def name(text: str, width: int = _NAME_WIDTH, hyphens: bool = True) -> str:
    """A name for a legend, an axis or a title: printable, wrapped (after `hyphens` too), never taken for a hidden label."""
    text = "\n".join(textwrap.wrap(_drawable(plain(text)), width, break_on_hyphens=hyphens)) or "(no name)"
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


def cut_to(text: str, size: float, inches: float) -> str:
    """A name on one line, cut to a width; `size` in points."""
    shown = name(text, 9 * len(text) + 1)  # a character is told by up to nine
    while width_in(shown, size) > inches:
        shown = f"{shown[: min(len(shown) - 2, int(len(shown) * inches / width_in(shown, size)))]}…"
    return shown


def entry(label: str, **look: Any) -> Line2D:
    """An entry of a legend, its name wrapped."""
    return Line2D([], [], label=fitted(label, _NAME_WIDTH, SMALL, WIDTH_IN - _HANDLE_IN - 0.1), **look)


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """A legend above the panels, in two columns where the names are short enough."""
    ncols = len(_legend_columns(handles))
    figure.legend(handles=handles, loc="outside upper center", ncols=ncols, handlelength=2.4, columnspacing=1.0)


def legend_height_in(handles: Sequence[Line2D]) -> float:
    """Room in inches that the legend takes."""
    lines = [sum(name.count("\n") + 1 for name in column) for column in _legend_columns(handles)]
    return 0.1 + 0.13 * max(lines)


def _legend_columns(handles: Sequence[Line2D]) -> list[list[str]]:
    """The names of each column."""
    names = [str(handle.get_label()) for handle in handles]
    half = -(-len(names) // 2)
    columns = [part for part in (names[:half], names[half:]) if part]
    taken = sum(max(width_in(name, SMALL) for name in part) + _HANDLE_IN for part in columns)
    return columns if taken <= WIDTH_IN - 0.08 else [names]


def note_height_in(text: str) -> float:
    """Room in inches that the small print takes."""
    return 0.1 + 0.1 * (wrapped_note(text).count("\n") + 1)


def note(figure: Figure, text: str) -> None:
    """Small print under everything else."""
    figure.supxlabel(wrapped_note(text), fontsize=SMALL, x=0.01, ha="left", color="0.25")


def wrapped_note(text: str) -> str:
    """Small print in lines of a column's width."""
    return fitted(text, 84, SMALL, WIDTH_IN - 0.08, hyphens=False)


def fitted(text: str, characters: int, size: float, inches: float, hyphens: bool = True) -> str:
    """A text as `name` wraps it at a number of characters, or at fewer where they are wide; `size` in points."""
    wrapped = name(text, characters, hyphens)
    while characters > 1 and (width := width_in(wrapped, size)) > inches:
        characters = max(1, min(characters - 1, int(characters * inches / width)))
        wrapped = name(text, characters, hyphens)
    return wrapped


def width_in(text: str, size: float) -> float:
    """How many inches a text of `size` points takes."""
    font = FontProperties(family=_STYLE["font.family"], size=size)
    lines = text.split("\n")
    return max(_renderer().get_text_width_height_descent(line, font, ismath=False)[0] for line in lines) / _DPI


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, _DPI)


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
            figure.savefig(buffer, format=form, dpi=_DPI, metadata=facts)
            figure.set_layout_engine("none")  # everything has found its place: most of the time goes into that
            found[form] = buffer.getvalue()
    return found
