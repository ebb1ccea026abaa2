"""A shift along the strip that keeps its black border."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.augmentation.settings import HorizontalShift
from core.augmentation.strip import Strip, steel_columns, visible_labels


@dataclass(frozen=True)
class ShiftTransform:
    """Moves what a strip shows to the left or right by up to some pixels.

    With known masks it goes either way, and the label of a class that has left the image is 0.
    Without them it only goes towards a black border, where nothing but black is lost.
    """

    settings: HorizontalShift
    stream: ClassVar[int] = 2
    needs_masks: ClassVar[bool] = False

    def __call__(self, strip: Strip, generator: np.random.Generator) -> Strip:
        share = self.drawn(generator)
        if share is None:
            return strip
        length = strip.image.shape[1]
        first, last = steel_columns(strip.image)
        leftmost = rightmost = min(self.settings.pixels, (last - first) // 2)
        if strip.masks is None:
            leftmost, rightmost = min(leftmost, first), min(rightmost, length - last)
        distance = round((leftmost + rightmost) * share) - leftmost
        return shift(strip, distance, first, last)

    def drawn(self, generator: np.random.Generator) -> float | None:
        """Where the shift is between its farthest left, 0, and right, 1; None: no shift."""
        chance, share = generator.random(), generator.random()
        return share if chance < self.settings.probability else None


def shift(strip: Strip, distance: int, first: int, last: int) -> Strip:
    """Move a strip, whose steel is in columns first to before last, to the right by `distance`.

    Columns that come in continue what ends there: the black border, or else the steel and its
    masks, mirrored. Units: `distance` in pixels, at most the columns of steel; negative is left.
    """
    if distance == 0:
        return strip
    coming_in = _columns_coming_in(strip.image.shape[1], distance, first, last)
    image = _moved(strip.image, distance, coming_in, axis=1)
    if strip.masks is None:
        return strip._replace(image=image)
    masks = _moved(strip.masks, distance, coming_in, axis=2)
    return Strip(image, masks, visible_labels(strip.labels, strip.masks, masks))


def _columns_coming_in(length: int, distance: int, first: int, last: int) -> np.ndarray:
    """The columns that are shown where none has moved to, int64 (|distance|,).

    Of a border they repeat only the outer half, since next to the steel it is not quite black.
    """
    columns = np.arange(length)
    if distance > 0:
        edge = columns[: -(-first // 2)] if first else columns[:last]
        return np.pad(edge, (distance, 0), "symmetric")[:distance]
    border = length - last
    edge = columns[length - -(-border // 2) :] if border else columns[first:]
    return np.pad(edge, (0, -distance), "symmetric")[len(edge) :]


def _moved(planes: np.ndarray, distance: int, coming_in: np.ndarray, axis: int) -> np.ndarray:
    """`planes` moved along `axis`, with these of its columns in the gap."""
    ends = (None, -distance) if distance > 0 else (-distance, None)
    staying = planes[(slice(None),) * axis + (slice(*ends),)]
    pieces = [np.take(planes, coming_in, axis), staying]
    return np.concatenate(pieces if distance > 0 else pieces[::-1], axis)
