"""A real video through MMAction2's own test pipeline and through ours: the same frames, the same pixels, the same tensors."""

import platform
import sys

import numpy as np
import pytest
import torch

from adapters._mmaction2 import FrameTransform
from bench import frames, recognizers
from bench.compat import mmaction2, mmaction2_data
from bench.contracts import Video, Videos

pytestmark = pytest.mark.mmaction2

# Of each kind of sampling and crop that the zoo has: a config -> views, frames a view.
CONFIGS = {
    "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb": (10, 25),  # TenCrop of 25 segments
    "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb": (3, 8),  # ThreeCrop of 8 segments
    "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb": (6, 8),  # two samples of 8 segments
    "tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb": (100, 8),
    "tanet_imagenet-pretrained-r50_8xb6-1x1x16-50e_sthv1-rgb": (1, 16),  # CenterCrop
    "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb": (
        10,
        16,
    ),  # 10 clips, one crop, a mean of 8-bit colours alone
    "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb": (30, 32),  # 10 clips x 3 crops, in steps of 2
    "i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb": (30, 32),
    "x3d_s_13x6x1_facebook-kinetics400-rgb": (30, 13),  # steps of time, not of frames
    "timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb": (3, 8),  # a clip longer than the video begins it again
    "mvit-base-p244_u32_sthv2-rgb": (3, 32),  # UniformSample, one clip
    "uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics400-rgb": (12, 8),  # UniformSample, four clips
}
VIDEOS = ("edge_videos/demo.mp4", "edge_videos/test.mp4")
TSM = "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
SLOW = ("tsn", "slowfast", "tsm_imagenet-pretrained-r50_8xb16-dense", "x3d")  # 200 pictures and more


class Rate:
    """PyAV's loader of MMAction2 tells no rate; decord's, which the configs name, does: this one tells it too."""

    def __init__(self, loader):
        self.loader = loader

    def __call__(self, told):
        told = self.loader(told)
        told["avg_fps"] = float(told["video_reader"].streams.video[0].average_rate)
        return told


def theirs(steps, path, loader="PyAV"):
    """What MMAction2's pipeline makes of a file -> its frame numbers, and pixels uint8 `(M, C, T, H, W)` or `(M, C, H, W)`."""
    mmaction2.import_mmaction()
    from mmaction.registry import TRANSFORMS

    told = {"filename": str(path), "start_index": 0, "modality": "RGB"}
    rest = [dict(s) for s in steps if not s["type"].endswith(("Init", "Decode")) and s["type"] != "PackActionInputs"]
    start, decode = TRANSFORMS.build({"type": f"{loader}Init"}), TRANSFORMS.build({"type": f"{loader}Decode"})
    sample, *after = (TRANSFORMS.build(s) for s in rest)
    for step in (Rate(start) if loader == "PyAV" else start, sample, decode, *after):
        told = step(told)
    return told["frame_inds"], told["imgs"]


def normalised(name, imgs):
    """float32, by the preprocessor that MMAction2 builds for the recogniser."""
    from mmaction.registry import MODELS

    said = {k: v for k, v in recipe(name)["data_preprocessor"].items() if k != "blending"}
    given = {"inputs": [torch.from_numpy(imgs)], "data_samples": None}
    return MODELS.build(said)(given)["inputs"][0]


def recipe(name):
    return mmaction2.read_config(recognizers.path_of(name))["model"]


def own_steps(name):
    return mmaction2_data.steps(mmaction2.read_config(recognizers.path_of(name)), "test")


@pytest.mark.parametrize(
    ("name", "video"),
    [(name, video) for video in VIDEOS for name in CONFIGS if video == VIDEOS[0] or not name.startswith(SLOW)],
)
def test_all_views_are_mmaction2s_own_frame_by_frame_and_pixel_by_pixel(name, video, shared_data):
    path, taken = shared_data / video, []

    def read(video, numbers):
        taken.extend(numbers)
        return frames.read_at(video.path, numbers)

    found = own_steps(name)
    videos = Videos((Video(path, *frames.examine(path)),))
    ours = mmaction2_data.Clips(videos, None, mmaction2_data.adapted(found, None, 1, read), seed=1)[0, 0]
    numbers, imgs = theirs(found, path)
    assert taken == numbers.tolist()
    pixels = ours[0]["inputs"].numpy()
    views, num_frames = CONFIGS[name]
    size = recognizers.pipeline(name).size
    assert pixels.size == views * num_frames * 3 * size * size
    assert np.array_equal(pixels, imgs)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_view_is_mmaction2s_own_tensor_of_one_clip_and_one_crop(name, shared_data):
    path = shared_data / VIDEOS[0]
    pipeline = recognizers.pipeline(name)
    sampling, alone = pipeline.sampling, []
    dense = "dense" in sampling.text
    for step in own_steps(name):
        if "Sample" in step["type"]:
            step = {k: v for k, v in step.items() if k != "twice_sample"} | {"num_clips": sampling.num_clips}
            if dense:  # the fewest of MMAction2's positions among which is the one in the middle
                step |= {"num_sample_positions": 3}
        if step["type"] in ("ThreeCrop", "TenCrop"):
            step = {"type": "CenterCrop", "crop_size": step["crop_size"]}
        alone.append(step)
    numbers, imgs = theirs(alone, path)
    if dense:
        numbers, imgs = np.split(numbers, 3)[1], np.split(imgs, 3)[1]
        assert 0 < numbers[0] < frames.examine(path)[0] - 64, "a video in which the positions differ"
    expected = normalised(name, imgs)
    expected = expected[0].transpose(0, 1) if expected.dim() == 5 else expected
    ours = FrameTransform.of(pipeline, recipe(name))(frames.read(path, sampling.num_frames, sampling=sampling.text))
    assert ours.dtype == torch.float32
    assert torch.equal(ours, expected)


# MMAction2 asks for it and so `make setup` brings it, but it has wheels for this platform alone.
HAS_DECORD = sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.mark.skipif(not HAS_DECORD, reason="decord has no wheels for this platform")
@pytest.mark.parametrize("video", VIDEOS)
def test_decord_which_the_configs_name_gives_the_same_frames_and_pixels(video, shared_data):
    path, found = shared_data / video, own_steps(TSM)
    numbers, imgs = theirs(found, path, "Decord")
    by_pyav, ours = theirs(found, path)
    assert numbers.tolist() == by_pyav.tolist()
    assert np.array_equal(imgs, ours)
