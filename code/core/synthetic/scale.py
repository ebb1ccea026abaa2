"""Defect 4: large patches of rolled-in scale with a ragged rim and a rough face."""

import cv2
import numpy as np

from core.synthetic.canvas import Canvas, Window, points_of, snug
from core.synthetic.noise import rough_noise, smooth_noise, soft_step


def draw_scale(canvas: Canvas) -> np.ndarray:
    """Draw one to four patches; their mask uint8 (H, W) of 0 and 1."""
    mask = np.zeros(canvas.size, np.uint8)
    strength = canvas.strength(0.4, 1.2)
    for _ in range(int(np.clip(canvas.rng.geometric(0.5), 1, 4))):
        _patch(canvas, mask, strength)
    return mask


def _patch(canvas: Canvas, mask: np.ndarray, strength: float) -> None:
    rng = canvas.rng
    rows, columns = canvas.steel_rows(), canvas.steel_columns()
    height = canvas.px(rng.lognormal(np.log(140), 0.5), 12)
    width = canvas.px(rng.lognormal(np.log(230), 0.6), 14)
    width = min(width, 0.9 * (columns[1] - columns[0]))
    row, column = rng.uniform(*rows), rng.uniform(columns[0], columns[1])
    # Roomy: a turned shape reaches further down, a ragged one further out.
    window, y, x = canvas.window(row, column, (2 * height + width, 2 * width + height))
    shape = _depth(canvas, (y, x), (height, width))
    inside = soft_step(shape, 0.0, 0.05)
    image = canvas.image[window]
    face = _face(canvas, image, strength)
    canvas.image[window] += (face - image) * inside
    _rim(canvas, window, inside, strength)
    seen = points_of(window, shape >= min(0.0, float(shape.max())))
    snug(canvas, mask, seen, canvas.px(rng.uniform(2, 6), 1))


def _depth(
    canvas: Canvas, grid: tuple[np.ndarray, np.ndarray], size: tuple[float, float]
) -> np.ndarray:
    """Positive inside a lopsided, ragged shape of about `size`."""
    rng = canvas.rng
    y, x = grid
    turn = rng.normal(0, 0.35)
    v = (np.cos(turn) * y - np.sin(turn) * x) / size[0]
    u = (np.sin(turn) * y + np.cos(turn) * x) / size[1]
    power = rng.uniform(1.3, 4.0)
    depth = 1 - (np.abs(2 * v) ** power + np.abs(2 * u) ** power) ** (1 / power)
    coarse = smooth_noise(rng, depth.shape, (0.4 * size[0], 0.3 * size[1]))
    fine = rough_noise(rng, depth.shape, (canvas.px(24, 3), canvas.px(24, 3)), 4)
    ragged = rng.uniform(0.12, 0.3) * coarse + rng.uniform(0.02, 0.07) * fine
    depth = (depth + np.clip(ragged, -0.8, 0.8)).astype(np.float32)
    return np.where(_largest_piece(depth > 0), depth, np.minimum(depth, -0.1))


def _largest_piece(shape: np.ndarray) -> np.ndarray:
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(shape.astype(np.uint8))
    if len(stats) < 2:
        return np.ones_like(shape)
    return pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def _face(canvas: Canvas, image: np.ndarray, strength: float) -> np.ndarray:
    """The patch's own surface: another tone, bumps lit from one side, folds, bare spots."""
    rng = canvas.rng
    tone = 1 - strength * rng.uniform(-0.1, 0.4)
    ground = cv2.blur(image, (2 * round(canvas.px(20, 2)) + 1,) * 2)
    cell = (canvas.px(rng.uniform(8, 30), 2), canvas.px(rng.uniform(8, 40), 2))
    bumps = rough_noise(rng, image.shape, cell, 4)
    step = max(round(canvas.px(2)), 1)
    relief = bumps - np.roll(bumps, (step, step), (0, 1))
    clouds = smooth_noise(rng, image.shape, (canvas.px(60, 4), canvas.px(60, 4)))
    streaks = smooth_noise(rng, image.shape, (canvas.px(50, 4), canvas.px(6, 1.5)))
    light = rng.uniform(0.15, 0.4) * relief + 0.12 * clouds + rng.uniform(0, 0.12) * streaks
    light += 0.15 * np.maximum(relief, 0) ** 2
    if rng.random() < 0.6:
        folds = np.clip(1 - np.abs(bumps) / canvas.px(0.07, 0.1), 0, 1) * (clouds > 0)
        light -= rng.uniform(0.2, 0.5) * folds
    face = ground * (tone * np.clip(1 + strength * light, 0.25, 2.4))
    face += rng.uniform(0.3, 0.9) * (image - ground)
    if rng.random() < 0.2:
        bare = soft_step(0.7 * clouds + 0.3 * streaks + 0.4 * bumps, 1.1, 0.4)
        face += bare * (image * rng.uniform(1.0, 1.7) - face)
    return face


def _rim(canvas: Canvas, window: Window, inside: np.ndarray, strength: float) -> None:
    """Shadow on one side of the rim, light on the other, uneven along it."""
    rng = canvas.rng
    soft = cv2.GaussianBlur(inside, (0, 0), sigmaX=canvas.px(rng.uniform(1, 2.2), 0.7))
    step = max(round(canvas.px(2)), 1)
    up, left = int(rng.choice([-1, 1], p=[0.7, 0.3])), int(rng.choice([-1, 1]))
    lit = soft - np.roll(soft, (up * step, left * step), (0, 1))
    # Nothing rolls over from the opposite side.
    lit[:step], lit[-step:], lit[:, :step], lit[:, -step:] = 0, 0, 0, 0
    cell = (canvas.px(10, 3), canvas.px(10, 3))
    uneven = np.clip(0.5 + 0.4 * rough_noise(rng, inside.shape, cell, 3), 0, 1.6)
    edge = 4 * soft * (1 - soft)
    canvas.image[window] *= np.clip(1 + strength * uneven * (1.2 * lit - 0.25 * edge), 0.2, 2.5)
