"""A csv of videos, one a row, with columns for path, label and what else is known; every value is kept as text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.contracts import BenchError


def table(path: Path, columns: Sequence[tuple[str, str]], remedy: str) -> pd.DataFrame:
    """The file's rows, all columns as str.

    Args:
        columns: what is asked for, and the name of its column.
        remedy: what to do where a column is missing; `{what}` and `{column}` in it are filled in.

    Raises:
        BenchError: it is no csv, a row has more fields than the header, or there is no such column.
    """
    # As text: an id "001" must not become 1, nor a label "NA" a missing value.
    # Of rows longer than the header pandas would make an index, and read every column as the one before it.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            found = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' own errors and broken UTF-8 alike
        raise BenchError(f"{path} is no readable csv: {str(error).strip()}") from error
    for what, column in columns:
        if column not in found:
            raise BenchError(
                f"{path} has no column {column!r} (for {what}); it has {', '.join(found.columns)}: "
                + remedy.format(what=what, column=column)
            )
    return found
