"""Which images of each batch one of several processes reads."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """The part of process number `rank` of `size` in every batch.

    Images that follow each other stay together, so that the parts of all processes, in their
    order, are the batch. A batch of fewer images than processes is shared by none: each of them
    reads all of it.
    """

    rank: int
    size: int

    def sizes(self, num_images: int) -> list[int] | None:
        """How many images of a batch each process has; None where each has all of them."""
        if num_images < self.size:
            return None
        few, more = divmod(num_images, self.size)
        return [few + (rank < more) for rank in range(self.size)]

    def own(self, num_images: int) -> slice:
        """Where in a batch the images of this process stand."""
        sizes = self.sizes(num_images)
        if sizes is None:
            return slice(0, num_images)
        first = sum(sizes[: self.rank])
        return slice(first, first + sizes[self.rank])


@dataclass(frozen=True)
class SharedBatch:
    """What one process read of a batch, the ids of all of its images, and the size of each part."""

    own: Any
    image_ids: list[str]
    sizes: list[int] | None

    def entries(self) -> dict[str, Any]:
        """What a batch holds beside the tensors of its own images; `shares` where it is shared."""
        shares = {} if self.sizes is None else {"shares": self.sizes}
        return {"image_id": self.image_ids, **shares}
