"""X-CLIP's files: which fit a name, and what their preprocessing does to a picture."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
import transformers
from torchvision.transforms.v2 import functional as tvF
from transformers import AutoImageProcessor
from transformers_folders import (
    PREPROCESSING,
    XCLIPS,
    close,
    load,
    save,
    small_xclip,
)

from adapters import _state, _transformers, _transformers_folder
from bench.contracts import BenchError


@pytest.fixture
def xclip_home(tmp_path, monkeypatch):
    """A folder of xclip-base-patch32 in which the tower is narrow; -> the folder, the library's model."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    folder = tmp_path / "weights" / "xclip-base-patch32"
    model = small_xclip()
    save(folder, model)
    return folder, model


def test_an_older_file_with_positions_as_keys_is_read(xclip_home):
    folder, model = xclip_home
    positions = {f"{side}_model.embeddings.position_ids": torch.arange(77)[None] for side in ("text", "vision")}
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict() | positions, folder / "pytorch_model.bin")
    adapter = load("xclip-base-patch32")
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in adapter.module.state_dict().items())
    assert adapter.facts.weights_sha256 == _state.sha256(folder / "pytorch_model.bin")


def test_an_x_clip_for_another_number_of_frames_is_not_taken_for_it(xclip_home):
    folder, _ = xclip_home
    save(folder, small_xclip(frames=16))
    with pytest.raises(
        BenchError, match="config.json is of a xclip for 16 frames, but xclip-base-patch32 is an X-CLIP for 8"
    ):
        load("xclip-base-patch32")


def test_another_config_is_another_backbone(xclip_home):
    folder, _ = xclip_home
    before = load("xclip-base-patch32").facts.fingerprint
    said = json.loads((folder / "config.json").read_text())
    said["transformers_version"] = "4.22.0"
    (folder / "config.json").write_text(json.dumps(said))
    assert load("xclip-base-patch32").facts.fingerprint == before
    said["vision_config"]["mit_num_attention_heads"] = 8  # no weight tells
    (folder / "config.json").write_text(json.dumps(said))
    assert load("xclip-base-patch32").facts.fingerprint != before


@pytest.mark.parametrize("name", XCLIPS)
def test_missing_weights_say_what_to_get(name):
    with pytest.raises(BenchError, match=rf"no weights of {name}.*microsoft/{name}.*fetch {name}"):
        load(name)


def test_the_transform_equals_the_folders_own_preprocessing(xclip_home):
    folder, _ = xclip_home
    adapter = load("xclip-base-patch32")
    frames = np.random.default_rng(1).integers(0, 256, (3, 90, 160, 3), dtype=np.uint8)
    before = frames.copy()
    own = adapter.transform(frames)
    theirs = AutoImageProcessor.from_pretrained(folder)(list(frames), return_tensors="pt")["pixel_values"][0]
    assert torch.equal(own, theirs) and np.array_equal(frames, before)
    # Once more without the library's image processors: shortest edge to 224, centre, ImageNet's mean and deviation.
    resized = tvF.resize(torch.tensor(frames).permute(0, 3, 1, 2), [224, 398], antialias=True)
    cropped = tvF.center_crop(resized, [224, 224]).float() / 255
    close(own, tvF.normalize(cropped, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def test_the_transform_is_small_and_read_only_frames_are_fine(xclip_home):
    transform = load("xclip-base-patch32").transform
    frames = np.random.default_rng(1).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    frames.flags.writeable = False
    own = transform(frames)
    packed = pickle.dumps(transform)
    assert len(packed) < 2000 and torch.equal(pickle.loads(packed)(frames), own)


@pytest.mark.parametrize(
    "change",
    [
        {"image_mean": [0.5, 0.5, 0.5]},
        {"image_std": [0.5, 0.5, 0.5]},
        {"resample": 3},
        {"size": {"shortest_edge": 256}},
        {"do_center_crop": False},
        {"rescale_factor": 1.0},
        {"feature_extractor_type": "CLIPFeatureExtractor"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_transforms_name_tells_everything_it_does(tmp_path, change):
    def name(said):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
        return _transformers_folder.transform_of(tmp_path, transformers.Dinov2Config()).name

    assert name(PREPROCESSING) == name(dict(PREPROCESSING)) != name(PREPROCESSING | change)


def test_the_transforms_name_tells_what_it_computes_with(tmp_path):
    torchvision, pil = (
        _transformers.FrameTransform.of(c())
        for c in (transformers.CLIPImageProcessor, transformers.CLIPImageProcessorPil)
    )
    assert torchvision.name != pil.name and "torchvision" in torchvision.name
    with pytest.raises(BenchError, match="computes with torchvision here, not with pil"):
        dataclasses.replace(torchvision, backend="pil")(np.zeros((1, 8, 8, 3), np.uint8))
