"""Ratios measured side by side in one run; printed, never asserted on. `make perf`."""

import os
import random
import statistics
import time
from pathlib import Path

import av
import pandas as pd
import pytest
import torch

from bench import decoding, extraction, frames, planning, runner
from bench._processes import cores
from bench.decoding import Job, decode_workers, prepared
from bench.features import FeatureStore, row_keys
from bench.forward import Encoder
from bench.manifest import build as build_manifest
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


# --- extraction over the bare forward pass, at real size -----------------------------------------------------------

NUM_FRAMES = 8
BUDGET_S = float(
    os.environ.get("BENCH_PERF_BUDGET_S") or 480
)  # of the run over real clips; a third of it for the other
CHUNK = 16


def vit_b_16(device="cpu"):
    """CLIP's ViT-B/16 at its real size, with random weights: speed does not depend on them."""
    from open_clip.factory import get_model_config
    from open_clip.tokenizer import SimpleTokenizer

    from adapters._open_clip import FrameTransform, OpenClipAdapter, build
    from adapters._text import BytePairs

    transform = FrameTransform((224, 224), (0.481, 0.458, 0.408), (0.269, 0.261, 0.276))
    facts = {
        "name": "ViT-B-16 (random)",
        "family": "CLIP",
        "architecture": "ViT-B-16",
        "weights": "drawn",
        "weights_sha256": "0" * 64,
        "num_frames": NUM_FRAMES,
        "precisions": ("float32", "bf16", "fp16"),
        "pretraining": "none",
        "licence": "none",
        "version": 1,
    }
    model = build(get_model_config("ViT-B-16"))
    return OpenClipAdapter(model, transform, BytePairs(SimpleTokenizer()), facts, device)


def clips(shared_data):
    """A manifest of the 300 real clips, spread so that any beginning of it has the same kinds."""
    folder = shared_data / "surv_fight"
    listed = pd.read_csv(folder / "manifest.csv")
    rows = [{"video_id": p, "path": p, "label": c} for p, c in zip(listed["path"], listed["label"], strict=True)]
    random.Random(0).shuffle(rows)
    return build_manifest("clips", rows, tuple(sorted(set(listed["label"]))), folder)


class Clock:
    """An adapter's `encode_video`, timed: what is left of a whole is what is not the forward pass."""

    def __init__(self, adapter):
        self.inner, self.seconds = adapter.encode_video, 0.0
        adapter.encode_video = self

    def __call__(self, video):
        start = time.perf_counter()
        found = self.inner(video)
        self.seconds += time.perf_counter() - start
        return found


def load():
    """What the machine does besides."""
    return f"load {' '.join(Path('/proc/loadavg').read_text().split()[:3])} on {cores()} cores"


def say(capsys, line):
    with capsys.disabled():
        print(f"\n{line}", end="", flush=True)


def test_extraction_with_cached_decoding_over_the_bare_forward(shared_data, tmp_path, monkeypatch, capsys):
    """Cached is the decoding alone: the frames of each clip lie in memory, the transform is done and shards are written."""
    adapter, manifest, count = vit_b_16(), clips(shared_data), 8
    kept = {Path(p): frames.read(p, NUM_FRAMES) for p in manifest.rows["path"][:count]}
    monkeypatch.setattr(decoding.frames, "read", lambda path, *rest: kept[path])
    ready = torch.stack([adapter.transform(video) for video in kept.values()])
    began = time.perf_counter()
    for threads in dict.fromkeys((1, cores())):
        torch.set_num_threads(threads)
        whole, bare = [], []
        Encoder(adapter).forward(ready[:1])
        while not whole or (len(whole) < 5 and time.perf_counter() - began < BUDGET_S / 6 * threads):
            store = FeatureStore(tmp_path / f"{threads}-{len(whole)}")
            start = time.perf_counter()
            store.fill(manifest, range(count), adapter, NUM_FRAMES)
            middle = time.perf_counter()
            Encoder(adapter).forward(ready)
            whole.append(middle - start)
            bare.append(time.perf_counter() - middle)
        ratios = sorted(b / w for b, w in zip(bare, whole, strict=True))
        say(
            capsys,
            f"ViT-B/16, {NUM_FRAMES} frames, CPU, float32, {threads} torch threads, decoding cached: extraction "
            f"{count * len(whole) / sum(whole):.3f} videos/s, bare forward {count * len(bare) / sum(bare):.3f} videos/s, ratio "
            f"{sum(bare) / sum(whole):.3f} ({len(whole)} x {count} clips in turn: {ratios[0]:.3f} to {ratios[-1]:.3f}; {load()})",
        )


