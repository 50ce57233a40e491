"""What is opened as weights and what is refused; the library's own conversions."""

import warnings

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from small_weights import CUSTOM, SMALL, put, state_of

from adapters import _open_clip_load, _state
from adapters._open_clip import build
from bench.contracts import BenchError


def refused(path, said, cfg=SMALL):
    model = build(cfg)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(BenchError, match=said) as caught:
        _state.load_strict(model, path, lambda state: _open_clip_load.converted(model, state))
    assert str(path) in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("cut", [1, 1000, 0.5])
def test_a_truncated_file_is_refused(cut):
    path = put("a", state_of(SMALL))
    whole = path.read_bytes()
    path.write_bytes(whole[: -cut if cut >= 1 else int(len(whole) * cut)])
    refused(path, "not readable as weights.*get the file again")


def test_weights_of_another_architecture_are_refused():
    wider = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "width": 32}}
    refused(put("a", state_of(wider)), r"visual.*, this architecture has \(")
    deeper = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "layers": 2}}
    refused(put("a", state_of(deeper)), r"0 keys missing.*12 unexpected \(visual.transformer.resblocks.1")


def test_a_grid_of_another_size_is_not_resized_in_silence():
    larger = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "image_size": 32}}
    refused(put("a", state_of(larger)), r"visual.positional_embedding is \(17, 16\), this architecture has \(5, 16\)")


def test_a_missing_bias_is_not_made_up():
    state = state_of(CUSTOM)
    del state["logit_bias"]
    refused(put("a", state), r"1 keys missing \(logit_bias\)", CUSTOM)


def test_numbers_that_are_none_are_refused():
    state = state_of(SMALL)
    state["visual.proj"][0, 0] = float("nan")
    refused(put("a", state), "visual.proj holds numbers that are not finite")


class Runs:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": {"w": x}}])
def test_a_pickle_with_code_is_refused_and_nothing_of_it_runs(tmp_path, wrap):
    path = tmp_path / "w.pt"
    torch.save(wrap(Runs(tmp_path / "ran")), path)
    refused(path, "asks for io.open when it is opened, .* nothing of it was run")
    assert not (tmp_path / "ran").exists()
    opened = torch.load(path, weights_only=False)
    (opened if wrap(1) == 1 else opened["state_dict"]["w"]).close()
    assert (tmp_path / "ran").exists()  # it would have


def test_a_torchscript_archive_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    module = torch.nn.Linear(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against making such files today
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 2)), path)
    refused(path, "TorchScript archive.*safetensors.*Hugging Face repository.*bench fetch")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"\n<html>404</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is Git LFS's pointer"),
        (b"PK\x03\x04", "it is cut off or damaged"),
        (b"\x80\x02}q\x00.", "it is cut off, damaged, or no file of weights"),
    ],
)
def test_what_are_no_weights_is_refused_in_our_own_words(tmp_path, content, what):
    path = tmp_path / "w.bin"
    path.write_bytes(content)
    refused(path, rf"not readable as weights \({what}[^)]*\); get the file again")


# --- the library's own conversions ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "state_dict", "module", "half", "old keys", "scalars", "position_ids"])
def test_released_forms_of_a_file_are_understood_as_the_library_does(tmp_path, form):
    state = state_of(CUSTOM)
    given: object = dict(state)
    if form == "state_dict":
        given = {"epoch": 3, "state_dict": state}
    if form == "module":
        given = {f"module.{k}": v for k, v in state.items()}
    if form == "half":
        given = {k: v.half() for k, v in state.items()}
    if form == "old keys":
        given = {k.removeprefix("text."): v for k, v in state.items()}
    if form == "scalars":
        given = {**state, "logit_scale": state["logit_scale"].reshape(1), "logit_bias": state["logit_bias"].reshape(1)}
    if form == "position_ids":
        given = {**state, "text.transformer.embeddings.position_ids": torch.arange(3)}
    path = tmp_path / "w.pt"
    torch.save(given, path)
    own, theirs = _open_clip_load.filled(CUSTOM, path), build(CUSTOM)
    open_clip.load_checkpoint(theirs, str(path))
    for key, value in theirs.state_dict().items():
        assert torch.equal(own.state_dict()[key], value), key


def test_a_model_that_is_filled_is_filled_everywhere(tmp_path):
    """Nothing of the memory that was never written may be left: twice the same file, twice the same model, buffers too."""
    save_file(state_of(CUSTOM), tmp_path / "w.safetensors")
    one, two, theirs = (*(_open_clip_load.filled(CUSTOM, tmp_path / "w.safetensors") for _ in range(2)), build(CUSTOM))
    buffers = dict(theirs.named_buffers())
    for (key, a), (_, b) in zip(one.named_buffers(), two.named_buffers(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, buffers[key]), key
    assert set(dict(one.named_buffers())) == set(buffers)
