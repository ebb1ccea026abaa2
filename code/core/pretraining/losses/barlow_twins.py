"""Barlow Twins: the cross-correlation of the two views becomes the identity."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from core.pretraining.losses.base import BaseLoss, at_least_float32

Standardization = Annotated[
    Literal["batch_norm", "unbiased"],
    Field(description="batch_norm: biased variance, as published; unbiased: as in MONAI"),
]
OffDiagonal = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="weight of different dimensions")
]


class BarlowTwinsLoss(BaseLoss):
    """sum (C_ii - 1)^2 + `off_diagonal` x sum of C_ij^2, C = A^T B / N of standardised embeddings.

    Two conventions of standardisation over the batch are in use. `batch_norm`, the published one:
    biased variance with 1e-5 inside the root, so that equal views have C_ii = 1. `unbiased`:
    unbiased deviation plus 1e-6, so that C_ii reaches (N - 1) / N only; it is here for figures of
    programs that use it.

    Source: Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction"
    """

    smallest_batch = 2

    def __init__(
        self,
        off_diagonal: OffDiagonal = 0.005,
        standardization: Standardization = "batch_norm",
    ) -> None:
        super().__init__()
        self.off_diagonal, self.standardization = off_diagonal, standardization

    def forward(self, first: Tensor, second: Tensor, ids: Tensor | None = None) -> Tensor:
        self.check_batch(first)
        one, other = (self._standardized(at_least_float32(view)) for view in (first, second))
        correlation = one.T @ other / len(one)
        same = torch.eye(correlation.shape[0], dtype=torch.bool, device=correlation.device)
        diagonal = (correlation.diagonal() - 1).square().sum()
        return diagonal + self.off_diagonal * correlation.where(~same, 0).square().sum()

    def _standardized(self, view: Tensor) -> Tensor:
        centred = view - view.mean(0)
        if self.standardization == "unbiased":
            return centred / (view.std(0) + 1e-6)
        return centred * torch.rsqrt(view.var(0, correction=0) + 1e-5)
