"""kpbench: does knowledge in the prompts of a frozen vision-language model help action recognition?

From Python: `bench.run(spec)` does one run and returns its scores; `bench.results()` is everything measured so far, as a DataFrame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.specs import FrameSpec, RunSpec

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["FrameSpec", "RunSpec", "results", "run"]


def run(spec: RunSpec, home: Path | None = None) -> dict[str, float]:
    """Do one run unless it is done already, and return its scores (metric -> value).

    Args:
        home: where everything is written; $BENCH_HOME, else ./out.

    Raises:
        bench.contracts.BenchError: bad input, with what to do about it.
    """
    from bench import runner  # torch is only needed from here on

    return runner.run(spec, home)


def results(home: Path | None = None) -> pd.DataFrame:
    """All runs, one row a run and metric; failed runs have a row without a metric."""
    from bench import places
    from bench.stored_results import Results

    return Results(home or places.bench_home(writes=False)).scores
