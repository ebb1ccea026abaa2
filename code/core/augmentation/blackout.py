"""Blackout: defects painted out, so that the model learns that the rest is not the defect."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from core.augmentation.settings import Blackout, Fill
from core.augmentation.strip import Strip, steel_columns, visible_labels

# Columns on either side of a defect whose mean grey the paint must match.
_MARGIN = 16


@dataclass(frozen=True)
class BlackoutTransform:
    """Paints out each class of an image with the same probability, one by one.

    Source: the first place of Kaggle's "Severstal: Steel Defect Detection", 2019.
    """

    settings: Blackout
    stream: ClassVar[int] = 1
    needs_masks: ClassVar[bool] = True

    def __call__(self, strip: Strip, generator: np.random.Generator) -> Strip:
        if strip.masks is None:
            return strip
        return black_out(strip, self.drawn(generator, len(strip.masks)), self.settings.fill)

    def drawn(self, generator: np.random.Generator, num_classes: int) -> np.ndarray:
        """The classes to paint out, bool (C,)."""
        return generator.random(num_classes) < self.settings.probability


def black_out(strip: Strip, chosen: np.ndarray, fill: Fill) -> Strip:
    """Paint out the chosen classes, but not where a class that is kept shows as well.

    Painted pixels leave the masks, and a class without pixels left gets the label 0. A class that
    is labelled but had no pixel stays as it is, since its place is unknown.

    Shape: chosen bool (C,).
    """
    masks = strip.masks
    kept, going = masks[~chosen].max(axis=0, initial=0), masks[chosen].max(axis=0, initial=0)
    painted = going > kept
    if not painted.any():
        return strip
    remaining = masks & np.where(painted, np.uint8(0), np.uint8(255))
    defects = (kept | going).astype(bool)
    if fill == "texture":
        image = _textured(strip.image, painted, defects)
    else:
        image = strip.image.copy()
        image[painted] = _mean_grey(image, defects).round().astype(np.uint8)
    return Strip(image, remaining, visible_labels(strip.labels, masks, remaining))


def _mean_grey(image: np.ndarray, defects: np.ndarray) -> np.ndarray:
    """Mean of the steel without defects, per channel; of the whole image if there is none."""
    first, last = steel_columns(image)
    free = image[:, first:last][~defects[:, first:last]]
    pixels = free if free.size else image.reshape(-1, *image.shape[2:])
    return pixels.mean(axis=0)


def _textured(image: np.ndarray, painted: np.ndarray, defects: np.ndarray) -> np.ndarray:
    """Fill each painted region from the same rows of nearby columns without defects."""
    result = image.copy()
    first, last = steel_columns(image)
    # Searching for regions takes longest, and most of a strip has none.
    columns = np.flatnonzero(painted.any(axis=0))
    offset, stop = columns[0], columns[-1] + 1
    searched = np.ascontiguousarray(painted[:, offset:stop], np.uint8)
    count, regions, boxes, _ = cv2.connectedComponentsWithStats(searched)
    for number in range(1, count):
        left, top, width, height = boxes[number, :4]
        inside = regions[top : top + height, left : left + width] == number
        left += offset
        rows, columns = slice(top, top + height), slice(left, left + width)
        free = ~defects[rows].any(axis=0)
        free[:first] = free[last:] = False
        if free.any():
            patch = _patch(image[rows], free, left, left + width)
        else:
            patch = np.broadcast_to(_mean_grey(image, defects), image[rows, columns].shape)
        result[rows, columns][inside] = patch[inside].round().clip(0, 255).astype(np.uint8)
    return result


def _patch(band: np.ndarray, free: np.ndarray, left: int, right: int) -> np.ndarray:
    """Mirrored texture for columns left to right of a band of rows, as bright as its neighbours.

    Shape: band (rows, W) or (rows, W, 3), free bool (W,); out float (rows, right - left, ...).
    """
    width = right - left
    start, end = _source_run(free, left, right)
    beyond = [(0, 0)] * (band.ndim - 2)
    missing = max(0, width - (end - start))
    if start >= right:
        source, padding = band[:, start : min(end, start + width)], (missing, 0)
    else:
        source, padding = band[:, max(start, end - width) : end], (0, missing)
    mirrored = source[:, ::-1].astype(np.float32)
    patch = np.pad(mirrored, [(0, 0), padding, *beyond], "symmetric")
    columns = np.flatnonzero(free)
    before, after = columns[columns < left][-_MARGIN:], columns[columns >= right][:_MARGIN]
    sides = [band[:, side].mean(axis=(0, 1)) for side in (before, after) if side.size]
    share = np.linspace(0, 1, width).reshape(1, width, *[1] * (band.ndim - 2))
    brightness = sides[0] * (1 - share) + sides[-1] * share
    return patch - patch.mean(axis=(0, 1)) + brightness


def _source_run(free: np.ndarray, left: int, right: int) -> tuple[int, int]:
    """The run of free columns that covers most of left to right; of equals the nearest."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(np.int8), [0]])))
    starts, ends = edges[0::2], edges[1::2]
    covered = np.minimum(ends - starts, right - left)
    distance = np.maximum(starts - right, left - ends)
    best = np.lexsort((distance, -covered))[0]
    return int(starts[best]), int(ends[best])
