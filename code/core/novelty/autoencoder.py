"""A fully convolutional autoencoder of strips."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.novelty.bottlenecks import get_registry

# Channels at strides 2, 4, 8 and 16. At stride 2, a residual block would take half of the time.
_WIDTHS = (16, 48, 96, 96)
_CHANNELS_PER_GROUP = 8


class Autoencoder(nn.Module):
    """Encoder, bottleneck and decoder. Images of any size: they are padded to whole strides.

    The output has `reconstruction`, in 0..1 where it is good, as the scaled images are; `latent`,
    at the encoder's stride; and what the bottleneck adds for losses and logs.

    Shape: (batch, image_channels, height, width), uint8 or floating in 0..1
    -> `reconstruction` of the same shape, `latent` (batch, latent_channels, ceil(height / stride),
    ceil(width / stride))
    """

    def __init__(
        self,
        bottleneck: str = "none",
        image_channels: Literal[1, 3] = 1,
        latent_channels: Annotated[int, Field(ge=1)] = 16,
        stride: Literal[8, 16] = 8,
        bottleneck_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.image_channels, self.stride = image_channels, stride
        widths = _WIDTHS[: int(math.log2(stride))]
        self.encoder = encoder(image_channels, widths, latent_channels)
        self.bottleneck = get_registry().instantiate(
            bottleneck, channels=latent_channels, **(bottleneck_options or {})
        )
        self.decoder = decoder(image_channels, widths, latent_channels)

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> dict[str, Any]:
        height, width = images.shape[-2:]
        scaled = self.scaled(images)
        padding = (0, -width % self.stride, 0, -height % self.stride)
        padded = F.pad(scaled, padding, mode="replicate") if any(padding) else scaled
        # Grey is what an untrained network reconstructs.
        compressed = self.bottleneck(self.encoder(padded - 0.5), generator)
        decoded = self.decoder(compressed["latent"]) + 0.5
        return {"reconstruction": decoded[..., :height, :width], **compressed}

    def scaled(self, images: Tensor) -> Tensor:
        """The images in 0..1, which `reconstruction` is compared with."""
        if images.dim() != 4 or images.shape[1] != self.image_channels or not images.numel():
            raise ValueError(
                f"images of shape {tuple(images.shape)}: expected "
                f"(batch, {self.image_channels}, height, width), not empty"
            )
        if images.is_floating_point():
            return images
        return images.to(next(self.encoder.parameters()).dtype) / 255


class ResidualBlock(nn.Module):
    """Two convolutions of 3x3 beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


def encoder(image_channels: int, widths: tuple[int, ...], latent_channels: int) -> nn.Sequential:
    """Each width halves height and width."""
    layers: list[nn.Module] = [_halving(image_channels, widths[0])]
    for before, after in pairwise(widths):
        layers += [_halving(before, after), ResidualBlock(after)]
    return nn.Sequential(*layers, *_normalized_conv(widths[-1], latent_channels))


def decoder(image_channels: int, widths: tuple[int, ...], latent_channels: int) -> nn.Sequential:
    """Each width doubles height and width, from the last to the first."""
    layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[-1], kernel_size=3, padding=1)]
    for after, before in reversed(list(pairwise(widths))):
        layers += [ResidualBlock(before), nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2)]
    layers += _normalized_conv(widths[0], 4 * image_channels)
    return nn.Sequential(*layers, nn.PixelShuffle(2))


def _halving(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1)


def _normalized_conv(before: int, after: int) -> tuple[nn.Module, ...]:
    return (
        nn.GroupNorm(before // _CHANNELS_PER_GROUP, before),
        nn.SiLU(),
        nn.Conv2d(before, after, kernel_size=3, padding=1),
    )
