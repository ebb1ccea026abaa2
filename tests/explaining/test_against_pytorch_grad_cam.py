"""Grad-CAM and HiResCAM beside the package pytorch-grad-cam, where that is installed."""

import numpy as np
import pytest
import torch
from torch import nn

from core.explaining.methods import by_grad_cam, by_hires_cam
from core.models.registry import get_registry

theirs = pytest.importorskip(
    "pytorch_grad_cam", reason="the optional package grad-cam (pytorch_grad_cam) is absent"
)

NAMES = ["a", "b", "c", "d"]
CASES = {
    "batch normalisation": ("resnet10_slim", {}, (64, 160)),
    "batch normalisation and attention": ("resnet10_slim", {"cbam_stages": [3, 4]}, (64, 160)),
    "layer normalisation and attention": ("convnext_atto_cbam", {"pretrained": False}, (64, 320)),
}
METHODS = {"GradCAM": by_grad_cam, "HiResCAM": by_hires_cam}


def network(name: str, options: dict) -> nn.Module:
    """Batch statistics and gates as after some training: at their start they do nothing."""
    torch.manual_seed(0)
    model = get_registry().instantiate(name, **options).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
        for key, parameter in model.named_parameters():
            if "attention" in key or key.endswith("gamma"):
                parameter.normal_(std=0.3)
    return model


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_equal_to_pytorch_grad_cam(case, method):
    name, options, size = CASES[case]
    model = network(name, options)
    image = torch.randint(0, 255, (1, 1, *size), dtype=torch.uint8)
    ours = METHODS[method](model, image, NAMES)
    shown = 0
    layer = model.backbone.get_submodule(model.stages[-1].module)
    with getattr(theirs, method)(model=model, target_layers=[layer]) as cam:
        for heat in ours:
            target = theirs.utils.model_targets.ClassifierOutputTarget(heat.class_index)
            expected = cam(input_tensor=image, targets=[target])[0]
            # It stretches each map to 0..1, to the image's size, and to 0..1 again: so here.
            stretch = theirs.utils.image.scale_cam_image
            values = stretch(stretch(heat.values[None], size[::-1]))[0]
            shown += expected.max() > 0
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)
            # And before it does so.
            raw = np.maximum(
                cam.get_cam_image(
                    image,
                    layer,
                    [target],
                    cam.activations_and_grads.activations[-1].numpy(),
                    cam.activations_and_grads.gradients[-1].numpy(),
                    False,
                ),
                0,
            )[0]
            np.testing.assert_allclose(heat.values, raw, rtol=0, atol=1e-5 * raw.max())
    # A class that no cell speaks for has an empty map; not all may.
    assert shown >= 2
