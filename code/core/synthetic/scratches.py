"""Defect 3: long scratches, scuffs, clusters of bright flecks, gouges."""

from collections.abc import Callable

import numpy as np

from core.synthetic.canvas import Canvas, Window, four_corners, hull, points_of, snug
from core.synthetic.noise import bands, blurred, rough_noise, smooth_noise, soft_step

Outline = Callable[[Canvas, np.ndarray, np.ndarray, float], None]


def draw_scratches(canvas: Canvas) -> np.ndarray:
    """Draw one or two forms of scratches; their mask uint8 (H, W) of 0 and 1."""
    forms = (_lines, _scuff, _flecks, _gouges, _blotches)
    mask = np.zeros(canvas.size, np.uint8)
    strength = canvas.strength(0.4, 1.4)
    for _ in range(2 if canvas.rng.random() < 0.3 else 1):
        draw = forms[canvas.rng.choice(len(forms), p=[0.46, 0.16, 0.14, 0.12, 0.12])]
        draw(canvas, mask, strength)
    return mask


def _lines(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """Groups of straight lines along the strip, most of them over its whole height."""
    rng = canvas.rng
    bright = rng.random() < 0.25
    rows, columns = canvas.steel_rows(), canvas.steel_columns()
    whole = rows[1] - rows[0]
    for _ in range(int(np.clip(rng.geometric(0.3), 1, 8))):
        column = rng.uniform(*columns)
        length = whole if rng.random() < 0.6 else whole * rng.uniform(0.3, 0.95)
        row = rng.uniform(rows[0] + length / 2, rows[1] - length / 2 + 1e-3)
        group = 1 if rng.random() < 0.6 else int(rng.integers(2, 9))
        breadth = canvas.px(rng.uniform(4, 10) * group) if group > 1 else 0.0
        window, y, x = canvas.window(row, column, (length, breadth + canvas.px(40, 10)))
        lines = np.zeros((len(y), x.shape[1]), np.float32)
        for _ in range(group):
            offset = rng.uniform(-0.5, 0.5) * breadth
            share = min(strength * rng.uniform(0.3, 0.85), 0.85)
            ends = length if length < whole else np.inf
            np.maximum(lines, share * _line(canvas, (y, x), offset, ends), out=lines)
        canvas.image[window] *= 1 + (1.3 if bright else -1) * lines
        margin = canvas.px(rng.uniform(5, 10), 1.5)
        seen = points_of(window, lines > 0.35 * lines.max())
        four_corners(canvas, mask, seen, (0.3 * margin, margin))


def _line(
    canvas: Canvas, grid: tuple[np.ndarray, np.ndarray], offset: float, length: float
) -> np.ndarray:
    """Profile of one scratch: 1 on it, 0 beside it, with ragged sides, fading at its ends."""
    rng = canvas.rng
    y, x = grid
    path = offset + rng.normal(0, 0.006) * y
    thick = rng.random() < 0.35
    width = canvas.px(rng.uniform(2, 5.5) if thick else rng.uniform(0.7, 1.8), 0.7)
    size = (len(y), x.shape[1])
    ragged = smooth_noise(rng, size, (canvas.px(rng.uniform(8, 60), 3), canvas.px(2, 1)))
    sides = 1 - np.abs(x - path) / width + rng.uniform(0.1, 0.5) * ragged
    along = np.clip(0.9 + 0.35 * bands(rng, len(y), canvas.px(40, 3))[:, None], 0.15, 1)
    ends = np.clip((length / 2 - np.abs(y)) / canvas.px(20, 2), 0, 1)
    return along * ends * soft_step(sides, 0.2, 0.7)


def _scuff(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """A bundle of ragged dark strokes."""
    rng = canvas.rng
    window, inside = _oval(canvas, (90, 300), (25, 110))
    strokes = smooth_noise(rng, inside.shape, (canvas.px(80, 4), canvas.px(3.5, 1.2)))
    strokes = strokes + 0.4 * smooth_noise(rng, inside.shape, (canvas.px(12, 2), canvas.px(2.5, 1)))
    ink = soft_step(strokes + 2.4 * inside, 1.7, 1.0)
    canvas.image[window] *= 1 - min(0.55 * strength, 0.72) * ink
    if rng.random() < 0.4:
        canvas.image[window] += strength * 150 * _glints(canvas, inside - 0.4)
    _outline(canvas, mask, window, ink, hull)


def _flecks(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """A cluster of bright dashes, across the strip or along it."""
    rng = canvas.rng
    wide = rng.random() < 0.5
    sides = ((30, 130), (80, 500)) if wide else ((40, 150), (25, 110))
    window, inside = _oval(canvas, *sides)
    cell = (canvas.px(rng.uniform(1.2, 2.2), 1), canvas.px(rng.uniform(5, 18), 2))
    if not wide and rng.random() < 0.6:
        cell = (0.4 * cell[1], cell[0])
    dashes = rough_noise(rng, inside.shape, cell, 2)
    clumps = smooth_noise(rng, inside.shape, (canvas.px(20, 3), canvas.px(40, 4)))
    ink = soft_step(dashes + 0.7 * clumps + 2 * inside, rng.uniform(2.2, 3.0), 0.9)
    uneven = np.clip(0.8 + 0.4 * rng.standard_normal(inside.shape, dtype=np.float32), 0.2, 1.6)
    canvas.image[window] += strength * rng.uniform(100, 240) * ink * uneven
    _outline(canvas, mask, window, ink, hull)


def _gouges(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """Chipped spots, dark with bright rims, one below the other or side by side."""
    rng = canvas.rng
    upright = rng.random() < 0.6
    sides = ((60, 220), (14, 45)) if upright else ((20, 50), (60, 600))
    window, inside = _oval(canvas, *sides)
    field = rough_noise(rng, inside.shape, (canvas.px(9, 2), canvas.px(7, 2)), 4)
    dark = soft_step(field + 1.5 * inside, 2.0, 0.9)
    canvas.image[window] *= 1 - min(0.6 * strength, 0.72) * dark
    rim = np.roll(field, -max(round(canvas.px(3)), 1), axis=0) + 1.5 * inside - 2.2
    canvas.image[window] += strength * 130 * _glints(canvas, rim)
    _outline(canvas, mask, window, dark, snug)


def _blotches(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    """Dark smears along the strip, frayed across it."""
    rng = canvas.rng
    window, inside = _oval(canvas, (150, 330), (50, 220))
    down = rough_noise(rng, inside.shape, (canvas.px(70, 4), canvas.px(12, 2)), 2)
    fray = smooth_noise(rng, inside.shape, (canvas.px(2.5, 1), canvas.px(16, 2)))
    grit = rng.standard_normal(inside.shape, dtype=np.float32)
    ink = soft_step(down + 0.55 * fray + 0.25 * grit + 2 * inside, 1.9, 1.0)
    canvas.image[window] *= 1 - min(0.6 * strength, 0.74) * ink
    _outline(canvas, mask, window, ink, hull)


def _glints(canvas: Canvas, density: np.ndarray) -> np.ndarray:
    """Small bright grains, more where `density` is higher."""
    white = canvas.rng.standard_normal(density.shape, dtype=np.float32)
    return np.clip(blurred(white, canvas.px(0.6), canvas.px(1.0)) + density - 1.6, 0, 1)


def _oval(
    canvas: Canvas, heights: tuple[float, float], widths: tuple[float, float]
) -> tuple[Window, np.ndarray]:
    """A window on the steel, and how deep its pixels lie in an oval: 1 centre, 0 rim."""
    rng = canvas.rng
    rows, columns = canvas.steel_rows(), canvas.steel_columns()
    height = canvas.px(rng.uniform(*heights), 8)
    width = min(canvas.px(rng.uniform(*widths), 6), 0.9 * (columns[1] - columns[0]))
    row = rng.uniform(*rows)
    column = rng.uniform(columns[0] + width / 2, columns[1] - width / 2)
    window, y, x = canvas.window(row, column, (1.3 * height, 1.3 * width))
    lean = rng.normal(0, 0.15)
    inside = 1 - np.sqrt((2 * y / height) ** 2 + (2 * (x - lean * y) / width) ** 2)
    return window, inside.astype(np.float32)


def _outline(
    canvas: Canvas, mask: np.ndarray, window: Window, ink: np.ndarray, outline: Outline
) -> None:
    """Fill the outline of what was drawn, or of its darkest pixels where little is seen."""
    seen = points_of(window, ink >= min(0.5, float(ink.max())))
    outline(canvas, mask, seen, canvas.px(7, 1.5))
