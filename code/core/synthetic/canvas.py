"""The strip while it is drawn: grey values, where the steel lies, and the random generator."""

from dataclasses import dataclass

import numpy as np

# Heights and widths in this package are given for a strip of 256 rows, as the real ones.
REFERENCE_HEIGHT = 256


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
        height, width = self.image.shape
        return height, width

    @property
    def scale(self) -> float:
        return self.size[0] / REFERENCE_HEIGHT

    def px(self, length: float, least: float = 0.0) -> float:
        """A length of the 256-row strip in pixels of this one, `least` at the least."""
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

    def window(self, row: float, column: float, size: tuple[float, float]) -> tuple[slice, slice]:
        """Slices of the part inside the image of a box of `size` centred at (row, column)."""
        height, width = self.size
        top, left = int(row - size[0] / 2), int(column - size[1] / 2)
        bottom, right = top + max(int(size[0]), 2), left + max(int(size[1]), 2)
        return (
            slice(min(max(top, 0), height - 1), min(max(bottom, 1), height)),
            slice(min(max(left, 0), width - 1), min(max(right, 1), width)),
        )


def coordinates(
    part: tuple[slice, slice], row: float, column: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a window, counted from (row, column).

    Shape: (rows, 1) and (1, columns) float32.
    """
    y = np.arange(part[0].start, part[0].stop, dtype=np.float32)[:, None] - np.float32(row)
    x = np.arange(part[1].start, part[1].stop, dtype=np.float32)[None, :] - np.float32(column)
    return y, x
