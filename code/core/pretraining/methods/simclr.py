"""SimCLR."""

from torch import nn

from core.pretraining.losses.base import Temperature
from core.pretraining.losses.nt_xent import NTXentLoss, Percentile
from core.pretraining.methods.base import Method
from core.pretraining.methods.projector import EmbeddingSize, HiddenSize, projector
from core.pretraining.methods.registry import get_registry


@get_registry().register("simclr", tags=["contrastive"])
class SimCLR(Method):
    """Each view finds the other view of its image among all views of the batch (NT-Xent).

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations"
    """

    def __init__(
        self,
        temperature: Temperature = 0.5,
        hard_percentile: Percentile = 0.0,
        hidden_size: HiddenSize = 512,
        embedding_size: EmbeddingSize = 128,
    ) -> None:
        super().__init__()
        self.loss = NTXentLoss(temperature, hard_percentile)
        self.sizes = (hidden_size, embedding_size)

    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        self.projector = projector(num_features, *self.sizes)
