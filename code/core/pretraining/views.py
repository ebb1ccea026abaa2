"""Two views of a strip: the same window, seen twice under what does not matter for defects."""

from collections.abc import Callable
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field, field_validator

from core.files.resizing import Size
from core.validation import Settings

Pairs = Callable[..., tuple[np.ndarray, np.ndarray]]
"""What makes the pair of an image, `epoch` and `index`, as `PairOfViews` does."""
Share = Annotated[float, Field(ge=0, le=1)]


class ViewSettings(Settings):
    """How the two views of a strip differ. A share or an amount of 0 switches a change off."""

    horizontal_flip: Share = Field(0.5, description="share of views mirrored left to right")
    vertical_flip: Share = Field(0.5, description="share of views mirrored top to bottom")
    gain: float = Field(
        0.2, ge=0, lt=1, description="grey values are multiplied by 1 plus or minus up to this"
    )
    offset: Share = Field(
        0.05, description="up to this share of the grey range is added or subtracted"
    )
    blur: Share = Field(0.0, description="share of views that are blurred; hides fine defects")
    blur_sigma: float = Field(
        1.0, gt=0, le=16, description="widest blur, in pixels; the least is half of it"
    )
    window: Size | None = Field(
        None,
        description="height and width of a window, at a random place that both views share; null: "
        "the whole strip",
    )
    crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description="least share of height and width that a view keeps, each view at another "
        "place; below 1 a crop may lose the defect, and the pair would then lie",
    )

    @field_validator("window")
    @classmethod
    def _some_pixels(cls, window: Size | None) -> Size | None:
        if window is not None and min(window) < 1:
            raise ValueError("expected height and width, such as views.window=[64,256]")
        return window


class PairOfViews:
    """Makes the two views of an image, a pure function of (seed, epoch, index)."""

    def __init__(self, settings: ViewSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def __call__(
        self, image: np.ndarray, *, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both views. Shape: uint8 (H, W) or (H, W, 3) -> the same, or the window's size."""
        key = np.random.SeedSequence((self.seed, epoch, index))
        generator = np.random.default_rng(key)
        image = _window(image, self.settings.window, generator)
        return self._view(image, generator), self._view(image, generator)

    def one(self, image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A single view, drawn by the generator."""
        return self._view(_window(image, self.settings.window, generator), generator)

    def _view(self, image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        settings, (height, width) = self.settings, image.shape[:2]
        # All numbers are drawn, whatever is on: a switch changes nothing but its own.
        flips, blurs, gain, offset, sigma = generator.random(2), *generator.random(4)
        shares = settings.crop + (1 - settings.crop) * generator.random(2)
        cropped = max(1, round(height * shares[0])), max(1, round(width * shares[1]))
        view = _window(image, cropped, generator)
        if view.shape[:2] != (height, width):
            view = cv2.resize(view, (width, height), interpolation=cv2.INTER_LINEAR)
        if flips[0] < settings.horizontal_flip:
            view = view[:, ::-1]
        if flips[1] < settings.vertical_flip:
            view = view[::-1]
        if blurs < settings.blur:
            width_of_blur = (0.5 + sigma / 2) * settings.blur_sigma
            view = cv2.GaussianBlur(np.ascontiguousarray(view), (0, 0), width_of_blur)
        factor = 1 + settings.gain * (2 * gain - 1)
        added = 255 * settings.offset * (2 * offset - 1)
        # Of each grey value once, which is faster than of each pixel.
        table = np.rint(np.arange(256) * factor + added).clip(0, 255).astype(np.uint8)
        return table[view]


def _window(image: np.ndarray, size: Size | None, generator: np.random.Generator) -> np.ndarray:
    """A window of this size at a random place, no larger than the image."""
    if size is None:
        return image
    sides = [min(s, whole) for s, whole in zip(size, image.shape[:2], strict=True)]
    top, left = (
        int(generator.integers(whole - s + 1))
        for s, whole in zip(sides, image.shape[:2], strict=True)
    )
    return image[top : top + sides[0], left : left + sides[1]]
