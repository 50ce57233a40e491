"""Floating-point operations are counted as by hand, and as the recognisers' own papers and READMEs print them."""

import pytest
import torch
from torch import nn

from baselines import _recognizers
from bench import cost


def test_a_convolution_and_a_linear_layer_cost_what_they_cost_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)
    )
    before = [p.clone() for p in model.parameters()]
    multiply_adds = 8 * 16 * 16 * (3 * 3 * 3) + 2048 * 10
    assert cost.operations(model.eval(), (1, 3, 16, 16)) == cost.Operations(2 * multiply_adds / 1e9)
    assert cost.operations(model, (5, 3, 16, 16)).gflops == pytest.approx(5 * 2 * multiply_adds / 1e9)
    assert all(torch.equal(p, b) and p.device.type == "cpu" for p, b in zip(model.parameters(), before, strict=True))


def test_attention_costs_its_four_projections_and_its_two_products():
    tokens, width = 10, 16
    layer = nn.TransformerEncoderLayer(width, 2, dim_feedforward=32, batch_first=True).eval()
    multiply_adds = tokens * (4 * width * width + 2 * width * 32) + 2 * tokens * tokens * width
    assert cost.operations(layer, (1, tokens, width)).gflops == pytest.approx(2 * multiply_adds / 1e9)


class Pooled(nn.Module):
    """A token that is learnt looks at the input, as in the pooling of SigLIP: torch's counter stumbles over it where it has a gradient."""

    def __init__(self):
        super().__init__()
        self.token, self.project = nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 2)

    def forward(self, given):
        return self.project(self.token.expand(len(given), -1))


def test_learnt_values_that_layers_are_given_count_like_others():
    assert cost.operations(Pooled().eval(), (3, 4)) == cost.Operations(2 * 3 * 4 * 2 / 1e9)


class AsksForNumbers(nn.Module):
    def forward(self, given):
        return given * float(given.max())


def test_what_cannot_be_counted_says_why():
    found = cost.operations(AsksForNumbers(), (2,))
    assert found.gflops is None and "without values, stopped: Tensor.item() cannot be called on meta" in found.why_not
    found = cost.operations(nn.Linear(3, 2), (1, 4))
    assert found.gflops is None and "stopped: a and b must have same reduction dim" in found.why_not


def test_a_fault_of_ours_is_not_taken_for_one_of_counting():
    with pytest.raises(AttributeError):
        cost.operations(nn.Linear(3, 2), (1, 3), lambda module, given: module.no_such_thing(given))


# Frames, side in pixels, and 10^9 multiply-adds of one view as the paper prints them.
PUBLISHED = {
    "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb": (16, 112, 38.5),  # Tran et al., 2018, R(2+1)D
    "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb": (32, 256, 36.1),  # Feichtenhofer et al., 2019
    "x3d_m_16x5x1_facebook-kinetics400-rgb": (16, 256, 6.2),  # Feichtenhofer, 2020
    "swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb": (32, 224, 88.0),  # Liu et al., 2022
}
ROUNDED = 0.01  # relative: the papers print two or three digits


@pytest.mark.mmaction2
@pytest.mark.parametrize("config", PUBLISHED)
def test_a_view_of_a_recogniser_costs_twice_the_published_multiply_adds(config):
    num_frames, side, multiply_adds = PUBLISHED[config]
    found = _recognizers.operations(config, num_frames, side)
    assert found.gflops == pytest.approx(2 * multiply_adds, rel=ROUNDED) and not found.why_not


@pytest.mark.mmaction2
def test_a_recogniser_that_cannot_be_counted_says_why_in_its_row():
    """Its head was written for what an older timm gave: whoever runs it learns the same."""
    found = _recognizers.operations("tsn_imagenet-pretrained-swin-transformer_32xb8-1x1x8-50e_kinetics400-rgb", 8, 224)
    assert found.gflops is None and "must have same reduction dim" in found.why_not
    found = _recognizers.operations("tsn_imagenet-pretrained-swin-transformer_8xb32-1x1x3-100e_kinetics400-rgb", 3, 64)
    assert found.gflops is None and "stopped: Input height (64) doesn't match model (224)" in found.why_not
