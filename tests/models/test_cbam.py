"""CBAM alone: identity at start, its formula by plain loops, its gradient."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import draw, stir

from core.models.cbam import CBAM, ChannelGate, SpatialGate


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def reference(features, cbam):
    """Woo et al. 2018, equations 1 to 3, position by position, with gates of twice the size."""
    channels, height, width = features.shape
    gate, weight = cbam.channel_gate, cbam.spatial_gate.conv.weight[0].detach().numpy()
    first = gate.reduce.weight.detach().numpy(), gate.reduce.bias.detach().numpy()
    second = gate.expand.weight.detach().numpy(), gate.expand.bias.detach().numpy()
    score = np.zeros(channels)
    for pooled in (features.mean(axis=(1, 2)), features.max(axis=(1, 2))):
        hidden = np.maximum(first[0] @ pooled + first[1], 0)
        score += second[0] @ hidden + second[1]
    refined = np.stack([2 * sigmoid(score[c]) * features[c] for c in range(channels)])
    maps = np.stack([refined.mean(axis=0), refined.max(axis=0)])
    reach, result = weight.shape[-1] // 2, np.empty_like(refined)
    for row in range(height):
        for column in range(width):
            total = 0.0
            for i in range(weight.shape[1]):
                for j in range(weight.shape[2]):
                    y, x = row + i - reach, column + j - reach
                    if 0 <= y < height and 0 <= x < width:
                        total += float(weight[:, i, j] @ maps[:, y, x])
            result[:, row, column] = 2 * sigmoid(total) * refined[:, row, column]
    return result


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_equals_plain_loops(kernel_size):
    cbam = stir(CBAM(8, reduction=2, kernel_size=kernel_size).double())
    features = draw(2, 8, 5, 9, dtype=torch.float64)
    expected = np.stack([reference(image.numpy(), cbam) for image in features])
    torch.testing.assert_close(cbam(features), torch.from_numpy(expected), atol=1e-12, rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 40),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    reduction=st.integers(1, 64),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_starts_as_the_exact_identity(channels, height, width, reduction, scale, dtype):
    cbam = CBAM(channels, reduction).to(dtype)
    features = (scale * draw(2, channels, height, width)).to(dtype)
    assert torch.equal(cbam(features), features)


def test_gradient_reaches_all_by_the_second_step():
    cbam = CBAM(16, reduction=4)
    features = draw(2, 16, 6, 6)
    weights = draw(2, 16, 6, 6)
    first = {}
    for step in range(2):
        cbam.zero_grad()
        (cbam(features) * weights).sum().backward()
        for key, parameter in cbam.named_parameters():
            if parameter.grad.abs().sum() > 0:
                first.setdefault(key, step)
            parameter.data -= 0.1 * parameter.grad
    assert {key: first[key] for key in first if "reduce" not in key} == {
        "channel_gate.expand.weight": 0,
        "channel_gate.expand.bias": 0,
        "spatial_gate.conv.weight": 0,
    }
    assert first["channel_gate.reduce.weight"] == first["channel_gate.reduce.bias"] == 1


def test_gradient_is_that_of_finite_differences():
    cbam = stir(CBAM(4, reduction=2, kernel_size=3).double())
    features = draw(1, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cbam, (features,))


def test_gates_have_the_shapes_and_the_range_of_their_names():
    features = draw(3, 8, 4, 6)
    channel = stir(ChannelGate(8, 2))(features)
    spatial = stir(SpatialGate(7))(features)
    assert channel.shape == (3, 8, 1, 1)
    assert spatial.shape == (3, 1, 4, 6)
    for gate in (channel, spatial):
        assert 0 < gate.min() < 1 < gate.max() < 2


def test_hidden_channels_follow_the_reduction():
    assert ChannelGate(384, 16).reduce.out_features == 24
    assert ChannelGate(8, 16).reduce.out_features == 1
