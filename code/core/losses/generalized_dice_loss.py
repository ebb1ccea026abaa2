"""Generalised Dice loss."""

from typing import Annotated

import torch
from pydantic import Field

from core.losses.base import BaseLoss, Reduction, checked, reduced
from core.losses.overlap import overlap
from core.losses.registry import get_registry


@get_registry().register("generalized_dice_loss", tags=["masks", "image_labels"])
class GeneralizedDiceLoss(BaseLoss):
    """Generalised Dice loss: one Dice of all classes, in which a small class counts as a large.

    1 - (2 sum_c w_c TP_c + s) / (sum_c w_c (P_c + T_c) + s), w_c proportional to 1 / T_c^2 and
    at most 1; P and T are the predicted and the true size. A class without pixels has the weight
    of the smallest one present; where none is present, all weigh 1. s = `smoothing` counts
    pixels of the smallest class. One class: the Dice loss with half of the smoothing. With
    `batch` the sums run over all images of the batch, otherwise over each image.

    Shape: (batch, C, *spatial), targets in [0, 1]; `none` returns (1,) or (batch,).
    Source: Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations", 2017; empty classes as in MONAI.
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
        weights = size_weights(counts.actual)
        overlapping = 2 * (weights * counts.true_positive).sum(-1) + self.smoothing
        sizes = (weights * (counts.predicted + counts.actual)).sum(-1) + self.smoothing
        tiny = torch.finfo(sizes.dtype).tiny
        values = 1 - (overlapping + tiny) / (sizes + tiny)
        return reduced(values.reshape(-1), self.reduction)


def size_weights(sizes: torch.Tensor) -> torch.Tensor:
    """(smallest size present / size)^2 along the last axis; 1 for a size of 0."""
    present = torch.where(sizes > 0, sizes, torch.inf)
    smallest = present.amin(-1, keepdim=True)
    return torch.where(sizes > 0, (smallest / sizes) ** 2, 1.0)
