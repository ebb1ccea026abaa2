"""Strips as samples: image, multi-hot labels, id, and masks where they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate, default_convert

from core.data.image_source import ImageFiles, ImageSource
from core.data.images import ImageFormat
from core.data.label_table import LabelTable
from core.data.sampling import BatchShard
from core.errors import InputError

Sample = Batch = dict[str, Any]

Strip = tuple[np.ndarray, np.ndarray | None, np.ndarray]
"""Image uint8 (H, W) or (H, W, 3), masks uint8 (C, H, W) or None where they are not known or not
wanted, and labels float32 (C,)."""


class Transform(Protocol):
    """Changes image and masks alike, as a function of image, epoch and index.

    It returns labels of what the image still shows. With a true attribute `uses_masks` or
    `needs_masks` it is given masks even where samples hold none; `needs_masks` requires a table
    that has them. If it leaves a part to the device, it returns that as well, in arrays and
    numbers; the sample holds it as `draw`.
    """

    def __call__(
        self,
        image: np.ndarray,
        masks: np.ndarray | None,
        labels: np.ndarray,
        *,
        epoch: int,
        index: int,
    ) -> Strip | tuple[*Strip, Any]: ...


class BatchTransform(Protocol):
    """Mixes the images of a batch after their transform, and keeps their number and order.

    `indices` are those that the transform was given; `uses_masks` and `needs_masks` are as there.
    """

    def __call__(
        self, strips: Sequence[Strip], *, epoch: int, indices: Sequence[int]
    ) -> Sequence[Strip]: ...


@dataclass(frozen=True)
class MaskRequest:
    """What samples hold of their masks.

    `whole`: `masks` uint8 (C, H, W). `targets`: what `mask_targets.MaskTargets` makes of them, and
    `has_masks`, false for an image whose masks are not known: they are empty then. `known`, bool
    (images of the table,), says whose masks may be used, by transforms as well.
    """

    whole: bool = False
    targets: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    known: np.ndarray | None = None

    @property
    def is_empty(self) -> bool:
        """Whether samples hold nothing of their masks."""
        return not self.whole and self.targets is None

    def entries(self, masks: np.ndarray | None, shape: tuple[int, int, int]) -> Sample:
        """The entries of one sample, from its transformed masks (C, H, W), the `shape`, or None."""
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
    `masks` asks for. The transform is given the epoch and the position of the image in the whole
    table, so that its random numbers depend on neither split nor worker; each further draw of an
    image adds the length of the table to that position. `images` is where images come from if not
    from the table's files. With a `shard` only its images of each batch are read or, where a batch
    is mixed, kept; they are the same as without.

    An image that vanishes or is damaged after it was checked raises an InputError when it is read,
    even with `data.on_bad_image=skip`: the list of skipped images in results.json must stay true.

    Raises:
        InputError: masks are asked for, or a transform needs them, and the table has image-level
            labels only.
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
        shard: BatchShard | None = None,
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
        used = needed or any(getattr(each, "uses_masks", False) for each in transforms)
        self.reads_masks = used and table.masks is not None
        self.table = table
        self.images = images or ImageFiles(table.image_paths, ImageFormat(image_size, channels))
        self.indices = np.asarray(indices, np.int64)
        self.image_size = tuple(image_size)
        self.transform = transform
        self.batch_transform = batch_transform
        self.shard = shard
        # In shared memory, so that workers that outlive an epoch see it change.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the transforms, here and in workers; call it between epochs."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.indices)

    def true_masks(self, position: int) -> np.ndarray | None:
        """The masks of an image, also where samples hold none. Shape: uint8 (C, H, W)."""
        row = int(self.indices[position]) % len(self.table)
        known = self.masks.known is None or self.masks.known[row]
        return self.table.masks[row] if self.table.masks is not None and known else None

    def __getitem__(self, position: int) -> Sample:
        index = int(self.indices[position])
        return self._sample(index, self._strip(index, int(self._epoch)))

    def __getitems__(self, draws: Sequence[int]) -> Batch:
        """One batch, all of the same epoch; draws are those of `EpochSampler`.

        With a shard it holds the ids of the whole batch and, where the batch is divided,
        `shard_sizes`, how many images each process reads.
        """
        if self.shard is None:
            return self._read(draws, slice(None))
        batch = self._read(draws, self.shard.images(len(draws)))
        rows = self.indices[np.asarray(draws) % len(self)]
        batch["image_id"] = [self.table.image_ids[row] for row in rows]
        sizes = self.shard.sizes(len(draws))
        return batch if sizes is None else {**batch, "shard_sizes": sizes}

    def _read(self, draws: Sequence[int], kept: slice) -> Batch:
        epoch, num_images = int(self._epoch), len(self)
        if self._is_plain:
            return self._plain_batch(self.indices[np.asarray(draws[kept]) % num_images])
        indices = [
            int(self.indices[draw % num_images]) + draw // num_images * len(self.table)
            for draw in draws
        ]
        if self.batch_transform is None:
            strips: Sequence[Strip] = [self._strip(index, epoch) for index in indices[kept]]
        else:
            # Any image of the batch may be mixed into one that is kept.
            whole = [self._strip(index, epoch) for index in indices]
            strips = self.batch_transform(whole, epoch=epoch, indices=indices)[kept]
        return default_collate(list(map(self._sample, indices[kept], strips)))

    @property
    def _is_plain(self) -> bool:
        changed = self.transform is not None or self.batch_transform is not None
        return not changed and self.masks.is_empty

    def _plain_batch(self, rows: np.ndarray) -> Batch:
        """Images that are only copied: all at once takes half the time of one by one."""
        images = self.images.read_batch(rows)
        planes = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(planes)),
            "labels": torch.from_numpy(self.table.labels[rows].astype(np.float32)),
            "image_id": [self.table.image_ids[row] for row in rows],
        }

    def _strip(self, index: int, epoch: int) -> Strip:
        """An image after the transform; `index` is that of the draw."""
        table, row = self.table, index % len(self.table)
        # An image that no transform sees is only copied, into its batch.
        image = self.images.read(row, writable=not self._is_plain)
        known = self.masks.known is None or bool(self.masks.known[row])
        masks = table.masks[row] if self.reads_masks and known else None
        labels = table.labels[row].astype(np.float32)
        if self.transform is None:
            return image, masks, labels
        return self.transform(image, masks, labels, epoch=epoch, index=index)

    def _sample(self, index: int, strip: Strip) -> Sample:
        image, masks, labels, *draws = strip
        planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        sample = {
            "image": torch.from_numpy(np.ascontiguousarray(planes)),
            "labels": torch.from_numpy(labels),
            "image_id": self.table.image_ids[index % len(self.table)],
        }
        if not self.masks.is_empty:
            sample |= self.masks.entries(masks, (len(labels), *self.image_size))
        if draws:
            sample["draw"] = default_convert(draws[0])
        return sample
