"""Gaussian smoothing of maps, and the light of images evened out by it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_KERNEL_SIGMAS = 3
# A wide Gaussian is computed on averages of squares of pixels, with this many of them per sigma.
_CELLS_PER_SIGMA = 4
# Grey values in 0..1: the contrast that every place then has, and what is added to that of the
# image, so that noise in plain areas is not drawn up.
_CONTRAST, _ADDED = 40 / 255, 4 / 255


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """The maps under a Gaussian of this many cells; 0 leaves them. Shape: (batch, rows, columns)"""
    radius = math.ceil(_KERNEL_SIGMAS * sigma)
    if radius == 0:
        return maps
    places = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(maps[:, None], (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(across, kernel.view(1, 1, -1, 1))[:, 0]


def evened(images: Tensor, sigma: float) -> Tensor:
    """The images less their light, with the same contrast everywhere.

    The light is a Gaussian mean over `sigma` pixels. The contrast is the root of the mean square of
    what is left, over twice as many. Shape: (batch, channels, height, width) in 0..1, each channel
    by itself
    """
    planes = images.flatten(0, 1)
    detail = planes - _wide_mean(planes, sigma)
    contrast = _wide_mean(detail.square(), 2 * sigma).sqrt()
    even = (0.5 + _CONTRAST * detail / (contrast + _ADDED)).clamp(0, 1)
    return even.unflatten(0, (-1, int(images.shape[1])))


def _wide_mean(planes: Tensor, sigma: float) -> Tensor:
    cell = max(1, int(sigma / _CELLS_PER_SIGMA))
    coarse = F.avg_pool2d(planes[:, None], cell, ceil_mode=True)[:, 0]
    size = [int(length) for length in planes.shape[-2:]]
    mean = smoothed(coarse, sigma / cell)[:, None]
    return F.interpolate(mean, size, mode="bilinear", align_corners=False)[:, 0]
