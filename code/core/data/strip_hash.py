"""Descriptors of strips that stay the same when a strip is copied: a hash and a small relief."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from core.data.fitting_size import median_size
from core.data.images import ImageFormat, read_stored
from core.files.resizing import Resize, Size
from core.files.threads import map_in_threads

# Pixels of a strip of 256x1600 fall on 8x8 of its thumbnail's: finer keeps the camera's noise,
# coarser loses what tells two strips of the same coil apart.
_ROWS = 32
_MOST_COLUMNS = 256
_WINDOW = (9, 9)
# The machine seen beside the steel is the same in many images. In the 40 of 100 real strips that
# show it, it reaches 1 to 9 % of the strip's range of grey.
_DARKEST_STEEL = 0.10
_STEEL_MARGIN = 0.10
# Row frequency 0 is left out: neighbours on a coil share rolling streaks and the border.
_ROW_FREQUENCIES = np.arange(1, 9)
_COLUMN_FREQUENCIES = np.arange(32)
_RELIEF_STEPS = 32.0
BITS_PER_PARITY = 64
# Rows and columns of the thumbnail, of 8 pixels each, by which a copy may be shifted.
LARGEST_SHIFT = 1
# Copies correlate by 0.8 to 1, distinct strips by 0.3 (real) or 0.6 (synthetic) at most. A strip of
# which little is seen beside the machine can be alike by chance, and must agree better.
_LEAST_CORRELATION = 0.6
_CORRELATION_WITHOUT_STEEL = 0.98
_CORRELATION_PER_STEEL = 2.0


@dataclass(frozen=True, eq=False)
class StripDescriptors:
    """By which near-duplicates are found, a row for each strip.

    Shape: hashes uint64 (N, 4), one word per parity of the row and the column frequency: even
    even, even odd, odd even, odd odd; reliefs int8 (N, rows, columns), zero where a strip is
    flat; steel float32 (N,), the share of a strip that is not dark background.
    """

    hashes: np.ndarray
    reliefs: np.ndarray
    steel: np.ndarray

    @classmethod
    def of(cls, described: Iterable[tuple[np.ndarray, float]]) -> "StripDescriptors":
        """Descriptors from the results of `strip_relief`."""
        reliefs, steel = zip(*described, strict=True)
        hashes = np.stack([relief_hash(relief) for relief in reliefs])
        return cls(hashes, np.stack(reliefs), np.array(steel, np.float32))

    def __len__(self) -> int:
        return len(self.hashes)


def strip_descriptors(paths: Sequence[Path], image_format: ImageFormat) -> StripDescriptors:
    """Read and describe each strip, as it is stored: what a resize makes of it does not matter.

    Raises InputError for an image that cannot be used.
    """
    thumbnail = thumbnail_size(paths, image_format)
    read = partial(_describe_file, image_format=image_format._replace(channels=1), size=thumbnail)
    return StripDescriptors.of(map_in_threads(read, paths, bar="hashing strips"))


def thumbnail_size(paths: Sequence[Path], image_format: ImageFormat) -> Size:
    """Height and width of the reliefs of a data set, with the proportions of most of its images."""
    height, width = image_format.size
    if isinstance(image_format.image_size, Resize):
        height, width = median_size(paths) or (height, width)
    columns = round(_ROWS * width / height)
    return _ROWS, min(max(columns, len(_COLUMN_FREQUENCIES)), _MOST_COLUMNS)


def strip_relief(image: np.ndarray, size: Size) -> tuple[np.ndarray, float]:
    """Small relief of the steel in a strip, even in brightness and contrast, and steel's share.

    Grey minus its local mean, weighted by how surely it is steel, minus the mean of each column,
    over local contrast, to which the contrast of the whole strip is added so as not to amplify
    noise.

    Shape: image uint8 (H, W); relief int8 `size`.
    """
    grey = Resize(size).image(image).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
    darkest, brightest = float(grey.min()), float(np.percentile(grey, 99))
    if brightest - darkest < 1:
        return np.zeros(size, np.int8), 0.0
    brightness = (grey - darkest) / (brightest - darkest)
    weight = np.clip((brightness - _DARKEST_STEEL) / _STEEL_MARGIN, 0, 1)
    detail = (grey - _local_mean(grey)) * weight
    detail -= detail.mean(axis=0)
    variance = np.maximum(_local_mean(detail * detail), 0)
    contrast = np.sqrt(variance) + np.sqrt(variance.mean()) + 1e-3
    relief = np.rint(np.clip(detail / contrast * _RELIEF_STEPS, -127, 127)).astype(np.int8)
    return relief, float(weight.mean())


def relief_hash(relief: np.ndarray) -> np.ndarray:
    """Signs of 256 low cosine frequencies of a relief, uint64 (4,), one word per parity.

    Mirroring a relief inverts the signs of its odd frequencies and keeps all others, so that one
    hash serves for the four ways in which a strip can lie.

    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions.
    """
    down = _cosines(relief.shape[0], _ROW_FREQUENCIES)
    across = _cosines(relief.shape[1], _COLUMN_FREQUENCIES)
    positive = down @ relief.astype(np.float32) @ across.T > 0
    words = [
        np.packbits(
            positive[row == _ROW_FREQUENCIES % 2][:, column == _COLUMN_FREQUENCIES % 2]
        ).view(np.uint64)[0]
        for row in (0, 1)
        for column in (0, 1)
    ]
    return np.array(words, np.uint64)


def least_correlation(steel: np.ndarray | float) -> np.ndarray:
    """How well the reliefs of two strips must agree, of which the one with less shows so much."""
    return np.maximum(
        _LEAST_CORRELATION, _CORRELATION_WITHOUT_STEEL - _CORRELATION_PER_STEEL * steel
    )


def _describe_file(path: Path, image_format: ImageFormat, size: Size) -> tuple[np.ndarray, float]:
    return strip_relief(read_stored(path, *image_format), size)


def _local_mean(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, _WINDOW, borderType=cv2.BORDER_REFLECT)


def _cosines(length: int, frequencies: np.ndarray) -> np.ndarray:
    positions = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * np.outer(frequencies, positions)).astype(np.float32)
