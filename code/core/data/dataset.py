"""Strips as samples: grey image, multi-hot labels, id, and masks where they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from core.data.annotations import LabelTable
from core.data.images import read_image
from core.errors import InputError

Sample = dict[str, Any]


class Transform(Protocol):
    """What a data set is handed to change its images: a function of image, epoch and index."""

    def __call__(
        self, image: np.ndarray, masks: np.ndarray | None, *, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Image uint8 (H, W) or (H, W, 3) and masks uint8 (C, H, W) or None, both changed alike."""
        ...


@dataclass(frozen=True)
class MaskRequest:
    """What samples are to hold of their masks.

    `whole`: `masks` uint8 (C, H, W). `targets`: what `mask_targets.MaskTargets` makes of them, and
    `has_masks`, false for an image whose masks `known`, bool (images of the table,), says are not
    to be used: they are empty then.
    """

    whole: bool = False
    targets: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    known: np.ndarray | None = None

    def sample(self, masks: np.ndarray, index: int) -> Sample:
        """The entries of one sample, from the transformed masks of the image at `index`."""
        is_known = self.known is None or bool(self.known[index])
        if not is_known:
            masks = np.zeros_like(masks)
        made = {} if self.targets is None else self.targets(masks)
        if self.whole:
            made["masks"] = masks
        tensors = {name: torch.from_numpy(np.ascontiguousarray(made[name])) for name in made}
        return {**tensors, "has_masks": is_known}


class StripDataset(Dataset):
    """The images of a label table at `indices`.

    A sample is `image` uint8 (channels, H, W), `labels` float32 (C,), `image_id`, and what
    `masks` asks for. The transform is called with the epoch and
    with the position of the image in the whole table, so that what it draws depends on neither
    split nor worker.

    Raises:
        InputError: masks are asked of a table that has image-level labels only.
    """

    def __init__(
        self,
        table: LabelTable,
        indices: Sequence[int] | np.ndarray,
        image_size: tuple[int, int],
        transform: Transform | None = None,
        masks: MaskRequest | None = None,
        channels: int = 1,
    ) -> None:
        if masks is not None and table.masks is None:
            raise InputError(
                f"{table.source} has image-level labels only, and masks are needed; expected "
                "train.csv with run-length codes or ann/ with bitmaps in data.root"
            )
        self.table = table
        self.indices = np.asarray(indices, np.int64)
        self.image_size = tuple(image_size)
        self.transform = transform
        self.masks = masks
        self.channels = channels
        # In shared memory, so that workers that outlive an epoch see it change.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that transforms are told."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch here and in workers; call it between epochs."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Sample:
        return self._sample(position, self.epoch)

    def __getitems__(self, positions: Sequence[int]) -> list[Sample]:
        """The samples of one batch, all of the same epoch."""
        epoch = self.epoch
        return [self._sample(position, epoch) for position in positions]

    def _sample(self, position: int, epoch: int) -> Sample:
        table = self.table
        index = int(self.indices[position])
        image = read_image(table.image_paths[index], self.image_size, self.channels)
        masks = table.masks[index] if self.masks is not None and table.masks is not None else None
        if self.transform is not None:
            image, masks = self.transform(image, masks, epoch=epoch, index=index)
        sample = {
            "image": _channels_first(image),
            "labels": torch.from_numpy(table.labels[index].astype(np.float32)),
            "image_id": table.image_ids[index],
        }
        if self.masks is not None and masks is not None:
            sample |= self.masks.sample(masks, index)
        return sample


def _channels_first(image: np.ndarray) -> torch.Tensor:
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))
