"""MoCo."""

import copy
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from core.errors import InputError
from core.pretraining.losses.base import Temperature
from core.pretraining.losses.info_nce import InfoNCELoss, QueueSize
from core.pretraining.methods.base import Encode, Method
from core.pretraining.methods.projector import EmbeddingSize, HiddenSize, projector
from core.pretraining.methods.registry import get_registry

Momentum = Annotated[
    float, Field(ge=0, lt=1, description="share that the key encoder keeps of itself at each batch")
]


@get_registry().register("moco", tags=["contrastive"])
class MoCo(Method):
    """Each query finds its key among those of earlier batches (InfoNCE), keys by a slower encoder.

    The key encoder is a moving average of the encoder, its batch normalisation included: it
    normalises keys by the averages, so that nothing leaks from a query to its key through the
    statistics of a batch. The projector has no batch normalisation.

    Sources: He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning";
    Chen et al. 2020, "Improved Baselines with Momentum Contrastive Learning"; the averaged
    statistics: Cai et al. 2021, "Exponential Moving Average Normalization for Self-supervised and
    Semi-supervised Learning"
    """

    def __init__(
        self,
        temperature: Temperature = 0.2,
        queue_size: QueueSize = 1024,
        momentum: Momentum = 0.99,
        hidden_size: HiddenSize = 512,
        embedding_size: EmbeddingSize = 128,
    ) -> None:
        super().__init__()
        self.loss = InfoNCELoss(embedding_size, queue_size, temperature)
        self.queue_size, self.momentum = queue_size, momentum
        self.sizes = (hidden_size, embedding_size)

    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        self.projector = projector(num_features, *self.sizes, batch_norm=False)
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "MoCo":
        """Training mode, but for what makes keys."""
        super().train(mode)
        for part in ("key_encoder", "key_projector"):
            if hasattr(self, part):
                getattr(self, part).eval()
        return self

    def check_batch_size(self, batch_size: int) -> None:
        super().check_batch_size(batch_size)
        if self.queue_size % batch_size:
            raise InputError(
                f"method.queue_size={self.queue_size}: is no multiple of data.batch_size="
                f"{batch_size}: give {max(1, self.queue_size // batch_size) * batch_size}, so that "
                "whole batches leave the queue"
            )

    @torch.no_grad()
    def follow(self, encoder: nn.Module) -> None:
        pairs = ((self.key_encoder, encoder), (self.key_projector, self.projector))
        for slow, fast in pairs:
            own, other = slow.state_dict(), fast.state_dict()
            for name, value in own.items():
                if value.is_floating_point():
                    value.lerp_(other[name], 1 - self.momentum)
                else:
                    value.copy_(other[name])

    def encode(self, encode: Encode, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            keys = self.key_encoder(second)
        return encode(first), keys

    def embed(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            keys = self.key_projector(second)
        return self.projector(first), keys
