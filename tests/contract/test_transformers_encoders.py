"""Image encoders of transformers without a text side equal the library."""

import pytest
import torch
import transformers
from transformers_folders import WIDTH, close, open_folder, videos

from bench import checks
from bench.contracts import BenchError, NotApplicable

IMAGE = {**WIDTH, "image_size": 64, "patch_size": 16}


ENCODERS = {
    "vit": ("ViTForImageClassification", {**IMAGE, "num_labels": 5}),
    "vit-pooler": ("ViTModel", IMAGE),
    "dinov2": ("Dinov2Model", {**IMAGE, "mlp_ratio": 2}),
    "videomae": ("VideoMAEForVideoClassification", {**IMAGE, "num_frames": 4, "num_labels": 5}),
    "timesformer": ("TimesformerForVideoClassification", {**IMAGE, "num_frames": 4, "num_labels": 5}),
}


@pytest.fixture(params=ENCODERS)
def encoder(request, tmp_path):
    torch.manual_seed(0)
    name, values = ENCODERS[request.param]
    model_class = getattr(transformers, name)
    model = model_class(model_class.config_class(**values)).eval()
    for parameter in model.parameters():  # some start with zeros, which would hide what is not loaded
        parameter.data += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
    ).save_pretrained(tmp_path)
    return open_folder(tmp_path), model, request.param


def test_an_encoder_keeps_the_contract_and_has_no_text(encoder):
    adapter, _, _ = encoder
    assert [(r.name, r.problem) for r in checks.check_adapter(adapter) if r.problem] == []
    assert adapter.facts.capabilities == frozenset()
    features = adapter.encode_video(videos(adapter, 1))
    for call in (lambda: adapter.encode_text(["a"]), lambda: adapter.similarity(features, torch.zeros(1, 32))):
        with pytest.raises(NotApplicable, match="no text side"):
            call()


def test_an_encoder_equals_the_library(encoder):
    adapter, whole, kind = encoder
    model = whole.base_model
    video = videos(adapter, 2)
    features = adapter.encode_video(video)
    frames = features.frames
    with torch.no_grad():
        if adapter.facts.fixed_num_frames:
            hidden = model(pixel_values=video).last_hidden_state
            if kind == "timesformer":
                close(frames.mean(1), hidden[:, 0])
            close(whole.classifier(features.pooled), whole(pixel_values=video).logits)
            with pytest.raises(BenchError, match="made for 4 frames"):
                adapter.encode_video(video[:, :2])
        else:
            close(frames[1], model(pixel_values=video[1]).last_hidden_state[:, 0])
