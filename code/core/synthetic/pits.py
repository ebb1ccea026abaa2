"""Defect 1: small pits in clusters, chains along the edge, or a single larger lump."""

import numpy as np

from core.synthetic.canvas import Canvas, four_corners, hull, points_of
from core.synthetic.noise import rough_noise, smooth_noise, soft_step


def draw_pits(canvas: Canvas) -> np.ndarray:
    """Draw pits in one of their three forms; their mask uint8 (H, W) of 0 and 1."""
    form = canvas.rng.choice(3, p=[0.65, 0.23, 0.12])
    strength = canvas.strength(0.5, 1.4)
    mask = np.zeros(canvas.size, np.uint8)
    (_scattered, _chain, _lump)[form](canvas, mask, strength)
    return mask


def _scattered(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """Up to a dozen groups of one to four pits, each with its own outline."""
    rng = canvas.rng
    rows, columns = canvas.steel_rows(), canvas.steel_columns()
    spread = min(canvas.px(rng.uniform(100, 700)), columns[1] - columns[0])
    left = rng.uniform(columns[0], max(columns[1] - spread, columns[0] + 1))
    for _ in range(int(np.clip(rng.geometric(0.16), 2, 11))):
        row, column = rng.uniform(*rows), rng.uniform(left, left + spread)
        places = rng.normal(0, canvas.px(6), (int(rng.integers(2, 6)), 2)) * (1.6, 1)
        points = [_pit(canvas, row + dy, column + dx, strength) for dy, dx in places]
        margin = canvas.px(rng.uniform(3, 9), 1.5)
        if rng.random() < 0.7:
            four_corners(canvas, mask, np.concatenate(points), (margin, 0.6 * margin))
        else:
            hull(canvas, mask, np.concatenate(points), margin)


def _chain(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """Pits one below the other, close to an edge of the strip."""
    rng = canvas.rng
    rows, columns = canvas.steel_rows(), canvas.steel_columns()
    inset = min(canvas.px(rng.uniform(15, 110)), (columns[1] - columns[0]) / 2)
    column = columns[0] + inset if columns[0] > 0 else columns[1] - inset
    length = (rows[1] - rows[0]) * rng.uniform(0.2, 1.0)
    top = rng.uniform(rows[0], max(rows[1] - length, rows[0] + 1))
    points, row, lean = [], top, rng.normal(0, 0.01)
    while row < top + length:
        shift = lean * (row - top) + rng.normal(0, canvas.px(2.2))
        points.append(_pit(canvas, row, column + shift, strength * rng.uniform(0.3, 1), 0.6))
        row += canvas.px(rng.exponential(8), 1.5)
    margin = canvas.px(rng.uniform(2, 5), 1.5)
    four_corners(canvas, mask, np.concatenate(points), (margin, margin))


def _lump(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """One larger lump with a rough face, lit from above."""
    rng, strength = canvas.rng, max(strength, 0.6)
    height, width = canvas.px(rng.uniform(30, 70), 7), canvas.px(rng.uniform(25, 55), 6)
    rows, columns = canvas.steel_rows(), canvas.steel_columns()
    inset = min(width / 2, (columns[1] - columns[0]) / 2)
    row = rng.uniform(*rows)
    column = rng.uniform(columns[0] + inset, columns[1] - inset + 1e-3)
    window, y, x = canvas.window(row, column, (1.5 * height, 1.5 * width))
    face = rough_noise(rng, (len(y), x.shape[1]), (canvas.px(13, 2), canvas.px(13, 2)), 4)
    inside = 1 - np.sqrt((2 * y / height) ** 2 + (2 * x / width) ** 2) + 0.12 * face
    shape = soft_step(inside, 0.1, 0.12)
    relief = np.clip(0.9 * (face - np.roll(face, 2, axis=0)) - 0.8 * y / height, -1.5, 2.5)
    canvas.image[window] *= 1 + strength * shape * (0.3 * relief - 0.12)
    hull(canvas, mask, points_of(window, shape > 0.4), canvas.px(4, 1))


def _pit(
    canvas: Canvas, row: float, column: float, strength: float, size: float = 1.0
) -> np.ndarray:
    """A dark ragged hollow with glints at its upper rim and a faint tail below; its points."""
    rng = canvas.rng
    length = canvas.px(size * rng.lognormal(np.log(5.5), 0.45), 1.3)
    width = canvas.px(size * rng.lognormal(np.log(2.8), 0.4), 0.9)
    top, bottom = canvas.steel_rows()
    row = float(np.clip(row, top, bottom - 1))
    first, last = canvas.steel_columns()
    column = float(np.clip(column, first + 2 * width, last - 1 - 2 * width))
    window, y, x = canvas.window(row, column, (8 * length, 7 * width))
    ragged = 0.2 * smooth_noise(rng, (len(y), x.shape[1]), (canvas.px(3, 1), canvas.px(2.5, 1)))
    depth = 1 - np.sqrt((y / length) ** 2 + (x / width) ** 2) + ragged
    hollow = soft_step(depth, 0.15, 0.8)
    tail = np.exp(-(((y - 2 * length) / (1.5 * length)) ** 2) - (x / width) ** 2)
    canvas.image[window] *= 1 - min(0.55 * strength, 0.75) * hollow - 0.12 * strength * tail
    seen = hollow > 0.5
    for _ in range(int(rng.integers(0, 5))):
        high, wide = canvas.px(rng.uniform(0.6, 1.5), 0.6), canvas.px(rng.uniform(0.8, 3.5), 0.7)
        dy, dx = rng.normal(-0.8 * length, 0.5 * length), rng.normal(0, 0.8 * width)
        glint = np.exp(-(((y - dy) / high) ** 2) - ((x - dx) / wide) ** 2 + 0.5 * ragged)
        canvas.image[window] += strength * rng.uniform(50, 220) * np.minimum(glint, 1.2)
        seen |= glint > 0.4
    return np.concatenate([points_of(window, seen), np.array([[column, row]], np.float32)])
