"""The frames and crops of MMAction2's test pipelines, held against MMAction2's own steps, number by number and pixel by pixel."""

import numpy as np
import pytest

from bench import clips, recognizers
from bench.clips import Pipeline, Sampling
from bench.compat import mmaction2
from bench.contracts import BenchError

COUNTS = (1, 2, 7, 13, 16, 31, 63, 64, 65, 100, 149, 250, 301, 1000)
RATES = (None, 25.0, 29.97, 15.0)


def steps_of(name):
    return mmaction2.steps(mmaction2.read_config(recognizers.path_of(name)), "test")


@pytest.fixture(scope="module")
def transforms():
    """MMAction2's registry of steps."""
    mmaction2.import_mmaction()
    from mmaction.registry import TRANSFORMS

    return TRANSFORMS


@pytest.mark.mmaction2
def test_every_sampling_of_the_zoo_takes_mmaction2s_own_frames(transforms):
    seen = {}
    for name in recognizers.names():
        for step in steps_of(name):
            if "Sample" in step["type"]:
                seen[str(sorted(step.items()))] = dict(step)
    assert len(seen) == 29
    for step in seen.values():
        ours, theirs = Sampling.of(step), transforms.build(step)
        for count in COUNTS:
            for fps in RATES if ours.target_fps else (25.0,):
                told = {"total_frames": count, "start_index": 0, "avg_fps": fps}
                taken = ours(count, fps)
                assert taken.reshape(-1).tolist() == theirs.transform(told)["frame_inds"].tolist(), (step, count, fps)
                assert taken.shape[1] == ours.num_frames and 0 <= taken.min() <= taken.max() < count


@pytest.mark.mmaction2
def test_one_view_is_the_middle_clip_as_mmaction2_would_take_a_single_one(transforms):
    for name in recognizers.names():
        for step in steps_of(name):
            if "Sample" not in step["type"] or step["type"] == "DenseSampleFrames":
                continue
            one = Sampling.of(step).one
            alone = {k: v for k, v in step.items() if k != "twice_sample"} | {"num_clips": one.num_clips}
            for count in COUNTS:
                told = {"total_frames": count, "start_index": 0, "avg_fps": 24.0}
                expected = transforms.build(alone).transform(told)["frame_inds"].tolist()
                assert clips.indices(one.text, count, one.num_frames, 24.0).tolist() == expected, (step, count)


def test_a_dense_view_lies_in_the_middle_of_the_video():
    eight = clips.indices("dense", 264, 8)
    assert eight.tolist() == list(range(100, 164, 8))
    assert clips.indices("dense_clip/2", 264, 32).tolist() == list(range(100, 164, 2))
    assert clips.indices("dense", 10, 8).tolist() == [0, 8, 6, 4, 2, 0, 8, 6], "a short video begins again"


TEXTS = {
    "segments": Sampling(rule="SampleFrames", clip_len=1, num_clips=8),
    "clip/2": Sampling(rule="SampleFrames", clip_len=8, frame_interval=2),
    "clip/6@30fps": Sampling(rule="SampleFrames", clip_len=8, frame_interval=6, target_fps=30),
    "uniform": Sampling(rule="UniformSample", clip_len=8),
    "dense": Sampling(rule="DenseSampleFrames", clip_len=1, num_clips=8),
    "dense_clip/2": Sampling(rule="DenseSampleFrames", clip_len=8, frame_interval=2),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_sampling_is_its_text_and_the_number_of_frames(text):
    assert TEXTS[text].text == text and Sampling.parse(text, 8) == TEXTS[text]


@pytest.mark.parametrize("text", ["", "clip/", "random", "clip/2/3", "segment_centres"])
def test_a_sampling_that_there_is_not_is_an_error(text):
    with pytest.raises(BenchError, match=f"unknown sampling '{text}'; it is one of segment_centre, segments, clip"):
        clips.indices(text, 10, 4)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "SampleAVAFrames", "clip_len": 4, "test_mode": True}, "sampling .*SampleAVAFrames"),
        ({"type": "SampleFrames", "clip_len": 4}, "sampling"),
        ({"type": "SampleFrames", "clip_len": 4, "temporal_jitter": True, "test_mode": True}, "temporal_jitter"),
        ({"type": "Flip", "flip_ratio": 1}, "step .*Flip"),
        ({"type": "Resize", "scale": (224, 224), "keep_ratio": False}, "step .*Resize"),
    ],
)
def test_a_step_that_is_not_rewritten_here_is_an_error(step, words):
    good = [
        {"type": "SampleFrames", "clip_len": 4, "test_mode": True},
        {"type": "Resize", "scale": (-1, 8)},
        {"type": "CenterCrop", "crop_size": 8},
    ]
    assert Pipeline.of(good) == Pipeline(Sampling(rule="SampleFrames", clip_len=4), 8, 8)
    with pytest.raises(BenchError, match=words):
        Pipeline.of([*good, step])
    with pytest.raises(BenchError, match="no sampling, no resizing or no crop"):
        Pipeline.of(good[:2])


@pytest.mark.mmaction2
@pytest.mark.parametrize("crop", ["CenterCrop", "ThreeCrop"])
@pytest.mark.parametrize("shape", [(64, 80), (81, 59), (60, 60), (47, 131), (33, 240)])
def test_the_middle_crop_is_mmaction2s_own_pixel_by_pixel(crop, shape, transforms):
    frames = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    size = 56 if crop == "ThreeCrop" else 48
    told = {"imgs": list(frames), "img_shape": shape, "modality": "RGB"}
    for step in ({"type": "Resize", "scale": (-1, 56)}, {"type": crop, "crop_size": size}):
        told = transforms.build(step).transform(told)
    assert np.array_equal(clips.middle(frames, 56, size), np.array(told["imgs"])[-3:])
