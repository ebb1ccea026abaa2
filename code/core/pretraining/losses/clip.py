"""CLIP: images and what is said of them find each other."""

import math

import torch
from torch import Tensor, nn

from core.pretraining.losses.base import BaseLoss
from core.pretraining.losses.similarity import positive_mask, similarities

LARGEST_LOG_SCALE = math.log(100)
_FIRST_TEMPERATURE = 0.07


class ClipLoss(BaseLoss):
    """Symmetric cross-entropy over cosines times a learned scale, exp(`log_scale`) <= 100.

    Rows and columns of the same id are all positives, and the target is spread evenly over them.
    The scale starts at 1 / 0.07. Parameters of losses have no weight decay in training.

    Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision"
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(_FIRST_TEMPERATURE)))

    def forward(self, first: Tensor, second: Tensor, ids: Tensor | None = None) -> Tensor:
        if self.training:
            # The value, not the gradient, which would be 0 beyond the limit.
            with torch.no_grad():
                self.log_scale.clamp_(max=LARGEST_LOG_SCALE)
        if ids is None:
            ids = torch.arange(len(first), device=first.device)
        similarity = similarities(first, second)
        logits = similarity * self.log_scale.exp().to(similarity)
        positives = positive_mask(ids, ids).to(logits)
        # Symmetric: it has the same targets by rows and by columns.
        targets = positives / positives.sum(1, keepdim=True)
        by_row, by_column = logits.log_softmax(1), logits.T.log_softmax(1)
        return -(targets * (by_row + by_column)).sum(1).mean() / 2
