"""From the loader's images to what a backbone expects, grey folded into the stem."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import get_model_traits
from torch import Tensor, nn

from core.errors import InputError


class InputLayer(nn.Module):
    """Scale to 0..1 and normalise by the statistics that the backbone was pretrained with.

    Grey images become three equal channels, each normalised by its own statistics; where
    `grey_stem` is set, they stay one channel and lose only the mean of the means, and the
    `GreyStem` behind does the rest. The statistics are plain numbers and no buffers: they follow
    from the backbone's name, and are as precise as the dtype that is asked for.

    Shape: (batch, 1 or 3, height, width), uint8 or floating in 0..1
    -> (batch, 3, height, width), or (batch, 1, height, width) before a `GreyStem`
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        grey_stem: bool = False,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.grey_stem = grey_stem
        self.size = size

    def forward(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise ValueError(
                f"images of shape {tuple(images.shape)}: expected (batch, 1 or 3, height, width)"
            )
        self.check_size(images.shape[2], images.shape[3])
        scaled = images.to(dtype)
        if not images.is_floating_point():
            scaled = scaled / 255
        if self.grey_stem and scaled.shape[1] == 1:
            return scaled - grey_mean(self.mean)
        planes = scaled.expand(-1, 3, -1, -1).split(1, dim=1)
        statistics = zip(planes, self.mean, self.std, strict=True)
        return torch.cat([(plane - mean) / std for plane, mean, std in statistics], dim=1)

    def check_size(self, height: int, width: int) -> None:
        """Raises InputError where the network takes images of another size alone."""
        if self.size and self.size != (height, width):
            raise InputError(
                f"model: images are {height}x{width}, and this network takes "
                f"{self.size[0]}x{self.size[1]} alone: give model.backbone_options="
                f"{{img_size:[{height},{width}]}}, or another backbone"
            )

    def extra_repr(self) -> str:
        return f"mean={self.mean}, std={self.std}, grey_stem={self.grey_stem}"


class GreyStem(nn.Conv2d):
    """A stem convolution that also takes one grey channel, less `grey_mean`, for three equal ones.

    With weights w_c, channel statistics m_c and s_c, grey mean m and no padding,
    sum_c w_c * (x - m_c) / s_c = (sum_c w_c / s_c) * (x - m) - sum_c w_c (m_c - m) / s_c,
    so the three channels and their normalisation become one channel and a bias, exactly. They are
    computed from the weights at each call, so the parameters and their names stay those of the
    three-channel stem and keep training. (Taking off m first keeps bfloat16 as precise as in the
    plain path: without, its rounding error on real strips is 2.6 times as large.) Zero padding
    would have to be padding by m_c, another value for each channel: such stems are not replaced.
    """

    def __init__(self, conv: nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> None:
        # On `meta` nothing is drawn for the weights, which are the given convolution's own.
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            dilation=conv.dilation,
            bias=conv.bias is not None,
            device="meta",
        )
        self.weight = conv.weight
        self.bias = conv.bias
        self.mean = tuple(mean)
        self.std = tuple(std)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == self.in_channels:
            return super().forward(images)
        centre = grey_mean(self.mean)
        planes = [
            plane / std for plane, std in zip(self.weight.split(1, dim=1), self.std, strict=True)
        ]
        shifts = [
            plane.sum((1, 2, 3)) * (mean - centre)
            for plane, mean in zip(planes, self.mean, strict=True)
        ]
        bias = -sum(shifts) if self.bias is None else self.bias - sum(shifts)
        return F.conv2d(images, sum(planes), bias, self.stride, dilation=self.dilation)


def grey_mean(mean: Sequence[float]) -> float:
    """What is taken off a grey image before a `GreyStem`."""
    return sum(mean) / len(mean)


def fixed_size(backbone: nn.Module, options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width that the backbone, built with `options`, insists on; None where free."""
    config = backbone.pretrained_cfg
    freed = options.get("dynamic_img_size") or options.get("strict_img_size") is False
    if freed or not config.get("fixed_input_size"):
        return None
    size = options.get("img_size", config["input_size"][1:])
    return (size, size) if isinstance(size, int) else tuple(size)


def install_input_layer(backbone: nn.Module, size: tuple[int, int] | None) -> InputLayer:
    """The input layer for `backbone`; its stem is made a `GreyStem` where that is exact."""
    config = backbone.pretrained_cfg
    mean, std = config["mean"], config["std"]
    name = get_model_traits(backbone).get("first_conv", config.get("first_conv"))
    stem = backbone.get_submodule(name) if isinstance(name, str) else None
    foldable = (
        type(stem) is nn.Conv2d
        and stem.in_channels == 3
        and stem.groups == 1
        and stem.padding in ((0, 0), "valid")
    )
    if foldable:
        backbone.set_submodule(name, GreyStem(stem, mean, std))
    return InputLayer(mean, std, foldable, size)
