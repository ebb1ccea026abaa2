"""One map from images of any size, and from their masks, to the size that a model takes."""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

ResizeMode = Literal["stretch", "letterbox"]
Size = tuple[int, int]
"""Height and width in pixels."""
MOST_PIXELS = 1 << 26
"""4,096 rows of the widest strip: a size in a file must not ask for more memory than that."""


def check_area(size: Size) -> Size:
    """The size. Raises ValueError for more than `MOST_PIXELS`."""
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"expected at most {MOST_PIXELS:,} pixels")
    return size


@dataclass(frozen=True)
class Resize:
    """To `size`: `stretch` fills it; `letterbox` keeps the proportions, and pads with black."""

    size: Size
    mode: ResizeMode = "stretch"

    def inner_size(self, stored: Size) -> Size:
        """The size of an image of `stored` size within `size`."""
        if self.mode == "stretch":
            return self.size
        scale = min(new / old for new, old in zip(self.size, stored, strict=True))
        return tuple(
            min(new, max(1, round(old * scale))) for new, old in zip(self.size, stored, strict=True)
        )

    def image(self, image: np.ndarray) -> np.ndarray:
        """Averages areas where the image gets smaller, and interpolates where it gets larger.

        Shape: (H, W) or (H, W, channels) -> (*size) or (*size, channels)
        """
        height, width = self.inner_size(image.shape[:2])
        smaller = (min(image.shape[1], width), min(image.shape[0], height))
        if smaller != image.shape[1::-1]:
            image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        if smaller != (width, height):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return self._padded(image)

    def stored_box(self, box: tuple[int, int, int, int], stored: Size) -> tuple[int, int, int, int]:
        """The x, y, width and height in an image of `stored` size of a box in the resized one.

        It holds every pixel that the given box touches; what lies in the padding is cut off.
        """
        spans = []
        for place, length, new, inner, old in zip(
            box[1::-1], box[:1:-1], self.size, self.inner_size(stored), stored, strict=True
        ):
            before, scale = (new - inner) // 2, old / inner
            first = min(max(0, math.floor((place - before) * scale)), old - 1)
            last = min(old, max(first + 1, math.ceil((place + length - before) * scale)))
            spans.append((first, last - first))
        (y, height), (x, width) = spans
        return x, y, width, height

    def masks(self, masks: np.ndarray) -> np.ndarray:
        """The value that is nearest to each pixel; a mask too small for that keeps what it touches.

        Shape: uint8 (C, H, W) -> (C, *size)
        """
        height, width = self.inner_size(masks.shape[1:])
        inner = self._nearest(masks)
        for c in np.flatnonzero(masks.any(axis=(1, 2)) & ~inner.any(axis=(1, 2))):
            row, column = np.nonzero(masks[c])
            inner[c, row * height // masks.shape[1], column * width // masks.shape[2]] = 1
        return np.ascontiguousarray(np.moveaxis(self._padded(np.moveaxis(inner, 0, 2)), 2, 0))

    def keeps(self, masks: np.ndarray) -> np.ndarray:
        """Which masks have one of the pixels that are kept. Shape: uint8 (C, H, W) -> bool (C,)"""
        return self._nearest(masks).any(axis=(1, 2))

    def _nearest(self, masks: np.ndarray) -> np.ndarray:
        height, width = self.inner_size(masks.shape[1:])
        rows, columns = (
            # The pixel in which the centre of the new one lies.
            (2 * np.arange(new) + 1) * old // (2 * new)
            for new, old in ((height, masks.shape[1]), (width, masks.shape[2]))
        )
        return masks[:, rows[:, None], columns]

    def _padded(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == self.size:
            return image
        top, left = ((new - old) // 2 for new, old in zip(self.size, image.shape[:2], strict=True))
        whole = np.zeros((*self.size, *image.shape[2:]), image.dtype)
        whole[top : top + image.shape[0], left : left + image.shape[1]] = image
        return whole


def size_rule(size: Size, mode: ResizeMode | None) -> Size | Resize:
    """What images of a model must be: of its size or, with a mode, of any size and resized."""
    return tuple(size) if mode is None else Resize(tuple(size), mode)
