"""Grad-CAM and HiResCAM against what they come to by hand, and against plain loops."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import InputError
from core.explaining.class_activation import activation_of, grad_cam, hires_cam
from core.explaining.methods import METHODS, by_cbam, by_grad_cam, by_hires_cam, check_method
from core.models.registry import get_registry


class Tiny(nn.Module):
    """A map of two channels, and logits that are a weighted sum over its cells."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1, bias=False)
        self.weights = nn.Parameter(weights)

    def forward(self, images):
        return torch.einsum("bkhw,ckhw->bc", self.layer(images), self.weights)


@pytest.fixture
def tiny() -> tuple[Tiny, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = Tiny(torch.randn(3, 2, 4, 5, generator=generator))
    return model, torch.rand(1, 1, 4, 5, generator=generator)


def test_closed_form_of_a_linear_network(tiny):
    """y_c = sum of w_c A, so dy_c/dA = w_c: Grad-CAM weighs by the mean of w_c, HiResCAM by w_c."""
    model, image = tiny
    activation = activation_of(model, image, model.layer)
    features, weights = model.layer(image)[0].detach(), model.weights.detach()
    torch.testing.assert_close(activation.gradients, weights)
    expected = (weights.mean((2, 3))[:, :, None, None] * features).sum(1).clamp(min=0)
    torch.testing.assert_close(grad_cam(activation), expected)
    # Before it is cut off at 0, a HiResCAM sums to the logit.
    contributions = (activation.gradients * activation.features).sum(1)
    torch.testing.assert_close(contributions.sum((1, 2)), model(image)[0].detach())
    torch.testing.assert_close(hires_cam(activation), contributions.clamp(min=0))


def test_after_an_average_and_a_linear_layer_both_are_the_same():
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(3, 2, 1, 1, generator=generator).expand(3, 2, 4, 5) / 20
    model = Tiny(weights.clone())
    activation = activation_of(model, torch.rand(1, 1, 4, 5, generator=generator), model.layer)
    torch.testing.assert_close(grad_cam(activation), hires_cam(activation))


def by_loops(model, image: torch.Tensor, stage: str) -> tuple[np.ndarray, np.ndarray]:
    """Both maps as the papers write them, with gradients through the whole network."""
    seen = {}

    def keep(module, inputs, output):
        output.retain_grad()
        seen["map"] = output

    handle = model.backbone.get_submodule(stage).register_forward_hook(keep)
    grad, hires = [], []
    for c in range(4):
        model.zero_grad()
        model(image)[0, c].backward()
        features, gradient = seen["map"].detach()[0].numpy(), seen["map"].grad[0].numpy()
        channels, height, width = features.shape
        one, two = np.zeros((height, width)), np.zeros((height, width))
        for k in range(channels):
            alpha = gradient[k].sum() / (height * width)
            for i in range(height):
                for j in range(width):
                    one[i, j] += alpha * features[k, i, j]
                    two[i, j] += gradient[k, i, j] * features[k, i, j]
        grad.append(np.maximum(one, 0))
        hires.append(np.maximum(two, 0))
    handle.remove()
    return np.stack(grad), np.stack(hires)


@pytest.mark.parametrize("options", [{}, {"cbam_stages": [3, 4]}, {"freeze_backbone": True}])
def test_equal_to_plain_loops_on_a_real_network(options):
    torch.manual_seed(0)
    model = get_registry().instantiate("resnet10_slim", **options).eval()
    for name, parameter in model.named_parameters():
        if "attention" in name:
            nn.init.normal_(parameter, std=0.3)
    image = torch.randint(0, 255, (1, 1, 64, 160), dtype=torch.uint8)
    names = ["a", "b", "c", "d"]
    frozen = [parameter.requires_grad for parameter in model.parameters()]
    found = [
        np.stack([heat.values for heat in method(model, image, names)])
        for method in (by_grad_cam, by_hires_cam)
    ]
    assert [parameter.requires_grad for parameter in model.parameters()] == frozen
    assert all(parameter.grad is None for parameter in model.parameters())
    model.requires_grad_(True)
    expected = by_loops(model, image, model.stages[-1].module)
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.max() > 0
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * theirs.max())


def test_channels_that_stand_last_are_turned():
    torch.manual_seed(0)
    options = {"img_size": [64, 96]}
    model = get_registry().instantiate(
        "timm", backbone="swin_tiny_patch4_window7_224", pretrained=False, backbone_options=options
    )
    layer = model.backbone.layers[-1]
    activation = activation_of(model.eval(), torch.rand(1, 3, 64, 96), layer, True)
    assert activation.features.shape == (768, 2, 3)
    assert activation.gradients.shape == (4, 768, 2, 3)
    maps = by_hires_cam(model, torch.rand(1, 3, 64, 96), ["a", "b", "c", "d"])
    assert [heat.values.shape for heat in maps] == [(2, 3)] * 4


WITHOUT_MAP = {
    "tokens": ("deit_tiny_patch16_224", {"img_size": [64, 96]}, r"shape \(1, 25, 192\)"),
    "several maps": ("hrnet_w18_small", {}, "gives a list"),
    "output not passed on": ("coat_lite_tiny", {"img_size": [64, 96]}, "its output 0 times"),
    "no module of its own": ("twins_pcpvt_small", {}, "not a module of its own"),
}


@pytest.mark.parametrize("case", WITHOUT_MAP)
def test_a_last_stage_without_a_map_of_places_is_refused(case):
    backbone, options, found = WITHOUT_MAP[case]
    model = get_registry().instantiate(
        "timm", backbone=backbone, pretrained=False, backbone_options=options
    )
    for method in (by_grad_cam, by_hires_cam):
        with pytest.raises(InputError, match=rf"{found}.*model\.mask_head=true"):
            method(model.eval(), torch.rand(1, 1, 64, 96), ["a", "b", "c", "d"])


def test_gates_of_cbam_are_its_own():
    torch.manual_seed(0)
    model = get_registry().instantiate("resnet10_slim", cbam_stages=[3, 4]).eval()
    image = torch.randint(0, 255, (1, 1, 64, 160), dtype=torch.uint8)
    gates = by_cbam(model, image, ["a", "b", "c", "d"])
    assert [(gate.name, gate.values.shape) for gate in gates] == [
        ("stage3", (4, 10)),
        ("stage4", (2, 5)),
    ]
    # Untrained, every gate passes everything.
    assert all((gate.values == 1).all() for gate in gates)
    nn.init.normal_(model.attention["stage3"].spatial_gate.conv.weight)
    assert by_cbam(model, image, ["a"])[0].values.std() > 0


def test_methods_that_a_model_does_not_know_are_refused():
    model = get_registry().instantiate("resnet10_slim").eval()
    image = torch.zeros(1, 1, 64, 160, dtype=torch.uint8)
    for name, words in (("cbam", "cbam_stages"), ("mask_head", "mask_head=true")):
        with pytest.raises(InputError, match=words):
            METHODS[name](model, image, ["a", "b", "c", "d"])


def test_a_model_of_ones_own_is_told_what_it_lacks():
    signature = SimpleNamespace(channels=1, image_size=(32, 64), class_names=("a",))
    trained = SimpleNamespace(
        model=nn.Conv2d(1, 1, 3),
        signature=signature,
        device="cpu",
        experiment=SimpleNamespace(path="results/own"),
    )
    with pytest.raises(InputError, match=r"^results/own: the model has no `stages`.* or give the"):
        check_method(trained, "grad_cam")
