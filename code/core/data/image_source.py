"""Where the images of a table come from: its files, or decoded images kept for all epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from core.data.images import read_image


class ImageSource(Protocol):
    """The images of a table by their position in it."""

    def read(self, index: int, writable: bool = True) -> np.ndarray:
        """Image uint8 (H, W) or (H, W, 3).

        Without `writable` it may be a view of what all others read too, to be copied from only.
        """
        ...

    def read_batch(self, indices: np.ndarray) -> np.ndarray:
        """Images uint8 (len(indices), H, W) or (len(indices), H, W, 3), the reader's own."""
        ...


class ImageFiles:
    """Images decoded from their files each time they are read."""

    def __init__(self, paths: Sequence[Path], image_size: tuple[int, int], channels: int) -> None:
        self.paths = paths
        self.image_size = tuple(image_size)
        self.channels = channels

    def read(self, index: int, writable: bool = True) -> np.ndarray:
        return read_image(self.paths[index], self.image_size, self.channels)

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


class ImageMap:
    """Decoded images in a file that every process maps and none writes to.

    Shape: of all images, uint8 (N, H, W) or (N, H, W, 3).
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self.shape = tuple(shape)
        self._array: ImageArray | None = None

    def read(self, index: int, writable: bool = True) -> np.ndarray:
        return self._mapped().read(index, writable)

    def read_batch(self, indices: np.ndarray) -> np.ndarray:
        return self._mapped().read_batch(indices)

    def _mapped(self) -> ImageArray:
        if self._array is None:
            # Copy-on-write: what a view's owner may write by mistake never reaches the file.
            # A plain array over it, since each view of a memmap object costs microseconds.
            self._array = ImageArray(
                np.asarray(np.memmap(self.path, np.uint8, "c", shape=self.shape))
            )
        return self._array

    def __getstate__(self) -> dict[str, object]:
        """A worker that is spawned maps the file itself; its pixels are not sent along."""
        return {**self.__dict__, "_array": None}
