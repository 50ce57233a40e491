"""Checkpoints of MMAction2: whole and checked or refused, nothing in them run, got from the network only when asked for."""

import hashlib
import os
import pickle
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from small_recognizers import SIDE, TSM, built, load

from adapters import _mmaction2_checkpoint
from bench import plugins, published, recognizers
from bench.contracts import BenchError

pytestmark = [pytest.mark.mmaction2, pytest.mark.usefixtures("small_pictures")]


def test_a_checkpoint_of_mmengine_is_taken_whole_whatever_its_classes(released, tmp_path):
    path, model = released
    adapter = load(f"mmaction2:{TSM}@{path}")
    facts = adapter.facts
    assert facts.name == f"{TSM}--mine" and facts.weights == "mine.pth" and str(path.parent) not in repr(facts)
    assert facts.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "own weights" in facts.pretraining and "own weights" in facts.licence
    video = torch.randn(1, 8, 3, SIDE, SIDE)
    with torch.no_grad():
        theirs, _ = model.extract_feat(video, stage="head")
        ours = model.cls_head.fc_cls(adapter.encode_video(video).pooled)
    assert theirs.shape == (1, 7)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


SPOILT = {
    "a key is missing": (lambda s: s.pop("backbone.conv1.conv.weight"), r"1 keys missing \(backbone.conv1.conv.weight"),
    "a key is too many": (lambda s: s.update({"more": torch.zeros(1)}), r"1 unexpected \(more\)"),
    "no head": (lambda s: [s.pop(k) for k in list(s) if k.startswith("cls_head")], "2 keys missing"),
    "another width behind it": (lambda s: s.update({"cls_head.fc_cls.weight": torch.zeros(7, 9)}), r"is \(7, 9\)"),
    "widths that contradict": (lambda s: s.update({"cls_head.fc_cls.bias": torch.zeros(9)}), "7 and 9 classes"),
    "another shape": (lambda s: s.update({"backbone.conv1.conv.weight": torch.zeros(3)}), r"is \(3,\)"),
    "no number": (lambda s: s["cls_head.fc_cls.bias"].fill_(torch.nan), "not finite"),
    "another model": (lambda s: (s.clear(), s.update({"a": torch.zeros(1)})), r"unexpected \(a\)"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_checkpoints_that_do_not_fit_are_refused_by_name(fault, released, tmp_path):
    spoil, words = SPOILT[fault]
    state = {key: value.clone() for key, value in released[1].state_dict().items()}
    spoil(state)
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(BenchError, match=words):
        load(f"mmaction2:{TSM}@{tmp_path / 'w.pth'}")


def named(path, folder, sha256):
    """A copy under a name as MMAction2 gives it."""
    out = folder / f"{TSM}_20220831-{sha256[:8]}.pth"
    out.write_bytes(path.read_bytes())
    return out


def test_the_hash_in_a_name_and_the_one_that_is_given_are_held_against_the_file(released, tmp_path):
    sha256 = hashlib.sha256(released[0].read_bytes()).hexdigest()
    good = named(released[0], tmp_path, sha256)
    assert load(f"mmaction2:{TSM}@{good}#sha256={sha256}").facts.name == f"{TSM}--20220831-{sha256[:8]}"
    assert load(f"mmaction2:{TSM}@{good}#sha256={sha256.upper()}").facts.weights_sha256 == sha256
    with pytest.raises(BenchError, match=f"has sha256 {sha256}, but {'0' * 64} was asked for.*was not opened"):
        load(f"mmaction2:{TSM}@{good}#sha256={'0' * 64}")
    wrong = named(released[0], tmp_path, "0123456789")
    with pytest.raises(BenchError, match=f"has sha256 {sha256}, but 01234567 is what its name says"):
        load(f"mmaction2:{TSM}@{wrong}")
    good.write_bytes(good.read_bytes()[:-1000])
    with pytest.raises(BenchError, match="cut off or another file"):
        load(f"mmaction2:{TSM}@{good}")


def test_a_date_at_the_end_of_a_name_is_no_hash(released, tmp_path):
    mine = tmp_path / "model-20220101.pth"
    mine.write_bytes(released[0].read_bytes())
    assert load(f"mmaction2:{TSM}@{mine}").facts.weights == mine.name


def test_a_file_that_is_cut_off_without_a_hash_to_tell_is_refused(released, tmp_path):
    cut = tmp_path / "cut.pth"
    cut.write_bytes(released[0].read_bytes()[:-1000])
    with pytest.raises(BenchError, match="cut.pth: not readable as weights"):
        load(f"mmaction2:{TSM}@{cut}")


def test_a_file_that_changed_since_it_was_first_loaded_is_refused(released, tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"state_dict": released[1].state_dict()}, path)
    load(f"mmaction2:{TSM}@{path}")
    torch.save({"state_dict": built(seed=9).state_dict()}, path)
    with pytest.raises(BenchError, match="has changed"):
        load(f"mmaction2:{TSM}@{path}")


def test_a_file_is_held_against_the_lock_before_it_is_opened(released, tmp_path):
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    path.write_bytes(released[0].read_bytes())
    load(f"mmaction2:{TSM}@{path}")
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(BenchError, match="has changed: its sha256 is"):  # and not: asks for mkdir when it is opened
        load(f"mmaction2:{TSM}@{path}")


def test_a_damaged_file_is_never_locked(released, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(released[0].read_bytes()[:-1000])
    with pytest.raises(BenchError, match="not readable as weights"):
        load(f"mmaction2:{TSM}@{path}")
    path.write_bytes(released[0].read_bytes())
    assert load(f"mmaction2:{TSM}@{path}").facts.weights == "w.pth"


def test_what_is_checked_is_what_is_opened(released, tmp_path, monkeypatch):
    """The file is another one as soon as its hash was taken: what is loaded has the hash that was taken."""
    path, expect = tmp_path / "w.pth", _mmaction2_checkpoint._weights.expect
    path.write_bytes(released[0].read_bytes())

    def swapped(name, seen):
        torch.save({"state_dict": built(num_classes=7, seed=9).state_dict()}, path)
        return expect(name, seen)

    monkeypatch.setattr(_mmaction2_checkpoint._weights, "expect", swapped)
    adapter, model = load(f"mmaction2:{TSM}@{path}"), released[1]
    assert adapter.facts.weights_sha256 == hashlib.sha256(released[0].read_bytes()).hexdigest()
    assert values_of(adapter.recognizer()) == values_of(model), "the copies to train are of the same bytes"


def values_of(model):
    return {key: (tuple(v.shape), float(v.double().sum())) for key, v in model.state_dict().items()}


class Evil:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_that_would_run_something_is_refused_and_nothing_of_it_runs(wrapped, released, tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    evil = Evil(trace)
    content = {"state_dict": released[1].state_dict(), "meta": evil} if wrapped else evil
    torch.save(content, path)
    with pytest.raises(
        BenchError, match=r"evil.pth asks for (posix|os)\.mkdir when it is opened.*nothing of it was run"
    ):
        load(f"mmaction2:{TSM}@{path}")
    assert not trace.exists()
    # The test can fail: the file does what it is made to do where it is opened without care.
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_a_plain_pickle_is_refused_too(tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"state_dict": Evil(trace)}))
    with pytest.raises(BenchError, match="evil.pth"):
        load(f"mmaction2:{TSM}@{path}")
    assert not trace.exists()


# --- names ------------------------------------------------------------------------------------------------------------

TYPO = TSM.replace("mobilenetv2", "mobilenet2")
URL = "https://example.invalid/zoo/tsm_20220831-0123abcd.pth"
NAMES = {
    f"mmaction2:{TYPO}": f"unknown recogniser of MMAction2 '{TYPO}'; did you mean .*{TSM}",
    "mmaction2:../../x": "unknown recogniser of MMAction2",
    f"mmaction2:{TSM}@nowhere.pth": "there is no file nowhere.pth",
    f"mmaction2:{TSM}@": "there is no file after the @",
    f"mmaction2:{TSM}@{__file__}#sha256=12": "'12' is no sha256; write the 64 hex digits",
    f"mmaction2:{TSM}@{URL}": "ask whom you trust for its sha256 and write .*#sha256=HEX",
    f"mmaction2:{TSM}@{URL}#sha256={'a' * 64}": f"not on this machine: run `python -m bench fetch mmaction2:{TSM}@{URL}#sha256=a{{64}}` "
    rf"where there is network, or download {URL} and put it at .*weights/{TSM}--tsm_20220831-0123abcd/tsm_20220831-0123abcd.pth",
    "mmaction2:slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow": "looks at optical flow",
    "mmaction2:uniformerv2-base-p16-res224_clip-pre_u8_kinetics710-rgb": "no test pipeline",
    "mmaction2:tsn_imagenet-pretrained-rn101-32x4d_8xb32-1x1x3-100e_kinetics400-rgb": "cannot be built here: .*mmcls",
    "mmaction2:tin_kinetics400-pretrained-tsm-r50_1x1x8-50e_kinetics400-rgb": "cannot be built here: ResNetTIN needs mmcv's",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_means_nothing_here_is_answered_with_what_to_do(name, monkeypatch):
    monkeypatch.undo()  # the real pipelines
    with pytest.raises(BenchError, match=NAMES[name]):
        load(name)


def test_a_path_is_made_absolute_before_a_hash_too(tmp_path, monkeypatch):
    (tmp_path / "w.pth").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    mark = f"#sha256={'a' * 64}"
    assert plugins.absolute(f"mmaction2:{TSM}@w.pth{mark}") == f"mmaction2:{TSM}@{tmp_path / 'w.pth'}{mark}"
    assert plugins.paths(f"mmaction2:{TSM}@w.pth{mark}") == [tmp_path / "w.pth"]
    assert plugins.absolute(f"mmaction2:{TSM}@{URL}{mark}") == f"mmaction2:{TSM}@{URL}{mark}"


# --- the network --------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder on a server of this machine, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_checkpoint_is_fetched_when_asked_for_and_compared_before_it_is_opened(released, served):
    folder, url = served
    (folder / "mine.pth").write_bytes(released[0].read_bytes())
    sha256 = hashlib.sha256(released[0].read_bytes()).hexdigest()
    name = f"mmaction2:{TSM}@{url}/mine.pth#sha256={sha256}"
    module = plugins.find("adapters", name)
    with pytest.raises(BenchError, match="not on this machine"):
        load(name)
    where = module.fetch(name)
    assert where == module.at_hand(name) and where.endswith(f"weights/{TSM}--mine/mine.pth")
    facts = load(name).facts
    assert facts.weights_sha256 == sha256 and url not in repr(facts)
    Path(where).write_bytes(b"a part")
    with pytest.raises(BenchError, match="was not opened"):
        load(name)
    assert module.fetch(name) == where and load(name).facts == facts
    (folder / "mine.pth").unlink()
    assert module.fetch(name) == where, "what is there is not got again"


def test_another_file_than_asked_for_is_not_kept(released, served):
    folder, url = served
    (folder / "mine.pth").write_bytes(b"something else")
    name = f"mmaction2:{TSM}@{url}/mine.pth#sha256={'a' * 64}"
    with pytest.raises(BenchError, match=f"but {'a' * 64} was asked for"):
        plugins.find("adapters", name).fetch(name)
    source = _mmaction2_checkpoint.parse(name)
    with pytest.raises(BenchError, match="not on this machine"):
        _mmaction2_checkpoint.locate(source)
    folder = (_mmaction2_checkpoint._weights.folder(source.name)).iterdir()
    assert list(folder) == []


@pytest.mark.parametrize("path", ["gone.pth", None])
def test_what_cannot_be_downloaded_says_what_to_do(path, served):
    url = f"{served[1]}/{path}" if path else "http://127.0.0.1:9/x.pth"
    name = f"mmaction2:{TSM}@{url}#sha256={'a' * 64}"
    with pytest.raises(BenchError, match=f"{url} could not be downloaded .*download it elsewhere and put it at .*pth"):
        plugins.find("adapters", name).fetch(name)


def test_there_is_nothing_to_fetch_without_a_url(released):
    for name in (f"mmaction2:{TSM}", f"mmaction2:{TSM}@{released[0]}"):
        with pytest.raises(BenchError, match="no URL; there is nothing to fetch"):
            plugins.find("adapters", name).fetch(name)
    assert plugins.find("adapters", f"mmaction2:{TSM}").at_hand(f"mmaction2:{TSM}") == "random weights"


def test_a_published_file_is_known_by_its_name():
    assert recognizers.trained_on(
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth"
    ) == ("ImageNet, Kinetics-400")
    assert recognizers.trained_on("mine.pth") is None


def test_every_published_file_was_trained_on_the_data_set_that_it_is_named_after():
    """Of a third of them the index tells no training data, and of five another data set's."""
    entries = [entry for entries in recognizers._index().values() for entry in entries]
    files = {str(entry.get("Weights", "")).rpartition("/")[2]: entry for entry in entries} | {"": None}
    found = {}
    for file, entry in files.items():
        if named := re.search(r"[_-](kinetics-?\d{3}|sthv\d|ucf101|mitv1)(-rgb|-flow)?_\d{8}-", file):
            told = recognizers.trained_on(file)
            found[file] = published.trained_on(str(told), named[1].replace("sth", "ss"))
            first = str(entry["Metadata"].get("Pretrained"))
            assert first == "None" or str(told).startswith(first)
    assert len(found) > 100 and all(found.values()), [file for file, right in found.items() if not right]
