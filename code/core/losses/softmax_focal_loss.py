"""Focal loss over a softmax, for targets that are one class index each."""

from typing import Annotated

import torch
from pydantic import Field
from torch.nn import functional as F

from core.losses.base import BaseLoss, Reduction, at_least_float32, reduced
from core.losses.registry import get_registry

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@get_registry().register("softmax_focal_loss", tags=["single_label", "log_likelihood"])
class SoftmaxFocalLoss(BaseLoss):
    """Focal loss for problems with exactly one class each: -a_y (1 - p_y)^gamma log p_y.

    p is the softmax over the classes and y the true one. `alpha` is None, one weight for each
    class, or a number: alpha for every class but the first, 1 - alpha for the first, the
    background. The mean is over images and space (some libraries divide by the number of
    classes as well). gamma = 0 with alpha = None is the cross-entropy.

    Shape: logits (batch, C, *spatial), class indices (batch, *spatial).
    Source: Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", 2017,
    with a softmax in place of the sigmoid.
    """

    index_targets = True

    def __init__(
        self,
        alpha: Share | list[Weight] | None = None,
        gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma = gamma
        self.add_class_weight("alpha", alpha)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        expected = (logits.shape[0], *logits.shape[2:]) if logits.ndim > 1 else None
        if targets.shape != expected or logits.numel() == 0:
            raise ValueError(
                f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}: expected "
                "(batch, classes, *spatial) and class indices (batch, *spatial), not empty"
            )
        logits = at_least_float32(logits)
        cost = F.cross_entropy(logits, targets.long(), reduction="none")
        # 1 - p_y; the smallest normal number keeps the slope of a power below one finite.
        rest = -torch.expm1(-cost)
        values = rest.clamp(min=torch.finfo(rest.dtype).tiny) ** self.gamma * cost
        alpha = self.class_weight_of("alpha", logits)
        if alpha is not None:
            values = values * self._weight_of_each(alpha.to(values), targets.long())
        return reduced(values, self.reduction)

    @staticmethod
    def _weight_of_each(alpha: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return alpha[targets] if alpha.ndim else torch.where(targets > 0, alpha, 1 - alpha)
