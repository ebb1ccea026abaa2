"""Class activation maps: which cells of a stage's feature map add to the logit of a class."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InputError
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

    Raises:
        InputError: the layer gives something else than one map of places, such as tokens.
    """
    kept: list[Tensor] = []
    with _output_kept(layer, kept):
        logits = logits_of(model(image))
    if len(kept) != 1:
        raise without_map(f"gives its output {len(kept)} times")
    (features,) = kept
    gradients = torch.stack(
        [torch.autograd.grad(y, features, retain_graph=True)[0][0] for y in logits[0]]
    )
    features = features.detach()[0]
    if channels_last:
        features, gradients = features.permute(2, 0, 1), gradients.permute(0, 3, 1, 2)
    return Activation(features, gradients)


def without_map(found: str) -> InputError:
    """The error of a network whose last stage, as `found` says, gives no map of places."""
    return InputError(
        f"the last stage of this network {found}; expected one map of channels, height and width, "
        "which grad_cam, hires_cam and --overlay draw: train with model.mask_head=true, whose "
        "masks are drawn instead, or another backbone, such as resnet50 or convnext_tiny"
    )


@contextmanager
def _output_kept(layer: nn.Module, kept: list[Tensor]) -> Iterator[None]:
    """Put the layer's output into `kept`, as a leaf of the graph that follows."""

    def replace(module: nn.Module, inputs: tuple, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise without_map(f"gives a {type(output).__name__}")
        if output.ndim != 4:  # tokens, of which some may be no place
            raise without_map(f"gives a tensor of shape {tuple(output.shape)}")
        kept.append(output.detach().requires_grad_())
        # A copy: what follows may change its input in place, which a leaf does not allow.
        return kept[-1].clone()

    # After the hooks that are there, so that attention behind the stage has been applied.
    handle = layer.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
