"""Pooling of the last feature map into one vector per image."""

from typing import Literal

import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

from core.errors import InputError

PoolingKind = Literal["average", "max", "average_max", "log_sum_exp"]

# Between the average (0) and the maximum (infinity): in a map of 8 x 50 positions, one position
# that is higher by 1.2 = log(400) / 5 weighs as much as all others together.
SHARPNESS = 5.0


class GlobalPooling(nn.Module):
    """One number per channel out of a feature map, by `kind`.

    average_max: the mean of both. log_sum_exp: log(mean(exp(r x))) / r with r = `SHARPNESS`,
    a smooth maximum that passes gradient to every position; computed in at least float32.
    `dimensions` are those of height and width: (2, 3), or (1, 2) with the channels last.

    Shape: (batch, channels, height, width) -> (batch, channels, 1, 1) with `keep`, else
    (batch, channels)
    Source: log_sum_exp: Pinheiro and Collobert 2015, "From Image-level to Pixel-level Labeling
    with Convolutional Networks"
    """

    def __init__(
        self, kind: PoolingKind, keep: bool = False, dimensions: tuple[int, int] = (2, 3)
    ) -> None:
        super().__init__()
        self.kind, self.keep, self.dimensions = kind, keep, dimensions

    def forward(self, features: Tensor) -> Tensor:
        if self.kind == "average":
            return features.mean(self.dimensions, keepdim=self.keep)
        if self.kind == "max":
            return features.amax(self.dimensions, keepdim=self.keep)
        if self.kind == "average_max":
            average = features.mean(self.dimensions, keepdim=self.keep)
            return (average + features.amax(self.dimensions, keepdim=self.keep)) / 2
        return self._log_mean_exp(features)

    def _log_mean_exp(self, features: Tensor) -> Tensor:
        wide = features if features.dtype == torch.float64 else features.float()
        # Relative to the maximum, the largest exponential is 1: the mean neither overflows nor
        # vanishes.
        peak = wide.detach().amax(self.dimensions, keepdim=True)
        mean = torch.exp(SHARPNESS * (wide - peak)).mean(self.dimensions, keepdim=self.keep)
        peak = peak if self.keep else peak.squeeze(self.dimensions)
        return (peak + torch.log(mean) / SHARPNESS).to(features.dtype)


def pooled_ahead(backbone: nn.Module, features: Tensor) -> Tensor:
    """One position per channel, if the backbone's head begins by pooling; else `features` as given.

    Pooling one position changes nothing, so that the head gives the same logits for either. The
    backbone is in evaluation mode.
    """
    reached = []
    layers = [layer for layer in backbone.modules() if isinstance(layer, GlobalPooling)]
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: reached.append((layer, inputs[0])))
        for layer in layers
    ]
    backbone.forward_head(features)
    for handle in handles:
        handle.remove()
    if len(reached) != 1 or reached[0][1] is not features:
        return features
    layer = reached[0][0]
    return GlobalPooling(layer.kind, keep=True, dimensions=layer.dimensions)(features)


def replace_pooling(backbone: nn.Module, kind: PoolingKind) -> None:
    """Replace the backbone's own pooling, if it has any, by `kind`; the rest of its head stays."""
    layers = [
        layer
        for layer in backbone.modules()
        if isinstance(layer, SelectAdaptivePool2d) and not layer.is_identity()
    ]
    for layer in layers:
        # timm's pooling layers flatten either in `pool` itself or in the module after it.
        flattens = getattr(layer.pool, "flatten", False)
        dimensions = getattr(layer.pool, "dim", (2, 3))
        layer.pool = GlobalPooling(kind, keep=not flattens, dimensions=dimensions)
        layer.pool_type = kind
    if not layers and kind != "average":
        raise InputError(
            f"model: pooling={kind!r}: this backbone has its own way of pooling: "
            "give model.pooling=average, or choose a convolutional backbone"
        )
