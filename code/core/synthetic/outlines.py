"""Outlines as an annotator draws them: few corners, somewhat generous.

Points are (x, y) pairs of the defect's pixels, in coordinates of the image; every function fills
its outline into a mask of 0 and 1.
"""

import cv2
import numpy as np

from core.synthetic.canvas import Canvas, Window


def points_of(window: Window, drawn: np.ndarray) -> np.ndarray:
    """Pixels set in `drawn`, a window of the image, as float32 (points, 2), x before y."""
    y, x = np.nonzero(drawn)
    return np.stack([x + window[1].start, y + window[0].start], axis=1).astype(np.float32)


def four_corners(
    canvas: Canvas, mask: np.ndarray, points: np.ndarray, margin: tuple[float, float]
) -> None:
    """A leaning quadrilateral about the points, `margin` = (rows, columns) outside them."""
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
