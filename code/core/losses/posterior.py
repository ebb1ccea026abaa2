"""Which posterior a logit stands for, where a loss moves probabilities away from it.

A logit z minimises the expected loss q L(z, 1) + (1 - q) L(z, 0), L linear in the target, at the
posterior q with q / (1 - q) = L'(z, 0) / -L'(z, 1). For binary cross-entropy with `pos_weight` w,
the posterior's logit is z - log w; for focal loss, h(z) - log(alpha / (1 - alpha)), h odd.
"""

import copy

import torch
from torch import Tensor, nn

# A probability beyond these logits is hardly told from 0 or 1.
EXTREME_LOGIT = 30.0
HALVINGS = 56  # from there to the last digit
NOTHING = 1e-9


def posterior_logits(loss: nn.Module, logits: Tensor) -> Tensor:
    """The logits of the posteriors at which `logits` minimise an element-wise loss.

    Infinite where no posterior is that low or that high. Shape: (batch, C) in and out.
    Source: Charoenphakdee et al., "On Focal Loss for Class-Posterior Probability Estimation", 2021.
    """
    return _balance(_precise(loss), logits.detach().to("cpu", torch.float64)).detach()


def posterior_scaling(loss: nn.Module, num_classes: int) -> tuple[list[float], list[float]] | None:
    """Slope and intercept per class that turn logits into those of the posterior, to first order.

    Exact where the posterior is one half, so decisions at 0.5 are; for binary cross-entropy
    everywhere. A class of which one side weighs nothing has slope 1 and intercept 0. None: so have
    all, as with binary cross-entropy without weights.
    """
    loss = _precise(loss)
    high = torch.full((1, num_classes), EXTREME_LOGIT, dtype=torch.float64)
    low = -high
    crosses = (_balance(loss, low) < 0) & (_balance(loss, high) > 0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        is_above = _balance(loss, middle) > 0
        low, high = torch.where(is_above, low, middle), torch.where(is_above, middle, high)
    with torch.enable_grad():
        middle.requires_grad_()
        (slopes,) = torch.autograd.grad(_balance(loss, middle).sum(), middle)
    intercepts = -slopes * middle
    moved = crosses & ((slopes - 1).abs().maximum(intercepts.abs()) > NOTHING)
    if not moved.any():
        return None
    slopes, intercepts = torch.where(moved, slopes, 1.0), torch.where(moved, intercepts, 0.0)
    return slopes[0].tolist(), intercepts[0].tolist()


def _precise(loss: nn.Module) -> nn.Module:
    """A copy in evaluation mode and float64, so that the loss itself stays as it is."""
    loss = copy.deepcopy(loss).to("cpu", torch.float64).eval()
    loss.reduction = "sum"
    return loss


def _balance(loss: nn.Module, logits: Tensor) -> Tensor:
    """log L'(z, 0) - log -L'(z, 1)."""
    with torch.enable_grad():
        logits = logits if logits.requires_grad else logits.clone().requires_grad_()
        of_absent, of_present = (
            torch.autograd.grad(
                loss(logits, torch.full_like(logits, target)), logits, create_graph=True
            )[0]
            for target in (0.0, 1.0)
        )
    return of_absent.clamp(min=0).log() - (-of_present).clamp(min=0).log()
