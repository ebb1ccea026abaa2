"""The weight gradient of depthwise convolutions as matrix products is torch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from core.models import depthwise
from core.models.depthwise import (
    DepthwiseConv2d,
    DepthwiseConvolution,
    use_matmul_gradients,
    weight_gradient,
)
from core.models.registry import get_registry


@pytest.fixture(autouse=True, scope="module")
def few_rows():
    """So that small images have several blocks of rows."""
    patch = pytest.MonkeyPatch()
    patch.setattr(depthwise, "ROWS", 4)
    yield
    patch.undo()


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 3), (1, 5)])
@pytest.mark.parametrize("height", [3, pytest.param(9, marks=pytest.mark.slow)])
def test_gradients_are_those_of_finite_differences(height, kernel_size):
    torch.manual_seed(0)
    images = torch.randn(2, 3, height, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, *kernel_size, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(DepthwiseConvolution.apply, (images, weight, bias))
    assert torch.autograd.gradcheck(DepthwiseConvolution.apply, (images, weight, None))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 5, 13, 13))),
    halves=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    seed=st.integers(0, 2**31),
)
def test_any_shape_has_the_gradient_of_torch(shape, halves, layout, seed):
    torch.manual_seed(seed)
    images, gradient = (
        torch.randn(shape, dtype=torch.float64).contiguous(memory_format=layout) for _ in range(2)
    )
    kernel_size = tuple(2 * half + 1 for half in halves)
    weight = torch.randn(shape[1], 1, *kernel_size, dtype=torch.float64, requires_grad=True)
    functional.conv2d(images, weight, padding=halves, groups=shape[1]).backward(gradient)
    torch.testing.assert_close(weight_gradient(images, gradient, kernel_size), weight.grad)


def test_in_bfloat16_it_is_no_further_from_the_truth_than_torch():
    torch.manual_seed(0)
    # As in a ConvNeXt's third stage, of half the height.
    exact = [torch.randn(2, 64, 8, 50).bfloat16() for _ in range(2)]
    weight = torch.randn(64, 1, 7, 7).bfloat16()
    gradients = {}
    for dtype in (torch.float64, torch.bfloat16):
        images, gradient = (tensor.to(dtype) for tensor in exact)
        wanted = weight.to(dtype).requires_grad_()
        functional.conv2d(images, wanted, padding=3, groups=64).backward(gradient)
        gradients[dtype] = wanted.grad.double()
    truth = gradients[torch.float64]
    errors = [
        ((found - truth).norm() / truth.norm()).item()
        for found in (weight_gradient(*exact, (7, 7)).double(), gradients[torch.bfloat16])
    ]
    assert errors[0] < max(1.2 * errors[1], 2**-8)


def convnext(faster: bool) -> nn.Module:
    torch.manual_seed(0)
    options = {"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)}
    model = get_registry().instantiate(
        "timm", backbone="convnext_atto", pretrained=False, backbone_options=options
    )
    if faster:
        assert use_matmul_gradients(model) == 4
    return model


@pytest.mark.parametrize("backend", [None, pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_a_network_keeps_its_outputs_names_and_gradients(backend):
    images = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8)
    outputs, gradients = [], []
    for faster in (False, True):
        model = convnext(faster)
        if backend:
            model.compile(backend=backend)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(images)
        output.float().square().sum().backward()
        outputs.append(output)
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
    assert list(gradients[0]) == list(gradients[1])
    for name, gradient in gradients[0].items():
        assert (gradients[1][name] - gradient).norm() < 0.02 * gradient.norm(), name


def test_in_float32_and_without_gradients_all_is_left_to_torch(monkeypatch):
    def refused(*_):
        raise AssertionError

    images = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8)
    models = [convnext(faster) for faster in (False, True)]
    monkeypatch.setattr(depthwise, "weight_gradient", refused)
    for model in models:
        model(images).square().sum().backward()
    for plain, faster in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(faster.grad, plain.grad, rtol=0, atol=0)


OTHERS = {
    "not of each channel alone": nn.Conv2d(8, 8, 7, padding=3, groups=4),
    "several filters a channel": nn.Conv2d(8, 16, 7, padding=3, groups=8),
    "strided": nn.Conv2d(8, 8, 7, padding=3, groups=8, stride=2),
    "dilated": nn.Conv2d(8, 8, 7, padding=6, groups=8, dilation=2),
    "of another size": nn.Conv2d(8, 8, 7, padding=2, groups=8),
    "even": nn.Conv2d(8, 8, 6, padding=3, groups=8),
    "small": nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "mirrored": nn.Conv2d(8, 8, 7, padding=3, groups=8, padding_mode="reflect"),
    "padded by name": nn.Conv2d(8, 8, 7, padding="same", groups=8),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_convolutions_stay_as_they_are(name):
    assert use_matmul_gradients(nn.Sequential(OTHERS[name])) == 0
    assert type(OTHERS[name]) is nn.Conv2d
    assert use_matmul_gradients(nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8))) == 1


def test_a_second_time_nothing_is_left_to_do():
    model = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False))
    assert use_matmul_gradients(model) == 1
    assert use_matmul_gradients(model) == 0
    assert isinstance(model[0], DepthwiseConv2d)
    images = torch.randn(1, 8, 4, 4, dtype=torch.bfloat16)
    model.bfloat16()(images).sum().backward()
    assert model[0].weight.grad.shape == (8, 1, 5, 5)
