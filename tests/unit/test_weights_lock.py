"""Which file holds a model's weights, and that it stays the one that was first loaded."""

import json
import os
import subprocess
import sys

import pytest
import torch
from small_weights import SMALL, put, state_of

from adapters import _state, _weights
from adapters._cards import Card
from bench import plugins
from bench.contracts import BenchError

CARD = Card(
    architecture="ViT-B-32",
    tag="openai",
    pretraining="p",
    licence="l",
    num_parameters=1,
    gflops=1.0,
    text_rule="t",
)


# --- which file -------------------------------------------------------------------------------------------------


def test_the_one_file_of_weights_is_found_among_others():
    path = put("a", state_of(SMALL))
    for other in ("open_clip_config.json", "tokenizer.json", ".model.safetensors.0123.part", ".half.safetensors"):
        (path.parent / other).touch()
    assert _weights.locate("a", CARD) == path
    assert _weights.at_hand("a", CARD) == str(path) and "ships" in _weights.at_hand("tiny", "words")


def test_two_files_of_weights_are_one_too_many():
    put("a", state_of(SMALL), "open_clip_model.safetensors").with_name("old.pt").touch()
    with pytest.raises(BenchError, match=r"2 weight files \(old.pt, open_clip_model.safetensors\); leave one"):
        _weights.locate("a", CARD)


def test_what_is_missing_is_said_with_its_place():
    with pytest.raises(
        BenchError, match=r"no weights of a .*ViT-B-32 / openai.*\.safetensors.*weights/a.*bench fetch a"
    ):
        _weights.locate("a", CARD)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("clip-vit-b-32", "clip-vit-b-32"),
        ("open_clip:ViT-B-32/openai", "open_clip--ViT-B-32--openai"),
        ("x:../../etc", "x--..--..--etc"),
    ],
)
def test_a_folder_is_one_folder_below_weights(name, folder):
    where = _weights.folder(name)
    assert where.name == folder and where.parent.name == "weights"


# --- that it stays the same -------------------------------------------------------------------------------------


def verified(*given, **named):
    """What a file that is loaded is verified to be."""
    with _weights.verified(*given, **named) as found:
        return found


def lock():
    return json.loads(_weights.lock_file().read_text())


def test_the_first_hash_is_locked_and_another_content_refused():
    path = put("a", state_of(SMALL))
    first = verified("a", path)
    assert first == _state.sha256(path) == lock()["a"]["model.safetensors"]["sha256"] == _weights.locked("a")
    assert verified("a", path) == first
    put("a", {"other": torch.zeros(2)})
    with pytest.raises(BenchError, match=rf'has changed.*{first}.*remove the entry "a" from .*lock.json'):
        verified("a", path)
    _weights.lock_file().write_text(json.dumps({k: v for k, v in lock().items() if k != "a"}))
    assert verified("a", path) != first


def test_another_file_in_its_place_is_another_content():
    path = put("a", state_of(SMALL))
    first = verified("a", path)
    moved = path.rename(path.with_name("renamed.safetensors"))
    assert verified("a", moved) == first
    moved.unlink()
    with pytest.raises(BenchError, match=f"new.safetensors has changed.*{first} was loaded as a before"):
        verified("a", put("a", {"other": torch.zeros(2)}, "new.safetensors"))


def test_another_file_beside_the_locked_one_is_another_content_unless_it_is_a_part():
    first = put("a", state_of(SMALL))
    verified("a", first)
    beside = put("a", {"other": torch.zeros(2)}, "beside.safetensors")
    with pytest.raises(BenchError, match="beside.safetensors has changed"):
        verified("a", beside)
    parts = [first.name, beside.name]
    assert verified("a", beside, together=parts) != verified("a", first, together=parts)


def test_a_file_that_is_put_there_while_the_old_one_is_read_is_not_trusted(monkeypatch):
    path, real = put("a", state_of(SMALL)), _state.sha256
    first = real(path)

    def replaced_meanwhile(p):
        found = real(p)
        put("a", {"other": torch.zeros(2)})
        return found

    monkeypatch.setattr(_state, "sha256", replaced_meanwhile)
    with pytest.raises(BenchError, match="was changed while it was loaded"):
        verified("a", path)
    monkeypatch.setattr(_state, "sha256", real)
    assert verified("a", path) != first, "nothing was locked"


def test_what_is_known_to_be_another_file_is_not_opened_and_what_cannot_be_opened_is_not_locked():
    path = put("a", state_of(SMALL))
    with pytest.raises(ZeroDivisionError), _weights.verified("a", path):
        1 / 0  # noqa: B018
    assert not _weights.lock_file().exists()
    verified("a", path)
    put("a", {"other": torch.zeros(2)})
    for pinned in (None, "0" * 64):
        with pytest.raises(BenchError), _weights.verified("a", path, pinned):
            pytest.fail("it was opened")


def test_a_change_that_keeps_size_and_time_is_seen():
    path = put("a", state_of(SMALL))
    verified("a", path)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(BenchError, match="has changed"):
        verified("a", path)


def test_a_file_that_stays_is_not_read_again_and_one_that_moved_is(monkeypatch):
    path = put("a", state_of(SMALL))
    first, read = verified("a", path), []
    monkeypatch.setattr(_state, "sha256", lambda p: read.append(p) or first)
    assert verified("a", path) == first and not read
    os.utime(path)
    assert verified("a", path) == first and read == [path]
    assert verified("a", path) == first and read == [path]


def test_the_pin_outranks_the_lock():
    path = put("a", state_of(SMALL))
    found = _state.sha256(path)
    assert verified("a", path, found) == found
    with pytest.raises(BenchError, match=f"{found}, but the published weights of a have {'0' * 64}"):
        verified("a", path, "0" * 64)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": {"f": {}}}'])
def test_a_damaged_lock_is_refused(content):
    path = put("a", state_of(SMALL))
    _weights.lock_file().write_text(content)
    with pytest.raises(BenchError, match="cannot be read as the lock"):
        verified("a", path)


def test_names_locked_at_the_same_time_are_all_kept():
    """Four processes, twenty names each; what one writes, another must not wipe out."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom adapters import _weights\n"
        "for n in range(20): _weights.write_lock(f'{sys.argv[2]}-{n}', Path(sys.argv[1], 'pyproject.toml'), '0' * 64)"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(plugins.ROOT), str(i)]) for i in range(4)]
    assert [p.wait(120) for p in running] == [0] * 4
    assert set(lock()) == {f"{i}-{n}" for i in range(4) for n in range(20)}
