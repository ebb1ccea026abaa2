"""InfoNCE with a queue of keys, the loss of MoCo."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from core.pretraining.losses.base import BaseLoss, Temperature, at_least_float32
from core.pretraining.losses.similarity import positive_mask

QueueSize = Annotated[
    int, Field(ge=1, le=1 << 20, description="keys of earlier batches, a multiple of the batch")
]

_NO_ID = -1


class KeyQueue(nn.Module):
    """The keys of the last batches, first in, first out; part of checkpoints.

    A batch that does not fit before the end continues at the beginning. Places that were never
    written have no id and count for nothing.
    """

    def __init__(self, num_keys: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(num_keys, dimensions))
        self.register_buffer("ids", torch.full((num_keys,), _NO_ID))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, keys: Tensor, ids: Tensor) -> None:
        """Overwrite the oldest keys. Of more keys than places, the last ones stay."""
        keys, ids = keys[-len(self.ids) :], ids[-len(self.ids) :]
        places = (self.position + torch.arange(len(ids), device=ids.device)) % len(self.ids)
        self.keys[places] = keys.to(self.keys)
        self.ids[places] = ids
        self.position.copy_((self.position + len(ids)) % len(self.ids))

    @property
    def is_filled(self) -> Tensor:
        """Which places hold a key. Shape: bool (num_keys,)"""
        return self.ids != _NO_ID


class InfoNCELoss(BaseLoss):
    """Cross-entropy of each query's own key among it and the queue, cosines over `temperature`.

    Keys have no gradient. In training mode they enter the queue after the loss was taken. Keys of
    the same id as the query's, from an earlier epoch, are left out. The first batch, whose queue is
    empty, has a loss of 0.

    Shape: queries (batch, dimensions), keys (batch, dimensions), ids (batch,) from 0 -> scalar
    Source: He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning"
    """

    def __init__(
        self, dimensions: int, queue_size: QueueSize = 1024, temperature: Temperature = 0.2
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.queue = KeyQueue(queue_size, dimensions)

    def forward(self, first: Tensor, second: Tensor, ids: Tensor | None = None) -> Tensor:
        queries = F.normalize(at_least_float32(first), dim=1)
        keys = F.normalize(at_least_float32(second.detach()), dim=1)
        if ids is None:  # then none is that of an earlier key
            ids = torch.full((len(first),), torch.iinfo(torch.int64).max, device=first.device)
            usable = self.queue.is_filled.expand(len(first), -1)
        else:
            usable = self.queue.is_filled & ~positive_mask(ids, self.queue.ids)
        # A copy, because the queue changes before the backward pass reads it.
        negatives = queries @ self.queue.keys.to(queries, copy=True).T
        negatives = negatives.masked_fill(~usable, -torch.inf)
        own = (queries * keys).sum(1, keepdim=True)
        logits = torch.cat([own, negatives], dim=1) / self.temperature
        loss = -logits.log_softmax(1)[:, 0].mean()
        if self.training:
            self.queue.add(keys, ids)
        return loss
