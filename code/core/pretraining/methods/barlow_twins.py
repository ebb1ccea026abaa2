"""Barlow Twins."""

from torch import nn

from core.pretraining.losses.barlow_twins import BarlowTwinsLoss, OffDiagonal, Standardization
from core.pretraining.methods.base import Method
from core.pretraining.methods.projector import EmbeddingSize, HiddenSize, projector
from core.pretraining.methods.registry import get_registry


@get_registry().register("barlow_twins", tags=["non_contrastive"])
class BarlowTwins(Method):
    """Each dimension agrees between the views, and differs from all other dimensions.

    Source: Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction"
    """

    def __init__(
        self,
        off_diagonal: OffDiagonal = 0.005,
        standardization: Standardization = "batch_norm",
        hidden_size: HiddenSize = 512,
        embedding_size: EmbeddingSize = 512,
    ) -> None:
        super().__init__()
        self.loss = BarlowTwinsLoss(off_diagonal, standardization)
        self.sizes = (hidden_size, hidden_size, embedding_size)

    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        self.projector = projector(num_features, *self.sizes)
