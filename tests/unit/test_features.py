import collections
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import SIDE, FakeAdapter, write_video
from stored import CLASSES, NUM, fill, manifest_of, store_of

from bench import decoding, features, planning, runner, stopping
from bench.contracts import BenchError
from bench.features import check_room, estimate_mb, row_keys
from bench.forward import Encoder
from bench.frames import UndecodableVideo, read
from bench.manifest import build


def by_hand(adapter, path):
    return adapter.encode_video(adapter.transform(read(path, NUM))[None]).frames[0]


# --- what goes in comes out --------------------------------------------------------------------------------------


def test_each_row_gets_the_features_of_its_own_video(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    done = fill(store, manifest, adapter)
    assert (done.asked, done.stored, done.encoded, done.failed) == (6, 0, 6, 0)
    found, kept, failed = store.load(manifest, range(6))
    assert kept == list(range(6)) and failed == {}
    assert found.frames.dtype == torch.float32 and found.frames.shape == (6, NUM, adapter.facts.embed_dim)
    for row, path in enumerate(manifest.rows["path"]):
        torch.testing.assert_close(found.frames[row], by_hand(adapter, path))


@pytest.mark.parametrize("order", [[3, 0, 5], [5, 4, 3, 2, 1, 0], [2], [1, 1, 4]])
def test_rows_come_in_the_order_they_are_asked_for_across_shards(order, root, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_ROWS", 2)
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    fill(store, manifest, adapter)
    assert len(list(store.folder.glob("*.safetensors"))) == 3
    whole, _, _ = store.load(manifest, range(6))
    found, kept, _ = store.load(manifest, order)
    assert kept == order
    assert torch.equal(found.frames, whole.frames[order])


def test_what_else_similarity_needs_is_stored_beside(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    plain = adapter.encode_video
    adapter.encode_video = lambda video: replace(plain(video), extra={"map": video.mean(dim=(1, 2))})
    store = store_of(tmp_path, adapter)
    fill(store, manifest, adapter)
    found, _, _ = store.load(manifest, [4, 1])
    expected = torch.stack([adapter.transform(read(root / f"{i}.mp4", NUM)).mean(dim=(0, 1)) for i in (4, 1)])
    torch.testing.assert_close(found.extra["map"], expected)


def test_a_row_that_is_not_stored_is_an_error_that_says_what_to_do(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    fill(store, manifest, adapter, [0, 1])
    with pytest.raises(BenchError, match=r"1 of 2 videos have no features in .* run the same command again"):
        store.load(manifest, [0, 2])


# --- nothing twice -----------------------------------------------------------------------------------------------


def test_a_second_fill_encodes_nothing(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    fill(store_of(tmp_path, adapter), manifest, adapter)
    again = fill(store_of(tmp_path, adapter), manifest, adapter)
    assert (again.asked, again.stored, again.encoded) == (6, 6, 0)
    assert adapter.num_encoded == 6


def test_a_fill_of_more_encodes_only_what_is_new(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store, steps = store_of(tmp_path, adapter), []
    fill(store, manifest, adapter, [1, 4])
    done = fill(store, manifest, adapter, range(6), progress=steps.append)
    assert (done.stored, done.encoded, sum(steps)) == (2, 4, 4)
    assert adapter.num_encoded == 6


def test_other_labels_splits_ids_and_paths_use_the_same_rows(root, tmp_path):
    adapter = FakeAdapter()
    store = store_of(tmp_path, adapter)
    fill(store, manifest_of(root), adapter)
    for path in sorted(root.iterdir()):
        path.rename(root / f"renamed_{path.name}")
    rows = [
        {"video_id": f"x{i}", "path": f"renamed_{i}.mp4", "label": "wave" if i else "run", "group": "s"}
        for i in range(6)
    ]
    other = build("other", rows[::-1], CLASSES[::-1], root, splits={"1": ["train"] * 6})
    assert fill(store, other, adapter).encoded == 0
    torch.testing.assert_close(store.load(other, [0])[0].frames[0], by_hand(adapter, root / "renamed_5.mp4"))


def test_one_content_under_two_names_is_encoded_once(root, tmp_path):
    (root / "copy.mp4").write_bytes((root / "2.mp4").read_bytes())
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    assert fill(store, manifest, adapter).encoded == 6
    found, kept, _ = store.load(manifest, range(7))
    at = manifest.rows["video_id"].tolist().index
    assert len(kept) == 7 and torch.equal(found.frames[at("copy.mp4")], found.frames[at("2.mp4")])


# --- what a row is kept under ------------------------------------------------------------------------------------

WINDOW, OTHER_WINDOW = {"start_s": [0.1] * 6, "end_s": [0.5] * 6}, {"start_s": [0.2] * 6, "end_s": [0.5] * 6}
VARIANTS = [{}, WINDOW, OTHER_WINDOW, {"end_s": [0.5] * 6}, {"box": ["0,0,.5,1"] * 6}, {"box": ["0,0,.5,.5"] * 6}]


def test_window_and_box_make_other_rows(root, tmp_path):
    adapter = FakeAdapter()
    store = store_of(tmp_path, adapter)
    keys = [row_keys(manifest_of(root, **columns)) for columns in VARIANTS]
    assert len({k for of_variant in keys for k in of_variant}) == 6 * len(VARIANTS)
    for columns in VARIANTS:
        assert fill(store, manifest_of(root, **columns), adapter).encoded == 6
    left, whole = (store.load(manifest_of(root, **VARIANTS[i]), [0])[0].frames for i in (4, 0))
    assert not torch.allclose(left, whole)


def test_another_content_makes_another_row(root):
    before = row_keys(manifest_of(root))
    write_video(root / "3.mp4", 6, first=40)
    after = row_keys(manifest_of(root))
    assert [i for i in range(6) if before[i] != after[i]] == [3]


STORES = {
    "weights": (FakeAdapter(seed=1), {}),
    "version": (FakeAdapter(version=2), {}),
    "num_frames": (FakeAdapter(), {"num_frames": NUM + 1}),
    "sampling": (FakeAdapter(), {"sampling": "other"}),
    "decoder": (FakeAdapter(), {"decoder": "other"}),
    "precision": (FakeAdapter(), {"precision": "float16"}),
}


@pytest.mark.parametrize("change", STORES)
def test_whatever_a_feature_depends_on_makes_another_store(change, tmp_path):
    adapter, changes = STORES[change]
    assert store_of(tmp_path, adapter, **changes).folder != store_of(tmp_path, FakeAdapter()).folder


@pytest.mark.parametrize("field", ["transform", "dtype"])
def test_a_transform_or_dtype_makes_another_store(field, tmp_path):
    adapter = FakeAdapter()
    before = store_of(tmp_path, adapter).folder
    adapter.facts = replace(adapter.facts, **{field: "other"})
    assert store_of(tmp_path, adapter).folder != before


# --- what cannot be decoded --------------------------------------------------------------------------------------


@pytest.fixture
def faulty(root):
    (root / "text.mp4").write_text("no video")
    (root / "empty_a.mp4").touch()
    (root / "empty_b.mp4").touch()
    return root


def test_an_undecodable_video_is_a_row_with_its_own_reason_and_not_tried_again(faulty, tmp_path, monkeypatch):
    names = [*sorted(p.name for p in faulty.iterdir()), "missing_a.mp4", "missing_b.mp4"]
    adapter, manifest = FakeAdapter(), manifest_of(faulty, names)
    store = store_of(tmp_path, adapter)
    done = fill(store, manifest, adapter)
    assert done.encoded == 6 and done.failed == 4, "two empty files are one content, two that are not there are not"
    _, kept, failed = store.load(manifest, range(len(names)))
    assert [names[p] for p in kept] == [f"{i}.mp4" for i in range(6)]
    reasons = {names[p]: reason for p, reason in failed.items()}
    assert reasons["empty_a.mp4"] == reasons["empty_b.mp4"] == "the file is empty"
    assert reasons["missing_a.mp4"] == reasons["missing_b.mp4"] == "no such file"
    assert "Invalid data" in reasons["text.mp4"]
    monkeypatch.setattr(decoding.frames, "read", None)  # nothing may be decoded now
    again = fill(store_of(tmp_path, adapter), manifest, adapter)
    assert (again.asked, again.stored, again.encoded, again.failed) == (11, 11, 0, 0)


def test_a_file_that_came_later_is_decoded_then(root, tmp_path):
    names = ["0.mp4", "late.mp4"]
    adapter = FakeAdapter()
    store = store_of(tmp_path, adapter)
    assert fill(store, manifest_of(root, names), adapter).failed == 1
    write_video(root / "late.mp4", 5, first=30)
    assert fill(store, manifest_of(root, names), adapter).encoded == 1
    assert store.load(manifest_of(root, names), [0, 1])[2] == {}


def test_a_shard_of_nothing_but_undecodable_videos_is_a_shard(tmp_path, faulty):
    adapter, manifest = FakeAdapter(), manifest_of(faulty, ["text.mp4", "empty_a.mp4"])
    store = store_of(tmp_path, adapter)
    assert fill(store, manifest, adapter).failed == 2
    assert adapter.num_encoded == 0
    with pytest.raises(BenchError, match="none of the 2 videos can be decoded: .*Invalid data"):
        store.load(manifest, [1, 0][::-1])


@pytest.mark.parametrize(
    "error", [MemoryError("no memory"), PermissionError(13, "denied"), OSError(5, "Input/output error")]
)
def test_a_fault_of_the_machine_is_no_fault_of_the_video(error, root, tmp_path, monkeypatch):
    """Such a video can be read tomorrow, so it must not be stored as undecodable for good."""

    def fail(*args, **kwargs):
        raise error

    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    with monkeypatch.context() as patch:
        patch.setattr("bench.frames.av.open", fail)
        with pytest.raises(type(error)):
            fill(store, manifest, adapter)
    assert fill(store, manifest, adapter).encoded == 6


# --- broken off --------------------------------------------------------------------------------------------------


def test_a_fill_that_is_broken_off_keeps_whole_shards_and_leaves_no_half_one(root, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_ROWS", 2)
    adapter, manifest = FakeAdapter(), manifest_of(root)
    plain = adapter.encode_video

    def stop_at_third(video):
        if adapter.num_encoded >= 4:
            raise KeyboardInterrupt
        return plain(video)

    adapter.encode_video = stop_at_third
    store = store_of(tmp_path, adapter)
    with pytest.raises(KeyboardInterrupt):
        fill(store, manifest, adapter)
    assert len(list(store.folder.glob("*.safetensors"))) == 2
    adapter.encode_video = plain
    done = fill(store_of(tmp_path, adapter), manifest, adapter)
    assert (done.stored, done.encoded) == (4, 2)


def test_asked_to_stop_it_ends_with_the_shard_in_hand(root, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_ROWS", 2)
    adapter, manifest = FakeAdapter(), manifest_of(root)
    plain, store = adapter.encode_video, store_of(tmp_path, adapter)

    def asked(video):
        stopping.request("SIGUSR2")
        return plain(video)

    adapter.encode_video = asked
    try:
        with pytest.raises(stopping.Stopped, match="SIGUSR2"):
            fill(store, manifest, adapter)
    finally:
        stopping.forget()
    assert adapter.num_encoded == 2 and len(list(store.folder.glob("*.safetensors"))) == 1


def test_a_stop_in_the_middle_of_writing_leaves_nothing(root, tmp_path, monkeypatch):
    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    with monkeypatch.context() as patch:
        patch.setattr(features, "save_file", half)
        with pytest.raises(KeyboardInterrupt):
            fill(store, manifest, adapter)
    assert list(store.folder.glob("*.safetensors")) == []
    assert fill(store, manifest, adapter).encoded == 6


def test_a_temporary_file_that_a_kill_left_is_no_shard_and_goes(root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    store.folder.mkdir(parents=True)
    living = features.temporary_beside(store.folder / f"{'0' * 16}.safetensors")
    dead = living.with_name(living.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-7"))
    for left in (living, dead):
        left.write_bytes(b"half a shard")
    assert fill(store, manifest, adapter).encoded == 6
    assert len(store.load(manifest, range(6))[1]) == 6
    assert living.exists() and not dead.exists()


DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "no shard": lambda content: b"\x08\0\0\0\0\0\0\0{}      ",
    "not ours": lambda content: len(head := b'{"__metadata__":{"a":"b"}}').to_bytes(8, "little") + head,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("opened", [False, True], ids=["before it was opened", "after its list was read"])
def test_a_damaged_shard_is_an_error_that_names_it(damage, opened, root, tmp_path):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store = store_of(tmp_path, adapter)
    fill(store, manifest, adapter)
    if opened:
        assert len(store.rows()) == 6
    (shard,) = store.folder.glob("*.safetensors")
    shard.write_bytes(DAMAGE[damage](shard.read_bytes()))
    with pytest.raises(BenchError, match=rf"{shard}.*damaged.*delete it and run the same command again"):
        store.load(manifest, range(6))
    shard.unlink()
    assert fill(store_of(tmp_path, adapter), manifest, adapter).encoded == 6


# --- what they took ----------------------------------------------------------------------------------------------


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


# --- what cannot be stored ---------------------------------------------------------------------------------------


class Overflows(FakeAdapter):
    def encode_video(self, video):
        found = super().encode_video(video)
        found.frames[0, 0, 0] = torch.inf
        return found


def test_features_that_are_no_numbers_are_an_error_and_not_stored(root, tmp_path):
    adapter = Overflows()
    store = store_of(tmp_path, adapter)
    with pytest.raises(
        BenchError, match="fake gives frames that are infinite or no numbers in float32 on cpu.*--precision"
    ):
        fill(store, manifest_of(root), adapter)
    assert store.missing(manifest_of(root), range(6)) == list(range(6))


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

    monkeypatch.setattr(runner, "Encoder", Counted)
    monkeypatch.setattr(runner, "load_adapter", lambda name: adapter)
    monkeypatch.setattr(runner, "load_manifest", lambda home, key: manifest)
    monkeypatch.setattr(runner, "feature_store", lambda resolved, home: store_of(home, adapter))
    monkeypatch.setattr(runner, "_last_encoder", [])
    spec = planning.RunSpec(dataset="d", backbone="fake", method="m", precision="bf16")
    resolved = planning.ResolvedRun(
        spec=spec, manifest="m", backbone="fake", adapter="a", num_frames=NUM, bank=None, config=(), versions=()
    )
    assert runner.extract_rows(resolved, [0, 1], tmp_path).forward["precision"] == "bf16"
    assert runner.extract_rows(resolved, [2], tmp_path).encoded == 1
    assert made == [("bf16", False)], "one encoder for both: its batch size is measured once"
    exact = replace(resolved, spec=replace(spec, precision="float32"))
    assert runner.extract_rows(exact, [3], tmp_path).forward["precision"] == "float32"
    adapter = FakeAdapter(seed=1)
    runner.extract_rows(exact, [4], tmp_path)
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
