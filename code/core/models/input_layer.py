"""From the loader's images to what a backbone expects, with grey folded into the stem."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import get_model_traits
from torch import Tensor, nn

from core.errors import InputError


class InputLayer(nn.Module):
    """Scale to 0..1 and normalise by the statistics that the backbone was pretrained with.

    Grey images become three equal channels, each normalised by its own statistics. With
    `grey_stem` they stay one channel, from which only the mean of the means is subtracted, and
    the `GreyStem` does the rest. The statistics are plain numbers, not buffers: they follow from
    the backbone's name, and are as precise as the dtype allows.

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
        self.mean, self.std = tuple(mean), tuple(std)
        self.grey_stem, self.size = grey_stem, size

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
        """Raises InputError if the network accepts images of another size only."""
        if self.size and self.size != (height, width):
            raise InputError(
                f"model: images are {height}x{width}, and this network accepts "
                f"{self.size[0]}x{self.size[1]} only: give model.backbone_options="
                f"{{img_size:[{height},{width}]}}, or another backbone"
            )


class GreyStem(nn.Conv2d):
    """A stem convolution that also takes one grey channel, less `grey_mean`, for three equal ones.

    With weights w_c, channel statistics m_c and s_c, grey mean m and no padding,
    sum_c w_c * (x - m_c) / s_c = (sum_c w_c / s_c) * (x - m) - sum_c w_c (m_c - m) / s_c,
    so the three channels and their normalisation become one channel and a bias, exactly. They are
    computed from the weights at each call: the parameters stay those of the three-channel stem,
    and keep training. Subtracting m first keeps bfloat16 precise: without it, the rounding error
    on real strips is 2.6 times as large. A stem with padding is not replaced: its zeros would
    have to be m_c, another value for each channel.
    """

    mean: Sequence[float]
    std: Sequence[float]

    @classmethod
    def fold(cls, stem: nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> None:
        """Make a plain convolution without padding one of these, in place."""
        stem.__class__ = cls
        stem.mean, stem.std = tuple(mean), tuple(std)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == self.in_channels:
            return super().forward(images)
        centre = grey_mean(self.mean)
        weights = self.weight.split(1, dim=1)
        planes = [weight / std for weight, std in zip(weights, self.std, strict=True)]
        sums = [plane.sum((1, 2, 3)) for plane in planes]
        shift = sum(s * (mean - centre) for s, mean in zip(sums, self.mean, strict=True))
        bias = -shift if self.bias is None else self.bias - shift
        return F.conv2d(images, sum(planes), bias, self.stride, dilation=self.dilation)


def grey_mean(mean: Sequence[float]) -> float:
    """What is subtracted from a grey image before a `GreyStem`."""
    return sum(mean) / len(mean)


def fixed_size(backbone: nn.Module, options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width that the backbone, built with `options`, requires; None: any."""
    config = backbone.pretrained_cfg
    freed = options.get("dynamic_img_size") or options.get("strict_img_size") is False
    if freed or not config.get("fixed_input_size"):
        return None
    size = options.get("img_size", config["input_size"][1:])
    return (size, size) if isinstance(size, int) else tuple(size)


def install_input_layer(backbone: nn.Module, size: tuple[int, int] | None) -> InputLayer:
    """The input layer for `backbone`, whose stem becomes a `GreyStem` if that is exact."""
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
        GreyStem.fold(stem, mean, std)
    return InputLayer(mean, std, foldable, size)
