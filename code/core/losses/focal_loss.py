"""Sigmoid focal loss."""

from functools import partial
from typing import Annotated, Any, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from core.errors import InputError
from core.losses.base import BaseLoss, NonNegative
from core.losses.elementwise import along_classes, elementwise, reduced, sigmoid_sides
from core.losses.registry import get_registry
from core.losses.softmax_focal_loss import softmax_focal_values, weight_of_targets
from core.validation import OnlyWith

FocalReductions = Literal["mean", "sum", "none", "positives"]
Share = Annotated[float, Field(ge=0, le=1)]


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
    `reduction=positives` divides the sum by the number of positives that a batch of its size has
    on average, from the statistics of the training part. Without statistics it divides by the
    batch's own number (at least 1), as in the paper: batches with few positives then weigh more.

    Integer targets without an axis of classes are taken for class indices. The loss is then that
    of `SoftmaxFocalLoss`: the one-hot form over a softmax, with the weight of the true class's
    positive; a single alpha weighs class 0, the background, by 1 - alpha.

    Shape: (batch, C, *spatial), targets in [0, 1]; or class indices (batch, *spatial).
    Source: Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", 2017.
    """

    is_elementwise = True
    reductions = get_args(FocalReductions)
    recorded = (*BaseLoss.recorded, "positive_shares")

    def __init__(
        self,
        alpha: Annotated[
            Share | list[Share] | Literal["dynamic"] | None,
            Field(description="weight of positives; 1 - alpha, of negatives; dynamic: rare more"),
        ] = "dynamic",
        gamma: Annotated[
            NonNegative, Field(description="how much less what is easy counts; 0: alike")
        ] = 2.0,
        class_weight: Annotated[
            list[NonNegative] | Literal["effective_number", "inverse", "sqrt_inverse"] | None,
            Field(description="weight of each class as a whole, given or from the class counts"),
        ] = None,
        effective_number_beta: Annotated[
            float,
            Field(ge=0, lt=1, description="of class_weight=effective_number; 0: no weight"),
            OnlyWith(("class_weight",), ("effective_number",)),
        ] = 0.999,
        alpha_normalize: Annotated[
            bool, Field(description="let all classes weigh the same under their alpha")
        ] = False,
        reduction: Annotated[
            FocalReductions,
            Field(description="how the losses become one; positives: by their usual number"),
        ] = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma = gamma
        self.effective_number_beta = effective_number_beta
        self.alpha_normalize = alpha_normalize
        self.positive_shares: list[float] | None = None
        alphas = alpha if isinstance(alpha, list) else [alpha]
        if alpha_normalize and any(each in (None, 0, 1) for each in alphas):
            raise InputError(
                f"loss {self.name()}: alpha_normalize=true with alpha={alpha}: expected alpha "
                "within (0, 1) for every class: set alpha, or alpha_normalize=false"
            )
        options = {"beta": effective_number_beta} if class_weight == "effective_number" else {}
        self.add_class_weight("alpha", alpha)
        self.add_class_weight("class_weight", class_weight, **options)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == logits.ndim - 1 and is_integer(targets):
            return self._softmax_form(logits, targets)
        logits, targets = self.checked(logits, targets)
        positive, negative = self._side_weights(targets, logits)
        settings = {"gamma": self.gamma, "positive": positive, "negative": negative}
        definition, fused = partial(focal_values, **settings), partial(_fused, **settings)
        values = elementwise(definition, fused, logits, targets)
        if self.reduction == "positives":
            shares = self.positive_shares
            return _per_positive(values, targets, shares and sum(shares) / len(shares))
        return reduced(values, self.reduction)

    def use_drawn_shares(self, shares: list[float]) -> None:
        if self.reduction != "positives":
            return
        self.positive_shares = shares
        if not any(shares):
            raise InputError(
                f"loss {self.name()}: reduction=positives: no class has a positive in the training "
                "part: use reduction=mean, or choose another split"
            )

    def get_params(self) -> dict[str, Any]:
        shares = self.positive_shares
        return super().get_params() | ({"positive_shares": shares} if shares else {})

    def restore_record(self, record: dict[str, Any]) -> None:
        super().restore_record(record)
        self.positive_shares = record.get("positive_shares")

    def _softmax_form(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.check_logits(logits, targets)
        values = softmax_focal_values(logits, targets, self.gamma)
        known = all(weight.source or weight.value is None for weight in self.class_weights.values())
        one_hot = logits if known else F.one_hot(targets.long(), logits.shape[1]).movedim(-1, 1)
        positive, negative = (side.flatten() for side in self._side_weights(one_hot, values))
        if len(positive) == 1:
            positive, negative = positive[0], negative[0]
        values = values * weight_of_targets(targets, positive, negative)
        if self.reduction == "positives":
            shares = self.positive_shares
            return _per_positive(values, targets > 0, shares and sum(shares[1:]))
        return reduced(values, self.reduction)

    def _side_weights(self, targets: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of a positive and of a negative of each class."""
        alpha = self.class_weight_of("alpha", targets)
        scale = self.class_weight_of("class_weight", targets)
        if alpha is None:
            positive = negative = like.new_ones(())
        else:
            positive, negative = alpha, 1 - alpha
        if self.alpha_normalize:
            positive, negative = 1 / (2 * negative), 1 / (2 * positive)
        if scale is not None:
            positive, negative = positive * scale, negative * scale
        return along_classes(positive, like), along_classes(negative, like)


def is_integer(targets: Tensor) -> bool:
    """Whether targets can be class indices."""
    return not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)


def _per_positive(values: Tensor, positives: Tensor, share: float | None) -> Tensor:
    """The sum of `values` by the expected number of positives; without a share, by their number."""
    if not share:
        return values.sum() / positives.sum().clamp(min=1)
    return values.mean() / share


def focal_values(
    logits: Tensor,
    targets: Tensor,
    gamma: float,
    positive: Tensor,
    negative: Tensor,
) -> Tensor:
    """The loss of each element; `positive` and `negative` are the weights of the two sides."""
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    # exp(gamma log(1 - p)): finite with all its derivatives where 1 - p rounds to 0.
    present = positive * targets * torch.exp(gamma * log_not_p) * log_p
    return -(present + negative * (1 - targets) * torch.exp(gamma * log_p) * log_not_p)


def _fused(
    logits: Tensor,
    targets: Tensor,
    gamma: float,
    positive: Tensor,
    negative: Tensor,
) -> tuple[Tensor, Tensor]:
    """`focal_values` and its derivative, in place: with q = 1 - p, and a, b the weighted powers,

    values = -(a log p + b log q), derivative = b (p - gamma q log q) - a (q - gamma p log p).
    """
    p, q, log_p, log_q = sigmoid_sides(logits)
    a = q.pow(gamma).mul_(targets).mul_(positive)
    b = p.pow(gamma).mul_(1 - targets).mul_(negative)
    values = (a * log_p).addcmul_(b, log_q).neg_()
    of_negative = log_q.mul_(q).mul_(-gamma).add_(p).mul_(b)
    of_positive = log_p.mul_(p).mul_(-gamma).add_(q).mul_(a)
    return values, of_negative.sub_(of_positive)
