"""The nearest of any number of images, of which only a few are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InputError

_ROWS_PER_BLOCK = 256


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
        names = np.array(images, object)
        own = np.array(
            [
                (row, column)
                for column, image in enumerate(images)
                for row in self._of_file.get(file_key(image), ())
            ],
            int,
        ).reshape(-1, 2)
        for start in range(0, len(self.features), _ROWS_PER_BLOCK):
            rows = slice(start, start + _ROWS_PER_BLOCK)
            found = self.features[rows] @ features.T
            here = own[(own[:, 0] >= start) & (own[:, 0] < start + len(found))]
            found[here[:, 0] - start, here[:, 1]] = -np.inf
            both = np.concatenate([self.similarities[rows], found], axis=1)
            # Stable: of equally similar images the first one stays ahead.
            order = np.argsort(-both, axis=1, kind="stable")[:, : self.most]
            self.similarities[rows] = np.take_along_axis(both, order, axis=1)
            known = np.take_along_axis(self.images[rows], np.minimum(order, self.most - 1), axis=1)
            added = names[np.maximum(order - self.most, 0)]
            self.images[rows] = np.where(order < self.most, known, added)

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
