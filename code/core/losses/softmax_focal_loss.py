"""Focal loss over a softmax, for targets that are one class index each."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from core.losses.base import BaseLoss, NonNegative, Reduction, at_least_float32, reduced
from core.losses.registry import get_registry

Share = Annotated[float, Field(ge=0, le=1)]


@get_registry().register("softmax_focal_loss", tags=["single_label", "log_likelihood"])
class SoftmaxFocalLoss(BaseLoss):
    """Focal loss for problems with exactly one class each: -a_y (1 - p_y)^gamma log p_y.

    p is the softmax over the classes and y the true one. `alpha` is None, one weight for each
    class, or a number: alpha for every class but the first, and 1 - alpha for the first, the
    background. The mean is over images and space (some libraries also divide by the number of
    classes). gamma = 0 with alpha = None is cross-entropy.

    Shape: logits (batch, C, *spatial), class indices (batch, *spatial).
    Source: Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", 2017,
    with a softmax in place of the sigmoid.
    """

    index_targets = True

    def __init__(
        self,
        alpha: Share | list[NonNegative] | None = None,
        gamma: NonNegative = 2.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma = gamma
        self.add_class_weight("alpha", alpha)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        expected = (logits.shape[0], *logits.shape[2:]) if logits.ndim > 1 else None
        if targets.shape != expected or logits.numel() == 0:
            raise ValueError(
                f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}: expected "
                "(batch, classes, *spatial) and class indices (batch, *spatial), not empty"
            )
        logits, targets = at_least_float32(logits), targets.long()
        cost = F.cross_entropy(logits, targets, reduction="none")
        # 1 - p_y; clamped, so that a power below one has a finite slope at 0.
        rest = -torch.expm1(-cost)
        values = rest.clamp(min=torch.finfo(rest.dtype).tiny) ** self.gamma * cost
        alpha = self.class_weight_of("alpha", logits)
        if alpha is not None:
            alpha = alpha.to(values)
            weight = alpha[targets] if alpha.ndim else torch.where(targets > 0, alpha, 1 - alpha)
            values = values * weight
        return reduced(values, self.reduction)
