"""What the losses of embeddings have in common."""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from core.errors import InputError

Temperature = Annotated[
    float, Field(gt=0, le=10, description="similarities are divided by it; lower is sharper")
]


class BaseLoss(nn.Module, ABC):
    """A loss of two embeddings of each image; a subclass without `forward` cannot be made.

    Shape: (batch, dimensions) each; `ids` (batch,), whole numbers -> scalar, float32 or better.
    Images with the same id show the same: they are positives of each other.
    """

    smallest_batch: int = 1
    """Fewest images of which the loss can be taken."""

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor, ids: Tensor | None = None) -> Tensor:
        """The mean over the images, computed in float32 or better."""

    def check_batch(self, embeddings: Tensor) -> None:
        """Raise InputError for a batch that is too small for statistics over it."""
        if len(embeddings) < self.smallest_batch:
            raise InputError(
                f"{type(self).__name__}: a batch of {len(embeddings)}: takes statistics over the "
                f"images of a batch, expected at least {self.smallest_batch}: give a larger "
                "data.batch_size"
            )


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision is too coarse for variances, and for similarities over a temperature."""
    return values if values.itemsize >= 4 else values.float()
