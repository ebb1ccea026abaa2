"""Class activation maps: which cells of a stage's feature map add to the logit of a class."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.models.output import logits_of


@dataclass(frozen=True)
class Activation:
    """A stage's feature map for one image, and the gradient of each logit with respect to it.

    Shape: features (channels, h, w), gradients (classes, channels, h, w).
    """

    features: Tensor
    gradients: Tensor


def grad_cam(activation: Activation) -> Tensor:
    """max(0, sum over channels k of mean(dy/dA_k) A_k), which weights whole channels.

    Shape: (classes, h, w).
    Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization"
    """
    weights = activation.gradients.mean((-2, -1), keepdim=True)
    return (weights * activation.features).sum(1).relu()


def hires_cam(activation: Activation) -> Tensor:
    """max(0, sum over channels k of dy/dA_k A_k), cell by cell: what really enters the logit.

    The same as Grad-CAM where the map is averaged before a linear layer.

    Shape: (classes, h, w).
    Source: Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks"
    """
    return (activation.gradients * activation.features).sum(1).relu()


@torch.enable_grad()
def activation_of(
    model: nn.Module, image: Tensor, layer: nn.Module, channels_last: bool = False
) -> Activation:
    """Run the model on one image and take the output of `layer`, and its gradients.

    Nothing before the layer is differentiated, so frozen layers make no difference.

    Shape: image (1, channels, height, width).
    """
    kept: list[Tensor] = []
    with _output_kept(layer, kept):
        logits = logits_of(model(image))
    (features,) = kept
    gradients = torch.stack(
        [torch.autograd.grad(y, features, retain_graph=True)[0][0] for y in logits[0]]
    )
    features = features.detach()[0]
    if channels_last:
        features, gradients = features.permute(2, 0, 1), gradients.permute(0, 3, 1, 2)
    return Activation(features, gradients)


@contextmanager
def _output_kept(layer: nn.Module, kept: list[Tensor]) -> Iterator[None]:
    """Put the layer's output into `kept`, as a leaf of the graph that follows."""

    def replace(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        # A copy: what follows may change its input in place, which a leaf does not allow.
        return kept[-1].clone()

    # After the hooks that are there, so that attention behind the stage has been applied.
    handle = layer.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
