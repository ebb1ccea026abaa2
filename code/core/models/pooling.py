"""Pooling of the last feature map into one vector per image."""

from typing import Literal, get_args

import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

from core.errors import InputError

PoolingKind = Literal["average", "max", "average_max", "log_sum_exp"]

# Between the average (0) and the maximum (infinity): in a map of 8 x 50 positions, one that
# stands out by 1.2 = log(400) / 5 weighs as much as all others together.
SHARPNESS = 5.0


class GlobalPooling(nn.Module):
    """One number per channel out of a feature map, by `kind`.

    average_max: the mean of both. log_sum_exp: log(mean(exp(r x))) / r with r = `SHARPNESS`,
    a smooth maximum that passes gradient to every position; computed in at least float32.
    `dimensions` are those of height and width: (2, 3), or (1, 2) where channels stand last.

    Shape: (batch, channels, height, width) -> (batch, channels, 1, 1) where `keep`, else
    (batch, channels)

    Source: log_sum_exp: Pinheiro and Collobert 2015, "From Image-level to Pixel-level Labeling
    with Convolutional Networks"
    """

    def __init__(
        self, kind: PoolingKind, keep: bool = False, dimensions: tuple[int, int] = (2, 3)
    ) -> None:
        super().__init__()
        if kind not in get_args(PoolingKind):
            raise InputError(f"model: pooling={kind!r}: choose {', '.join(get_args(PoolingKind))}")
        self.kind = kind
        self.keep = keep
        self.dimensions = dimensions

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
        # Less the maximum, every exponential is at most 1 and the largest is 1: their mean
        # neither overflows nor vanishes.
        peak = wide.detach().amax(self.dimensions, keepdim=True)
        mean = torch.exp(SHARPNESS * (wide - peak)).mean(self.dimensions, keepdim=self.keep)
        peak = peak if self.keep else peak.squeeze(self.dimensions)
        return (peak + torch.log(mean) / SHARPNESS).to(features.dtype)

    def extra_repr(self) -> str:
        return repr(self.kind)


def replace_pooling(backbone: nn.Module, kind: PoolingKind) -> None:
    """Put `kind` in the place of the backbone's own pooling, the rest of its head untouched.

    Raises:
        InputError: the backbone has no pooling layer and `kind` is not the default.
    """
    layers = [
        layer
        for layer in backbone.modules()
        if isinstance(layer, SelectAdaptivePool2d) and not layer.is_identity()
    ]
    for layer in layers:
        # timm's pooling layers flatten either in `pool` itself or in the module behind it.
        flattens = getattr(layer.pool, "flatten", False)
        dimensions = getattr(layer.pool, "dim", (2, 3))
        layer.pool = GlobalPooling(kind, keep=not flattens, dimensions=dimensions)
        layer.pool_type = kind
    if not layers and kind != "average":
        raise InputError(
            f"model: pooling={kind!r}: this backbone pools in a way of its own: "
            "give model.pooling=average, or choose a convolutional backbone"
        )
