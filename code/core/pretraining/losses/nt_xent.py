"""NT-Xent, the loss of SimCLR: each view finds the other view of its image in the batch."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from core.pretraining.losses.base import BaseLoss, Temperature
from core.pretraining.losses.similarity import (
    cross_entropy_of_positives,
    hardest_negatives,
    positive_mask,
    similarities,
)

Percentile = Annotated[
    float,
    Field(
        ge=0, le=100, description="leave out negatives less similar than this percentile; 0: none"
    ),
]


class NTXentLoss(BaseLoss):
    """Cross-entropy over the cosines of each of 2N views with the others, over `temperature`.

    Parallel embeddings give log(2N - 1) at every temperature, and a batch of one gives 0. With
    `ids`, all views of one id are positives of each other.

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations"
    """

    def __init__(self, temperature: Temperature = 0.5, hard_percentile: Percentile = 0.0) -> None:
        super().__init__()
        self.temperature, self.hard_percentile = temperature, hard_percentile

    def forward(self, first: Tensor, second: Tensor, ids: Tensor | None = None) -> Tensor:
        if ids is None:
            ids = torch.arange(len(first), device=first.device)
        views, ids = torch.cat([first, second]), torch.cat([ids, ids])
        similarity = similarities(views, views)
        others = ~torch.eye(len(views), dtype=torch.bool, device=views.device)
        same = positive_mask(ids, ids)
        negatives = hardest_negatives(similarity, ~same, self.hard_percentile)
        positives = same & others
        logits = similarity / self.temperature
        return cross_entropy_of_positives(logits, positives, positives | negatives)
