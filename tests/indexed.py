"""Made-up runs for tests of the index, and what its readers find."""

import os

import pandas as pd
import synthetic

from bench import _table, index, store

SMALL = {"datasets": 2, "backbones": 2, "methods": 3, "seeds": 3, "num_videos": 30, "num_groups": 6}


def fill(home, **more):
    return synthetic.fill(home, **{**SMALL, **more})


def anew(home):
    """Everything that a reader of the folders finds, without any index."""
    return _table.frame(index.read_here(home, store.run_ids(home)))


def known(home):
    return _table.frame(index.load(home))


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def touched(path):
    """A later time of change, whatever the clock's grain."""
    ns = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(ns, ns))


def odd(home, number, columns):
    store.write_failure(
        home, f"{number:012x}", {"columns": {"dataset": "d", "manifest": "m", **columns}}, "no", "", "failed"
    )
