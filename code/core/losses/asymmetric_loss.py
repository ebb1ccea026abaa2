"""Asymmetric loss for multi-label classification."""

import math
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from core.losses.base import BaseLoss, NonNegative, Reduction
from core.losses.elementwise import elementwise, reduced, sigmoid_sides
from core.losses.registry import get_registry


@get_registry().register("asymmetric_loss", tags=["image_labels", "masks", "log_likelihood"])
class AsymmetricLoss(BaseLoss):
    """Asymmetric loss: a focal loss in which easy negatives count less than easy positives.

    -t (1 - p)^gamma_positive log p - (1 - t) p_m^gamma_negative log(1 - p_m), with
    p_m = max(p - margin, 0): a negative below the margin costs nothing. Both powers 0 and no
    margin: binary cross-entropy; equal powers and no margin: focal loss without alpha. A soft
    target takes the expectation. A negative that is predicted with certainty costs at most
    -log(margin), with a slope of zero at p = 1: the paper treats it as a wrong label.

    Shape: (batch, C, *spatial), targets in [0, 1].
    Source: Ridnik, Ben-Baruch et al., "Asymmetric Loss For Multi-Label Classification", 2021
    (with gamma_positive 0; 1 is the default of the authors' code).
    """

    is_elementwise = True

    def __init__(
        self,
        gamma_positive: Annotated[
            NonNegative, Field(description="how much less easy positives count; 0: alike")
        ] = 1.0,
        gamma_negative: Annotated[
            NonNegative, Field(description="how much less easy negatives count; 0: alike")
        ] = 4.0,
        margin: Annotated[
            float,
            Field(ge=0, lt=1, description="probability below which a negative costs nothing"),
        ] = 0.05,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.margin = margin

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = self.checked(logits, targets)
        settings = (self.gamma_positive, self.gamma_negative, self.margin)
        definition, fused = partial(_values, *settings), partial(_fused, *settings)
        return reduced(elementwise(definition, fused, logits, targets), self.reduction)


def _values(
    gamma_positive: float,
    gamma_negative: float,
    margin: float,
    logits: Tensor,
    targets: Tensor,
) -> Tensor:
    """The loss of each element."""
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    log_shifted, log_rest = _shifted(log_p, log_q, margin)
    present = targets * torch.exp(gamma_positive * log_q) * log_p
    return -(present + (1 - targets) * torch.exp(gamma_negative * log_shifted) * log_rest)


def _shifted(log_p: Tensor, log_q: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """log p_m, with p_m at least the smallest normal number, and log(1 - p_m)."""
    if margin == 0:
        return log_p, log_q
    tiny = torch.finfo(log_p.dtype).tiny
    shifted = torch.exp(log_p).sub(margin).clamp(min=tiny)
    rest = torch.logaddexp(log_q, log_q.new_tensor(math.log(margin)))
    return torch.log(shifted), rest.clamp(max=0)


def _fused(
    gamma_positive: float,
    gamma_negative: float,
    margin: float,
    logits: Tensor,
    targets: Tensor,
) -> tuple[Tensor, Tensor]:
    """`_values` and its derivative by the logits, in place: with q = 1 - p and a = t q^gamma,

    values = -(a log p + b log(1 - p_m)), derivative = b slope - a (q - gamma p log p).
    """
    p, q, log_p, log_q = sigmoid_sides(logits)
    a = q.pow(gamma_positive).mul_(targets)
    b, log_rest, slope = _negative_side(gamma_negative, margin, p, q, log_q)
    b.mul_(1 - targets)
    values = (a * log_p).addcmul_(b, log_rest).neg_()
    of_positive = log_p.mul_(p).mul_(-gamma_positive).add_(q).mul_(a)
    return values, slope.mul_(b).sub_(of_positive)


def _negative_side(
    gamma: float, margin: float, p: Tensor, q: Tensor, log_q: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """b = p_m^gamma, log(1 - p_m), and the derivative of -b log(1 - p_m), divided by b."""
    if margin == 0:
        return p.pow(gamma), log_q, (log_q * q).mul_(-gamma).add_(p)
    shifted, rest = p.sub(margin).clamp_(min=0), q.add(margin)
    log_rest, b = torch.log(rest).clamp_(max=0), shifted.pow(gamma)
    if gamma == 0:
        b.mul_(shifted > 0)
    shifted.clamp_(min=torch.finfo(p.dtype).tiny)
    slope = (log_rest / shifted).mul_(-gamma).add_(rest.reciprocal_())
    return b, log_rest, slope.mul_(p).mul_(q)
