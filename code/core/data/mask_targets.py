"""What a mask loss compares with: masks at the size of the mask logits."""

from collections.abc import Callable

import numpy as np

from core.data.annotations import LabelTable

# Images with defects that the share of defect pixels is measured on.
_MEASURED_IMAGES = 400

DistanceMaps = Callable[[np.ndarray], np.ndarray]


class MaskTargets:
    """Makes the targets of one image, in the loader, after every flip and crop.

    `mask_targets` uint8 (C, H / stride, W / stride): a cell is 1 where any of its pixels is, since
    an average loses defects of one pixel. `distance_maps` float32 of the same shape, where
    `distance_maps_of` is given.
    """

    def __init__(self, stride: int, distance_maps_of: DistanceMaps | None = None) -> None:
        self.stride = stride
        self.distance_maps_of = distance_maps_of

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


def measure_pixel_shares(table: LabelTable, indices: np.ndarray, stride: int) -> np.ndarray:
    """Share of the cells of `max_pooled` masks that show each class, over the images at `indices`.

    Clean images have none; of the others at most `_MEASURED_IMAGES`, evenly spaced, are decoded.
    Shape: float64 (C,)
    """
    defective = indices[table.labels[indices].any(axis=1)]
    if not len(defective) or table.masks is None:
        return np.zeros(len(table.class_names))
    step = max(1, len(defective) // _MEASURED_IMAGES)
    measured = [
        max_pooled(table.masks[int(index)], stride).mean(axis=(1, 2)) for index in defective[::step]
    ]
    return np.mean(measured, axis=0) * len(defective) / len(indices)


def choose_known_masks(num_images: int, share: float, seed: int) -> np.ndarray:
    """Which images have their masks used, where only a share of them is to be.

    Shape: bool (num_images,), exactly round(share * num_images) of them true. With the same seed
    a larger share contains a smaller one.
    """
    known = np.zeros(num_images, bool)
    order = np.random.default_rng(seed).permutation(num_images)
    known[order[: round(share * num_images)]] = True
    return known
