"""The strip while it is drawn, and the outlines of its defects as an annotator draws them.

Outlines have few corners and are somewhat generous. Points are (x, y) pairs of the defect's pixels,
in coordinates of the image; every function fills its outline into a mask of 0 and 1.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Window = tuple[slice, slice]

# Heights and widths in this room are given for a strip of 256 rows, as the real ones have.
_REFERENCE_HEIGHT = 256


@dataclass
class Canvas:
    """One strip while it is drawn: grey values float32, steel bool, both (height, width)."""

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

        Shape: slices; rows (rows, 1) and columns (1, columns) float32, counted from the centre.
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


def points_of(window: Window, drawn: np.ndarray) -> np.ndarray:
    """Pixels set in `drawn`, a window of the image, as float32 (points, 2), x before y."""
    y, x = np.nonzero(drawn)
    return np.stack([x + window[1].start, y + window[0].start], axis=1).astype(np.float32)


def four_corners(
    canvas: Canvas, mask: np.ndarray, points: np.ndarray, margin: tuple[float, float]
) -> None:
    """A leaning quadrilateral about the points, `margin` = (rows, columns) outside them.

    Nothing where there are no points: on a small strip a line may lie outside its window.
    """
    if not len(points):
        return
    x, y = points.T
    top, bottom = float(y.min()) - margin[0], float(y.max()) + margin[0]
    lean = 0.0
    if y.std() > 3 * x.std():
        lean = float(np.cov(x, y)[0, 1] / y.var())
    across = x - lean * y
    left, right = float(across.min()) - margin[1], float(across.max()) + margin[1]
    corners = [
        (side + lean * row + canvas.rng.normal(0, 0.3 * margin[1]), row)
        for side, row in ((left, top), (right, top), (right, bottom), (left, bottom))
    ]
    fill(mask, np.array(corners) + canvas.rng.normal(0, 0.25 * margin[0], (4, 1)) * [0, 1])


def hull(canvas: Canvas, mask: np.ndarray, points: np.ndarray, margin: float) -> None:
    """The convex hull of the points, `margin` pixels outside them, with few corners."""
    corners = cv2.convexHull(points)[:, 0]
    offset = corners - corners.mean(axis=0)
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    grown = corners + offset * (margin / np.maximum(distance, 1))
    grown += canvas.rng.normal(0, 0.2 * margin, grown.shape)
    fill(mask, cv2.approxPolyDP(grown.astype(np.float32), 0.5 * margin, True)[:, 0])


def snug(canvas: Canvas, mask: np.ndarray, points: np.ndarray, margin: float) -> None:
    """A line `margin` pixels about the points that follows their shape, corners cut."""
    drawn = np.zeros(canvas.size, np.uint8)
    x, y = points.astype(np.int32).T
    drawn[y, x] = 1
    size = 2 * max(round(margin), 1) + 1
    grown = cv2.dilate(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        fill(mask, cv2.approxPolyDP(contour, 0.4 * margin, True)[:, 0])


def fill(mask: np.ndarray, corners: np.ndarray) -> None:
    """Set the mask inside the polygon, its outline included."""
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
