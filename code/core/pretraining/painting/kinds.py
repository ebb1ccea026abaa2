"""The kinds of painted defects: each draws a shape, then how the steel changes within it."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from core.pretraining.painting.contrast import smoothed
from core.pretraining.painting.poisson import blended_change
from core.pretraining.painting.shapes import perlin_noise, soft_shape
from core.pretraining.painting.textures import cut_piece

# Poisson blending takes the most varied of as many pieces.
_PIECES = 3
# Pixels: what is smaller and blended from all sides does not show.
_LEAST_BLENDED = 5.0

SizeRange = tuple[float, float]
Strips = Sequence[np.ndarray]


class Place(NamedTuple):
    """Where a defect is painted: the steel float32 (H, W, C) and the opacity float32 (H, W).

    `step` is the contrast wanted, in grey values, and `brightest` the largest grey value.
    """

    steel: np.ndarray
    opacity: np.ndarray
    step: float
    brightest: int


Shape = Callable[[SizeRange, np.random.Generator], np.ndarray]
Change = Callable[[Place, Strips, np.random.Generator], np.ndarray | None]


class Kind(NamedTuple):
    """A kind of defect: the opacity of its shape, and the change (H, W, C) that it makes.

    A change of None means that no texture was found. With `uses_own`, pieces of the strip itself
    serve as well as those of other strips.
    """

    shape: Shape
    change: Change
    uses_own: bool = False


def cut_shape(sizes: SizeRange, generator: np.random.Generator) -> np.ndarray:
    """A patch of any aspect, or a thin scar."""
    length = _log_uniform(*sizes, generator)
    scar = generator.random() < 1 / 3
    share = _log_uniform(0.04, 0.12, generator) if scar else _log_uniform(0.25, 1.0, generator)
    sides = (length, max(2.0 if scar else min(3.0, length), share * length))
    return soft_shape(sides, generator.uniform(0, math.pi), generator)


def cut_change(place: Place, strips: Strips, generator: np.random.Generator) -> np.ndarray | None:
    """Another piece of steel, turned, brighter or darker than what it covers."""
    piece = cut_piece(strips, place.opacity.shape, (0.5, 2.0), math.pi / 4, generator)
    if piece is None:
        return None
    step = generator.uniform(0.5, 1.2) * generator.choice([-1, 1]) * place.step
    gain = _log_uniform(0.7, 1.6, generator)
    return _covering(place, gain * (piece - _mean(piece, place.opacity)), step)


def poisson_shape(sizes: SizeRange, generator: np.random.Generator) -> np.ndarray:
    """A patch whose sides come from a truncated gamma distribution, with room to blend."""
    sides = [max(_LEAST_BLENDED, _truncated_gamma(sizes, generator)) for _ in range(2)]
    opacity = soft_shape(sides, 0.0, generator)
    return np.pad(opacity, max(2, round(0.15 * max(sides))))


def poisson_change(
    place: Place, strips: Strips, generator: np.random.Generator
) -> np.ndarray | None:
    """A piece of another strip whose gradients replace those of the steel."""
    size = place.opacity.shape
    drawn = [cut_piece(strips, size, (0.5, 2.0), math.pi / 8, generator) for _ in range(_PIECES)]
    pieces = [piece for piece in drawn if piece is not None]
    if not pieces:
        return None
    # Even steel would blend into nothing.
    deviations = [float(smoothed(piece).std()) for piece in pieces]
    best = int(np.argmax(deviations))
    gain = np.clip(place.step / max(deviations[best], 1e-3), 0.7, 3.0)
    change = blended_change(place.steel, gain * pieces[best], place.opacity)
    # What blends in leaves a faint wide halo, which is no defect.
    reach = 2 * (min(place.opacity.shape) // 8) + 3
    near = np.minimum(2 * cv2.blur(place.opacity, (reach, reach)), 1)
    return near[..., None] * change


def perlin_shape(sizes: SizeRange, generator: np.random.Generator) -> np.ndarray:
    """What exceeds a threshold of Perlin noise, within an ellipse: often several parts."""
    covered = generator.uniform(0.3, 0.8)
    # So that what the threshold leaves is as large as was asked.
    length = _log_uniform(*sizes, generator) / math.sqrt(covered)
    sides = (length, max(3.0, length * _log_uniform(0.3, 1.0, generator)))
    envelope = soft_shape(sides, generator.uniform(0, math.pi), generator)
    cells = generator.integers(1, 1 + np.clip(np.array(envelope.shape) // 6, 1, 8))
    noise = perlin_noise(envelope.shape, tuple(cells), generator)
    threshold = np.quantile(noise[envelope > 0.5], 1 - covered)
    softness = generator.uniform(0.02, 0.2)
    return envelope * np.clip((noise - threshold) / softness + 0.5, 0, 1)


def perlin_change(
    place: Place, strips: Strips, generator: np.random.Generator
) -> np.ndarray | None:
    """Foreign texture that lets the steel show through: a strongly changed piece of a strip."""
    piece = cut_piece(strips, place.opacity.shape, (0.5, 4.0), math.pi, generator)
    if piece is None:
        return None
    piece -= _mean(piece, place.opacity)
    piece *= generator.choice([-1, 1]) * generator.uniform(1.0, 4.0)
    step = generator.uniform(0, 1.5) * generator.choice([-1, 1]) * place.step
    return generator.uniform(0.3, 1.0) * _covering(place, piece, step)


KINDS = {
    "cut_paste": Kind(cut_shape, cut_change, uses_own=True),
    "poisson_patches": Kind(poisson_shape, poisson_change),
    "perlin_texture": Kind(perlin_shape, perlin_change),
}


def _covering(place: Place, piece: np.ndarray, step: float) -> np.ndarray:
    """The change by a piece of mean 0 that covers the steel, brighter than it by `step`."""
    covering = piece + _mean(place.steel, place.opacity) + step
    covering = np.clip(covering, 0, place.brightest)
    return place.opacity[..., None] * (covering - place.steel)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of values (H, W, C) by weights (H, W), per channel."""
    total = max(float(weights.sum()), 1e-6)
    return np.einsum("hwc,hw->c", values, weights) / np.float32(total)


def _log_uniform(least: float, most: float, generator: np.random.Generator) -> float:
    return math.exp(generator.uniform(math.log(least), math.log(most)))


def _truncated_gamma(sizes: SizeRange, generator: np.random.Generator) -> float:
    """Gamma of shape 2 between the sizes: most are small, and a few are large."""
    least, most = sizes
    drawn = least + generator.gamma(2.0, 0.12, 8) * (most - least)
    within = drawn[drawn <= most]
    return float(within[0]) if within.size else most
