"""VICReg: alike views, embeddings that vary, and dimensions that say different things."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from core.pretraining.losses.base import BaseLoss, at_least_float32

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, description="weight of the term")]

_SMALLEST_VARIANCE = 1e-4


class VICRegLoss(BaseLoss):
    """25 x invariance + 25 x variance + 1 x covariance.

    Invariance is the mean squared difference of the two views. Variance is the mean over the
    dimensions, and over both views, of max(0, 1 - sqrt(var + 1e-4)). Covariance is the sum over
    both views of the squared covariances of different dimensions, over the number of dimensions.
    Variances are unbiased. Embeddings that are all the same give exactly 24.75.

    Source: Bardes, Ponce and LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning"
    """

    smallest_batch = 2

    def __init__(
        self, invariance: Weight = 25.0, variance: Weight = 25.0, covariance: Weight = 1.0
    ) -> None:
        super().__init__()
        self.invariance, self.variance, self.covariance = invariance, variance, covariance

    def forward(self, first: Tensor, second: Tensor, ids: Tensor | None = None) -> Tensor:
        self.check_batch(first)
        views = [at_least_float32(first), at_least_float32(second)]
        variance = sum(_lacking_variance(view) for view in views) / 2
        covariance = sum(_covariance(view) for view in views)
        return (
            self.invariance * F.mse_loss(*views)
            + self.variance * variance
            + self.covariance * covariance
        )


def _lacking_variance(view: Tensor) -> Tensor:
    deviation = (view.var(0) + _SMALLEST_VARIANCE).sqrt()
    return (1 - deviation).relu().mean()


def _covariance(view: Tensor) -> Tensor:
    """Sum of the squared covariances of different dimensions, over the number of dimensions."""
    centred = view - view.mean(0)
    covariance = centred.T @ centred / (len(view) - 1)
    different = ~torch.eye(view.shape[1], dtype=torch.bool, device=view.device)
    return covariance.where(different, 0).square().sum() / view.shape[1]
