"""How the parts of a compound loss are weighed: as configured, or learned.

Minimised over learned weights alone, a weighted sum puts all weight on whatever part is smallest
in its units, so each rule here says what opposes that.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

MOMENTUM = 0.9
"""Share of the old value in a running mean: ten steps of memory."""

LOG_VARIANCE_LIMIT = 4.0


class Weighting(nn.Module, ABC):
    """A rule that turns the values of the parts (K,) into one."""

    @abstractmethod
    def weights(self) -> torch.Tensor:
        """The current weights (K,)."""

    def start_at(self, weights: Sequence[float]) -> None:
        """Take up these weights, as of a finished experiment."""

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch, counted from 0."""


class FixedWeights(Weighting):
    """The configured numbers, each with its schedule over the epochs."""

    def __init__(self, rows: Sequence[tuple[float, float, float | None]]) -> None:
        super().__init__()
        self.rows = list(rows)
        self.register_buffer("current", torch.empty(len(rows)), persistent=False)
        self.set_epoch(0)

    def weights(self) -> torch.Tensor:
        return self.current

    def set_epoch(self, epoch: int) -> None:
        weights = [scheduled_weight(*row, epoch) for row in self.rows]
        self.current = self.current.new_tensor(weights)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return (self.current.to(values) * values).sum()


class SoftmaxWeights(Weighting):
    """Weights that sum to one, learned; they start at the configured ones (over their sum).

    s = floor + (1 - sum of floors) softmax(scores). The scores minimise
    sum_i s_i L_i / m_i + strength KL(s || configured), m_i the running mean of |L_i|: ratios are
    about 1 whatever the units, so that no part wins by being small; the second term pulls back,
    and the floor (at most half of the configured weight) keeps every part trained. The network
    sees the plain sum_i s_i L_i, which is the value.
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

    def weights(self) -> torch.Tensor:
        return self.floors + (1 - self.floors.sum()) * torch.softmax(self.scores, 0)

    @torch.no_grad()
    def start_at(self, weights: Sequence[float]) -> None:
        above = self.scores.new_tensor(weights) - self.floors
        self.scores.copy_(torch.log(above.clamp(min=1e-6)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        weights, detached = self.weights().to(values), values.detach()
        total = (weights.detach() * values).sum()
        if not self.training:
            return total
        self._update(detached)
        means = self.running_means.to(values).clamp(min=1e-8)
        pull = (weights * torch.log(weights / self.prior.to(values))).sum()
        objective = (weights * detached / means).sum() + self.strength * pull
        # A gradient for the scores, nothing for the value.
        return total + (objective - objective.detach())

    @torch.no_grad()
    def _update(self, values: torch.Tensor) -> None:
        sizes = values.abs().to(self.running_means)
        mixed = MOMENTUM * self.running_means + (1 - MOMENTUM) * sizes
        self.running_means = torch.where(self.running_means.isnan(), sizes, mixed)


class UncertaintyWeights(Weighting):
    """sum_i exp(-s_i) / 2 L_i + log(1 + exp(s_i)): s is a part's log variance, learned.

    The second term, in place of Kendall's s / 2, keeps the sum bounded as L_i goes to 0; s stays
    within [-4, 4]. At rest exp(s) = (L + sqrt(L^2 + 8 L)) / 4.

    Sources: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses",
    2018; Liebel and Körner, "Auxiliary Tasks in Multi-task Learning", 2018.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(len(weights)))
        self.start_at(weights)

    def weights(self) -> torch.Tensor:
        return torch.exp(-self._limited()) / 2

    @torch.no_grad()
    def start_at(self, weights: Sequence[float]) -> None:
        self.log_variances.copy_(-torch.log(2 * self.log_variances.new_tensor(weights)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        regularizer = F.softplus(self._limited()).sum().to(values.dtype)
        return (self.weights().to(values) * values).sum() + regularizer

    def _limited(self) -> torch.Tensor:
        return self.log_variances.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)


def scheduled_weight(weight: float, step: float, limit: float | None, epoch: int) -> float:
    """weight + step * epoch, not past `limit`, and never below 0.

    The paper of the boundary loss raises its weight from 0.01 by 0.01 an epoch, and lowers that
    of the regional loss from 0.99 alike where it rebalances.
    """
    value = max(weight + step * epoch, 0.0)
    if limit is None or step == 0:
        return value
    return min(value, limit) if step > 0 else max(value, limit)
