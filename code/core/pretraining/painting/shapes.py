"""Outlines of painted defects: soft shapes between box and ellipse, and Perlin noise."""

import math

import numpy as np


def soft_shape(
    sides: tuple[float, float], angle: float, generator: np.random.Generator
) -> np.ndarray:
    """Opacity of a turned shape with a ragged edge, 1 inside and 0 at the margin of its box.

    A superellipse: its power, drawn anew each time, makes it an ellipse, a box, or one between.

    Shape: float32 (H, W), as large as the turned shape needs
    Units: sides in pixels, before the turn; angle in radians
    """
    half = np.maximum(np.array(sides), 1.0) / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    reach = [
        math.hypot(cosine * half[0], sine * half[1]),
        math.hypot(sine * half[0], cosine * half[1]),
    ]
    # Corners of a box and the edge's raggedness need more than an ellipse.
    height, width = (2 * math.ceil(1.25 * extent + 1) + 1 for extent in reach)
    y = np.arange(height, dtype=np.float32)[:, None] - height // 2
    x = np.arange(width, dtype=np.float32)[None, :] - width // 2
    power = generator.uniform(1.6, 5.0)
    radius = np.abs((cosine * y + sine * x) / half[0]) ** power
    radius += np.abs((cosine * x - sine * y) / half[1]) ** power
    radius = radius ** (1 / power)
    ragged = generator.uniform(0.0, 0.5) * perlin_noise((height, width), (4, 4), generator)
    softness = generator.uniform(1.0, max(1.5, 0.25 * half.min()))
    inside = (1 - radius + ragged) * half.min() / softness + 0.5
    return np.clip(inside, 0, 1, dtype=np.float32)


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
