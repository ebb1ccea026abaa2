"""How far a reconstruction is from its image."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of images in 0..1, as in the paper.
_WINDOW, _SIGMA = 11, 1.5
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2


class ReconstructionLoss(nn.Module):
    """Mean absolute error (`l1`), mean squared error (`l2`), or 1 - structural similarity (`ssim`).

    Shape: two times (batch, channels, height, width), values in 0..1 -> scalar
    """

    def __init__(self, type: Literal["l1", "l2", "ssim"] = "l1", weight: float = 1.0) -> None:
        super().__init__()
        self.type, self.weight, self.name = type, weight, "reconstruction_loss"

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        if reconstruction.shape != images.shape:
            raise ValueError(
                f"reconstruction {tuple(reconstruction.shape)} and images {tuple(images.shape)}: "
                "expected one shape"
            )
        error = {"l1": F.l1_loss, "l2": F.mse_loss, "ssim": structural_dissimilarity}[self.type]
        with torch.autocast(images.device.type, enabled=False):
            reconstruction = reconstruction.to(
                torch.promote_types(reconstruction.dtype, torch.float32)
            )
            return self.weight * error(reconstruction, images.to(reconstruction.dtype))


def structural_dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """1 - SSIM, the mean over all places where a window of 11x11 fits; of lower images, a smaller.

    Source: Wang et al. 2004
    """
    size = min(_WINDOW, *a.shape[-2:])
    size -= 1 - size % 2
    offsets = torch.arange(size, device=a.device, dtype=a.dtype) - size // 2
    weights = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    channels = a.shape[1]
    rows = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)

    def blurred(images: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(images, rows, groups=channels), columns, groups=channels)

    mean_a, mean_b = blurred(a), blurred(b)
    variance_a = blurred(a.square()) - mean_a.square()
    variance_b = blurred(b.square()) - mean_b.square()
    covariance = blurred(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _LUMINANCE) / (
        mean_a.square() + mean_b.square() + _LUMINANCE
    )
    structure = (2 * covariance + _CONTRAST) / (variance_a + variance_b + _CONTRAST)
    return 1 - (luminance * structure).mean()
