"""How the components of a compound loss are weighted: as configured, or learned.

If only the sum were minimised, learned weights would all go to the component that is smallest in
its units. Each rule below says what prevents that.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM = 0.9
"""Share of the old value in a running mean: about ten steps of memory."""

LOG_VARIANCE_LIMIT = 4.0


class Weighting(nn.Module, ABC):
    """A rule that turns the values of the K components, (K,), into one."""

    weights_change: bool = True
    """Whether its weights differ from epoch to epoch."""

    @abstractmethod
    def weights(self) -> Tensor:
        """The current weights (K,)."""

    def start_at(self, weights: Sequence[float]) -> None:
        """Start at these weights, such as those of a finished experiment."""

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch, counted from 0."""


class FixedWeights(Weighting):
    """The configured numbers, each with its schedule over the epochs."""

    def __init__(self, rows: Sequence[tuple[float, float, float | None]]) -> None:
        super().__init__()
        self.rows = list(rows)
        self.weights_change = any(step for _, step, _ in self.rows)
        self.register_buffer("current", torch.empty(len(rows)), persistent=False)
        self.set_epoch(0)

    def weights(self) -> Tensor:
        return self.current

    def set_epoch(self, epoch: int) -> None:
        weights = [scheduled_weight(*row, epoch) for row in self.rows]
        self.current = self.current.new_tensor(weights)

    def forward(self, values: Tensor) -> Tensor:
        return (self.current.to(values) * values).sum()


class SoftmaxWeights(Weighting):
    """Learned weights that sum to one; they start at the configured ones (over their sum).

    s = floor + (1 - sum of floors) softmax(scores). The scores minimise
    sum_i s_i L_i / m_i + strength KL(s || configured), m_i the running mean of |L_i|. The ratios
    are about 1 in any units, so that no component wins by being small; the second term pulls
    back to the configured weights, and the floor (at most half of the configured weight) keeps
    every component trained. The network is trained by the plain sum_i s_i L_i, which is the value.
    """

    def __init__(self, weights: Sequence[float], floor: float, strength: float) -> None:
        super().__init__()
        self.strength = strength
        prior = torch.tensor(weights) / sum(weights)
        self.register_buffer("prior", prior)
        self.register_buffer("floors", torch.clamp(prior / 2, max=floor))
        self.register_buffer("running_means", torch.full_like(prior, float("nan")))
        self.scores = nn.Parameter(torch.zeros_like(prior))
        self.start_at(prior.tolist())

    def weights(self) -> Tensor:
        return self.floors + (1 - self.floors.sum()) * torch.softmax(self.scores, 0)

    @torch.no_grad()
    def start_at(self, weights: Sequence[float]) -> None:
        above = self.scores.new_tensor(weights) - self.floors
        self.scores.copy_(torch.log(above.clamp(min=1e-6)))

    def forward(self, values: Tensor) -> Tensor:
        weights, detached = self.weights().to(values), values.detach()
        total = (weights.detach() * values).sum()
        if not self.training:
            return total
        self._update(detached)
        means = self.running_means.to(values).clamp(min=1e-8)
        pull = (weights * torch.log(weights / self.prior.to(values))).sum()
        objective = (weights * detached / means).sum() + self.strength * pull
        # Adds a gradient for the scores, and 0 to the value.
        return total + (objective - objective.detach())

    @torch.no_grad()
    def _update(self, values: Tensor) -> None:
        sizes = values.abs().to(self.running_means)
        mixed = MOMENTUM * self.running_means + (1 - MOMENTUM) * sizes
        self.running_means = torch.where(self.running_means.isnan(), sizes, mixed)


class UncertaintyWeights(Weighting):
    """sum_i exp(-s_i) / 2 L_i + log(1 + exp(s_i)), s_i the learned log variance of L_i.

    The second term, in place of Kendall's s / 2, keeps the sum bounded as L_i goes to 0; s stays
    within [-4, 4]. At rest exp(s) = (L + sqrt(L^2 + 8 L)) / 4.

    Sources: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses",
    2018; Liebel and Körner, "Auxiliary Tasks in Multi-task Learning", 2018.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(len(weights)))
        self.start_at(weights)

    def weights(self) -> Tensor:
        return torch.exp(-_Limited.apply(self.log_variances)) / 2

    @torch.no_grad()
    def start_at(self, weights: Sequence[float]) -> None:
        self.log_variances.copy_(-torch.log(2 * self.log_variances.new_tensor(weights)))

    def forward(self, values: Tensor) -> Tensor:
        # Once, so that the direction of the whole gradient is known where it is limited.
        limited = _Limited.apply(self.log_variances)
        regularizer = F.softplus(limited).sum().to(values.dtype)
        return ((torch.exp(-limited) / 2).to(values) * values).sum() + regularizer


class _Limited(torch.autograd.Function):
    """The log variances within the limit; beyond it, a gradient only where it leads back.

    With none at all, as clamp has, what a large step took beyond the limit would stay there.
    """

    @staticmethod
    def forward(ctx: Any, log_variances: Tensor) -> Tensor:
        ctx.save_for_backward(log_variances)
        return log_variances.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (given,) = ctx.saved_tensors
        leads_back = (given.abs() <= LOG_VARIANCE_LIMIT) | (gradient * given > 0)
        return gradient.where(leads_back, 0.0)


def scheduled_weight(weight: float, step: float, limit: float | None, epoch: int) -> float:
    """weight + step * epoch, not past `limit`, and never below 0.

    The paper of the boundary loss raises its weight from 0.01 by 0.01 an epoch, and may lower
    that of the regional loss from 0.99 at the same rate.
    """
    value = max(weight + step * epoch, 0.0)
    if limit is None or step == 0:
        return value
    return min(value, limit) if step > 0 else max(value, limit)
