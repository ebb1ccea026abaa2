"""Pooling by plain loops and at its limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import draw, timm_network

from core.models.pooling import SHARPNESS, GlobalPooling, replace_pooling

KINDS = ("average", "max", "average_max", "log_sum_exp")


def reference(values, kind):
    average, maximum = sum(values) / len(values), max(values)
    if kind == "log_sum_exp":
        powers = [math.exp(SHARPNESS * (value - maximum)) for value in values]
        return maximum + math.log(math.fsum(powers) / len(values)) / SHARPNESS
    return {"average": average, "max": maximum, "average_max": (average + maximum) / 2}[kind]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=30),
    st.sampled_from(KINDS),
    st.booleans(),
    st.sampled_from([(2, 3), (1, 2)]),
)
def test_equals_plain_loops(values, kind, keep, dimensions):
    features = torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)
    features = features if dimensions == (2, 3) else features.permute(0, 2, 3, 1)
    pooled = GlobalPooling(kind, keep, dimensions)(features)
    assert pooled.shape == ((1, 1, 1, 1) if keep else (1, 1))
    assert pooled.item() == pytest.approx(reference(values, kind), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("level", [-1e4, 0.0, 1e4])
def test_log_sum_exp_is_finite_where_exp_is_not(dtype, level):
    features = torch.full((1, 2, 8, 50), level, dtype=dtype, requires_grad=True)
    pooled = GlobalPooling("log_sum_exp")(features)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled, torch.full((1, 2), level, dtype=dtype))
    pooled.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_log_sum_exp_stands_between_average_and_max():
    features = draw(4, 16, 5, 7, dtype=torch.float64)
    average, maximum, _, smooth = (GlobalPooling(kind)(features) for kind in KINDS)
    assert (average < smooth).all()
    assert (smooth < maximum).all()


def test_a_small_spot_counts_for_more_than_in_the_average():
    """One position of 400, as a pit in the last map of a full strip."""
    features = torch.zeros(1, 1, 8, 50)
    features[0, 0, 3, 20] = 4.0
    average, maximum, both, smooth = (GlobalPooling(kind)(features).item() for kind in KINDS)
    assert average == pytest.approx(0.01)
    assert maximum == 4
    assert both == pytest.approx(2.005)
    assert smooth == pytest.approx(4 - math.log(400) / SHARPNESS, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_finite_differences(kind):
    features = draw(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(GlobalPooling(kind), (features,))


# Channels stand last in Swin, and its pooling flattens by itself.
SWIN = {"embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "img_size": (64, 96)}
NETWORKS = {
    "test_convnext": {},
    "test_resnet": {},
    "test_efficientnet": {},
    "swin_tiny_patch4_window7_224": SWIN | {"window_size": 2},
}


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backbone", NETWORKS)
def test_in_a_network_the_head_gets_the_pooled_map(backbone, kind):
    """timm's own average and maximum are the reference, its head on our pooled map otherwise."""
    own = {"average": "avg", "max": "max", "average_max": "avgmax"}.get(kind, "avg")
    images = draw(2, 3, 64, 96)
    network = timm_network(backbone, num_classes=4, global_pool=own, **NETWORKS[backbone]).eval()
    if kind == "log_sum_exp":
        dimensions = (1, 2) if backbone.startswith("swin") else (2, 3)
        pooled = GlobalPooling(kind, True, dimensions)(network.forward_features(images))
        expected = network.forward_head(pooled)
    else:
        expected = network(images)
    replace_pooling(network, kind)
    torch.testing.assert_close(network(images), expected)
