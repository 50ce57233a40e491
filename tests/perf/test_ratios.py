"""Ratios measured side by side in one run; printed, never asserted on. `make perf`."""

import statistics
import time

import pytest
import torch

from bench import planning, runner
from bench.contracts import Tokens
from bench.features import FeatureStore
from bench.prompting import encode, prepare
from bench.specs import RunSpec

pytestmark = pytest.mark.perf


def seconds(work, repeats=5):
    """Median wall time of a call after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@pytest.mark.parametrize("backbone", ["tiny-clip", "tiny-siglip"])
def test_extraction_over_the_bare_forward(backbone, toy_workspace, tmp_path, capsys):
    home = toy_workspace.parent
    spec = RunSpec(dataset="toy", backbone=backbone, method="zero_shot", limit=8)
    resolved = planning.resolve(spec, home)
    manifest, adapter = planning.load_manifest(home, resolved.manifest), planning.load_adapter(backbone)
    rows = list(range(64))
    from bench.features import _Job, _transformed, row_keys

    keys = row_keys(manifest)
    ready = torch.stack(
        [_transformed(_Job(manifest.rows.iloc[r], keys[r], resolved.num_frames), adapter.transform) for r in rows]
    )
    stores = iter(FeatureStore(tmp_path / str(n)) for n in range(100))
    whole = seconds(lambda: next(stores).fill(manifest, rows, adapter, resolved.num_frames))
    bare = seconds(lambda: [adapter.encode_video(ready[i : i + 16]) for i in range(0, 64, 16)])
    with capsys.disabled():
        print(
            f"\n{backbone}: extraction {64 / whole:.0f} videos/s, bare forward {64 / bare:.0f} videos/s, ratio {bare / whole:.2f}"
        )


def test_cutting_at_the_end_of_text(capsys):
    adapter = planning.load_adapter("tiny-clip")
    names = [
        f"{verb} the {thing}." for verb in ("lift", "turn", "push", "hold") for thing in ("arm", "leg", "cup", "door")
    ]
    cut = prepare(adapter, names, 16)
    tokens = adapter.tokenize(names, 16)
    whole = type(cut)(Tokens(tokens.ids, tokens.pool, tokens.context), adapter.embed_tokens(tokens))
    context = torch.randn(16, cut.embeddings.shape[-1], requires_grad=True)
    times = {
        name: seconds(lambda p=p: encode(adapter, p, context).sum().backward(), 20)
        for name, p in (("cut", cut), ("whole", whole))
    }
    with capsys.disabled():
        ratio = whole.embeddings.shape[1] / cut.embeddings.shape[1]
        print(
            f"\ntext forward and backward, whole over cut: {times['whole'] / times['cut']:.2f} (by token counts {ratio:.2f})"
        )


def test_a_finished_run_over_a_fresh_one(toy_workspace, capsys):
    home = toy_workspace.parent
    spec = RunSpec(dataset="toy", backbone="tiny-clip", method="linear_probe", protocol="few_shot", shots=1, limit=8)
    resolved = planning.resolve(spec, home)
    runner.extract([resolved], home)
    start = time.perf_counter()
    runner.execute(resolved, home)
    fresh = time.perf_counter() - start
    again = seconds(lambda: runner.execute(resolved, home))
    with capsys.disabled():
        print(f"\na run again over the first time: {again / fresh:.4f}")
