"""Element-wise losses in few passes over memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Definition = Callable[[Tensor, Tensor], Tensor]
Fused = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Gradients = tuple[Tensor | None, ...]


def elementwise(definition: Definition, fused: Fused, logits: Tensor, targets: Tensor) -> Tensor:
    """`definition(logits, targets)`, computed by `fused` where a gradient is needed.

    `fused` returns the same values and their derivative by the logits, computed in place, where
    autograd would keep every intermediate result. Second derivatives come from the definition.
    """
    if not gradient_of_logits_alone(logits, targets):
        return definition(logits, targets)
    if torch.compiler.is_compiling():
        return _Recomputed.apply(logits, targets, fused)
    return _Kept.apply(logits, targets, definition, fused)


def gradient_of_logits_alone(logits: Tensor, targets: Tensor) -> bool:
    """Whether a gradient is needed, and none by the targets: then a formula by hand will do."""
    return torch.is_grad_enabled() and logits.requires_grad and not targets.requires_grad


def sigmoid_sides(logits: Tensor) -> tuple[Tensor, ...]:
    """p, 1 - p, log p and log(1 - p), each to its full relative precision."""
    if not torch.compiler.is_compiling():
        log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
        return torch.exp(log_p), torch.exp(log_q), log_p, log_q
    # More passes over memory, which a compiler fuses, but one exponential instead of four.
    tail = torch.exp(-logits.abs())
    smaller, log_tail, below = tail / (1 + tail), torch.log1p(tail), logits < 0
    p, q = (torch.where(side, smaller, 1 - smaller) for side in (below, ~below))
    return p, q, logits.clamp(max=0) - log_tail, (-logits).clamp(max=0) - log_tail


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits in float32 or float64: sums over a strip's pixels overflow float16."""
    if logits.dtype in (torch.float32, torch.float64):
        return logits
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def along_classes(values: Tensor, like: Tensor) -> Tensor:
    """`values`, (C,) or a scalar, in a shape that broadcasts against (batch, C, *spatial)."""
    values = values.to(like)
    return values.view(-1, *[1] * (like.ndim - 2)) if values.ndim else values


def reduced(values: Tensor, reduction: str) -> Tensor:
    """Mean or sum over all elements, or the elements themselves."""
    if reduction == "mean":
        return values.mean()
    return values.sum() if reduction == "sum" else values


class _Kept(torch.autograd.Function):
    """Keeps the derivative from the forward pass: one array."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, definition: Definition, fused: Fused
    ) -> Tensor:
        values, slope = fused(logits, targets)
        ctx.save_for_backward(logits, targets, slope)
        ctx.definition = definition
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        logits, targets, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            values = ctx.definition(logits, targets)
            (product,) = torch.autograd.grad(values, logits, gradient, create_graph=True)
        else:
            product = gradient * slope
        return product, None, None, None


class _Recomputed(torch.autograd.Function):
    """Keeps nothing: a compiler drops the half of `fused` that a pass does not use."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, fused: Fused) -> Tensor:
        ctx.save_for_backward(logits, targets)
        ctx.fused = fused
        return fused(logits, targets)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        logits, targets = ctx.saved_tensors
        return gradient * ctx.fused(logits, targets)[1], None, None
