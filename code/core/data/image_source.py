"""Where the images of a table come from: its files, or decoded images kept for all epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.data.images import ImageFormat, read_image


class ImageSource(Protocol):
    """The images of a table by their position in it, uint8 (H, W) or (H, W, 3) each."""

    def read(self, index: int, writable: bool = True) -> np.ndarray:
        """One image; without `writable` it may be a view of a copy that all readers share."""
        ...

    def read_batch(self, indices: np.ndarray) -> np.ndarray:
        """A copy of several images, one after another."""
        ...


@dataclass(frozen=True)
class ImageFiles:
    """Images decoded from their files each time they are read."""

    paths: Sequence[Path]
    image_format: ImageFormat

    def read(self, index: int, writable: bool = True) -> np.ndarray:
        return read_image(self.paths[index], *self.image_format)

    def read_batch(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([self.read(index) for index in indices])


class ImageArray:
    """Decoded images in memory. Shape: images uint8 (N, H, W) or (N, H, W, 3)."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def read(self, index: int, writable: bool = True) -> np.ndarray:
        image = self.images[index]
        return image.copy() if writable else image

    def read_batch(self, indices: np.ndarray) -> np.ndarray:
        return self.images[indices]


class ImageMap(ImageArray):
    """Decoded images in a file that every process maps and none writes to.

    Shape: of all images, uint8 (N, H, W) or (N, H, W, 3).
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self.shape = tuple(shape)

    @cached_property
    def images(self) -> np.ndarray:
        # Copy-on-write, so that a stray write never reaches the file. A plain array over it,
        # since each view of a memmap object costs microseconds.
        return np.asarray(np.memmap(self.path, np.uint8, "c", shape=self.shape))

    def __getstate__(self) -> dict[str, Any]:
        """Without the pixels: a worker that is spawned maps the file itself."""
        return {"path": self.path, "shape": self.shape}
