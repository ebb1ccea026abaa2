"""Marks that look like defects but are none: oil drops, water stains, arcs, bands, dirt."""

import numpy as np

from core.synthetic.canvas import Canvas
from core.synthetic.noise import bands, rough_noise, soft_step


def draw_marks(canvas: Canvas) -> None:
    """A random choice of harmless marks, several kinds on most strips."""
    chances = (
        (oil_drops, 0.4), (smeared_trail, 0.12), (water_stain, 0.3), (arc, 0.18),
        (dull_bands, 0.45), (dirt, 0.35), (chips, 0.25),
    )  # fmt: skip
    for draw, chance in chances:
        if canvas.rng.random() < chance:
            draw(canvas)


def _anywhere(canvas: Canvas) -> tuple[float, float]:
    left, right = canvas.steel_columns()
    return canvas.rng.uniform(0, canvas.size[0]), canvas.rng.uniform(left, right)


def oil_drops(canvas: Canvas) -> None:
    """Dark drops drawn out along the strip, with sharp edges."""
    rng = canvas.rng
    darkness = rng.uniform(0.15, 0.4)
    for _ in range(int(rng.geometric(0.25))):
        length, width = canvas.px(rng.uniform(8, 75), 3), canvas.px(rng.uniform(2.5, 9), 1.2)
        row, column = _anywhere(canvas)
        window, y, x = canvas.window(row, column, (length, 2.5 * width))
        taper = width / 2 * np.sqrt(np.clip(1 - (2 * y / length) ** 2, 0, 1))
        taper = taper * (1 + 0.15 * bands(rng, y.shape[0], 3 * canvas.scale)[:, None])
        canvas.image[window] *= 1 - darkness * np.clip(taper - np.abs(x) + 0.5, 0, 1)


def smeared_trail(canvas: Canvas) -> None:
    """A ragged dark trail along the strip, as of a rag or a wet roll."""
    rng = canvas.rng
    length, width = canvas.px(rng.uniform(40, 200), 8), canvas.px(rng.uniform(8, 30), 3)
    row, column = _anywhere(canvas)
    window, y, x = canvas.window(row, column, (length, width))
    field = rough_noise(rng, (y.shape[0], x.shape[1]), (canvas.px(9, 2), canvas.px(4, 2)))
    inside = 1 - (2 * y / length) ** 2 - (2 * x / width) ** 2
    canvas.image[window] *= 1 - rng.uniform(0.15, 0.35) * soft_step(field + 2 * inside, 1.6, 0.8)


def water_stain(canvas: Canvas) -> None:
    """Round spots with a soft rim, alone or in a group."""
    rng = canvas.rng
    row, column = _anywhere(canvas)
    for _ in range(int(rng.geometric(0.35))):
        radius = canvas.px(rng.uniform(5, 45), 2)
        stretch = rng.uniform(1.0, 2.2)
        at = row + rng.normal(0, canvas.px(30)), column + rng.normal(0, canvas.px(60))
        window, y, x = canvas.window(*at, (3 * radius * stretch, 3 * radius))
        distance = np.sqrt((y / stretch) ** 2 + x**2)
        disc = np.clip((radius - distance) / canvas.px(2, 1) + 0.5, 0, 1)
        ring = np.exp(-(((distance - radius) / canvas.px(2.5, 1)) ** 2))
        canvas.image[window] *= 1 - rng.uniform(-0.06, 0.14) * disc - rng.uniform(0, 0.1) * ring


def arc(canvas: Canvas) -> None:
    """A large bow with another tone on its inner side, as a drying film leaves it."""
    rng = canvas.rng
    height, width = canvas.size
    radius = rng.uniform(0.8, 4) * height
    angle = rng.uniform(0, 2 * np.pi)
    row = rng.uniform(0, height) + radius * np.sin(angle)
    column = rng.uniform(0, width) + radius * np.cos(angle)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(row)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(column)
    distance = radius - np.sqrt(y * y + x * x)
    depth = rng.uniform(0.3, 1.5) * height
    edge = np.clip(distance / canvas.px(rng.uniform(1, 12), 1), 0, 1)
    canvas.image *= 1 + rng.uniform(-0.14, 0.16) * edge * np.clip(1 - distance / depth, 0, 1)


def dull_bands(canvas: Canvas) -> None:
    """Bands down the whole strip with soft sides: wider and fainter than scratches."""
    rng = canvas.rng
    x = np.arange(canvas.size[1], dtype=np.float32)
    factor = np.ones_like(x)
    for _ in range(int(rng.geometric(0.3))):
        centre, width = _anywhere(canvas)[1], canvas.px(rng.uniform(10, 60), 2)
        factor += rng.uniform(-0.14, 0.09) * np.exp(-(((x - centre) / width) ** 4))
    canvas.image *= factor


def dirt(canvas: Canvas) -> None:
    """Single dark dots."""
    rng = canvas.rng
    for _ in range(int(rng.geometric(0.12))):
        radius = canvas.px(rng.uniform(0.8, 2.4), 0.6)
        _dot(canvas, (radius * rng.uniform(0.8, 1.6), radius), -rng.uniform(0.15, 0.5))


def chips(canvas: Canvas) -> None:
    """Single small bright flecks."""
    rng = canvas.rng
    for _ in range(int(rng.geometric(0.2))):
        radius = canvas.px(rng.uniform(0.8, 2.2), 0.6)
        _dot(canvas, (radius, radius * rng.uniform(1, 3)), rng.uniform(0.2, 0.8))


def _dot(canvas: Canvas, radii: tuple[float, float], strength: float) -> None:
    row, column = _anywhere(canvas)
    window, y, x = canvas.window(row, column, (5 * radii[0] + 2, 5 * radii[1] + 2))
    canvas.image[window] *= 1 + strength * np.exp(-((y / radii[0]) ** 2) - (x / radii[1]) ** 2)
