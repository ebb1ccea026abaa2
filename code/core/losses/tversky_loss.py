"""Tversky loss, and focal Tversky loss."""

from typing import Annotated

import torch
from pydantic import Field

from core.losses.base import BaseLoss, Reduction, checked, reduced
from core.losses.overlap import Overlap, overlap
from core.losses.registry import get_registry

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@get_registry().register("tversky_loss", tags=["masks", "image_labels"])
class TverskyLoss(BaseLoss):
    """Tversky loss: overlap in which a false positive and a false negative cost differently.

    1 - (TP + s) / (TP + alpha FP + beta FN + s) for each class, s = `smoothing` in pixels; then
    the mean over classes. alpha = beta = 1/2 is Dice, alpha = beta = 1 is Jaccard. With `batch`
    the counts run over all images of the batch, otherwise over each image. `gamma` above 1 is
    the focal Tversky loss: each class's term to the power 1 / gamma.

    With s = 1 an empty mask still punishes what is predicted, and the more so the more it is;
    with s near 0 a single false positive costs as much as a thousand, and nothing is learned.

    Shape: (batch, C, *spatial), targets in [0, 1]; `none` returns (C,) or (batch, C).
    Source: Salehi, Erdogmus and Gholipour, "Tversky loss function for image segmentation using
    3D fully convolutional deep networks", 2017; gamma: Abraham and Khan, "A Novel Focal Tversky
    Loss Function", 2018 (whose alpha is beta here).
    """

    def __init__(
        self,
        alpha: Weight = 0.3,
        beta: Weight = 0.7,
        gamma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0,
        smoothing: Weight = 1.0,
        batch: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.smoothing = smoothing
        self.batch = batch

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits, targets = checked(logits, targets)
        counts = overlap(logits, targets, self.batch)
        values = 1 - tversky_index(counts, self.alpha, self.beta, self.smoothing)
        if self.gamma != 1:
            # A power below one is infinitely steep at 0.
            values = values.clamp(min=1e-6) ** (1 / self.gamma)
        return reduced(values, self.reduction)


def tversky_index(counts: Overlap, alpha: float, beta: float, smoothing: float) -> torch.Tensor:
    """(TP + s) / (TP + alpha FP + beta FN + s); 1 where there is nothing to find and s is 0."""
    overlapping = counts.true_positive + smoothing
    missed = alpha * counts.false_positive + beta * counts.false_negative
    # The smallest normal number turns 0 / 0 into a perfect 1, and changes nothing else.
    tiny = torch.finfo(overlapping.dtype).tiny
    return (overlapping + tiny) / (overlapping + missed + tiny)
