"""MMAction2's recognisers by name: what its wheel says of them, and that they build without weights. The expected numbers are typed in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from commands import bench

from bench import recognizers
from bench.contracts import BenchError

pytestmark = pytest.mark.mmaction2

REPOSITORY = Path(__file__).resolve().parents[2]

# name -> frames a view, frames from one to the next, clips, crops, pixels, classes
TESTED = {
    "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb": (1, None, 25, 10, 224, 400),
    "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb": (8, None, 1, 3, 256, 400),
    "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb": (8, None, 2, 3, 256, 174),
    "tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb": (8, None, 10, 10, 224, 400),
    "i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb": (32, 2, 10, 3, 256, 400),
    "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb": (32, 2, 10, 3, 256, 400),
    "x3d_s_13x6x1_facebook-kinetics400-rgb": (13, 6, 10, 3, 182, 400),
    "c2d_r50-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb": (8, 8, 10, 3, 224, 400),
    "trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb": (8, None, 2, 3, 256, 174),
    "mvit-base-p244_u32_sthv2-rgb": (32, None, 1, 3, 224, 174),
}
FAMILIES = "c2d c3d i3d mvit r2plus1d slowfast slowonly swin tanet timesformer tpn trn tsm tsn uniformer uniformerv2 videomae x3d"

WITHOUT_TEST = (
    "uniformerv2-base-p16-res224_clip-pre_u8_kinetics710-rgb",
    "uniformerv2-large-p14-res224_clip-pre_u8_kinetics710-rgb",
    "uniformerv2-large-p14-res336_clip-pre_u8_kinetics710-rgb",
)
WITHOUT_ACCURACY = (
    *WITHOUT_TEST,
    "slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow",
    "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb",
    "tsm_imagenet-pretrained-mobileone-s4_deploy_8xb16-1x1x16-50e_kinetics400-rgb",
    "tsn_imagenet-pretrained-mobileone-s4_deploy_8xb32-1x1x8-100e_kinetics400-rgb",
    "tsn_imagenet-pretrained-r50_8xb32_5x1x3-110e_kinetics400-flow",
    "uniformerv2-base-p16-res224_clip_u8_kinetics710-rgb",
    "uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics700-rgb",  # the index calls it by a name that no config has
)


@pytest.mark.parametrize("name", TESTED)
def test_how_a_recogniser_is_tested_is_read_off_its_config(name):
    found = recognizers.find(name)
    assert TESTED[name] == (
        found.frames,
        found.interval,
        found.clips,
        found.crops,
        found.resolution,
        found.num_classes,
    )
    assert found.views == found.clips * found.crops


def test_what_the_readme_reports_is_read_off_the_index():
    found = recognizers.find("tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb")
    assert (found.family, found.parameters, found.gflops, found.flow) == ("tsm", 23_870_000, 32.88, False)
    assert found.reported == (recognizers.Reported("Kinetics-400", 73.18, 90.56),)


def test_an_index_entry_whose_config_name_is_misspelt_is_found_by_its_own_name():
    twice = recognizers.find("swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb")
    assert [r.top1 for r in twice.reported] == [80.57]


def test_an_entry_under_a_config_s_name_that_says_another_is_of_its_name():
    kinetics = recognizers.find("mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb")
    assert {r.dataset for r in kinetics.reported} == {"Kinetics-400"}
    something = recognizers.find("mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb")
    assert [r.top1 for r in something.reported] == [68.1, 68.2]


def test_flow_is_told_from_rgb():
    flow = [name for name in recognizers.names() if recognizers.find(name).flow]
    assert flow == [
        "slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow",
        "tsn_imagenet-pretrained-r50_8xb32_5x1x3-110e_kinetics400-flow",
    ]


def test_every_recogniser_of_the_wheel_is_told_of():
    found = [recognizers.find(name) for name in recognizers.names()]
    assert len(found) == 125
    assert set(FAMILIES.split()) <= {one.family for one in found}
    assert {one.name for one in found if not one.reported} == set(WITHOUT_ACCURACY)
    assert {one.name for one in found if one.views is None} == set(WITHOUT_TEST)


def test_a_typo_is_answered_with_the_nearest_name():
    wrong = "tsm_imagenet-pretrained-mobilenet2_8xb16-1x1x8-100e_kinetics400-rgb"
    right = "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
    with pytest.raises(
        BenchError, match=rf"unknown recogniser of MMAction2 '{wrong}'; did you mean .*{right}"
    ) as raised:
        recognizers.find(wrong)
    assert "(all: python -m bench list --kind recognizers)" in str(raised.value)
    for outside in ("../../x", "/etc/passwd", ""):
        with pytest.raises(BenchError, match="unknown recogniser"):
            recognizers.path_of(outside)


def test_the_list_shows_what_is_printed_counts_the_rest_and_says_what_cannot_be_built(capsys, monkeypatch):
    printed = "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb"
    counted = "uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics400-rgb"
    lacking = "tsm_imagenet-pretrained-mobileone-s4_deploy_8xb16-1x1x16-50e_kinetics400-rgb"

    def count(name):
        if name == counted:
            return 115_000_000
        raise BenchError(f"{name} cannot be built here")

    monkeypatch.setattr(recognizers, "names", lambda: (printed, counted, lacking))
    monkeypatch.setattr(recognizers, "num_parameters", count)
    code, out, err = bench(capsys, monkeypatch, "list", "--kind", "recognizers")
    assert code == 0
    assert f"{printed} 23.87 M 32.88 8 1 x 10 10 224 Kinetics-400 73.18 / 90.56 {counted}" in out
    assert f"{counted} 115.00 M - 8 4 x 3 12 224 Kinetics-400 84.3 / 96.4 {lacking}" in out
    assert out.endswith(f"{lacking} - - 16 1 x 3 3 256 -")
    assert err == f"{lacking} cannot be built here"


COUNT = """
import sys
from bench import recognizers
from bench.contracts import BenchError

counted = {}
for name in sys.argv[1:]:
    try:
        counted[name] = recognizers.num_parameters(name)
    except BenchError as error:
        counted[name] = str(error)
print(counted)
"""

# The first six against the README's rounded number, the others need what is not here.
COUNTED = {
    "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb": 23.87,
    "tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8-100e_kinetics400-rgb": 25.6,
    "swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb": 28.2,
    "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb": 34.6,
    "uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics400-rgb": None,
    "vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400": None,
}
NEEDS_MORE = "tsn_imagenet-pretrained-rn101-32x4d_8xb32-1x1x3-100e_kinetics400-rgb"


@pytest.mark.slow
def test_parameters_are_counted_without_weights_or_network():
    words = [sys.executable, "-c", COUNT, *COUNTED, NEEDS_MORE]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    counted = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    assert "mmcls" in counted.pop(NEEDS_MORE)
    for name, printed in COUNTED.items():
        told = recognizers.find(name).parameters
        assert told == (None if printed is None else round(printed * 1e6)), name
        assert (
            80e6 < counted[name] < 120e6 if printed is None else abs(counted[name] / 1e6 - printed) < 0.02 * printed
        ), (
            name,
            counted[name],
        )
