"""What a method of learning from two views of each image consists of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from core.data.image_source import ImageSource
from core.errors import InputError
from core.pretraining.views import PairOfViews, Pairs
from core.pretraining.watching import watch

Encode = Callable[[Tensor], Any]


class Method(nn.Module, ABC):
    """A loss of the features that an encoder has of two views, and what stands between them.

    The arguments of its constructor are `method.*`. A subclass keeps its loss of embeddings as
    `loss`, and makes in `attach` what depends on the encoder. Its parameters are trained with the
    encoder's, without weight decay.
    """

    needs_labels: ClassVar[bool] = False
    """Whether it learns from the labels of the images."""
    mask_head: ClassVar[bool] = False
    """Whether it learns by the mask head; the second of a pair is then a mask."""
    told: ClassVar[dict[str, str]] = {"effective_rank": "rank", "retrieval": "retrieval"}
    """The figures of an epoch's line in the log, and their short names."""
    collapse: ClassVar[str] = "The embeddings have collapsed"
    """What `collapsed` means, for the log."""
    left_out: Sequence[str] = ()
    """What the names of tensors begin with that are no part of the finished encoder."""
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

    def pairs(self, views: PairOfViews, images: ImageSource, rows: np.ndarray) -> Pairs:
        """What makes a pair of an image, `epoch` and `index`; `rows` are learned from."""
        return views

    def figures(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        """What is watched of the embeddings of all pairs, with `collapsed`."""
        return watch(first, second)

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
