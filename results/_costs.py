"""What runs cost, run by run: columns of their records, and what follows from those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from results._data import nanmean

if TYPE_CHECKING:
    from results._data import Board, Cell


def each(whole: Board, name: str, cell: Cell) -> np.ndarray:
    """A cost of each of a cell's complete runs, missing where it was not recorded.

    Beside the columns of a record: `gflops_video`, 10^9 operations of a whole video: of one view, times the views; and
    `memory_over_start_mb`, the peak over what was held at the start.
    """
    if name == "gflops_video":
        views = cell.key.num_views or np.nan  # 0 is not told
        return _numbers(whole, "gflops", cell) * views
    if name == "memory_over_start_mb":
        return _numbers(whole, "peak_memory_mb", cell) - _numbers(whole, "start_memory_mb", cell)
    return whole.values(name)[cell.done]


def mean(whole: Board, name: str, cell: Cell) -> float:
    """Mean of a cost over a cell's complete runs; NaN where none of them has it."""
    return nanmean(each(whole, name, cell))


def _numbers(whole: Board, name: str, cell: Cell) -> np.ndarray:
    found: np.ndarray = np.asarray(pd.to_numeric(whole.values(name)[cell.done]), dtype=float)
    return found
