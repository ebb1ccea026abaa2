"""Random fields: smooth, banded and grainy noise of about unit variance."""

import cv2
import numpy as np

Size = tuple[int, int]
# Cubic interpolation between grid points loses about this much of the standard deviation.
_CUBIC_DEVIATION = 0.77


def smooth_noise(rng: np.random.Generator, size: Size, cell: tuple[float, float]) -> np.ndarray:
    """Noise float32 of `size` that is smooth over `cell` = (rows, columns) pixels."""
    # A cell of many pixels is as smooth when drawn coarsely and enlarged linearly, and cheaper.
    coarse = tuple(4 if pixels >= 14 else 1 for pixels in cell)
    rows, columns = (-(-extent // step) for extent, step in zip(size, coarse, strict=True))
    cells = [max(pixels / step, 1.0) for pixels, step in zip(cell, coarse, strict=True)]
    grid_rows, grid_columns = int(rows / cells[0]) + 3, int(columns / cells[1]) + 3
    grid = rng.standard_normal((grid_rows, grid_columns), dtype=np.float32)
    grid /= np.float32(_CUBIC_DEVIATION)
    enlarged = (round(grid_columns * cells[1]), round(grid_rows * cells[0]))
    field = cv2.resize(grid, enlarged, interpolation=cv2.INTER_CUBIC)
    top = min(int(cells[0] * rng.uniform(0.5, 1.5)), field.shape[0] - rows)
    left = min(int(cells[1] * rng.uniform(0.5, 1.5)), field.shape[1] - columns)
    field = field[top : top + rows, left : left + columns]
    if coarse == (1, 1):
        return field
    enlarged = (columns * coarse[1], rows * coarse[0])
    return cv2.resize(field, enlarged, interpolation=cv2.INTER_LINEAR)[: size[0], : size[1]]


def bands(rng: np.random.Generator, width: int, cell: float) -> np.ndarray:
    """Noise along the columns only, float32 (width,)."""
    return smooth_noise(rng, (1, width), (1, cell))[0]


def rough_noise(
    rng: np.random.Generator, size: Size, cell: tuple[float, float], octaves: int = 3
) -> np.ndarray:
    """Smooth noise with finer noise upon it, each octave half as large and half as strong."""
    field = smooth_noise(rng, size, cell).copy()
    for octave in range(1, octaves):
        share = 0.5**octave
        field += share * smooth_noise(rng, size, (cell[0] * share, cell[1] * share))
    return field


def blurred(white: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """White noise blurred with these deviations in pixels, scaled back to unit variance."""
    rows, columns = max(rows, 0.3), max(columns, 0.3)
    field = cv2.GaussianBlur(white, (0, 0), sigmaX=columns, sigmaY=rows)
    field /= max(float(cv2.meanStdDev(field)[1][0, 0]), 1e-6)
    return field


def soft_step(field: np.ndarray, threshold: np.ndarray | float, softness: float) -> np.ndarray:
    """0 below the threshold, 1 above it, linear over `softness` between."""
    return np.clip((field - threshold) / softness + 0.5, 0.0, 1.0)
