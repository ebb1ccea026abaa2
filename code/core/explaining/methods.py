"""The methods of explain.py: each makes heat maps from a model and an image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import InputError
from core.explaining.class_activation import activation_of, grad_cam, hires_cam, without_map
from core.predicting.trained_model import TrainedModel


@dataclass(frozen=True)
class HeatMap:
    """How much each place of an image matters for one class or, without a class, for all.

    `scale` has the values that are drawn as cold and as hot, by default the map's own range.

    Shape: values (h, w), not negative, at the method's own resolution.
    """

    name: str
    class_index: int | None
    values: np.ndarray
    scale: tuple[float, float] | None = None


Method = Callable[[nn.Module, Tensor, Sequence[str]], list[HeatMap]]


def by_grad_cam(model: nn.Module, image: Tensor, class_names: Sequence[str]) -> list[HeatMap]:
    """Grad-CAM of the last stage."""
    return _per_class(grad_cam(activation_of(model, image, *_last_stage(model))), class_names)


def by_hires_cam(model: nn.Module, image: Tensor, class_names: Sequence[str]) -> list[HeatMap]:
    """HiResCAM of the last stage."""
    return _per_class(hires_cam(activation_of(model, image, *_last_stage(model))), class_names)


@torch.no_grad()
def by_cbam(model: nn.Module, image: Tensor, class_names: Sequence[str]) -> list[HeatMap]:
    """The spatial gate of each CBAM: 1 leaves a position as it is, up to 2 amplifies it."""
    attention = getattr(model, "attention", None)
    if not attention:
        raise InputError(
            "--method cbam: this model has no CBAM: give --method hires_cam, or train one such as "
            "convnext_tiny_cbam, or with model.cbam_stages=[3,4]"
        )
    gates: list[HeatMap] = []
    handles = [
        cbam.spatial_gate.register_forward_hook(
            lambda module, inputs, gate, name=name: gates.append(
                HeatMap(name, None, gate[0, 0].float().cpu().numpy())
            )
        )
        for name, cbam in attention.items()
    ]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return gates


@torch.no_grad()
def by_mask_head(model: nn.Module, image: Tensor, class_names: Sequence[str]) -> list[HeatMap]:
    """The probabilities of the mask head."""
    output = model(image)
    if isinstance(output, Tensor) or "mask_logits" not in output:
        raise InputError(
            "--method mask_head: this model predicts no masks: give --method hires_cam, or train "
            "with model.mask_head=true"
        )
    return _per_class(output["mask_logits"][0].float().sigmoid(), class_names, scale=(0.0, 1.0))


METHODS: dict[str, Method] = {
    "grad_cam": by_grad_cam,
    "hires_cam": by_hires_cam,
    "cbam": by_cbam,
    "mask_head": by_mask_head,
}


def default_method(trained: TrainedModel) -> str:
    """The masks that the model predicts, if it does; else HiResCAM."""
    has_masks = getattr(trained.model, "mask_head", None) is not None
    return "mask_head" if has_masks else "hires_cam"


def heat_maps(trained: TrainedModel, method: str, pixels: np.ndarray) -> list[HeatMap]:
    """The method's maps of one image. Shape: pixels uint8 (channels, height, width)."""
    image = torch.from_numpy(np.ascontiguousarray(pixels[None])).to(trained.device)
    return METHODS[method](trained.model, image, trained.signature.class_names)


def check_method(trained: TrainedModel, method: str) -> None:
    """Raises InputError for a method that does not fit the model, before any image is read."""
    signature = trained.signature
    image = np.zeros((signature.channels, *signature.image_size), np.uint8)
    try:
        heat_maps(trained, method, image)
    except InputError as error:
        raise InputError(f"{trained.experiment.path}: {error}") from error


def _per_class(
    maps: Tensor, class_names: Sequence[str], scale: tuple[float, float] | None = None
) -> list[HeatMap]:
    values = maps.detach().float().cpu().numpy()
    return [HeatMap(name, c, values[c], scale) for c, name in enumerate(class_names)]


def _last_stage(model: nn.Module) -> tuple[nn.Module, bool]:
    """The module that ends the last stage, and whether its channels come last."""
    stages = getattr(model, "stages", None)
    if not stages:
        raise InputError(
            "the model has no `stages`, of which the last gives the feature map to explain it by: "
            "explain a network of timm's, or give the model `stages` and `backbone` as they have"
        )
    layout = getattr(model.backbone, "output_fmt", "NCHW")
    try:
        module = model.backbone.get_submodule(stages[-1].module)
    except AttributeError:
        raise without_map("is not a module of its own") from None
    return module, getattr(layout, "value", layout) == "NHWC"
