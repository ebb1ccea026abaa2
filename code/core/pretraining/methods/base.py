"""What a method of learning from two views of each image consists of."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.errors import InputError

Encode = Callable[[Tensor], Tensor]


class Method(nn.Module, ABC):
    """A loss of the features that an encoder has of two views, and what stands between them.

    The arguments of its constructor are `method.*`. A subclass keeps its loss of embeddings as
    `loss`, and makes in `attach` what depends on the encoder. Its parameters are trained with the
    encoder's, without weight decay.
    """

    needs_labels: ClassVar[bool] = False
    """Whether it learns from the labels of the images."""
    loss: nn.Module
    projector: nn.Module

    @abstractmethod
    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        """Make the projector for `num_features` features; called once, before training."""

    def check_batch_size(self, batch_size: int) -> None:
        """Raise InputError for a `data.batch_size` that the method cannot learn from."""
        if batch_size < 2:
            raise InputError(
                f"data.batch_size={batch_size}: {self.name} compares the images of a batch: "
                "expected at least 2"
            )

    @property
    def name(self) -> str:
        """The name of the class, for messages."""
        return type(self).__name__

    def follow(self, encoder: nn.Module) -> None:
        """Called before each training batch, with the weights of the last update."""
        return None

    def encode(self, encode: Encode, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The features of both views of a batch, by one pass of the encoder over all of them."""
        one, other = encode(torch.cat([first, second])).chunk(2)
        return one, other

    def embed(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings of the features of both views."""
        one, other = self.projector(torch.cat([first, second])).chunk(2)
        return one, other

    def forward(
        self, first: Tensor, second: Tensor, ids: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The loss of a whole batch, and the embeddings of both views.

        Shape: features (batch, num_features) each; ids (batch,), those of different images differ;
        labels (batch, num_classes) multi-hot
        """
        embeddings = self.embed(first, second)
        return self.loss(*embeddings, ids), embeddings
