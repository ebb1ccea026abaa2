"""Strips without labels, read as pairs of views; only their paths are kept in memory."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from core.data.image_source import ImageSource
from core.data.sampling import BatchShard
from core.pretraining.views import Pairs

Batch = dict[str, Any]


class PathList(Sequence):
    """Paths in one block of bytes: a list of a million strings would take ten times as much."""

    def __init__(self, paths: Iterable[str]) -> None:
        block, ends = bytearray(), [0]
        for path in paths:
            block += os.fsencode(path)
            ends.append(len(block))
        self._block, self._ends = bytes(block), np.array(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = int(index) % len(self)
        return Path(os.fsdecode(self._block[self._ends[place] : self._ends[place + 1]]))


@dataclass(frozen=True)
class Strips:
    """Images by their position, their names, and their labels (N, C) where they have any."""

    images: ImageSource
    names: Sequence[Any]
    labels: np.ndarray | None = None


class ViewDataset(Dataset):
    """Pairs of the strips at `rows`, by `views`; a batch is read at once.

    It holds `image` and `second_view`, uint8 (batch, channels, H, W), `image_id`, `row` int64
    (batch,) and, where strips have labels, `labels` float32 (batch, C). The second view of a
    painted strip is its mask. With a `shard` only its images of each batch are read, and
    `shard_sizes` says how many each process reads; the other entries are those of the whole batch.
    """

    def __init__(
        self,
        strips: Strips,
        rows: np.ndarray,
        views: Pairs,
        shard: BatchShard | None = None,
    ) -> None:
        self.strips, self.rows, self.views, self.shard = strips, rows, views, shard
        # In shared memory, so that workers that outlive an epoch see it change.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the views, here and in workers."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, draws: Sequence[int]) -> Batch:
        rows = self.rows[np.asarray(draws)]
        own, shared = slice(None), {}
        if self.shard is not None:
            own, sizes = self.shard.images(len(draws)), self.shard.sizes(len(draws))
            shared = {} if sizes is None else {"shard_sizes": sizes}
        pairs = [self.pair(row) for row in rows[own]]
        batch = {
            "image": _stacked([first for first, _ in pairs]),
            "second_view": _stacked([second for _, second in pairs]),
            "image_id": [str(self.strips.names[row]) for row in rows],
            "row": torch.from_numpy(rows.astype(np.int64)),
            **shared,
        }
        if self.strips.labels is not None:
            batch["labels"] = torch.from_numpy(self.strips.labels[rows].astype(np.float32))
        return batch

    def pair(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Both views of a strip, uint8 (H, W) or (H, W, 3)."""
        image = self.strips.images.read(int(row))
        return self.views(image, epoch=int(self._epoch), index=int(row))


def _stacked(views: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 (batch, channels, H, W)"""
    images = np.stack(views)
    planes = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planes))
