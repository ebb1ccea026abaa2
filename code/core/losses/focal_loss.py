"""Sigmoid focal loss."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from core.errors import InputError
from core.losses.base import BaseLoss, along_classes, checked, reduced
from core.losses.registry import get_registry
from core.losses.validated import validated

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@get_registry().register("focal_loss", tags=["image_labels", "masks", "log_likelihood"])
class FocalLoss(BaseLoss):
    """Focal loss: cross-entropy in which elements that are already right count less.

    alpha_t (1 - p_t)^gamma (-log p_t), with p_t = p and alpha_t = alpha for a positive, 1 - p
    and 1 - alpha for a negative. gamma = 0 with alpha = None is binary cross-entropy. A soft
    target t takes the expectation: t times the positive's loss, 1 - t times the negative's.

    `alpha` is None (both sides weigh 1), a number, one number for each class, or `dynamic`:
    1 - n_c / N of the training part. `alpha_normalize` divides class c by
    2 alpha_c (1 - alpha_c), so that under dynamic alpha all classes weigh the same.
    `class_weight` multiplies whole classes: numbers as they are, rules scaled to mean one.
    `reduction=positives` divides the sum by the number of positives (at least 1), as the paper.

    Shape: (batch, C, *spatial), targets in [0, 1].
    Source: Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", 2017.
    """

    @validated
    def __init__(
        self,
        alpha: Share | list[Share] | Literal["dynamic"] | None = "dynamic",
        gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0,
        class_weight: list[Weight]
        | Literal["effective_number", "inverse", "sqrt_inverse"]
        | None = None,
        effective_number_beta: Annotated[float, Field(ge=0, lt=1)] = 0.999,
        alpha_normalize: bool = False,
        reduction: Literal["mean", "sum", "none", "positives"] = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma = gamma
        self.effective_number_beta = effective_number_beta
        self.alpha_normalize = alpha_normalize
        if alpha_normalize and (alpha is None or {0.0, 1.0} & set(_numbers(alpha))):
            raise InputError(
                f"loss {self.name()}: alpha_normalize=true with alpha={alpha}: expected alpha "
                "within (0, 1) for every class: set alpha, or alpha_normalize=false"
            )
        options = {"beta": effective_number_beta} if class_weight == "effective_number" else {}
        self.add_class_weight("alpha", alpha)
        self.add_class_weight("class_weight", class_weight, **options)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits, targets = checked(logits, targets)
        positive, negative = self._side_weights(targets, logits)
        # -log p and -log(1 - p); (1 - p)^gamma is exp(-gamma * -log(1 - p)): finite, with a
        # finite gradient, where 1 - p rounds to 0 and gamma < 1.
        absent, present = -F.logsigmoid(logits), -F.logsigmoid(-logits)
        values = positive * targets * torch.exp(-self.gamma * present) * absent
        values = values + negative * (1 - targets) * torch.exp(-self.gamma * absent) * present
        if self.reduction == "positives":
            return values.sum() / targets.sum().clamp(min=1)
        return reduced(values, self.reduction)

    def _side_weights(
        self, targets: torch.Tensor, like: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a positive and a negative of each class weigh."""
        alpha = self.class_weights["alpha"](targets)
        class_weight = self.class_weights["class_weight"](targets)
        positive, negative = (alpha, 1 - alpha) if alpha is not None else (like.new_ones(()),) * 2
        scale = like.new_ones(())
        if self.alpha_normalize:
            scale = scale / (2 * positive * negative)
        if class_weight is not None:
            scale = scale * class_weight
        return along_classes(positive * scale, like), along_classes(negative * scale, like)


def _numbers(alpha: float | list[float] | str | None) -> list[float]:
    return alpha if isinstance(alpha, list) else [alpha] if isinstance(alpha, float) else []
