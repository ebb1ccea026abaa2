"""A shift along the strip that knows of its black border."""

from typing import Any

import numpy as np

from core.augmentation.borders import steel_columns
from core.augmentation.settings import HorizontalShift
from core.augmentation.strip import Strip, visible_labels


class ShiftTransform:
    """Moves what a strip shows to the left or right by up to some pixels.

    With known masks it goes either way, and the label of a class that has left the image is 0.
    Without them it only goes towards a black border, where nothing but black is lost.
    """

    stream = 2
    needs_masks = False
    uses_masks = True

    def __init__(self, settings: HorizontalShift) -> None:
        self.settings = settings

    def __call__(self, strip: Strip, generator: np.random.Generator) -> Strip:
        chance, share = generator.random(), generator.random()
        if chance >= self.settings.probability:
            return strip
        length = strip.image.shape[1]
        first, last = steel_columns(strip.image)
        leftmost = rightmost = min(self.settings.pixels, (last - first) // 2)
        if strip.masks is None:
            leftmost, rightmost = min(leftmost, first), min(rightmost, length - last)
        distance = round((leftmost + rightmost) * share) - leftmost
        return shift(strip, distance, first, last)

    def record(self) -> dict[str, Any]:
        """What runs, in JSON's types."""
        return {"__class_fullname__": "HorizontalShift", **self.settings.model_dump()}


def shift(strip: Strip, distance: int, first: int, last: int) -> Strip:
    """Move a strip, whose steel is in columns first to before last, to the right by `distance`.

    Columns that come in from outside continue what ends there: more of the black border where
    there is one, else the steel and its masks, mirrored.

    Units: `distance` in pixels, negative to the left; at most the columns of steel.
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

    Of a border its outer half alone: next to the steel it is not quite black.
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
    parts = [np.take(planes, coming_in, axis), staying]
    return np.concatenate(parts if distance > 0 else parts[::-1], axis)
