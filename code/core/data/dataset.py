"""Strips as samples: grey image, multi-hot labels, id, and masks where they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from core.data.annotations import LabelTable
from core.data.image_source import ImageFiles, ImageSource
from core.data.sharing import Share, SharedBatch
from core.errors import InputError

Sample = dict[str, Any]
Batch = dict[str, Any]

Strip = tuple[np.ndarray, np.ndarray | None, np.ndarray]
"""Image uint8 (H, W) or (H, W, 3), masks uint8 (C, H, W) or None where they are not known or not
wanted, and labels float32 (C,)."""


class Transform(Protocol):
    """What a data set is handed to change its images: a function of image, epoch and index.

    One with an attribute `uses_masks` or `needs_masks` that is true is given masks even where
    samples are to have none; the latter is refused where there are none.
    """

    def __call__(
        self,
        image: np.ndarray,
        masks: np.ndarray | None,
        labels: np.ndarray,
        *,
        epoch: int,
        index: int,
    ) -> Strip:
        """Image and masks changed alike, and labels of what the image still shows."""
        ...


class BatchTransform(Protocol):
    """What a data set is handed to mix the images of a batch, after the transform of each.

    `uses_masks` and `needs_masks` are those of a transform.
    """

    def __call__(
        self, strips: Sequence[Strip], *, epoch: int, indices: Sequence[int]
    ) -> Sequence[Strip]:
        """As many strips in the same order; `indices` are those that the transform was told."""
        ...


@dataclass(frozen=True)
class MaskRequest:
    """What samples are to hold of their masks.

    `whole`: `masks` uint8 (C, H, W). `targets`: what `mask_targets.MaskTargets` makes of them, and
    `has_masks`, false for an image whose masks are not known: they are empty then. `known`, bool
    (images of the table,), says whose masks are to be used, by transforms as well.
    """

    whole: bool = False
    targets: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    known: np.ndarray | None = None

    @property
    def is_empty(self) -> bool:
        """Whether samples are to hold nothing of them."""
        return not self.whole and self.targets is None

    def sample(self, masks: np.ndarray | None, shape: tuple[int, ...]) -> Sample:
        """The entries of one sample, from transformed masks, (C, H, W) as `shape` says, or None."""
        has_masks = masks is not None
        if masks is None:
            masks = np.zeros(shape, np.uint8)
        made = {} if self.targets is None else self.targets(masks)
        if self.whole:
            made["masks"] = masks
        tensors = {name: torch.from_numpy(np.ascontiguousarray(made[name])) for name in made}
        return {**tensors, "has_masks": has_masks}


class StripDataset(Dataset):
    """The images of a label table at `indices`.

    A sample is `image` uint8 (channels, H, W), `labels` float32 (C,), `image_id`, and what
    `masks` asks for. The transform is called with the epoch and with the position of the image in
    the whole table, so that what it draws depends on neither split nor worker. For an image that
    a sampler draws once more, that position plus the length of the table is told, and so on: each
    draw is transformed in its own way. `images` is where images come from if not from the
    table's files. With a `share` only that part of each batch is read or, where a batch is mixed,
    kept; what it holds is the same as without.

    An image that was checked and then vanishes or turns bad is an InputError when it is read,
    whatever `data.on_bad_image` says: what results.json lists as skipped would no longer be true.

    Raises:
        InputError: masks are asked of a table that has image-level labels only, or needed by a
            transform.
    """

    def __init__(
        self,
        table: LabelTable,
        indices: Sequence[int] | np.ndarray,
        image_size: tuple[int, int],
        transform: Transform | None = None,
        masks: MaskRequest | None = None,
        channels: int = 1,
        batch_transform: BatchTransform | None = None,
        images: ImageSource | None = None,
        share: Share | None = None,
    ) -> None:
        self.masks = masks or MaskRequest()
        transforms = (transform, batch_transform)
        needed = any(getattr(each, "needs_masks", False) for each in transforms)
        needed |= not self.masks.is_empty
        if needed and table.masks is None:
            raise InputError(
                f"{table.source} has image-level labels only, and masks are needed; expected "
                "train.csv with run-length codes or ann/ with bitmaps in data.root"
            )
        self.table = table
        self.images = images or ImageFiles(table.image_paths, image_size, channels)
        self.indices = np.asarray(indices, np.int64)
        self.image_size = tuple(image_size)
        self.transform = transform
        self.batch_transform = batch_transform
        self.share = share
        used = needed or any(getattr(each, "uses_masks", False) for each in transforms)
        self.reads_masks = used and table.masks is not None
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
        index = int(self.indices[position])
        return self._sample(index, self._strip(index, self.epoch))

    def __getitems__(self, draws: Sequence[int]) -> list[Sample] | Batch | SharedBatch:
        """The samples of one batch, all of the same epoch; draws are those of `EpochSampler`.

        Where images are only copied, the whole batch, put together at once: sample by sample, all
        else that is done takes as long as copying.
        """
        if self.share is None:
            return self._read(draws, slice(None))
        own = self._read(draws, self.share.own(len(draws)))
        rows = self.indices[np.asarray(draws) % len(self)]
        image_ids = [self.table.image_ids[row] for row in rows]
        return SharedBatch(own, image_ids, self.share.sizes(len(draws)))

    def _read(self, draws: Sequence[int], part: slice) -> list[Sample] | Batch:
        """The samples of that part of a batch."""
        epoch, num_images = self.epoch, len(self)
        if self._is_plain:
            return self._plain_batch(self.indices[np.asarray(draws[part]) % num_images])
        indices = [
            int(self.indices[draw % num_images]) + draw // num_images * len(self.table)
            for draw in draws
        ]
        if self.batch_transform is None:
            strips: Sequence[Strip] = [self._strip(index, epoch) for index in indices[part]]
        else:
            # Any image of the batch may be mixed into one of this part.
            whole = [self._strip(index, epoch) for index in indices]
            strips = self.batch_transform(whole, epoch=epoch, indices=indices)[part]
        pairs = zip(indices[part], strips, strict=True)
        return [self._sample(index, strip) for index, strip in pairs]

    @property
    def _is_plain(self) -> bool:
        changed = self.transform is not None or self.batch_transform is not None
        return not changed and self.masks.is_empty

    def _plain_batch(self, rows: np.ndarray) -> Batch:
        table = self.table
        images = self.images.read_batch(rows)
        planes = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(planes)),
            "labels": torch.from_numpy(table.labels[rows].astype(np.float32)),
            "image_id": [table.image_ids[row] for row in rows],
        }

    def _strip(self, index: int, epoch: int) -> Strip:
        """What the transform makes of an image; `index` is that of the draw."""
        table, row = self.table, index % len(self.table)
        # What no transform sees is only copied, into its batch.
        image = self.images.read(row, writable=not self._is_plain)
        known = self.masks.known is None or bool(self.masks.known[row])
        masks = table.masks[row] if self.reads_masks and known else None
        labels = table.labels[row].astype(np.float32)
        if self.transform is None:
            return image, masks, labels
        return self.transform(image, masks, labels, epoch=epoch, index=index)

    def _sample(self, index: int, strip: Strip) -> Sample:
        image, masks, labels = strip
        sample = {
            "image": _channels_first(image),
            "labels": torch.from_numpy(labels),
            "image_id": self.table.image_ids[index % len(self.table)],
        }
        if not self.masks.is_empty:
            sample |= self.masks.sample(masks, (len(labels), *self.image_size))
        return sample


def _channels_first(image: np.ndarray) -> torch.Tensor:
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))
