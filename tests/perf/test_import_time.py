"""How long the import of twenty thousand ranked predictions takes. `make perf`."""

import os
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from bench import store
from bench.plugins import ROOT

pytestmark = pytest.mark.perf
NUM, CLASSES = 20_000, 101


def test_import_of_twenty_thousand_ranked_predictions(tmp_path):
    root, home = tmp_path / "videos", tmp_path / "home"
    root.mkdir()
    names = [f"class {i}" for i in range(CLASSES)]
    rows = [(f"{i}.mp4", names[i % CLASSES], f"g{i % 50}", "test") for i in range(NUM)]
    rows += [(f"train{i}.mp4", name, f"t{i}", "train") for i, name in enumerate(names)]
    for path, *_ in rows:
        (root / path).write_bytes(path.encode())
    pd.DataFrame(rows, columns=["path", "label", "group", "split"]).to_csv(root / "list.csv", index=False)
    rng = np.random.default_rng(0)
    lists = pd.DataFrame([[names[c] for c in rng.permutation(CLASSES)[:5]] for _ in range(NUM)])
    lists.columns = [f"rank_{i + 1}" for i in range(5)]
    lists.assign(video_id=[row[0] for row in rows[:NUM]]).to_csv(tmp_path / "answers.csv", index=False)
    words = f"import-predictions {tmp_path}/answers.csv --name fast --protocol zero_shot --dataset folder --root {root}"
    words += " --option csv=list.csv --option group=group --option split=split"
    for what in ("first", "again"):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "bench", *words.split()],
            cwd=ROOT,
            env=os.environ | {"BENCH_HOME": str(home)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # a busy machine changes it less
        print(f"\nimport of {NUM} ranked predictions, {what}: {wall:.2f} s, {cpu:.2f} s of CPU, whole command", end="")
    assert len(list(store.run_ids(home))) == 1
