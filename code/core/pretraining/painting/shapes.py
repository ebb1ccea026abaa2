"""Outlines of painted defects: soft shapes between box and ellipse, and Perlin noise."""

import math

import numpy as np


def soft_shape(
    sides: tuple[float, float], angle: float, generator: np.random.Generator
) -> np.ndarray:
    """Opacity of a turned shape with a ragged edge, 1 inside and 0 at the margin of its box.

    Its norm is a mean of those of an ellipse and a box, whose share is drawn anew each time.

    Shape: float32 (H, W), as large as the turned shape needs
    Units: sides in pixels, before the turn; angle in radians
    """
    along, across = (max(side, 1.0) / 2 for side in sides)
    cosine, sine = math.cos(angle), math.sin(angle)
    reach = (
        math.hypot(cosine * along, sine * across),
        math.hypot(sine * along, cosine * across),
    )
    # Corners of a box and the edge's raggedness need more than an ellipse.
    height, width = (2 * math.ceil(1.35 * extent + 1) + 1 for extent in reach)
    y = np.arange(height, dtype=np.float32)[:, None] - height // 2
    x = np.arange(width, dtype=np.float32)[None, :] - width // 2
    u = np.abs((cosine / along) * y + (sine / along) * x)
    v = np.abs((cosine / across) * x - (sine / across) * y)
    box = generator.uniform(0.0, 0.8)
    radius = (1 - box) * np.hypot(u, v) + box * np.maximum(u, v)
    radius -= generator.uniform(0.0, 0.5) * perlin_noise((height, width), (4, 4), generator)
    thinnest = min(along, across)
    softness = generator.uniform(1.0, max(1.5, 0.25 * thinnest))
    return np.clip((1 - radius) * (thinnest / softness) + 0.5, 0, 1)


def perlin_noise(
    size: tuple[int, int], cells: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Smooth noise of mean 0, mostly within -0.7..0.7, from gradients on a grid of `cells`.

    Shape: float32 `size`
    Source: Perlin 1985, "An Image Synthesizer"; with the fade of Perlin 2002, "Improving Noise"
    """
    rows, columns = cells
    angle = generator.uniform(0, 2 * math.pi, (rows + 1, columns + 1)).astype(np.float32)
    weights_y, distance_y = _grid_weights(size[0], rows)
    weights_x, distance_x = _grid_weights(size[1], columns)
    # The sum over the grid's points, of which four have weight, is separable into rows and columns.
    along_y = (weights_y * distance_y) @ np.sin(angle) @ weights_x.T
    return along_y + weights_y @ np.cos(angle) @ (weights_x * distance_x).T


def _grid_weights(length: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel, the weights of the points of a grid and the distances from them, in cells."""
    pixels = (np.arange(length, dtype=np.float32) + 0.5) * np.float32(cells / length)
    distance = pixels[:, None] - np.arange(cells + 1, dtype=np.float32)
    near = np.maximum(1 - np.abs(distance), 0)
    return near**3 * (near * (near * 6 - 15) + 10), distance
