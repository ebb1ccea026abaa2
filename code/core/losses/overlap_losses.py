"""Losses that measure how far predicted and true masks overlap."""

from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from core.errors import InputError
from core.losses.base import BaseLoss, NonNegative, Reduction
from core.losses.elementwise import reduced
from core.losses.overlap import Overlap, overlap
from core.losses.registry import get_registry


class OverlapLoss(BaseLoss, ABC):
    """What the losses of overlap share: counts of pixels, smoothed by `smooth` pixels.

    With `batch` the counts run over all images of the batch, otherwise over each image.
    `from_logits=false` says that probabilities are handed over in place of logits.
    """

    def __init__(
        self,
        smooth: Annotated[
            NonNegative, Field(description="pixels added to the counts; near 0, empty masks rule")
        ] = 1.0,
        batch: Annotated[
            bool, Field(description="count over the whole batch; false: over each image")
        ] = True,
        from_logits: Annotated[
            bool, Field(description="take logits; false: probabilities, which no model here gives")
        ] = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.from_logits = from_logits
        self.smooth = smooth
        self.batch = batch

    @property
    def sums_over_images(self) -> bool:
        """Counts over the whole batch are one value for each class, and only these are summed."""
        return self.reduction == "sum" and not self.batch

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if not self.from_logits and not (logits.min() >= 0 and logits.max() <= 1):
            raise InputError(
                f"loss {self.name()}: from_logits=false takes probabilities, found values from "
                f"{logits.min():.4g} to {logits.max():.4g}: expected 0..1"
            )
        counts = overlap(*self.checked(logits, targets), self.batch, self.from_logits)
        return reduced(self.values(counts), self.reduction)

    @abstractmethod
    def values(self, counts: Overlap) -> Tensor:
        """The terms of which the loss is the mean."""


@get_registry().register("tversky_loss", tags=["masks", "image_labels"])
class TverskyLoss(OverlapLoss):
    """Tversky loss: overlap in which a false positive and a false negative cost differently.

    1 - (TP + s) / (TP + alpha FP + beta FN + s) for each class, s = `smooth` in pixels; then
    the mean over classes. alpha = beta = 1/2 is Dice, alpha = beta = 1 is Jaccard. `gamma` above
    1 is the focal Tversky loss: each class's term to the power 1 / gamma.

    With s = 1 a prediction on an empty mask costs more the larger it is. With s near 0 a single
    false positive costs as much as a thousand, and nothing is learned.

    Shape: (batch, C, *spatial), targets in [0, 1]; `none` returns (C,) or (batch, C).
    Source: Salehi, Erdogmus and Gholipour, "Tversky loss function for image segmentation using
    3D fully convolutional deep networks", 2017; gamma: Abraham and Khan, "A Novel Focal Tversky
    Loss Function", 2018 (whose alpha is beta here).
    """

    def __init__(
        self,
        alpha: Annotated[NonNegative, Field(description="cost of a false positive")] = 0.3,
        beta: Annotated[NonNegative, Field(description="cost of a false negative")] = 0.7,
        gamma: Annotated[
            float,
            Field(gt=0, allow_inf_nan=False, description="above 1: classes found badly count more"),
        ] = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def values(self, counts: Overlap) -> Tensor:
        values = 1 - tversky_index(counts, self.alpha, self.beta, self.smooth)
        # A power below one is infinitely steep at 0.
        return values if self.gamma == 1 else values.clamp(min=1e-6) ** (1 / self.gamma)


@get_registry().register("dice_loss", tags=["masks", "image_labels"])
class DiceLoss(OverlapLoss):
    """Soft Dice loss: one minus the overlap of prediction and mask relative to their sizes.

    1 - (2 TP + 2 s) / (P + T + 2 s) for each class, P and T the predicted and the true size,
    s = `smooth` in pixels; then the mean over classes. It is the Tversky loss with
    alpha = beta = 1/2 and the same s.

    Shape: (batch, C, *spatial), targets in [0, 1]; `none` returns (C,) or (batch, C).
    Source: Milletari, Navab and Ahmadi, "V-Net", 2016, with plain sums in the denominator (Drozdzal
    et al., "The Importance of Skip Connections in Biomedical Image Segmentation", 2016).
    """

    def values(self, counts: Overlap) -> Tensor:
        return 1 - tversky_index(counts, 0.5, 0.5, self.smooth)


@get_registry().register("generalized_dice_loss", tags=["masks", "image_labels"])
class GeneralizedDiceLoss(OverlapLoss):
    """Generalised Dice loss: one Dice of all classes, in which small and large classes weigh alike.

    1 - (2 sum_c w_c TP_c + s) / (sum_c w_c (P_c + T_c) + s), w_c proportional to 1 / T_c^2 and
    at most 1; P and T are the predicted and the true size. A class without pixels has the weight
    of the smallest one present; where none is present, all weigh 1. s = `smooth` counts
    pixels of the smallest class. One class: the Dice loss with half of the smoothing.

    Shape: (batch, C, *spatial), targets in [0, 1]; `none` returns (1,) or (batch,).
    Source: Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations", 2017; weights of empty classes as in MONAI. Targets without any
    pixel cost about 1 here if anything is predicted, and 0 there.
    """

    def values(self, counts: Overlap) -> Tensor:
        weights = size_weights(counts.actual)
        overlapping = 2 * (weights * counts.true_positive).sum(-1) + self.smooth
        sizes = (weights * (counts.predicted + counts.actual)).sum(-1) + self.smooth
        tiny = torch.finfo(sizes.dtype).tiny
        return (1 - (overlapping + tiny) / (sizes + tiny)).reshape(-1)


def tversky_index(counts: Overlap, alpha: float, beta: float, smooth: float) -> Tensor:
    """(TP + s) / (TP + alpha FP + beta FN + s); 1 where there is nothing to find and s is 0."""
    overlapping = counts.true_positive + smooth
    missed = alpha * counts.false_positive + beta * counts.false_negative
    # The smallest normal number turns 0 / 0 into a perfect 1, and changes nothing else.
    tiny = torch.finfo(overlapping.dtype).tiny
    return (overlapping + tiny) / (overlapping + missed + tiny)


def size_weights(sizes: Tensor) -> Tensor:
    """(smallest size present / size)^2 along the last axis; 1 for a size of 0."""
    present = torch.where(sizes > 0, sizes, torch.inf)
    smallest = present.amin(-1, keepdim=True)
    return torch.where(sizes > 0, (smallest / sizes) ** 2, 1.0)
