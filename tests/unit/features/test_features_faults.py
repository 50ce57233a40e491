"""The store of features: what cannot be decoded or stored, fills that are broken off, shards that are damaged."""

import os

import pytest
import torch
from fakes import FakeAdapter, write_video
from stored import fill, manifest_of, store_of

from bench import decoding, features, stopping
from bench.contracts import BenchError


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
