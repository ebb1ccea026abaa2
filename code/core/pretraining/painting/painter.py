"""The painter: an unlabelled strip in, the strip with painted defects and their mask out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.errors import InputError
from core.pretraining.painting.canvas import Canvas
from core.pretraining.painting.kinds import KINDS

# As many as OpenCV turns and resizes at once.
_MOST_CHANNELS = 4


class Painted(NamedTuple):
    """A painted strip, of the shape and dtype that it had, and its mask uint8 (H, W) of 0 and 1."""

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Painter:
    """Paints defects that exist nowhere into strips of steel.

    `cut_paste`, `poisson_patches` and `perlin_texture` are the shares of the kinds, relative to
    each other. `clean` is the share of strips that get no defect; the others get a number within
    `count`. `size` bounds the lengths of defects, as shares of the strip's shorter side; none is
    planned below 3 pixels. `contrast` bounds how strongly a defect changes the steel, in units of
    the noise of the steel about it.

    Source: Li et al. 2021, "CutPaste: Self-Supervised Learning for Anomaly Detection and
    Localization"; Schlüter et al. 2022, "Natural Synthetic Anomalies for Self-Supervised Anomaly
    Detection and Localization"; Zavrtanik et al. 2021, "DRAEM"
    """

    cut_paste: float = 1.0
    poisson_patches: float = 1.0
    perlin_texture: float = 1.0
    clean: float = 0.2
    count: tuple[int, int] = (1, 4)
    size: tuple[float, float] = (0.012, 0.4)
    contrast: tuple[float, float] = (1.5, 8.0)

    def __post_init__(self) -> None:
        _require("clean", self.clean, 0 <= self.clean <= 1, "a share in 0..1")
        _require("count", self.count, 1 <= self.count[0] <= self.count[1], "least and most, from 1")
        _require("size", self.size, 0 < self.size[0] <= self.size[1] <= 1,
                 "least and most, above 0 and up to 1")  # fmt: skip
        _require("contrast", self.contrast, 0 < self.contrast[0] <= self.contrast[1] < math.inf,
                 "least and most, above 0 and finite")  # fmt: skip
        for name, share in zip(KINDS, self._shares, strict=True):
            _require(name, share, 0 <= share < math.inf, "a finite share from 0")
        _require(", ".join(KINDS), self._shares, any(self._shares), "one of them above 0")

    def paint(
        self, strip: np.ndarray, sources: Sequence[np.ndarray], generator: np.random.Generator
    ) -> Painted:
        """The strip with defects made of pieces of the sources; of the strip itself without any.

        The result depends on the arguments alone, and outside the mask no pixel changes. The mask
        is empty for a strip that stays clean, that shows no steel, or whose defects never show.

        Shape: strip and sources uint8 or uint16, (H, W) or (H, W, C), each of its own H and W

        Raises:
            InputError: empty, of another dtype, or a source unlike the strip in dtype or channels.
        """
        own = _checked("strip", strip)
        foreign = [_checked(f"source {i}", source, like=own) for i, source in enumerate(sources)]
        if generator.random() < self.clean:
            return Painted(strip.copy(), np.zeros(strip.shape[:2], np.uint8))
        canvas = Canvas(own.copy())
        shares = np.array(self._shares) / sum(self._shares)
        kinds = list(KINDS.values())
        for _ in range(generator.integers(self.count[0], self.count[1], endpoint=True)):
            kind = kinds[generator.choice(len(kinds), p=shares)]
            strips = [own, *foreign] if kind.uses_own or not foreign else foreign
            canvas.add(kind, strips, self.size, self.contrast, generator)
        return Painted(canvas.image.reshape(strip.shape), canvas.mask.view(np.uint8))

    @property
    def _shares(self) -> list[float]:
        return [getattr(self, name) for name in KINDS]


def _require(name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise InputError(f"{name}={value}: expected {expected}")


def _checked(name: str, strip: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """The strip as (H, W, C)."""
    known = strip.dtype in (np.uint8, np.uint16) and strip.ndim in (2, 3) and strip.size
    if not known or (strip.ndim == 3 and strip.shape[2] > _MOST_CHANNELS):
        raise InputError(
            f"{name}: {strip.dtype} of shape {strip.shape}; expected uint8 or uint16 of shape "
            f"(H, W) or (H, W, C), up to {_MOST_CHANNELS} channels and no side 0"
        )
    strip = np.ascontiguousarray(strip).reshape(*strip.shape[:2], -1)
    if like is not None and (strip.dtype, strip.shape[2]) != (like.dtype, like.shape[2]):
        raise InputError(
            f"{name}: {strip.dtype} with {strip.shape[2]} channels; expected {like.dtype} with "
            f"{like.shape[2]}, as the strip: read all strips in one way"
        )
    return strip
