"""Clean steel: tone, light, bands along the rolling direction, oxide patches, grain, speckle.

The camera looks across the strip, so that the rolling direction, hence bands, streaks and
patches, runs down the image.
"""

import cv2
import numpy as np

from core.synthetic.noise import Size, bands, blurred, smooth_noise, soft_step


def draw_steel(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Grey values of a clean strip without its edges, float32 of `size`, about 30 to 200."""
    scale = size[0] / 256
    white = rng.standard_normal(size, dtype=np.float32)
    factor = _bands(rng, size, scale)
    grain = _grain(rng, white, scale)
    if rng.random() < 0.7:
        patches = _oxide_patches(rng, size, scale)
        factor += patches
        patches *= 1.2
        patches += 1
        grain *= patches
    factor += grain
    if rng.random() < 0.3:
        factor += _chatter(rng, size, scale)
    factor += _speckle(rng, white, scale)
    factor += 1
    factor *= _light(rng, size)
    factor *= float(np.clip(rng.lognormal(np.log(97), 0.24), 48, 165))
    return factor


def _light(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Uneven light: brighter towards the bottom and about one column, seldom overexposed."""
    y = np.linspace(-0.5, 0.5, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, size[1], dtype=np.float32)[None, :]
    slope, curve = rng.normal(0.5, 0.35), rng.normal(0.0, 0.6)
    rows = np.clip(1 + slope * y + curve * (y * y - 1 / 12), 0.3, None)
    centre, width = rng.uniform(-0.35, 0.35), rng.uniform(0.12, 0.5)
    hump = np.exp(-(((x - centre) / width) ** 2))
    light = rows * (1 + rng.uniform(0.0, 0.6) * (hump - float(hump.mean())))
    if rng.random() < 0.06:
        depth, strength = rng.uniform(0.15, 0.5), rng.uniform(0.4, 1.5)
        light += hump * (strength * np.exp(-(((y - 0.5) / depth) ** 2)))
    return light


def _bands(rng: np.random.Generator, size: Size, scale: float) -> np.ndarray:
    """Bands down the strip that change slowly along it, and diffuse clouds."""
    strength = rng.uniform(0.5, 1.5)
    field = (0.08 * strength) * smooth_noise(rng, size, (size[0] / 1.5, 120 * scale))
    field += (0.04 * strength) * smooth_noise(rng, size, (size[0] / 3, 22 * scale))
    columns = 0.03 * bands(rng, size[1], 60 * scale) + 0.02 * bands(rng, size[1], 5 * scale)
    columns += 0.012 * bands(rng, size[1], 2 * scale)
    where = np.abs(field)
    where *= 2.5
    where += 0.6
    where *= strength * columns
    field += where
    return field


def _grain(rng: np.random.Generator, white: np.ndarray, scale: float) -> np.ndarray:
    """Fine texture: lines across the strip, streaks along it, and isotropic noise."""
    streaky = rng.beta(0.5, 1.5)
    weights = np.array([1 - streaky, streaky, rng.uniform(0.2, 0.9)])
    across, along, plain = (weights / np.sqrt((weights**2).sum())).tolist()
    grain = blurred(white, 0.5 * scale, rng.uniform(0.9, 2.2) * scale)
    grain *= across
    streaks = blurred(white[::-1, ::-1], rng.uniform(1.5, 5.0) * scale, 0.5 * scale)
    cv2.scaleAdd(streaks, along, grain, grain)
    cv2.scaleAdd(np.ascontiguousarray(white[:, ::-1]), plain, grain, grain)
    # Metal glitters: the bright side of the distribution is the longer one.
    grain += 0.12 * np.maximum(grain, 0) ** 2
    # Rougher and smoother lanes beside each other.
    lanes = np.exp(0.25 * bands(rng, white.shape[1], rng.uniform(60, 250) * scale))
    grain *= rng.lognormal(np.log(0.057), 0.3) * lanes
    return grain


def _oxide_patches(rng: np.random.Generator, size: Size, scale: float) -> np.ndarray:
    """Sharp-edged patches drawn out along the strip, darker or brighter than their ground."""
    length = rng.uniform(35, 260) * scale
    width = max(length * rng.uniform(0.035, 0.1), 3 * scale)
    field = smooth_noise(rng, size, (length, width))
    field = field + 0.45 * smooth_noise(rng, size, (0.35 * length, 0.4 * width))
    field += 0.3 * smooth_noise(rng, size, (6 * scale, 3 * scale))
    field += rng.uniform(0.8, 2.0) * bands(rng, size[1], rng.uniform(60, 350) * scale)
    field += rng.normal(0, 0.6) * np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    patches = soft_step(field, rng.uniform(0.8, 2.8), rng.uniform(0.15, 0.8))
    bright = rng.random() < 0.3
    patches *= rng.uniform(0.12, 0.45) if bright else -rng.uniform(0.08, 0.3)
    return patches


def _chatter(rng: np.random.Generator, size: Size, scale: float) -> np.ndarray:
    """Wavy lines across the strip, in places."""
    period = max(rng.uniform(4.0, 8.0) * scale, 2.5)
    y = np.arange(size[0], dtype=np.float32)[:, None]
    x = np.arange(size[1], dtype=np.float32)[None, :]
    phase = (3 * scale) * smooth_noise(rng, size, (25 * scale, 60 * scale))
    phase += y + rng.normal(0, 0.04) * x
    phase *= 2 * np.pi / period
    wave = np.exp(np.sin(phase, out=phase), out=phase)
    wave -= 1.2
    where = smooth_noise(rng, size, (150 * scale, 200 * scale)) + rng.uniform(-1.0, 1.0)
    wave *= rng.uniform(0.015, 0.06) * np.clip(where, 0, 1.5)
    return wave


def _speckle(rng: np.random.Generator, white: np.ndarray, scale: float) -> np.ndarray:
    """Bright glints, a little wider than high, dense in lanes along the strip."""
    glints = blurred(white[::-1], 0.6 * scale, rng.uniform(0.8, 1.6) * scale)
    lanes = bands(rng, white.shape[1], rng.uniform(30, 150) * scale)
    glints -= rng.uniform(2.0, 4.2) - rng.uniform(0.2, 0.9) * lanes
    np.clip(glints, 0, 2.0, out=glints)
    glints *= rng.uniform(0.3, 0.8)
    return glints
