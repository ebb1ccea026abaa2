"""Where in the image a defect is: logits of masks, and how they change the image's logits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import InputError

# Height and width of the image over those of the mask logits.
MASK_STRIDE = 4

# Shares of defect pixels are kept this far from 0 and 1.
SMALLEST_PIXEL_SHARE = 1e-4

# Small: every pixel starts at the bias, and the fused logits at the image's own.
_FIRST_WEIGHTS_STD = 0.01


class MaskHead(nn.Module):
    """A feature pyramid over the maps of a backbone's stages, ending in one logit per class.

    A 1x1 convolution brings each map to `width` channels; coarse maps are enlarged and added to
    finer ones; two 3x3 convolutions follow. The bias is the log-odds of a defect pixel.

    Shape: maps (batch, channels, height, width) of each stage, fine to coarse
        -> (batch, classes, *size)
    Source: Lin et al. 2017, "Feature Pyramid Networks for Object Detection"
    """

    def __init__(self, channels: Sequence[int], num_classes: int, width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.convolutions = nn.Sequential(*_convolution(width), *_convolution(width))
        self.classifier = nn.Conv2d(width, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=_FIRST_WEIGHTS_STD)
        self.register_buffer("log_odds", torch.zeros(num_classes))
        self.is_trained = False
        self.set_pixel_shares([0.5**MASK_STRIDE] * num_classes)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Logits of the masks, of height and width `size`."""
        pyramid = None
        for lateral, features in zip(reversed(self.laterals), reversed(maps), strict=True):
            finer = lateral(features)
            pyramid = finer if pyramid is None else finer + _resized(pyramid, finer.shape[-2:])
        return self.classifier(self.convolutions(_resized(pyramid, size)))

    @torch.no_grad()
    def set_pixel_shares(self, shares: Sequence[float]) -> None:
        """Start at the log-odds of each class's share of the masks' pixels.

        A last layer that came with `weights` stays as it is.
        """
        kept = torch.tensor(checked_shares(shares, len(self.log_odds)))
        if self.is_trained:
            return
        self.log_odds.copy_(kept.clamp(SMALLEST_PIXEL_SHARE, 1 - SMALLEST_PIXEL_SHARE).logit())
        self.classifier.bias.copy_(self.log_odds)


class MaskFusion(nn.Module):
    """Adds the evidence of the masks to the image's logits: g_c (max + log mean exp of m_c).

    Both poolings are relative to the log-odds of a defect pixel, so that a mask without evidence
    adds nothing; the gain g_c is learned, one per class.

    Shape: logits (batch, C), mask logits (batch, C, height, width) -> (batch, C)
    Source: Pinheiro and Collobert 2015, "From Image-level to Pixel-level Labeling with
    Convolutional Networks" (the pooling); Božič et al. 2021, "Mixed supervision for surface-defect
    detection: from weakly to fully supervised learning" (masks that feed the classifier)
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num_classes))

    def forward(self, logits: Tensor, mask_logits: Tensor, log_odds: Tensor) -> Tensor:
        pixels = mask_logits.flatten(2).float()
        log_mean_exp = pixels.logsumexp(-1) - math.log(pixels.shape[-1])
        evidence = pixels.amax(-1) + log_mean_exp - 2 * log_odds
        return logits + (self.gain * evidence).to(logits.dtype)


def checked_shares(shares: Sequence[float], num_classes: int) -> list[float]:
    """The shares of the classes. Raises ValueError where there is not one in 0..1 for each."""
    shares = [float(share) for share in shares]
    if len(shares) != num_classes or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares {shares}: expected {num_classes} numbers in 0..1")
    return shares


def mask_size(image_size: Sequence[int]) -> tuple[int, int]:
    """Height and width of the masks' logits for an image of this height and width."""
    height, width = (math.ceil(side / MASK_STRIDE) for side in image_size)
    return height, width


def build_fusion(mask_head: bool, fusion: bool | None, num_classes: int) -> MaskFusion | None:
    """The fusion, by default with a mask head. Raises InputError for one without a mask head."""
    if fusion and not mask_head:
        raise InputError(
            "model.fusion=true: there are no masks to fuse: give model.mask_head=true as well"
        )
    return MaskFusion(num_classes) if mask_head and fusion is not False else None


def _convolution(width: int) -> list[nn.Module]:
    # Over the batch: normalised one by one, a clean strip would look as varied as a defective one.
    return [
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
