"""VICReg."""

from torch import nn

from core.pretraining.losses.vicreg import VICRegLoss, Weight
from core.pretraining.methods.base import Method
from core.pretraining.methods.projector import EmbeddingSize, HiddenSize, projector
from core.pretraining.methods.registry import get_registry


@get_registry().register("vicreg", tags=["non_contrastive"])
class VICReg(Method):
    """Views alike, and embeddings kept from collapsing by their variances and covariances.

    Source: Bardes, Ponce and LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning"
    """

    def __init__(
        self,
        invariance: Weight = 25.0,
        variance: Weight = 25.0,
        covariance: Weight = 1.0,
        hidden_size: HiddenSize = 512,
        embedding_size: EmbeddingSize = 512,
    ) -> None:
        super().__init__()
        self.loss = VICRegLoss(invariance, variance, covariance)
        self.sizes = (hidden_size, hidden_size, embedding_size)

    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        self.projector = projector(num_features, *self.sizes)
