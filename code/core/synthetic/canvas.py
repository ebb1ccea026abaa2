"""The strip while it is drawn: grey values, where the steel lies, and the random generator."""

from dataclasses import dataclass

import numpy as np

Window = tuple[slice, slice]

# Heights and widths in this room are given for a strip of 256 rows, as the real ones have.
_REFERENCE_HEIGHT = 256


@dataclass
class Canvas:
    """One strip while it is drawn.

    Shape: image (height, width) float32 grey values, steel (height, width) bool.
    """

    image: np.ndarray
    steel: np.ndarray
    rng: np.random.Generator

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape

    @property
    def scale(self) -> float:
        return self.size[0] / _REFERENCE_HEIGHT

    def px(self, length: float, least: float = 0.0) -> float:
        """A length of the 256-row strip in pixels of this one, at least `least`."""
        return max(length * self.scale, least)

    def strength(self, faintest: float, strongest: float) -> float:
        """How clearly a defect shows: most show well, some are faint."""
        return faintest + (strongest - faintest) * self.rng.beta(2.5, 1.0)

    def steel_columns(self) -> tuple[int, int]:
        """First and one past the last column that is steel for at least half of its height."""
        columns = np.flatnonzero(self.steel.mean(axis=0) >= 0.5)
        return int(columns[0]), int(columns[-1]) + 1

    def steel_rows(self) -> tuple[int, int]:
        """First and one past the last row that is steel somewhere."""
        rows = np.flatnonzero(self.steel.any(axis=1))
        return int(rows[0]), int(rows[-1]) + 1

    def window(
        self, row: float, column: float, size: tuple[float, float]
    ) -> tuple[Window, np.ndarray, np.ndarray]:
        """The part inside the image of a box of `size` centred at (row, column).

        Shape: slices of the image, and rows (rows, 1) and columns (1, columns) float32, counted
        from (row, column).
        """
        slices, offsets = [], []
        for extent, centre, length in zip(self.size, (row, column), size, strict=True):
            first = int(centre - length / 2)
            last = first + max(int(length), 2)
            inside = slice(min(max(first, 0), extent - 1), min(max(last, 1), extent))
            positions = np.arange(inside.start, inside.stop, dtype=np.float32)
            slices.append(inside)
            offsets.append(positions - np.float32(centre))
        y, x = offsets
        return tuple(slices), y[:, None], x[None, :]
