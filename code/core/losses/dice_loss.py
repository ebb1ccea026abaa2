"""Soft Dice loss."""

from typing import Annotated

import torch
from pydantic import Field

from core.losses.base import BaseLoss, Reduction, checked, reduced
from core.losses.overlap import overlap
from core.losses.registry import get_registry
from core.losses.tversky_loss import tversky_index


@get_registry().register("dice_loss", tags=["masks", "image_labels"])
class DiceLoss(BaseLoss):
    """Soft Dice loss: one minus the overlap of prediction and mask relative to their sizes.

    1 - (2 TP + 2 s) / (P + T + 2 s) for each class, P and T the predicted and the true size,
    s = `smoothing` in pixels; then the mean over classes. It is the Tversky loss with
    alpha = beta = 1/2 and the same s. With `batch` the sums run over all images of the batch,
    otherwise over each image.

    Shape: (batch, C, *spatial), targets in [0, 1]; `none` returns (C,) or (batch, C).
    Source: Milletari, Navab and Ahmadi, "V-Net", 2016, with plain sums in the denominator (Drozdzal
    et al., "The Importance of Skip Connections in Biomedical Image Segmentation", 2016).
    """

    def __init__(
        self,
        smoothing: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0,
        batch: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.smoothing = smoothing
        self.batch = batch

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        counts = overlap(*checked(logits, targets), self.batch)
        return reduced(1 - tversky_index(counts, 0.5, 0.5, self.smoothing), self.reduction)
