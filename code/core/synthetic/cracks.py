"""Defect 2: fine cracks, nearly along the rolling direction, mostly close to an edge."""

import numpy as np

from core.synthetic.canvas import Canvas, Window, four_corners, points_of
from core.synthetic.noise import bands


def draw_cracks(canvas: Canvas) -> np.ndarray:
    """Draw one or two cracks; their mask uint8 (H, W) of 0 and 1."""
    mask = np.zeros(canvas.size, np.uint8)
    for _ in range(2 if canvas.rng.random() < 0.3 else 1):
        _crack(canvas, mask)
    return mask


def _crack(canvas: Canvas, mask: np.ndarray) -> None:
    rng = canvas.rng
    rows = canvas.steel_rows()
    length = (rows[1] - rows[0]) * rng.uniform(0.3, 1.0)
    row = rng.uniform(rows[0] + length / 2, rows[1] - length / 2 + 1e-3)
    column = _near_an_edge(canvas)
    window, y, x = canvas.window(row, column, (length, canvas.px(50, 12)))
    # Leaning a little, wandering a little.
    wander = canvas.px(rng.uniform(0.3, 1.8)) * bands(rng, len(y), canvas.px(80))
    jitter = canvas.px(rng.uniform(0.1, 0.4)) * bands(rng, len(y), canvas.px(7))
    path = rng.normal(0, 0.025) * y + (wander + jitter)[:, None]
    # Fades towards its ends and is broken in places.
    visible = 1.4 - 1.6 * np.abs(2 * y / length) ** 6
    visible += 0.35 * bands(rng, len(y), canvas.px(14, 2))[:, None]
    visible = np.clip(visible, 0.1, 1)
    width = canvas.px(rng.uniform(0.7, 1.7), 0.7) * (1 + 0.15 * bands(rng, len(y), canvas.px(9, 2)))
    width = np.clip(width, canvas.px(0.5, 0.5), None)[:, None]
    line = visible * np.exp(-(((x - path) / width) ** 2))
    canvas.image[window] *= 1 - canvas.strength(0.25, 0.72) * line
    if rng.random() < 0.35:
        lip = np.clip(bands(rng, len(y), canvas.px(20, 2)), 0, 1)[:, None] * visible
        lip = lip * np.exp(-(((x - path - 2 * width) / width) ** 2))
        canvas.image[window] *= 1 + rng.uniform(0.1, 0.4) * lip
    if rng.random() < 0.3:
        _branch(canvas, window, path)
    margin = canvas.px(rng.uniform(3, 7), 1.5)
    four_corners(canvas, mask, points_of(window, line > 0.3), (margin, margin))


def _near_an_edge(canvas: Canvas) -> float:
    """A column close to the strip's visible edge, or to one side where none is in view."""
    rng = canvas.rng
    first, last = canvas.steel_columns()
    inset = min(canvas.px(rng.uniform(25, 125)), (last - first) / 2)
    if first > 0 or (last == canvas.size[1] and rng.random() < 0.5):
        return first + inset
    return last - inset


def _branch(canvas: Canvas, window: Window, path: np.ndarray) -> None:
    """A second, shorter and fainter line beside the first."""
    rng = canvas.rng
    first = int(rng.uniform(0, 0.6) * len(path))
    last = first + max(int(rng.uniform(0.15, 0.4) * len(path)), 2)
    offset = rng.choice([-1.0, 1.0]) * canvas.px(rng.uniform(2.5, 6), 1)
    columns = np.arange(window[1].start, window[1].stop) - (window[1].start + window[1].stop) / 2
    near = np.exp(-(((columns[None, :] - path[first:last] - offset) / canvas.px(1, 0.7)) ** 2))
    canvas.image[window][first:last] *= 1 - rng.uniform(0.15, 0.4) * near.astype(np.float32)
