"""One strip while defects are painted into it, one after the other."""

import math

import numpy as np

from core.pretraining.painting.contrast import noise_level, visible_part
from core.pretraining.painting.kinds import Kind, Place, SizeRange, Strips
from core.pretraining.painting.steel import largest_grey, steel_mask

# For a defect that shows too little, or whose texture was not found.
_TRIES = 4
_SMALLEST_PIXELS = 3.0
# Pixels about a defect whose noise counts as well.
_MARGIN = 8
# Pixels from one place to the next where the search for steel looks.
_GRID = 4
# More would make a drawing of a texture.
_STRONGEST_GAIN = 2.0

Window = tuple[slice, slice]


class Canvas:
    """The image (H, W, C) that is painted in place, where it is steel, and its mask so far."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.mask = np.zeros(image.shape[:2], bool)
        self._steel = steel_mask(image)
        self._places = np.argwhere(self._steel[::_GRID, ::_GRID]) * _GRID
        self._brightest = largest_grey(image)

    def add(
        self,
        kind: Kind,
        strips: Strips,
        size: SizeRange,
        contrast: tuple[float, float],
        generator: np.random.Generator,
    ) -> None:
        """Paint one defect, or none if there is no steel or a few tries gave none that shows.

        Units: size as shares of the shorter side, contrast in units of the steel's noise
        """
        if not len(self._places):
            return
        side = min(self.mask.shape)
        pixels = tuple(max(_SMALLEST_PIXELS, share * side) for share in size)
        for _ in range(_TRIES):
            window, opacity = self._placed(kind.shape(pixels, generator), generator)
            wanted = math.exp(generator.uniform(*np.log(contrast)))
            steel = self.image[window].astype(np.float32)
            # Flat steel has no noise, but a change of less than one grey value of 255 is none.
            noise = max(noise_level(self._surrounding(window)), self._brightest / 255)
            place = Place(steel, opacity, wanted * noise, self._brightest)
            change = kind.change(place, strips, generator)
            if change is not None and self._applied(window, change, noise, wanted, contrast[0]):
                return

    def _applied(
        self, window: Window, change: np.ndarray, noise: float, wanted: float, least: float
    ) -> bool:
        """Paint a change with the contrast wanted; False if it shows less than the least."""
        change = change * self._steel[window][..., None]
        _, contrast = visible_part(change, noise)
        if contrast > 0:
            change *= min(wanted / contrast, _STRONGEST_GAIN)
        old = self.image[window]
        new = np.clip(np.rint(old + change), 0, self._brightest).astype(old.dtype)
        shown, contrast = visible_part(new.astype(np.float32) - old, noise)
        if contrast < least:
            return False
        self.image[window] = np.where(shown[..., None], new, old)
        self.mask[window] |= shown
        return True

    def _placed(
        self, opacity: np.ndarray, generator: np.random.Generator
    ) -> tuple[Window, np.ndarray]:
        """A random window whose centre is steel, and what of the opacity lies in the image."""
        place = self._places[generator.integers(len(self._places))]
        centre = np.minimum(place + generator.integers(0, _GRID, 2), np.array(self.mask.shape) - 1)
        window, part = [], []
        for middle, length, extent in zip(
            centre.tolist(), opacity.shape, self.mask.shape, strict=True
        ):
            first = middle - length // 2
            window.append(slice(max(first, 0), min(first + length, extent)))
            part.append(slice(window[-1].start - first, window[-1].stop - first))
        window = tuple(window)
        return window, opacity[tuple(part)] * self._steel[window]

    def _surrounding(self, window: Window) -> np.ndarray:
        """The window with a margin: the steel about a defect."""
        rows, columns = (
            slice(max(0, part.start - _MARGIN), part.stop + _MARGIN) for part in window
        )
        return self.image[rows, columns].astype(np.float32)
