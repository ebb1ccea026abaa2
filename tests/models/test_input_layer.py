"""Normalisation and the grey fold, against timm's network on three normalised channels."""

import copy

import pytest
import torch
from model_cases import STRIPS, build, draw, timm_network

from core.models.input_layer import GreyStem

FOLDED = ("test_convnext", "convnext_atto", "fasternet_t0")
PADDED = ("test_resnet", "test_efficientnet", "tf_mobilenetv3_small_minimal_100", "resnet18")


def plain_path(model, backbone, images):
    """The usual way, with nothing of ours: normalise three channels, timm's network."""
    network = timm_network(backbone, num_classes=4)
    network.load_state_dict(model.backbone.state_dict())
    network = network.to(images.dtype).eval()
    mean, std = (
        torch.tensor(network.pretrained_cfg[key], dtype=images.dtype).view(1, 3, 1, 1)
        for key in ("mean", "std")
    )
    normalised = (images.expand(-1, 3, -1, -1) - mean) / std
    maps = network.forward_intermediates(normalised, intermediates_only=True)
    return [*maps[-len(model.stages) :], network(normalised)]


def our_path(model, images):
    return [*model.forward_features(images), model(images)]


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(name, marks=[] if name.startswith("test_") else pytest.mark.slow)
        for name in FOLDED + PADDED
    ],
)
def test_grey_equals_the_plain_path(backbone, dtype, tolerance):
    model = build(backbone).to(dtype).eval()
    expected = plain_path(model, backbone, STRIPS.to(dtype) / 255)
    assert expected[0].std() > 1e-3, "what is compared must not be zero"
    for images in (STRIPS, STRIPS.expand(-1, 3, -1, -1)):
        for ours, theirs in zip(our_path(model, images), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["test_convnext", "test_resnet"])
def test_three_different_channels_equal_the_plain_path(backbone):
    model = build(backbone).eval()
    images = draw(2, 3, 64, 96)
    for ours, theirs in zip(
        our_path(model, images), plain_path(model, backbone, images), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backbone", FOLDED + PADDED)
def test_stems_with_padding_are_not_folded(backbone):
    model = build(backbone)
    assert model.input_layer.grey_stem == (backbone in FOLDED)
    assert any(isinstance(module, GreyStem) for module in model.modules()) == (backbone in FOLDED)


def test_statistics_are_those_of_the_pretrained_network():
    assert build("convnext_atto").input_layer.mean == (0.485, 0.456, 0.406)
    assert build("convnext_atto").input_layer.std == (0.229, 0.224, 0.225)
    assert build("test_convnext").input_layer.mean == (0.5, 0.5, 0.5)


@pytest.mark.slow
def test_the_fold_has_the_gradient_of_three_channels():
    model = build("convnext_atto").double()
    other = copy.deepcopy(model)
    weights = draw(2, 4, dtype=torch.float64)
    (model(STRIPS) * weights).sum().backward()
    (other(STRIPS.expand(-1, 3, -1, -1)) * weights).sum().backward()
    for (key, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=key, atol=1e-9, rtol=1e-7)


@pytest.mark.slow
def test_the_fold_follows_the_weights_as_they_train():
    model = build("convnext_atto")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = model.backbone.stem[0].weight.clone()
    for _ in range(2):
        optimizer.zero_grad()
        model(STRIPS).square().sum().backward()
        optimizer.step()
    assert not torch.equal(model.backbone.stem[0].weight, before)
    model.double().eval()
    with torch.no_grad():
        expected = plain_path(model, "convnext_atto", STRIPS.double() / 255)
        for ours, theirs in zip(our_path(model, STRIPS), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


def fold(conv, mean, std):
    """A copy of the convolution that also takes one grey channel."""
    stem = copy.deepcopy(conv)
    GreyStem.fold(stem, mean, std)
    return stem


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dilation", [1, 2])
def test_stem_alone(bias, dilation):
    mean, std = (0.2, 0.5, 0.9), (0.1, 0.2, 0.4)
    conv = torch.nn.Conv2d(3, 5, 3, stride=2, dilation=dilation, bias=bias).double()
    stem = fold(conv, mean, std)
    grey = draw(2, 1, 12, 15, dtype=torch.float64)
    colour = torch.cat([(grey - m) / s for m, s in zip(mean, std, strict=True)], dim=1)
    torch.testing.assert_close(stem(grey - sum(mean) / 3), conv(colour), atol=1e-12, rtol=1e-12)
    assert stem(colour).equal(conv(colour))
    assert torch.equal(stem.weight, conv.weight)


@torch.no_grad()
def test_the_fold_is_as_precise_in_bfloat16_as_three_channels():
    """Taking off the grey mean before the convolution is what this is for."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 64, 4, stride=4)
    stem = fold(conv, mean, std)
    grey = 0.35 + 0.1 * draw(2, 1, 64, 320)
    colour = torch.cat([(grey - m) / s for m, s in zip(mean, std, strict=True)], dim=1)
    exact = conv(colour)
    with torch.autocast("cpu", torch.bfloat16):
        folded, plain = stem(grey - sum(mean) / 3), conv(colour)
    assert (folded - exact).square().mean() < 1.5 * (plain - exact).square().mean()