def test_extraction_with_decoding_over_the_bare_forward(shared_data, tmp_path, capsys):
    """The forward pass is timed inside the extraction, so both see the same machine; one thread, as the runner has it."""
    adapter, manifest = vit_b_16(), clips(shared_data)
    clock, store, num = Clock(adapter), FeatureStore(tmp_path / "store"), len(manifest.rows)
    done, failed, whole = 0, 0, 0.0
    while done < num and whole < BUDGET_S:
        positions = range(done, min(done + CHUNK, num))
        start = time.perf_counter()
        failed += store.fill(manifest, positions, adapter, NUM_FRAMES).failed
        whole += time.perf_counter() - start
        done += len(positions)
    say(
        capsys,
        f"ViT-B/16, {NUM_FRAMES} frames, CPU, float32, 1 torch thread, decoding and all: extraction {done / whole:.3f} videos/s, "
        f"forward within it {done / clock.seconds:.3f} videos/s, ratio {clock.seconds / whole:.3f} ({done} of {num} clips, "
        f"{failed} undecodable; {load()})",
    )
    start, keys = time.perf_counter(), row_keys(manifest)
    jobs = [Job(manifest.rows.iloc[p], keys[p], NUM_FRAMES) for p in range(num)]
    decoded = sum(not isinstance(video, str) for video in prepared(jobs, adapter.transform, 0))
    each, forward_each = (time.perf_counter() - start) / num, clock.seconds / (done - failed)
    say(
        capsys,
        f"decoding and transform of all {num} clips alone ({decoded} decodable): {1000 * each:.0f} ms a clip; with the forward's "
        f"{1000 * forward_each:.0f} ms the ratio over all {num} is {forward_each / (forward_each + each):.3f} ({load()})",
    )


@pytest.mark.gpu
def test_extraction_over_the_bare_forward_on_a_gpu(shared_data, tmp_path, capsys):
    """bf16, decode workers beside: the real clips, and the same as raw frames, where decoding is no more than reading."""
    adapter, manifest = vit_b_16("cuda"), clips(shared_data)
    encoder, workers, num = Encoder(adapter, "bf16"), decode_workers("cuda", cores()), len(manifest.rows)
    rows = []
    for path, label in zip(manifest.rows["path"], manifest.rows["label"], strict=True):
        raw = write_raw(tmp_path / "raw" / f"{Path(path).stem}-{label}.avi", frames.read(path, NUM_FRAMES))
        rows.append({"video_id": raw.name, "path": raw.name, "label": label})
    cached = build_manifest("raw", rows, manifest.class_names, tmp_path / "raw")
    video = adapter.transform(frames.read(manifest.rows["path"].iloc[0], NUM_FRAMES))
    ready = encoder.gather([video] * encoder.size(video))
    for what, of in (("decoding cached as raw frames", cached), ("decoding and all", manifest)):
        start = time.perf_counter()
        FeatureStore(tmp_path / what).fill(of, range(num), adapter, NUM_FRAMES, workers, encoder=encoder)
        whole = time.perf_counter() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(0, num, len(ready)):
            encoder.forward(ready)
        torch.cuda.synchronize()
        bare = (time.perf_counter() - start) * num / (len(ready) * -(-num // len(ready)))
        say(
            capsys,
            f"ViT-B/16, {NUM_FRAMES} frames, {encoder.record['device']}, bf16, batch {len(ready)}, {workers} decode workers, {what}: "
            f"extraction {num / whole:.1f} videos/s (starting the workers included), bare forward {num / bare:.1f} videos/s, "
            f"ratio {bare / whole:.3f} ({load()})",
        )


def write_raw(path, video):
    """uint8 `(T, H, W, 3)` as an uncompressed file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.height, stream.width, stream.pix_fmt = *video.shape[1:3], "bgr24"
        for picture in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="bgr24")))
        container.mux(stream.encode())
    return path


def test_a_finished_run_over_a_fresh_one(toy_workspace, capsys):
    home = toy_workspace.parent
    spec = RunSpec(dataset="toy", backbone="tiny-clip", method="linear_probe", protocol="few_shot", shots=1, limit=8)
    resolved = planning.resolve(spec, home)
    extraction.extract([resolved], home)
    start = time.perf_counter()
    runner.execute(resolved, home)
    fresh = time.perf_counter() - start
    again = seconds(lambda: runner.execute(resolved, home))
    with capsys.disabled():
        print(f"\na run again over the first time: {again / fresh:.4f}")
