"""Every family of MMAction2's recognisers, at its real size, on a real clip: minutes, and up to 4 GB of memory."""

import pytest
import torch

from bench import frames, plugins, recognizers
from bench.compat import mmaction2
from bench.contracts import BenchError

pytestmark = [pytest.mark.mmaction2, pytest.mark.full]

# family -> its smallest config, rows and width of the features
FAMILIES = {
    "c2d": ("c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb", 1, 2048),
    "c3d": ("c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb", 1, 4096),
    "csn": ("ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb", 1, 2048),
    "i3d": ("i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb", 1, 2048),
    "mvit": ("mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb", 1, 768),
    "omnisource": ("slowonly_r50_8xb16-8x8x1-256e_imagenet-kinetics400-rgb", 1, 800),
    "r2plus1d": ("r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb", 1, 512),
    "slowfast": ("slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb", 1, 2304),
    "slowonly": ("slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb", 1, 2048),
    "swin": ("swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", 1, 768),
    "tanet": ("tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8-100e_kinetics400-rgb", 8, 2048),
    "timesformer": ("timesformer_spaceOnly_8xb8-8x32x1-15e_kinetics400-rgb", 1, 768),
    "tpn": ("tpn-tsm_imagenet-pretrained-r50_8xb8-1x1x8-150e_sthv1-rgb", 1, 2048),
    "trn": ("trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb", 8, 2048),
    "tsm": ("tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb", 8, 2048),
    "tsn": ("tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb", 25, 2048),
    "uniformer": ("uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb", 1, 512),
    "uniformerv2": ("uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics400-rgb", 1, 768),
    "videomae": ("vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400", 1, 768),
    "videomaev2": ("vit-small-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400", 1, 384),
    "x3d": ("x3d_s_13x6x1_facebook-kinetics400-rgb", 1, 2048),
}
# Need mmcv's compiled operators (TIN), mmpretrain or mmcls.
NOT_BUILT = ("tin_", "mobileone", "rn101-32x4d")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gives_logits_and_features_of_a_real_clip(family, shared_data):
    config, rows, embed_dim = FAMILIES[family]
    known = recognizers.find(config)
    assert known.family == family
    name = f"mmaction2:{config}"
    adapter = plugins.find("adapters", name).load(name, "cpu")
    facts = adapter.facts
    video = frames.read(shared_data / "edge_videos" / "demo.mp4", facts.num_frames, sampling=facts.sampling)
    given = adapter.transform(video)[None]
    assert given.shape == (1, facts.num_frames, 3, known.resolution, known.resolution)
    features = adapter.encode_video(given).frames
    assert features.shape == (1, rows, embed_dim) and facts.embed_dim == embed_dim
    assert bool(torch.isfinite(features).all()) and float(features.std()) > 0
    model = adapter.recognizer().eval()
    with torch.no_grad():
        views = given if type(model).__name__ == "Recognizer2D" else given.transpose(1, 2)[:, None].contiguous()
        logits = model.extract_feat(views, stage="head")
    logits = logits if family == "omnisource" else logits[0]
    assert logits.shape == (1, known.num_classes or 400) and bool(torch.isfinite(logits).all())


def test_every_recogniser_of_the_zoo_builds_or_says_why_not():
    for name in recognizers.names():
        if any(word in name for word in NOT_BUILT):
            with pytest.raises(BenchError, match="cannot be built here"):
                mmaction2.build(recognizers.path_of(name), values=False)
        else:
            assert recognizers.num_parameters(name) > 2e6, name
