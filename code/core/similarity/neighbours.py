"""The nearest of any number of images, of which only a few are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InputError


@dataclass(frozen=True)
class Neighbour:
    """An image near to a query, by the cosine similarity of their features."""

    image: str
    similarity: float


class Nearest:
    """The `most` nearest images to each query, of all that were added.

    The file of a query itself is not its neighbour, whatever path leads to it.
    Shape: features (queries, dimensions), of length 1
    """

    def __init__(self, queries: Sequence[str], features: np.ndarray, most: int) -> None:
        self.features, self.most = features, most
        self.similarities = np.full((len(queries), most), -np.inf, np.float32)
        self.images = np.full((len(queries), most), None, object)
        self._of_file: dict[tuple[int, int], list[int]] = {}
        for row, query in enumerate(queries):
            self._of_file.setdefault(file_key(query), []).append(row)

    def add(self, images: Sequence[str], features: np.ndarray) -> None:
        """Take a block of images into account. Shape: features (images, dimensions)"""
        found = self.features @ features.T
        for column, image in enumerate(images):
            found[self._of_file.get(file_key(image), []), column] = -np.inf
        names = np.broadcast_to(np.array(images, object), found.shape)
        both = np.concatenate([self.similarities, found], axis=1)
        named = np.concatenate([self.images, names], axis=1)
        # Stable: of equally similar images the first one stays ahead.
        order = np.argsort(-both, axis=1, kind="stable")[:, : self.most]
        self.similarities = np.take_along_axis(both, order, axis=1)
        self.images = np.take_along_axis(named, order, axis=1)

    def of(self, row: int) -> list[Neighbour]:
        """The nearest images to the query in this row, the nearest first."""
        return [
            Neighbour(str(image), float(similarity))
            for image, similarity in zip(self.images[row], self.similarities[row], strict=True)
            if np.isfinite(similarity)
        ]


def file_key(path: str) -> tuple[int, int]:
    """Equal for two paths of one file. Raises InputError where there is no such file."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return status.st_dev, status.st_ino
