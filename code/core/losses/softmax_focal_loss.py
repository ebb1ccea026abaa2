"""Focal loss over a softmax, for targets that are one class index each."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from core.losses.base import BaseLoss, NonNegative, Reduction
from core.losses.elementwise import at_least_float32, gradient_of_logits_alone, reduced
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
        alpha: Annotated[
            Share | list[NonNegative] | None,
            Field(description="weight of each class, or of all but the first, the background"),
        ] = None,
        gamma: Annotated[
            NonNegative, Field(description="how much less what is easy counts; 0: alike")
        ] = 2.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma = gamma
        self.add_class_weight("alpha", alpha)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.check_logits(logits, targets)
        values = softmax_focal_values(logits, targets, self.gamma)
        alpha = self.class_weight_of("alpha", logits)
        if alpha is not None:
            values = values * weight_of_targets(targets, alpha, 1 - alpha).to(values)
        return reduced(values, self.reduction)


def softmax_focal_values(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """(1 - p_y)^gamma (-log p_y) of each element, (batch, *spatial), in at least float32.

    Raises:
        ValueError: targets are not class indices (batch, *spatial).
    """
    if targets.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}: expected "
            "(batch, classes, *spatial) and class indices (batch, *spatial), not empty"
        )
    logits, targets = at_least_float32(logits), targets.long()
    if gradient_of_logits_alone(logits, targets) and not torch.compiler.is_compiling():
        return _Values.apply(logits, targets, gamma)
    return _definition(logits, targets, gamma)


def weight_of_targets(targets: Tensor, present: Tensor, absent: Tensor) -> Tensor:
    """The weight of each true class: its `present`, one for each class; or of a single number,
    `present` for every class but the first, the background, which has `absent`.
    """
    if present.ndim:
        return present[targets.long()]
    return torch.where(targets > 0, present, absent)


def _definition(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    cost = F.cross_entropy(logits, targets, reduction="none")
    return _not_p(-cost) ** gamma * cost


def _not_p(log_p: Tensor) -> Tensor:
    """1 - p, clamped so that a power below one has a finite slope at 0."""
    return (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)


class _Values(torch.autograd.Function):
    """`_definition` that keeps one array of the logits' size, where autograd keeps three.

    The derivative by log p_y is gamma q^(gamma - 1) p log p - q^gamma, with q = 1 - p_y; that of
    log p_y by logit j is [j = y] - p_j.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
        log_softmax = torch.log_softmax(logits, 1)
        log_p = log_softmax.gather(1, targets.unsqueeze(1)).squeeze(1)
        rest = _not_p(log_p)
        power = rest**gamma
        values = (power * log_p).neg_()
        slope = rest.pow_(gamma - 1).mul_(torch.exp(log_p)).mul_(log_p).mul_(gamma).sub_(power)
        ctx.save_for_backward(logits, targets, log_softmax, slope)
        ctx.gamma = gamma
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, log_softmax, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            values = _definition(logits, targets, ctx.gamma)
            (product,) = torch.autograd.grad(values, logits, gradient, create_graph=True)
            return product, None, None
        scaled = (gradient * slope).unsqueeze(1)
        product = torch.exp(log_softmax).mul_(scaled).neg_()
        return product.scatter_add_(1, targets.unsqueeze(1), scaled), None, None
