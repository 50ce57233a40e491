"""The store of features: what goes in comes out, nothing is computed twice, and what a row is kept under."""

from dataclasses import replace

import pytest
import torch
from fakes import FakeAdapter, write_video
from stored import CLASSES, NUM, fill, manifest_of, store_of

from bench import features
from bench.contracts import BenchError
from bench.features import row_keys
from bench.forward import Encoder
from bench.frames import read
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


def test_a_fill_of_more_encodes_only_what_is_new(root, tmp_path, monkeypatch):
    adapter, manifest = FakeAdapter(), manifest_of(root)
    store, steps = store_of(tmp_path, adapter), []
    fill(store, manifest, adapter, [1, 4])
    done = fill(store, manifest, adapter, range(6), progress=steps.append)
    assert (done.stored, done.encoded, sum(steps)) == (2, 4, 4)
    monkeypatch.setattr(Encoder, "size", lambda self, video: 1)
    fill(store_of(tmp_path / "other", adapter), manifest, adapter, range(6), progress=steps.append)
    assert steps[-6:] == [1] * 6, "batch by batch, not shard by shard"
    assert adapter.num_encoded == 12


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
