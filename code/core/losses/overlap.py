"""How far predicted and true regions overlap: the sums behind Dice and similar losses."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.losses.elementwise import gradient_of_logits_alone


class Overlap(NamedTuple):
    """Soft counts for each class (C,), or for each image and class (batch, C)."""

    true_positive: Tensor
    predicted: Tensor
    actual: Tensor

    @property
    def false_positive(self) -> Tensor:
        """Predicted, but not true."""
        return self.predicted - self.true_positive

    @property
    def false_negative(self) -> Tensor:
        """True, but not predicted."""
        return self.actual - self.true_positive


def overlap(logits: Tensor, targets: Tensor, batch: bool, from_logits: bool = True) -> Overlap:
    """Sums of p t, p and t over space and, with `batch`, over the images.

    p = sigmoid(logit), or what is given as `logits` itself without `from_logits`.
    """
    axes = tuple(axis for axis in range(logits.ndim) if axis > 1 or (axis == 0 and batch))
    if not from_logits:
        sums = _sums_of_probabilities
    elif gradient_of_logits_alone(logits, targets) and not torch.compiler.is_compiling():
        sums = _Sums.apply
    else:
        sums = _sums
    return Overlap(*sums(logits, targets, axes), _sum(targets, axes))


def _sums(logits: Tensor, targets: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return _sums_of_probabilities(torch.sigmoid(logits), targets, axes)


def _sums_of_probabilities(
    probabilities: Tensor, targets: Tensor, axes: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    return _sum(probabilities * targets, axes), _sum(probabilities, axes)


def _sum(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    # torch takes a sum over no axis for one over all of them.
    return values.sum(axes) if axes else values


class _Sums(torch.autograd.Function):
    """`_sums` that never holds more than two arrays of the size of the logits."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, axes: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        probabilities = torch.sigmoid(logits)
        ctx.save_for_backward(logits, targets, probabilities)
        ctx.axes = axes
        ctx.shape = [1 if axis in axes else size for axis, size in enumerate(logits.shape)]
        # Without axes an output must not be the saved tensor itself.
        return _sum(probabilities * targets, axes), _sum(probabilities, axes) + 0

    @staticmethod
    def backward(
        ctx: Any, by_true_positive: Tensor, by_predicted: Tensor
    ) -> tuple[Tensor | None, ...]:
        logits, targets, probabilities = ctx.saved_tensors
        if torch.is_grad_enabled():
            sums, gradients = _sums(logits, targets, ctx.axes), (by_true_positive, by_predicted)
            (slope,) = torch.autograd.grad(sums, logits, gradients, create_graph=True)
        else:
            slope = targets * by_true_positive.view(ctx.shape)
            slope.add_(by_predicted.view(ctx.shape))
            torch.ops.aten.sigmoid_backward.grad_input(slope, probabilities, grad_input=slope)
        return slope, None, None
