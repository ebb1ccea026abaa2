"""Targets of a mask loss: masks at the size of the mask logits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from core.data.label_table import LabelTable

# Images of each class on which its share of the pixels is measured.
_MEASURED_IMAGES = 100


@dataclass(frozen=True)
class MaskTargets:
    """Makes the targets of one image, in the loader, after every flip and crop.

    `mask_targets` uint8 (C, H / stride, W / stride): a cell is 1 if any of its pixels is, since an
    average loses defects of one pixel. `distance_maps` float32 of the same shape, if
    `distance_maps_of` is given.
    """

    stride: int
    distance_maps_of: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, masks: np.ndarray) -> dict[str, np.ndarray]:
        targets = max_pooled(masks, self.stride)
        made = {"mask_targets": targets}
        if self.distance_maps_of is not None:
            made["distance_maps"] = self.distance_maps_of(targets).astype(np.float32)
        return made


def max_pooled(masks: np.ndarray, stride: int) -> np.ndarray:
    """The maximum of each cell of `stride` x `stride` pixels, smaller cells at the far edges.

    Shape: (C, H, W) -> (C, ceil(H / stride), ceil(W / stride))
    """
    short = [-side % stride for side in masks.shape[1:]]
    if any(short):
        masks = np.pad(masks, [(0, 0), *((0, pixels) for pixels in short)])
    # Whole slices at once: twenty times as fast as numpy's own maximum over cells.
    rows = np.maximum.reduce([masks[:, first::stride] for first in range(stride)])
    return np.maximum.reduce([rows[:, :, first::stride] for first in range(stride)])


def max_pooled_batch(masks: Tensor, stride: int) -> Tensor:
    """`max_pooled` for a batch on its device.

    Shape: (batch, C, H, W) -> (batch, C, ceil(H / stride), ceil(W / stride))
    """
    bottom, right = (-side % stride for side in masks.shape[2:])
    cells = (
        F.pad(masks, (0, right, 0, bottom)).unflatten(3, (-1, stride)).unflatten(2, (-1, stride))
    )
    return cells.amax((3, 5))


def measure_pixel_shares(table: LabelTable, indices: np.ndarray, stride: int) -> np.ndarray:
    """Share of the cells of `max_pooled` masks that show each class, over the images at `indices`.

    About `_MEASURED_IMAGES` of the images that show a class, evenly spaced, are decoded.
    Shape: float64 (C,)
    """
    shares = np.zeros(len(table.class_names))
    if table.masks is None or not len(indices):
        return shares
    for column in range(len(shares)):
        showing = indices[table.labels[indices, column] > 0]
        step = max(1, len(showing) // _MEASURED_IMAGES)
        measured = [
            max_pooled(table.masks[int(index)][column : column + 1], stride).mean()
            for index in showing[::step]
        ]
        if measured:
            shares[column] = np.mean(measured) * len(showing) / len(indices)
    return shares
