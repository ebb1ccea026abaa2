"""CLIP with label sets in the place of texts."""

import torch
from torch import Tensor, nn

from core.pretraining.losses.clip import ClipLoss
from core.pretraining.methods.base import Method
from core.pretraining.methods.projector import EmbeddingSize, HiddenSize, projector
from core.pretraining.methods.registry import get_registry


@get_registry().register("clip", tags=["contrastive", "labels"])
class Clip(Method):
    """Strips and their label sets find each other; strips with the same set are all positives.

    The target of a row is spread evenly over the strips with its label set, because two strips
    share it often. The loss is the mean over both views.

    Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision"
    """

    needs_labels = True

    def __init__(self, hidden_size: HiddenSize = 512, embedding_size: EmbeddingSize = 128) -> None:
        super().__init__()
        self.loss = ClipLoss()
        self.sizes = (hidden_size, embedding_size)

    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        self.projector = projector(num_features, *self.sizes)
        self.label_encoder = projector(num_classes, *self.sizes, batch_norm=False)

    def forward(
        self, first: Tensor, second: Tensor, ids: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        embeddings = self.embed(first, second)
        sets = labels.unique(dim=0, return_inverse=True)[1]
        labels = self.label_encoder(labels.to(first))
        losses = [self.loss(view, labels, sets) for view in embeddings]
        return torch.stack(losses).mean(), embeddings
