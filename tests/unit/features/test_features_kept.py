"""The store of features: its bytes, the room that they take, and what is kept beside them."""

import collections
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fakes import SIDE, FakeAdapter
from stored import NUM, fill, manifest_of, store_of

from bench import decoding, extraction, features
from bench.contracts import BenchError
from bench.features import check_room, estimate_mb
from bench.forward import Encoder
from bench.frames import UndecodableVideo, read
from bench.specs import ResolvedRun, RunSpec


def test_what_a_video_took_is_kept_beside_its_shard(root, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_ROWS", 2)
    clock = iter([10.0, 10.4, 20.0, 21.0, 30.0, 30.1])
    monkeypatch.setattr(features.time, "perf_counter", lambda: next(clock))
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    assert store.ms_a_video(manifest, range(6)) is None
    fill(store, manifest, adapter)
    assert store.ms_a_video(manifest, range(2)) == pytest.approx(200)
    assert store.ms_a_video(manifest, range(6)) == pytest.approx((200 + 500 + 50) / 3)
    costs = sorted(store.folder.glob("*.cost.json"))
    costs[0].write_text("spoilt")
    costs[1].unlink()
    assert store.ms_a_video(manifest, range(6)) in (pytest.approx(200), pytest.approx(500), pytest.approx(50))


# --- the same bytes ----------------------------------------------------------------------------------------------


def shards(store):
    return {p.name: p.read_bytes() for p in store.folder.glob("*.safetensors")}


@pytest.mark.slow
def test_workers_give_the_same_bytes(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_ROWS", 2)
    adapter, manifest = FakeAdapter(), manifest_of(faulty)
    alone, many = store_of(tmp_path / "alone", adapter), store_of(tmp_path / "many", adapter)
    assert fill(alone, manifest, adapter) == fill(many, manifest, adapter, workers=2)
    assert shards(alone) == shards(many)


def test_two_stores_filled_the_same_way_are_the_same_bytes(root, tmp_path):
    made = []
    for name in ("a", "b"):
        adapter = FakeAdapter()
        store = store_of(tmp_path / name, adapter)
        fill(store, manifest_of(root), adapter)
        made.append(shards(store))
    assert made[0] == made[1]


def test_filled_by_two_at_once_each_row_is_found_once(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    one, other = store_of(tmp_path, adapter), store_of(tmp_path, adapter)
    todo = one.missing(manifest, range(6)), other.missing(manifest, range(6))
    assert todo[0] == todo[1]
    fill(one, manifest, adapter)
    fill(other, manifest, adapter)
    assert len(list(one.folder.glob("*.safetensors"))) == 1
    assert json.dumps(sorted(one.rows())) == json.dumps(sorted(other.rows()))


def test_an_undecodable_video_says_so_by_its_name():
    with pytest.raises(UndecodableVideo, match=r"nowhere.mp4: no such file"):
        read("nowhere.mp4", 2)


# --- room --------------------------------------------------------------------------------------------------------


def with_map(adapter):
    """The same adapter with 3 x SIDE numbers of `extra` a video."""
    plain = adapter.encode_video
    adapter.encode_video = lambda video: replace(plain(video), extra={"map": video.mean(dim=(1, 4))})
    return adapter


def free(monkeypatch, *megabytes):
    """A disk that has so much free at the first look, the second, ..."""
    looks = iter(megabytes)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1e12, 0, next(looks) * 1e6))


def test_estimate_is_what_the_tensors_take():
    assert estimate_mb(10, NUM, 16) == pytest.approx(np.zeros((10, NUM, 16), dtype=np.float32).nbytes / 1e6)
    both = np.zeros((10, NUM, 16), dtype=np.float32).nbytes + np.zeros((10, 49, 16), dtype=np.float32).nbytes
    assert estimate_mb(10, NUM, 16, extra=49 * 16) == pytest.approx(both / 1e6)


def test_what_is_stored_tells_what_further_videos_take_extra_too(root, tmp_path):
    adapter, manifest = with_map(FakeAdapter()), manifest_of(root)
    store = store_of(tmp_path, adapter)
    assert store.estimate_mb(adapter, NUM, 100) == estimate_mb(100, NUM, adapter.facts.embed_dim)
    fill(store, manifest, adapter, [0, 3])
    assert store.estimate_mb(adapter, NUM, 100) == estimate_mb(100, NUM, adapter.facts.embed_dim, extra=3 * SIDE)


def test_a_disk_that_is_too_small_is_an_error_before_anything_is_decoded(root, tmp_path, monkeypatch):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    needed = estimate_mb(6, NUM, adapter.facts.embed_dim)
    monkeypatch.setattr(decoding.frames, "read", None)
    free(monkeypatch, needed - 1e-6)
    with pytest.raises(BenchError, match=rf"still to be computed take .* MB, and {tmp_path} has .* MB free; make room"):
        fill(store, manifest, adapter)
    assert adapter.num_encoded == 0
    free(monkeypatch, needed)
    check_room(store.folder, needed)


def test_features_that_turn_out_larger_than_the_facts_say_stop_after_the_first_shard(root, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_ROWS", 2)
    adapter, manifest = with_map(FakeAdapter()), manifest_of(root)
    by_facts = estimate_mb(6, NUM, adapter.facts.embed_dim)
    free(monkeypatch, by_facts, estimate_mb(4, NUM, adapter.facts.embed_dim, extra=3 * SIDE) - 1e-6)
    store = store_of(tmp_path, adapter)
    with pytest.raises(BenchError, match="make room"):
        fill(store, manifest, adapter)
    assert adapter.num_encoded == 2 and len(list(store.folder.glob("*.safetensors"))) == 1


# --- how the forward pass runs is recorded -------------------------------------------------------------------------


def test_the_way_of_the_forward_pass_is_kept_with_the_rows(faulty, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(faulty)
    store, rows = store_of(tmp_path, adapter), range(len(manifest.rows))
    done = fill(store, manifest, adapter, [0, 1])
    assert done.forward == {"precision": "float32", "compile": False, "device": "cpu", "batch": 16}
    encoder = Encoder(adapter, "bf16")
    encoder.batch = 4
    later = fill(store, manifest, adapter, encoder=encoder)
    assert later.forward == {"precision": "bf16", "compile": False, "device": "cpu", "batch": 4}
    again = store_of(tmp_path, adapter)
    assert sorted((r["precision"], r["batch"], r["videos"]) for r in again.computed_with(manifest, rows)) == [
        ("bf16", 4, 4),
        ("float32", 16, 2),
    ]
    assert [r["videos"] for r in again.computed_with(manifest, [0])] == [1]


def test_a_shard_from_before_the_way_was_kept_can_be_read(root, tmp_path, monkeypatch):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store, dumps = store_of(tmp_path, adapter), json.dumps
    with monkeypatch.context() as patch:

        def without(value, **more):
            return dumps({k: v for k, v in value.items() if k != "forward"} if "keys" in value else value, **more)

        patch.setattr(features.json, "dumps", without)
        fill(store, manifest, adapter)
    again = store_of(tmp_path, adapter)
    assert len(again.load(manifest, range(6))[1]) == 6
    assert again.computed_with(manifest, range(6)) == [{"videos": 6}]


def test_an_extraction_obeys_the_spec_and_keeps_what_it_measured(root, tmp_path, monkeypatch):
    adapter, manifest, made = FakeAdapter(), manifest_of(root), []

    class Counted(Encoder):
        def __init__(self, *args):
            made.append(args[1:])
            super().__init__(*args)

    monkeypatch.setattr(extraction, "Encoder", Counted)
    monkeypatch.setattr(extraction, "load_adapter", lambda name: adapter)
    monkeypatch.setattr(extraction, "load_manifest", lambda home, key: manifest)
    monkeypatch.setattr(extraction, "feature_store", lambda resolved, home: store_of(home, adapter))
    monkeypatch.setattr(extraction, "_last_encoder", [])
    spec = RunSpec(dataset="d", backbone="fake", method="m", precision="bf16")
    resolved = ResolvedRun(
        spec=spec, manifest="m", backbone="fake", adapter="a", num_frames=NUM, bank=None, config=(), versions=()
    )
    assert extraction.extract_rows(resolved, [0, 1], tmp_path).forward["precision"] == "bf16"
    assert extraction.extract_rows(resolved, [2], tmp_path).encoded == 1
    assert made == [("bf16", False)], "one encoder for both: its batch size is measured once"
    exact = replace(resolved, spec=replace(spec, precision="float32"))
    assert extraction.extract_rows(exact, [3], tmp_path).forward["precision"] == "float32"
    adapter = FakeAdapter(seed=1)
    extraction.extract_rows(exact, [4], tmp_path)
    assert made == [("bf16", False), ("float32", False), ("float32", False)], "another backbone, another encoder"


# --- the disk ------------------------------------------------------------------------------------------------------


def test_the_shards_of_a_store_are_complete_on_disk_before_they_have_their_name(root, tmp_path, monkeypatch):
    order, adapter = [], FakeAdapter()
    store = store_of(tmp_path, adapter)
    store.folder.mkdir(parents=True)
    monkeypatch.setattr(features.os, "fsync", lambda number: order.append("synced"))
    replaced = features.Path.replace
    monkeypatch.setattr(features.Path, "replace", lambda self, to: (order.append("named"), replaced(self, to))[1])
    fill(store, manifest_of(root), adapter)
    assert order == ["synced", "named"] * 2 + ["synced"]  # what it took, and the shard, whose name must last
